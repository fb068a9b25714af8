"""The attendance table: who attended which session, on which channel, for how many minutes, from when to when.

Made session by session, having read the presence of all windows once more, in bounded memory: what is kept by seat is
only of the sessions that are on. For the list that an organiser gets, and for receipts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.partition import seats_in
from counters.presence import ONLINE
from counters.reckoning import Reckoning
from counters.segment import WINDOW_S
from counters.stays import Stays, added_up

ROW: Final = np.dtype(
    [("seat", "<u4"), ("session", "<u2"), ("channel", "u1"), ("minutes", "<u2"), ("in_schedule", "<u2"),
     ("first", "<u4"), ("last", "<u4")]
)  # fmt: skip
"""Canonical seat; session number; channel; in how many windows, and in how many of the session's scheduled ones; starts
of the first and last of them (unix seconds)."""
ONLINE_ROW: Final = 1
ONSITE_ROW: Final = 2
Rows = npt.NDArray[np.void]


def attendance_table(reckoning: Reckoning) -> Iterator[Rows]:
    """Yield rows of dtype `ROW` of everybody who counts: of one session and channel at a time, ascending by seat.

    Online first, each session when it is over; then on site.

    Raises:
        EvidenceError: evidence is no longer what it was when it was reckoned.
    """
    yield from _online(reckoning)
    yield from _onsite(reckoning)


def _online(reckoning: Reckoning) -> Iterator[Rows]:
    event, net = reckoning.attendance.event, reckoning.net
    numbers = [session.number for session in event.sessions]
    last: dict[int, int] = {}
    for number in numbers:
        present, _ = net.counts(ONLINE, number, None)
        if present.any():
            last[number] = net.windows[int(np.flatnonzero(present)[-1])]
    scheduled = {session.number: event.session_windows(session) for session in event.sessions}
    going_on: dict[int, _Attended] = {}
    for window, sets in reckoning.windows.net(net.windows):
        for number in numbers:
            if number in sets and number not in going_on:
                going_on[number] = _Attended(window, scheduled[number])
            if number in going_on:
                going_on[number].take(window, sets.get(number, BitMap()))
            if last.get(number) == window:
                yield going_on.pop(number).rows(number)


@dataclass(slots=True)
class _Attended:
    """Who has attended one session so far, windows counted from its first one. Owned by who reads the windows."""

    begin: int  # unix seconds
    scheduled: range  # windows
    here: BitMap = field(default_factory=BitMap)
    until: int = 0  # the window after the last that was taken
    seen: BitMap = field(default_factory=BitMap)
    stays: Stays = field(default_factory=Stays)
    on_time: BitMap = field(default_factory=BitMap)  # who is here, if the session is on by its schedule
    stays_on_time: Stays = field(default_factory=Stays)
    first: npt.NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))  # by seat
    last: npt.NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))

    def take(self, window: int, now: BitMap) -> None:
        """Go on to a window."""
        number = (window - self.begin) // WINDOW_S
        if number != self.until:
            self._go(self.here, self.until)
            self.here = BitMap()
            self._on_time(BitMap(), self.until)
        arrived = now - self.here
        self._go(self.here - now, number)
        self._come(arrived, number)
        self.here, self.until = now, number + 1
        self._on_time(now if window in self.scheduled else BitMap(), number)

    def _on_time(self, now: BitMap, number: int) -> None:
        self.stays_on_time.leave(self.on_time - now, number)
        self.stays_on_time.arrive(now - self.on_time, number)
        self.on_time = now

    def rows(self, session: int) -> Rows:
        """Return the rows; nothing may be taken in after."""
        self._go(self.here, self.until)
        self._on_time(BitMap(), self.until)
        seats, minutes = added_up(self.stays.packed())
        on_time, minutes_on_time = added_up(self.stays_on_time.packed())
        rows = np.empty(len(seats), ROW)
        rows["seat"], rows["session"], rows["channel"], rows["minutes"] = seats, session, ONLINE_ROW, minutes
        rows["in_schedule"] = 0
        rows["in_schedule"][np.searchsorted(seats, on_time)] = minutes_on_time
        rows["first"] = self.begin + WINDOW_S * self.first[seats]
        rows["last"] = self.begin + WINDOW_S * self.last[seats]
        return rows

    def _come(self, attendees: BitMap, number: int) -> None:
        self.stays.arrive(attendees, number)
        if new := attendees - self.seen:
            end = new.max() + 1
            if end > len(self.first):
                self.first, self.last = _grown(self.first, end), _grown(self.last, end)
            self.first[seats_in(new)] = number
            self.seen |= new

    def _go(self, attendees: BitMap, number: int) -> None:
        self.stays.leave(attendees, number)
        if attendees:
            self.last[seats_in(attendees)] = number - 1


def _grown(values: npt.NDArray[np.uint32], end: int) -> npt.NDArray[np.uint32]:
    grown = np.zeros(max(end, 2 * len(values)), np.uint32)  # zeros that nobody touches take no memory
    grown[: len(values)] = values
    return grown


def _onsite(reckoning: Reckoning) -> Iterator[Rows]:
    event = reckoning.attendance.event
    present: Mapping[int, Mapping[int, BitMap]] = reckoning.net.onsite
    for session in event.sessions:
        windows = [window for window in sorted(present) if present[window].get(session.number)]
        if not windows:
            continue
        parts = [seats_in(present[window][session.number]) for window in windows]
        everybody = np.concatenate(parts)
        at = np.repeat(np.array(windows, np.uint32), [len(part) for part in parts])
        seats, first, minutes = np.unique(everybody, return_index=True, return_counts=True)
        _, from_end = np.unique(everybody[::-1], return_index=True)
        rows = np.empty(len(seats), ROW)
        rows["seat"], rows["session"], rows["channel"], rows["minutes"] = seats, session.number, ONSITE_ROW, minutes
        on_time = np.isin(at, np.array(event.session_windows(session), np.uint32))
        rows["in_schedule"] = np.bincount(np.searchsorted(seats, everybody[on_time]), minlength=len(seats))
        rows["first"], rows["last"] = at[first], at[::-1][from_end]
        yield rows
