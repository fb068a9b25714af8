"""Presence at least and at most: what was counted without whoever is in doubt, and with whoever may have been there.

Both answer as what was counted does, so that the very same counting rules are evaluated over them. They hold only what
differs from it, having read the windows that gaps touch, and those around, once more; they are there only where there
are gaps. Whoever may have been in a window besides those counted there may have attended one window more: so many at
most as there are windows in which anybody may.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from pyroaring import BitMap

from counters.counted import CountedPresence, Numbers, united
from counters.event import EARLY_SCAN_S, LATE_SCAN_S, Event
from counters.gaps import OffClock
from counters.presence import CHANNELS, ONLINE, ONSITE, Presence, Presences, scheduled_windows, size
from counters.reckoner import Asked, Reckoner
from counters.segment import WINDOW_S

ReadNet = Callable[[Iterable[int]], Iterator[tuple[int, dict[int, BitMap]]]]
"""From windows, ascending, to each of them and by session who was online and counts."""


@dataclass(frozen=True, slots=True)
class Possible:
    """Who may have been present besides those counted; canonical seats of people."""

    anyone: Mapping[int, BitMap] = field(default_factory=dict)
    """Online, by window: everybody who may have been there, in any session, those counted among them."""
    online: Presences = field(default_factory=dict)
    """By window and session: who may have been there besides those counted."""
    everyone: BitMap | None = None
    """Not None: on site any minute of anybody is in doubt, and these may be anybody; all those counted are in it."""
    open_doors: Mapping[int, range] = field(default_factory=dict)
    """By session number: the windows (unix seconds) of scans that can be for a session."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is in doubt of what was counted."""

    doubtful: BitMap  # people who may be nobody, or somebody else who is counted as well
    known: BitMap  # people who are certainly somebody: all others who were counted
    off_clocks: Mapping[int, OffClock]  # by window, who was seen by workers whose clock was off, and who by others
    onsite: Presences | None  # on site only this is certain; None: all that was counted


