"""Minutes by attendee: how many windows each seat was present in, kept up from who comes and who goes.

Whoever arrives in window a and is no longer there in window b was present in b − a windows: so −a is added when a seat
arrives and +b when it leaves, and nothing while it stays. Of an audience of millions of which a few in a hundred come
and go each minute that is a small part of counting everybody in every window.

One counter of 16 bits for each seat, counted modulo 2^16: a stay of 45 days and more is beyond it. Counters that nobody
has touched for a while are packed, so that memory holds those of the sessions that are on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.partition import seats_in

IDLE_WINDOWS: Final = 10
"""Windows without anybody coming or going after which counters are packed."""
LONGEST: Final = 1 << 16
"""Windows: as many as a counter can count."""

Seats = npt.NDArray[np.uint32]
Minutes = npt.NDArray[np.uint16]


@dataclass(slots=True)
class Stays:
    """Counters of one session, in schedule or out of it. Owned by who reads the windows, one after the other."""

    _open: Minutes = field(default_factory=lambda: np.zeros(0, np.uint16))
    _packed: list[tuple[Seats, Minutes]] = field(default_factory=list)
    _touched: int = 0  # number of the window

    def arrive(self, attendees: BitMap, number: int) -> None:
        """Count from this window on; windows are numbered one by one."""
        if attendees:
            seats = self._seats(attendees, number)
            self._open[seats] -= np.uint16(number % LONGEST)

    def leave(self, attendees: BitMap, number: int) -> None:
        """Count up to the window before this one."""
        if attendees:
            seats = self._seats(attendees, number)
            self._open[seats] += np.uint16(number % LONGEST)

    def _seats(self, attendees: BitMap, number: int) -> Seats:
        self._touched, seats = number, seats_in(attendees)
        if seats[-1] >= len(self._open):
            # Zeros that nobody touches take no memory.
            grown = np.zeros(max(int(seats[-1]) + 1, 2 * len(self._open)), np.uint16)
            grown[: len(self._open)] = self._open
            self._open = grown
        return seats

    def packed(self) -> list[tuple[Seats, Minutes]]:
        """Return the counters of seats that are not 0; those of one seat are to be added up, modulo 2^16."""
        if len(self._open):
            self.pack()
        return self._packed

    def pack_if_idle(self, number: int) -> None:
        """Pack if nobody came or went lately: mostly because nobody is there."""
        if len(self._open) and number - self._touched > IDLE_WINDOWS:
            self.pack()

    def pack(self) -> None:
        """Put away what was counted, and count on from zero."""
        seats = np.flatnonzero(self._open)
        self._packed.append((seats.astype(np.uint32), self._open[seats]))
        self._open = np.zeros(0, np.uint16)


def added_up(packed: Sequence[tuple[Seats, Minutes]]) -> tuple[Seats, Minutes]:
    """Return who was present at all, ascending, and in how many windows."""
    if not packed:
        return np.empty(0, np.uint32), np.empty(0, np.uint16)
    if len(packed) == 1:
        return packed[0]
    minutes = np.zeros(max(int(seats[-1]) for seats, _ in packed if len(seats)) + 1, np.uint16)
    for seats, more in packed:
        minutes[seats] += more
    seats = np.flatnonzero(minutes).astype(np.uint32)
    return seats, minutes[seats]
