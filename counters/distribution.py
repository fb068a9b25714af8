"""The distribution of minutes attended: how many people were present for how long, of the event and of each session.

A minute is a window: present in 42 windows, in or out of schedule, is 42 minutes attended, once for whoever was in
several sessions or on both channels at a time. Of an event of several namespaces each has its own distribution, since
nobody knows whose minutes in two of them add up. Bands of fewer people than may be shown are joined with the next ones,
and not withheld: what is withheld would follow from the others and the total.
"""

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap  # noqa: TC002 - mypy needs it to tell the list's type

from counters.attendance import Attendance
from counters.namespaces import named
from counters.numbers import printed_value

BANDS: Final = (1, 5, 15, 30, 60, 120, 240, 480)
"""The first minute of each band; the last one has no end."""


def minutes_attended(attendance: Attendance, withheld: Collection[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the certificate's member `minutes`; `withheld` are (rule, session id) of numbers that may not follow."""
    below, rows = attendance.event.counting.suppress_below, []
    spaces = named(attendance.event, attendance.namespaces)
    of_whom: list[tuple[dict[str, str], BitMap | None]] = [({"namespace": name}, who) for name, who in spaces.items()]
    of_whom = of_whom or [({}, None)]
    for of, among in of_whom:
        # Of the whole event it is shown of few people as well: its numbers are always printed.
        rows.append(_row(of, attendance.net.histogram(None, None, among), below))
    for session in attendance.event.sessions:
        hidden = ("unique-attendees", session.id) in withheld
        for of, among in of_whom:
            histogram = attendance.net.histogram(session.number, None, among)
            scope, few = {"session": session.id} | of, 0 < int(histogram.sum()) < below
            rows.append(_nothing(scope) if few or hidden else _row(scope, histogram, below))
    return rows


def _nothing(scope: dict[str, str]) -> dict[str, Any]:
    return {"scope": scope, "unit": "people", "bands": None, "median": None, "mean": None, "suppressed": True}


def _row(scope: dict[str, str], histogram: npt.NDArray[np.int64], below: int) -> dict[str, Any]:
    total = int(histogram.sum())
    return {
        "scope": scope,
        "unit": "people",
        "bands": bands(histogram, below),
        "median": median(histogram) if total else None,
        "mean": printed_value(Fraction(int(histogram @ np.arange(len(histogram))), total)) if total else None,
    }


def median(histogram: Sequence[int] | npt.NDArray[np.int64]) -> int:
    """Return the fewest minutes that at least half of the people did not exceed; there must be people."""
    reached = np.cumsum(histogram)
    return int(np.searchsorted(2 * reached, reached[-1]))


def bands(histogram: npt.NDArray[np.int64], below: int) -> list[dict[str, Any]]:
    """Return the bands, ascending: none of fewer than `below` people but of nobody, if there are as many in all."""
    ends = [*BANDS[1:], None]
    found: list[dict[str, Any]] = []
    for first, end in zip(BANDS, ends, strict=True):
        people = int(histogram[first:end].sum())
        band = {"from": first, "to": None if end is None else end - 1, "people": people}
        if found and 0 < found[-1]["people"] < below:
            found[-1] |= {"to": band["to"], "people": found[-1]["people"] + people}
        else:
            found.append(band)
    while len(found) > 1 and 0 < found[-1]["people"] < below:
        last = found.pop()
        found[-1] |= {"to": last["to"], "people": found[-1]["people"] + last["people"]}
    return found