class PresenceAtMost(Presence):
    """Whoever was counted and whoever may have been there. Sets it returns are shared: read them only."""

    def __init__(self, event: Event, counted: CountedPresence, possible: Possible, asked: Asked, net: ReadNet) -> None:
        """Add `possible` to what was counted.

        Args:
            event: of leaf 0.
            counted: the presence.
            possible: who may have been there besides.
            asked: what will be asked of whoever is added.
            net: reads windows once more.
        """
        self._event, self._counted, self._possible = event, counted, possible
        self._touched = {
            ONLINE: possible.anyone.keys() | possible.online.keys(),
            ONSITE: _last_of_days(event, possible) if possible.everyone else set(),
        }
        windows = set(counted.windows).union(*self._touched.values())
        self.windows = sorted(windows)
        self._days = {window: event.day(window) for window in windows}
        self.days = sorted(set(self._days.values()))
        self._within: dict[tuple[str | None, int | None, str | None], BitMap] = {}
        self._gaining: dict[tuple[int, bool], tuple[set[int], BitMap]] = {}
        self._near = self._count_near(asked, net)

    def _count_near(self, asked: Asked, net: ReadNet) -> CountedPresence:
        """Return the presence at most in the windows that are touched and in those around, as far as a run reaches."""
        reach = range(-max(asked.longest_run - 1, 1), max(asked.longest_run - 1, 1) + 1)
        near = sorted({window + by * WINDOW_S for window in self._touched[ONLINE] for by in reach})
        reckoner = Reckoner(self._event, asked, BitMap(), self._counted.within(ONSITE, None, None))
        scheduled = {one.number: {*self._event.session_windows(one)} for one in self._event.sessions}
        for window, counted in net(near):
            most = self._online_at_most(window, counted)
            reckoner.take(window, most)
            for number, seats in most.items() if window in self._touched[ONLINE] else ():
                more = seats - counted[number] if number in counted else seats
                if more:
                    self._gain(window, number, more, in_schedule=window in scheduled[number])
        totals, onsite = reckoner.totals(), self._counted.onsite
        here = {window: onsite[window] for window in near if window in onsite}
        return CountedPresence(self._event, totals, asked, totals.within, here)

    def _gain(self, window: int, session: int, more: BitMap, *, in_schedule: bool) -> None:
        """Take in who may have been in a window besides those counted there."""
        for kind in {False, in_schedule}:
            windows, seats = self._gaining.setdefault((session, kind), (set(), BitMap()))
            windows.add(window)
            seats |= more

    def _online_at_most(self, window: int, counted: Mapping[int, BitMap]) -> Mapping[int, BitMap]:
        if window in self._possible.anyone:
            return {session.number: self._possible.anyone[window] for session in self._event.sessions}
        added = self._possible.online.get(window, {})
        return {
            number: BitMap.union(BitMap(), counted.get(number, BitMap()), added.get(number, BitMap()))
            for number in counted.keys() | added.keys()
        }

    def touched(self, channel: str | None, day: str | None) -> list[int]:
        """Return the windows in which somebody is added. Of those with everybody on site, the last of each day."""
        of = CHANNELS if channel is None else (channel,)
        return sorted(
            {window for name in of for window in self._touched[name] if day is None or self._days[window] == day}
        )

    def within(self, channel: str | None, session: int | None, day: str | None) -> BitMap:
        """Return who was present at most in any window of a day, or of the event (None)."""
        key = (channel, session, day)
        if key not in self._within:
            counted = self._counted.within(channel, session, day)
            more = [self._added(name, window, session) for name in CHANNELS if channel in (None, name)
                    for window in self.touched(name, day)]  # fmt: skip
            self._within[key] = BitMap.union(counted, *{id(one): one for parts in more for one in parts}.values())
        return self._within[key]

    def _added(self, channel: str, window: int, session: int | None) -> list[BitMap]:
        """Return who may have been there besides those counted; those may be among them."""
        if channel == ONSITE:
            everyone = self._possible.everyone
            return [everyone] if everyone and self._is_open(window, session) else []
        if window in self._possible.anyone:
            return [self._possible.anyone[window]]
        added = self._possible.online.get(window, {})
        return [seats for number, seats in added.items() if session in (None, number)]

    def _is_open(self, window: int, session: int | None) -> bool:
        doors = self._possible.open_doors
        return any(window in windows for number, windows in doors.items() if session in (None, number))

    def counts(self, channel: str | None, session: int | None, among: BitMap | None) -> tuple[Numbers, Numbers]:
        """Return (present, arrived) of each of `windows`."""
        at = {window: place for place, window in enumerate(self.windows)}
        present, arrived = np.zeros((2, len(self.windows)), np.int64)
        counted = [at[window] for window in self._counted.windows]
        present[counted], arrived[counted] = self._counted.counts(channel, session, among)
        if channel != ONSITE:
            near = dict(
                zip(self._near.windows, zip(*self._near.counts(channel, session, among), strict=True), strict=True)
            )
            for touched in self._touched[ONLINE]:
                for window in (touched, touched + WINDOW_S):  # whoever is added in one does not arrive in the next
                    if window in at:
                        present[at[window]], arrived[at[window]] = near.get(window, (0, 0))
        everyone = self._possible.everyone
        if channel != ONLINE and everyone is not None:
            self._open_up(session, size(everyone, among), present, arrived)
        return present, arrived

    def _open_up(self, session: int | None, everyone: int, present: Numbers, arrived: Numbers) -> None:
        """Put everybody where doors are open: whoever is counted is one of them."""
        counted = present.copy()
        for place, window in enumerate(self.windows):
            before = window - WINDOW_S
            was_open = self._is_open(before, session)
            if self._is_open(window, session):
                there = counted[place - 1] if place and self.windows[place - 1] == before else 0
                present[place], arrived[place] = everyone, 0 if was_open else everyone - there
            elif was_open:
                arrived[place] = 0

    def runs(
        self, length: int, channel: str | None, session: int | None, day: str | None, *, in_schedule: bool = False
    ) -> BitMap:
        """Return who was present at most in `length` consecutive clock minutes; where doors are open, anybody."""
        found = self._counted.runs(length, channel, session, day, in_schedule=in_schedule)
        if channel != ONSITE:
            found = found | self._near.runs(length, channel, session, day, in_schedule=in_schedule)
        if channel != ONLINE and self._possible.everyone and self._open_windows(session, day, in_schedule=in_schedule):
            found = found | self._possible.everyone
        return found

    def attended(self, least: int, session: int | None, channel: str | None, *, in_schedule: bool = True) -> BitMap:
        """Return who was present at most in at least `least` windows.

        Whoever may have been in any window besides those counted may have been in all such.
        """
        windows, gaining = set[int](), [BitMap()]
        if channel != ONSITE:
            for (number, kind), (where, seats) in self._gaining.items():
                if kind is in_schedule and session in (None, number):
                    windows |= where
                    gaining.append(seats)
        if (
            channel != ONLINE
            and self._possible.everyone
            and (doors := self._open_windows(session, None, in_schedule=in_schedule))
        ):
            windows |= doors
            gaining.append(self._possible.everyone)
        found = self._counted.attended(least, session, channel, in_schedule=in_schedule)
        if not windows:
            return found
        more = BitMap.union(*gaining)
        if least > len(windows):
            rest = least - len(windows)
            more &= self._counted.attended(rest, session, channel, in_schedule=in_schedule)
        return found | more

    def adds_anybody(self, window: int, session: int | None) -> bool:
        """Whether anybody may have been online in a window, counted there or not, by what touches it."""
        return any(bool(seats) for seats in self._added(ONLINE, window, session))

    def _open_windows(self, session: int | None, day: str | None, *, in_schedule: bool) -> set[int]:
        """Return the windows of scans that can be for a session, on a day."""
        doors = self._possible.open_doors
        found = {window for number, windows in doors.items() if session in (None, number) for window in windows
                 if day is None or self._event.day(window) == day}  # fmt: skip
        return found & {*scheduled_windows(self._event, session, day)} if in_schedule else found


