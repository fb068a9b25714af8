"""Whom and what invalid traffic takes out of the numbers: by the reasons of counters.invalid_traffic that are excluded.

A join is invalid if it has the flag of an excluded reason. A view is taken out if the join that opened it is invalid.
An attendee is taken out if all joins are: presence is kept by seat, not by view, so somebody with a sound join and an
invalid one counts, with all their presence, and only the invalid view is taken out. A badge at a gate is a sound join:
somebody was there. Whoever stands in no join is not taken out.

Whoever falls under several reasons goes under the first in the order of counters.invalid_traffic.
"""

from array import array
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.event import Event
from counters.invalid_traffic import REASONS, flags_of
from counters.journal_segment import JournalSegment

REASON_IDS: Final = tuple(reason.id for reason in REASONS)
Canonical = Callable[[BitMap], BitMap]
"""From seats to the attendees in them."""


def reasons_of(event: Event, filters: npt.NDArray[np.uint32]) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield each reason that the event excludes, in their order, and which joins with these `filters` fall under it."""
    left = np.ones(len(filters), bool)
    for reason in REASONS:
        if reason.id in event.counting.exclude_traffic:
            under = left & ((filters & np.uint32(reason.flag)) != 0)
            left &= ~under
            yield reason.id, under


class InvalidAttendees:
    """Takes journals in, in any order. Owned by its caller."""

    def __init__(self, event: Event) -> None:
        """Start without any."""
        self._event = event
        self._excluded = np.uint32(flags_of(event.counting.exclude_traffic))
        self._sound = BitMap()  # seats with a sound join
        self.flagged: dict[str, int] = {}
        """How many joins have the flag of each reason, excluded or not."""
        self._invalid: dict[str, BitMap] = {}  # seats with a join that falls under the reason

    def add(self, journal: JournalSegment) -> None:
        """Take in a journal."""
        filters, seats = journal.joins["filters"], journal.joins["seat"]
        for reason in REASONS:
            flagged = int(np.count_nonzero(filters & np.uint32(reason.flag)))
            self.flagged[reason.id] = self.flagged.get(reason.id, 0) + flagged
        if not self._excluded:
            return
        invalid = (filters & self._excluded) != 0
        self._sound |= _seats(seats[~invalid])
        if invalid.any():
            for name, under in reasons_of(self._event, filters):
                self._invalid[name] = self._invalid.get(name, BitMap()) | _seats(seats[under])

    def build(self, canonical: Canonical) -> dict[str, BitMap]:
        """Return by reason the attendees that it takes out, each under one; a reason of nobody is not there."""
        gone, found = canonical(self._sound), dict[str, BitMap]()
        for reason in REASON_IDS:
            if out := canonical(self._invalid.get(reason, BitMap())) - gone:
                found[reason] = out
                gone = gone | out
        return found


def _seats(seats: npt.NDArray[np.uint32]) -> BitMap:
    # An array goes to the bitmap's own loop; a numpy array's elements would become Python integers one by one.
    return BitMap(array("I", np.unique(seats).tobytes()))
