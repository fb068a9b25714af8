"""Presence at least and at most: what was counted without whoever is in doubt, and with whoever may have been there.

Both answer as counters.attendance.Presence does, so that the very same counting rules are evaluated over them. They
hold only what differs from the counted presence, and are asked only where there are gaps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyroaring import BitMap

from counters.attendance import CHANNELS, ONLINE, ONSITE, Presence, Presences
from counters.event import Event
from counters.gaps import OffClock
from counters.segment import WINDOW_S


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


class PresenceAtMost(Presence):
    """Whoever was counted and whoever may have been there. Sets it returns are shared: read them only."""

    def __init__(self, event: Event, counted: Presence, possible: Possible) -> None:
        """Add `possible` to what was counted."""
        super().__init__(event, {})
        self._counted, self._possible = counted, possible
        self._touched = {
            ONLINE: possible.anyone.keys() | possible.online.keys(),
            ONSITE: _last_of_days(event, possible) if possible.everyone else set(),
        }
        windows = set(counted.windows).union(*self._touched.values())
        self.windows = sorted(windows)
        self._days = {window: event.day(window) for window in windows}
        self.days = sorted(set(self._days.values()))

    def touched(self, channel: str | None, day: str | None) -> list[int]:
        """Return the windows in which somebody is added. Of those with everybody on site, the last of each day."""
        of = CHANNELS if channel is None else (channel,)
        return sorted(
            {window for name in of for window in self._touched[name] if day is None or self._days[window] == day}
        )

    def at(self, channel: str | None, window: int, session: int | None) -> BitMap:
        """Return who may have been present in a window."""
        if channel is None:
            parts = [self.at(name, window, session) for name in CHANNELS]
            if parts[1] is self._possible.everyone:
                return parts[1]
            return parts[0] | parts[1] if parts[0] and parts[1] else parts[0] or parts[1]
        if channel == ONLINE and window in self._possible.anyone:
            return self._possible.anyone[window]
        if channel == ONSITE and self._possible.everyone is not None and self._is_open(window, session):
            return self._possible.everyone
        counted, added = self._counted.at(channel, window, session), self._possible.online.get(window)
        if channel == ONSITE or added is None:
            return counted
        key = (channel, window, session)
        if key not in self._at:
            more = added.values() if session is None else [added.get(session, BitMap())]
            self._at[key] = BitMap.union(counted, *more)
        return self._at[key]

    def _is_open(self, window: int, session: int | None) -> bool:
        doors = self._possible.open_doors
        return any(window in windows for number, windows in doors.items() if session in (None, number))

    def _everywhere(self) -> Iterable[int]:
        doors = self._possible.open_doors.values() if self._possible.everyone else ()
        return set(self.windows).union(*doors)

    def arrived(self, channel: str | None, window: int, session: int | None) -> BitMap:
        """Return who is present at most in a window and not in the clock minute before it."""
        now, before = self.at(channel, window, session), self.at(channel, window - WINDOW_S, session)
        if now is before:
            return BitMap()
        anyone = self._possible.anyone
        # Windows in which anybody may be anywhere are the same for each session.
        whole = channel == ONLINE and window in anyone and window - WINDOW_S in anyone
        key = (channel, window, None if whole else session)
        if key not in self._arrived:
            self._arrived[key] = now - before
        return self._arrived[key]

    def within(self, channel: str | None, session: int | None, day: str | None) -> BitMap:
        """Return who was present at most in any window of a day, or of the event (None)."""
        key = (channel, session, day)
        if key not in self._within:
            sets = {id(more): more for window in self.touched(channel, day)
                    if (more := self.at(channel, window, session))}  # fmt: skip
            self._within[key] = BitMap.union(self._counted.within(channel, session, day), *sets.values())
        return self._within[key]


def _last_of_days(event: Event, possible: Possible) -> set[int]:
    """The last window of each day in which a session's doors are open: everybody in it is everybody in them all."""
    last: dict[tuple[int, str], int] = {}
    for number, windows in possible.open_doors.items():
        last |= {(number, event.day(window)): window for window in windows}
    return set(last.values())


class PresenceAtLeast(Presence):
    """Whoever was certainly there. Sets it returns are shared: read them only."""

    def __init__(
        self,
        event: Event,
        counted: Presence,
        doubtful: BitMap,
        off_clocks: Mapping[int, OffClock],
        onsite: Presences | None,
    ) -> None:
        """Take from what was counted what is in doubt.

        Args:
            event: of leaf 0.
            counted: the presence.
            doubtful: people who may be nobody, or somebody else who is counted as well.
            off_clocks: by window, who was seen by workers whose clock was off, and who by others; people.
            onsite: on site only this is certain; None: all that was counted.
        """
        super().__init__(event, {})
        self._event, self._counted, self._doubtful, self._off_clocks = event, counted, doubtful, off_clocks
        self._onsite = None if onsite is None else Presence(event, {ONSITE: onsite})
        self.windows, self.days, self._days = counted.windows, counted.days, counted._days  # noqa: SLF001 - the same class

    def _of(self, channel: str) -> Presence:
        return self._onsite if channel == ONSITE and self._onsite is not None else self._counted

    def _sure(self, attendees: BitMap) -> BitMap:
        return attendees - self._doubtful if attendees.intersect(self._doubtful) else attendees

    def at(self, channel: str | None, window: int, session: int | None) -> BitMap:
        """Return who was certainly present in a window."""
        key = (channel, window, session)
        if key in self._at:
            return self._at[key]
        if channel is None:
            found = self._sure(BitMap.union(*(self.at(name, window, session) for name in CHANNELS)))
        elif channel == ONLINE and window in self._off_clocks:
            certain = self._off_clocks[window].certain
            found = self._sure(_union(certain.values() if session is None else [certain.get(session, BitMap())]))
        else:
            found = self._sure(self._of(channel).at(channel, window, session))
        self._at[key] = found
        return found

    def arrived(self, channel: str | None, window: int, session: int | None) -> BitMap:
        """Return who is certainly present in a window, and not certainly in the clock minute before it."""
        return self.at(channel, window, session) - self.at(channel, window - WINDOW_S, session)

    def within(self, channel: str | None, session: int | None, day: str | None) -> BitMap:
        """Return who was certainly present in any window of a day, or of the event (None).

        A clock that is off moves somebody into a neighbouring window; only where another day begins does that matter.
        """
        key = (channel, session, day)
        if key in self._within:
            return self._within[key]
        if channel is None:
            found = BitMap.union(*(self.within(name, session, day) for name in CHANNELS))
        elif channel == ONLINE and day is not None and any(map(self._may_be_of_another_day, self._off_clocks)):
            found = _union(
                self.at(channel, window, session)
                if self._may_be_of_another_day(window)
                else self._counted.at(channel, window, session)
                for window in self._counted.windows_of(day)
            )
        else:
            found = self._of(channel).within(channel, session, day)
        self._within[key] = self._sure(found)
        return self._within[key]

    def _may_be_of_another_day(self, window: int) -> bool:
        if window not in self._off_clocks:
            return False
        off = self._off_clocks[window]
        days = {self._event.day(window + WINDOW_S * by) for by in (-off.back, off.ahead)}
        return len(days) > 1


def _union(sets: Iterable[BitMap]) -> BitMap:
    return BitMap.union(BitMap(), *sets)