def open_doors(event: Event) -> dict[int, range]:
    """Return by session number the windows in which a scan can be for it."""
    doors = {}
    for session in event.sessions:
        if session.gates:
            scheduled = event.session_windows(session)
            doors[session.number] = range(scheduled[0] - EARLY_SCAN_S, scheduled[-1] + LATE_SCAN_S + WINDOW_S, WINDOW_S)
    return doors


def _last_of_days(event: Event, possible: Possible) -> set[int]:
    """The last window of each day in which a session's doors are open: everybody in it is everybody in them all."""
    last: dict[tuple[int, str], int] = {}
    for number, windows in possible.open_doors.items():
        last |= {(number, event.day(window)): window for window in windows}
    return set(last.values())


class PresenceAtLeast(Presence):
    """Whoever was certainly there. Sets it returns are shared: read them only."""

    def __init__(self, event: Event, counted: CountedPresence, doubt: Doubt, asked: Asked, net: ReadNet) -> None:
        """Take from what was counted what is in doubt.

        Args:
            event: of leaf 0.
            counted: the presence.
            doubt: what is in doubt in it.
            asked: what will be asked.
            net: reads windows once more.
        """
        self._event, self._doubt = event, doubt
        self.windows, self.days, self._days = counted.windows, counted.days, counted._days  # noqa: SLF001 - of its kind
        self._counted = counted if doubt.onsite is None else counted.with_onsite(doubt.onsite)
        self._of_days: dict[tuple[int, str], BitMap] = {}
        self._days_recounted: set[str] = set()  # also those on which nobody is certain
        self._certain = (
            self._recounted(counted.within(ONSITE, None, None), asked, net) if doubt.off_clocks else self._counted
        )

    def _recounted(self, aside: BitMap, asked: Asked, net: ReadNet) -> CountedPresence:
        """Return the presence without what workers whose clocks were off have seen.

        A clock that is off moves somebody into a neighbouring window. For who was there at all on a day that matters
        only where another day begins.
        """
        off_clocks = self._doubt.off_clocks
        risky = {window: self._event.day(window) for window in off_clocks if self._may_be_of_another_day(window)}
        self._days_recounted = {*risky.values()}
        reckoner = Reckoner(self._event, asked, BitMap(), aside)
        for window, counted in net(self.windows):
            sets = off_clocks[window].certain if window in off_clocks else counted
            known = {session.number: sets[session.number] for session in self._event.sessions if session.number in sets}
            reckoner.take(window, known)
            if self._days[window] in self._days_recounted:
                for number, seats in (known if window in risky else counted).items():
                    place = number, self._days[window]
                    self._of_days[place] = self._of_days.get(place, BitMap()) | seats
        totals = reckoner.totals()
        return CountedPresence(self._event, totals, asked, totals.within, self._counted.onsite)

    def _may_be_of_another_day(self, window: int) -> bool:
        off = self._doubt.off_clocks[window]
        days = {self._event.day(window + WINDOW_S * by) for by in (-off.back, off.ahead)}
        return len(days) > 1

    def _sure(self, attendees: BitMap) -> BitMap:
        doubtful = self._doubt.doubtful
        return attendees - doubtful if attendees.intersect(doubtful) else attendees

    def within(self, channel: str | None, session: int | None, day: str | None) -> BitMap:
        """Return who was certainly present in any window of a day, or of the event (None)."""
        if channel is None:
            return BitMap.union(*(self.within(name, session, day) for name in CHANNELS))
        if channel == ONLINE and day in self._days_recounted:
            return self._sure(united(self._of_days, session, day))
        return self._sure(self._counted.within(channel, session, day))

    def counts(self, channel: str | None, session: int | None, among: BitMap | None) -> tuple[Numbers, Numbers]:
        """Return (present, arrived) of each of `windows`."""
        if self._doubt.doubtful:
            among = self._doubt.known if among is None else self._sure(among)
        present, arrived = np.zeros((2, len(self.windows)), np.int64)
        places = np.searchsorted(self.windows, self._certain.windows)
        present[places], arrived[places] = self._certain.counts(channel, session, among)
        return present, arrived

    def runs(
        self, length: int, channel: str | None, session: int | None, day: str | None, *, in_schedule: bool = False
    ) -> BitMap:
        """Return who was certainly present in `length` consecutive clock minutes."""
        return self._sure(self._certain.runs(length, channel, session, day, in_schedule=in_schedule))

    def attended(self, least: int, session: int | None, channel: str | None, *, in_schedule: bool = True) -> BitMap:
        """Return who was present in at least `least` windows even if it was in none in which a clock was off."""
        off = set[int]() if channel == ONSITE else {*self._doubt.off_clocks}
        if in_schedule:
            off &= {*scheduled_windows(self._event, session, None)}
        return self._sure(self._counted.attended(least + len(off), session, channel, in_schedule=in_schedule))
