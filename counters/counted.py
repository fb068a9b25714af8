"""Presence as one pass over the evidence has counted it: answers for an audience of millions.

People who were ever on site are apart from all others: of these few every set is there, on both channels. All others
were online only, and of them there are the totals. Numbers of both add up, and sets of both are united.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.event import Event
from counters.partition import belonging, set_of
from counters.presence import CHANNELS, ONLINE, ONSITE, Presence, PresenceInMemory, Presences, Seats
from counters.reckoner import Asked, Totals
from counters.stays import added_up

Numbers = npt.NDArray[np.int64]
_INSIDE: Final = {True: (True,), False: (True, False)}
"""By whether only presence in schedule is asked for: the counters that count it."""


def united(sets: Mapping[tuple[int, str], BitMap], session: int | None, day: str | None) -> BitMap:
    """Return who is in the sets of a session (None: any) and a day (None: any); where that is one set, itself."""
    parts = [seats for (number, date), seats in sets.items() if session in (None, number) and day in (None, date)]
    return parts[0] if len(parts) == 1 else BitMap.union(BitMap(), *parts)


class GrossPresence(Presence):
    """Who was present, nobody excluded, guests among them. Sets it returns are shared: read them only."""

    def __init__(self, event: Event, totals: Totals, onsite: Presences) -> None:
        """Take what a pass has found online, and who was on site."""
        self._totals, self._onsite = totals, PresenceInMemory(event, {ONSITE: onsite})
        online = {window for (_, window), present in totals.gross.items() if present}
        self.windows = sorted(online.union(self._onsite.windows))
        self._days = {window: event.day(window) for window in self.windows}
        self.days = sorted(set(self._days.values()))
        self._within: dict[tuple[str | None, int | None, str | None], BitMap] = {}

    def within(self, channel: str | None, session: int | None, day: str | None) -> BitMap:
        """Return who was present in any window of a day, or of the event (None)."""
        key = (channel, session, day)
        if key not in self._within:
            if channel == ONLINE:
                self._within[key] = united(self._totals.within, session, day)
            elif channel == ONSITE:
                self._within[key] = self._onsite.within(ONSITE, session, day)
            else:
                self._within[key] = BitMap.union(*(self.within(name, session, day) for name in CHANNELS))
        return self._within[key]

    def online(self, session: int, window: int) -> int:
        """Return how many were online in a session in a window."""
        return self._totals.gross.get((session, window), 0)


class CountedPresence(Presence):
    """Who was present and counts."""

    def __init__(
        self,
        event: Event,
        totals: Totals,
        asked: Asked,
        online: Mapping[tuple[int, str], BitMap],
        onsite: Presences,
    ) -> None:
        """Take what a pass has found.

        Args:
            event: of leaf 0.
            totals: of the pass.
            asked: what was asked of it.
            online: by session and day, who was online and counts.
            onsite: who was on site and counts.
        """
        self._event, self._totals, self._asked, self._online, self.onsite = event, totals, asked, online, onsite
        self._few = PresenceInMemory(event, {ONLINE: totals.aside, ONSITE: onsite})
        many = {window for (session, window), present in totals.present.items() if session is None and present}
        self.windows = sorted(many.union(self._few.windows))
        self._days = {window: event.day(window) for window in self.windows}
        self.days = sorted(set(self._days.values()))
        self._at = {window: at for at, window in enumerate(self.windows)}
        self._within: dict[tuple[str | None, int | None, str | None], BitMap] = {}
        self._minutes: dict[tuple[int | None, bool], tuple[Seats, npt.NDArray[np.uint16]]] = {}
        self._attended: dict[tuple[int, int | None, str | None, bool], BitMap] = {}
        self._lines: dict[tuple[int | None, tuple[int, ...] | None], tuple[Numbers, Numbers]] = {}

    def with_onsite(self, onsite: Presences) -> "CountedPresence":
        """Return the same with other presence on site, of the same people or of fewer."""
        return CountedPresence(self._event, self._totals, self._asked, self._online, onsite)

    def within(self, channel: str | None, session: int | None, day: str | None) -> BitMap:
        """Return who was present in any window of a day, or of the event (None)."""
        key = (channel, session, day)
        if key not in self._within:
            if channel == ONLINE:
                found = united(self._online, session, day)
            elif channel == ONSITE:
                found = self._few.within(ONSITE, session, day)
            else:
                online, onsite = (self.within(name, session, day) for name in CHANNELS)
                found = online | onsite if onsite else online
            self._within[key] = found
        return self._within[key]

    def counts(self, channel: str | None, session: int | None, among: BitMap | None) -> tuple[Numbers, Numbers]:
        """Return (present, arrived) of each of `windows`.

        Raises:
            ValueError: nobody has counted these attendees.
        """
        present, arrived = np.zeros((2, len(self.windows)), np.int64)
        if self._few.windows:
            places = [self._at[window] for window in self._few.windows]
            present[places], arrived[places] = self._few.counts(channel, session, among)
        if channel != ONSITE:
            many = self._many(session, among)
            present, arrived = present + many[0], arrived + many[1]
        return present, arrived

    def _many(self, session: int | None, among: BitMap | None) -> tuple[Numbers, Numbers]:
        """Return (present, arrived) of those who were online only."""
        which, parts = (0, None) if among is None else self._parts(session, among)
        key = session, None if parts is None else (which, *parts)
        if key not in self._lines:
            present, arrived = np.zeros((2, len(self.windows)), np.int64)
            for window, at in self._at.items():
                place = session, window
                if place not in self._totals.present:
                    continue
                if parts is None:
                    present[at], arrived[at] = self._totals.present[place], self._totals.arrived[place]
                else:
                    now, came = self._totals.parts[place][which]
                    present[at], arrived[at] = now[list(parts)].sum(), came[list(parts)].sum()
            self._lines[key] = present, arrived
        return self._lines[key]

    def _parts(self, session: int | None, among: BitMap) -> tuple[int, tuple[int, ...]]:
        """Return which partition of the audience some attendees are parts of, and which parts."""
        for which, partition in enumerate(self._asked.of_event if session is None else self._asked.of_sessions):
            parts = partition.parts_of(among)
            if parts is not None:
                return which, tuple(parts)
        raise ValueError("nobody has counted these attendees: they are not parts of the audience")

    def runs(
        self, length: int, channel: str | None, session: int | None, day: str | None, *, in_schedule: bool = False
    ) -> BitMap:
        """Return who was present in `length` consecutive clock minutes.

        Raises:
            ValueError: nobody has looked for runs of this length.
        """
        few = self._few.runs(length, channel, session, day, in_schedule=in_schedule)
        if channel == ONSITE:
            return few
        run = (session, length, in_schedule)
        if run not in self._asked.runs:
            raise ValueError(f"nobody has looked for runs of {length} windows")
        found = [seats for (of, date), seats in self._totals.runs.items() if of == run and day in (None, date)]
        return BitMap.union(few, *found)

    def attended(self, least: int, session: int | None, channel: str | None, *, in_schedule: bool = True) -> BitMap:
        """Return who was present in at least `least` windows, consecutive or not."""
        key = (least, session, channel, in_schedule)
        if key not in self._attended:
            found = self._few.attended(least, session, channel, in_schedule=in_schedule)
            if channel != ONSITE:
                seats, minutes = self._minutes_of(session, in_schedule=in_schedule)
                found = found | set_of(seats[minutes >= least])
            self._attended[key] = found
        return self._attended[key]

    def histogram(self, session: int | None, channel: str | None, among: BitMap | None = None) -> Numbers:
        """Return how many of some attendees were present in exactly m windows, at index m."""
        few = self._few.histogram(session, channel, among)
        if channel == ONSITE:
            return few
        seats, minutes = self._minutes_of(session, in_schedule=False)
        if among is not None:
            minutes = minutes[belonging(seats, among)]
        many = np.bincount(minutes, minlength=1)
        longer, shorter = (many, few) if len(many) >= len(few) else (few, many)
        added = longer.astype(np.int64)
        added[: len(shorter)] += shorter
        return added

    def _minutes_of(self, session: int | None, *, in_schedule: bool) -> tuple[Seats, npt.NDArray[np.uint16]]:
        """Return who of those online only was present, ascending, and in how many windows."""
        key = session, in_schedule
        if key not in self._minutes:
            counters = self._totals.minutes
            self._minutes[key] = added_up(
                [packed for inside in _INSIDE[in_schedule] for packed in counters.get((session, inside), [])]
            )
        return self._minutes[key]
