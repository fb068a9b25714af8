"""The two paths beside each other: HyperLogLog estimates from the evidence against exact counts of the same people.

The sketches of attendees that workers filled heartbeat by heartbeat are merged per session, day and event and
estimated; the exact path counts the same identities online: gross (nobody excluded, since a sketch cannot leave anybody
out) and after aliases (one pseudonym is one element whatever its seats). A difference is expressed in standard errors
of max(0.8125 % of the exact count, 1): below 123 people one person more or less is no statistical statement.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np

from counters import hyperloglog
from counters.attendance import ONLINE, Attendance
from counters.event import Event
from counters.evidence import SessionPresence
from counters.hyperloglog import Registers
from counters.segment import WINDOW_S

RELATIVE_ERROR: Final = Fraction(8125, 1_000_000)
"""1.04 / √16384, the standard error of one sketch."""
LARGEST_USUAL: Final = 5
"""Standard errors: more than this is an alarm …"""
RUNNING: Final = 3
"""… if it holds in so many windows running."""
DECIMALS: Final = 3
STATEMENT: Final = (
    "Estimates of the live path (HyperLogLog, standard error 0.8125 %) beside gross exact counts of identities online. "
    "The standard error is taken as max(0.8125 % of the exact count, 1 person): with fewer than 123 people the "
    "relative error is less than one person, and an estimate is a whole number."
)


def deviation(estimate: int, exact: int) -> Fraction:
    """Return by how many standard errors an estimate differs from the exact count, with its sign."""
    return Fraction(estimate - exact) / max(RELATIVE_ERROR * exact, Fraction(1))


class SketchUnions:
    """Merges the windows' sketches of attendees as evidence is read. Owned by whoever reads it."""

    def __init__(self, event: Event) -> None:
        """Start empty."""
        self._event = event
        self._known = {session.number for session in event.sessions}
        self._days: dict[tuple[int, str], Registers] = {}
        self._estimates: dict[tuple[int, int], int] = {}

    def add(self, window: int, sessions: Mapping[int, SessionPresence]) -> None:
        """Take in what all gateways together saw in a window, late evidence included."""
        day = self._event.day(window)
        for number, presence in sessions.items():
            if number in self._known and presence.attendees.any():
                _raise(self._days.setdefault((number, day), hyperloglog.empty()), presence.attendees)
                self._estimates[window, number] = hyperloglog.estimate(presence.attendees)

    def add_all(self, other: "SketchUnions") -> None:
        """Take in what others have taken in of other windows."""
        for place, registers in other._days.items():  # noqa: SLF001 - the same class
            _raise(self._days.setdefault(place, hyperloglog.empty()), registers)
        self._estimates |= other._estimates  # noqa: SLF001

    def estimate(self, session: int | None, day: str | None) -> int:
        """Return the estimate of a union: of one session or all, on one day or all."""
        parts = [
            registers
            for (number, date), registers in self._days.items()
            if session in (None, number) and day in (None, date)
        ]
        return hyperloglog.estimate(hyperloglog.merge(parts))

    def windows(self) -> dict[tuple[int, int], int]:
        """Return the estimate of every (window, session number) that has a sketch."""
        return self._estimates


def _raise(registers: Registers, other: Registers) -> None:
    np.maximum(registers, other, out=registers)


def cross_check(attendance: Attendance, sketches: SketchUnions) -> dict[str, Any]:
    """Return the comparison as the certificate prints it."""
    event, gross = attendance.event, attendance.gross
    cells: list[tuple[dict[str, str], int | None, str | None]] = [({}, None, None)]
    cells += [({"session": session.id}, session.number, None) for session in event.sessions]
    cells += [({"day": day}, None, day) for day in gross.days]
    rows = []
    for scope, session, day in cells:
        exact = len(gross.within(ONLINE, session, day))
        row = {"scope": {**scope, "channel": ONLINE}}
        rows.append(row | _compared(event, sketches.estimate(session, day), exact, withhold=bool(scope)))
    return {
        "statement": STATEMENT,
        "rule": "unique-attendees-online",
        "unit": "identities",
        "unions": rows,
        "windows": _windows(attendance, sketches.windows()),
    }


def _compared(event: Event, estimate: int, exact: int, *, withhold: bool) -> dict[str, Any]:
    difference = float(round(deviation(estimate, exact), DECIMALS))
    if withhold and 0 < exact < event.counting.suppress_below:
        return {"estimate": None, "exact": None, "difference_in_standard_errors": difference, "suppressed": True}
    return {"estimate": estimate, "exact": exact, "difference_in_standard_errors": difference}


def _windows(attendance: Attendance, estimates: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    event, gross = attendance.event, attendance.gross
    differences: dict[tuple[int, int], tuple[int, int, Fraction]] = {}
    for window in sorted(gross.windows):
        for session in event.sessions:
            exact = gross.online(session.number, window)
            estimate = estimates.get((window, session.number), 0)
            if exact or estimate:
                differences[window, session.number] = (estimate, exact, deviation(estimate, exact))
    ids = {session.number: session.id for session in event.sessions}
    largest = None
    if differences:
        window, number = max(differences, key=lambda key: (abs(differences[key][2]), -key[0], -key[1]))
        estimate, exact, _ = differences[window, number]
        row = {"window": event.iso(window), "session": ids[number]}
        largest = row | _compared(event, estimate, exact, withhold=True)
    over = {key for key, (_, _, by) in differences.items() if abs(by) > LARGEST_USUAL}
    running = [
        {"session": ids[number], "window": event.iso(window)}
        for window, number in sorted(over)
        if all((window + step * WINDOW_S, number) in over for step in range(RUNNING))
    ]
    return {
        "compared": len(differences),
        "largest_deviation": largest,
        "over_5_standard_errors_in_3_windows_running": running,
    }


def with_errors(check: dict[str, Any]) -> dict[str, Any]:
    """Return the comparison with the standard error of its estimates and their 95 % intervals, since version 3."""
    rows = [
        row if row["estimate"] is None else row | {"interval95": interval95(row["estimate"])} for row in check["unions"]
    ]
    return check | {"standard_error": float(RELATIVE_ERROR), "unions": rows}


def without_withheld(check: dict[str, Any], numbers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the comparison without the unions of which the certificate withholds the number itself.

    A number may be withheld in a smaller one's place (counters.suppression): nobody may read it here instead. The
    difference goes too: of many people it is a fraction of theirs, and tells how many they are.
    """
    withheld = [row["scope"] for row in numbers if row["rule"] == check["rule"] and "suppressed" in row]
    nothing = {"estimate": None, "exact": None, "difference_in_standard_errors": None, "suppressed": True}
    rows = [
        row | nothing if "suppressed" not in row and _without_channel(row["scope"]) in withheld else row
        for row in check["unions"]
    ]
    return check | {"unions": rows}


def _without_channel(scope: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in scope.items() if name != "channel"}


def interval95(estimate: int) -> list[int]:
    """Return [low, high]: 1.96 standard errors to each side, rounded half to even."""
    reach = round(estimate * Fraction(196, 100) * RELATIVE_ERROR)
    return [max(0, estimate - reach), estimate + reach]
