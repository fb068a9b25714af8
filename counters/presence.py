"""Presence: the few questions that counting rules ask of who was present where and when.

Answered here from sets in memory, for the few people who are ever on site and wherever there are few windows; for an
audience of millions by counters.counted, from one pass over the evidence.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.event import Event
from counters.partition import belonging, seats_in, set_of
from counters.segment import WINDOW_S

Seats = npt.NDArray[np.uint32]
ONLINE: Final = "online"
ONSITE: Final = "onsite"
CHANNELS: Final = (ONLINE, ONSITE)

Presences = Mapping[int, Mapping[int, BitMap]]
"""Window (unix seconds) -> session number -> canonical seats."""


def scheduled_windows(event: Event, session: int | None, day: str | None) -> list[int]:
    """Return the windows in which a session (None: any) is scheduled, on one day or all (unix seconds, ascending)."""
    item = None if session is None else event.session_numbered(session)
    windows: Iterable[int] = event.session_windows(item) if item else event.scheduled_windows()
    return [window for window in windows if day is None or event.day(window) == day]


def size(attendees: BitMap, among: BitMap | None) -> int:
    """Return how many attendees there are, or how many of them are `among` some others."""
    return len(attendees) if among is None else attendees.intersection_cardinality(among)


class Presence(ABC):
    """What rules ask of presence; what a kind of it has not counted, it raises NotImplementedError for.

    Sets it returns are shared: read them only.
    """

    windows: list[int]
    """Every window in which anybody was present, ascending (unix seconds)."""
    days: list[str]
    """Every day on which anybody was present."""
    _days: Mapping[int, str]  # the day of each of `windows`

    def windows_of(self, day: str | None) -> list[int]:
        """Return the windows of a day (of every day for None) in which anybody was present."""
        return self.windows if day is None else [window for window in self.windows if self._days[window] == day]

    @abstractmethod
    def within(self, channel: str | None, session: int | None, day: str | None) -> BitMap:
        """Return who was present in any window of a day, or of the event (None)."""

    def counts(
        self, channel: str | None, session: int | None, among: BitMap | None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return (present, arrived), int64, one value for each of `windows`: how many, of some attendees (None: all).

        Arrived are those present who were not in the clock minute before; where that had no leaf, nobody was.
        """
        raise NotImplementedError

    def runs(
        self, length: int, channel: str | None, session: int | None, day: str | None, *, in_schedule: bool = False
    ) -> BitMap:
        """Return who was present in `length` (one or more) consecutive clock minutes.

        With session None a run may go on from session to session, with channel None from channel to channel. It is of
        the day on which it is complete, that of its last minute: one across midnight is of the later day, and whoever
        is in the event's (day None) is in some day's. A minute without a leaf is one in which nobody was present: no
        run goes across it. Minutes out of schedule count as others do, unless `in_schedule`: then only presence in a
        session while that session is scheduled.
        """
        raise NotImplementedError

    def attended(self, least: int, session: int | None, channel: str | None, *, in_schedule: bool = True) -> BitMap:
        """Return who was present in at least `least` (one or more) windows, consecutive or not.

        Only presence in a session while it is scheduled counts, unless `in_schedule` is False; with session None in
        whatever sessions. A window counts once for who was in it in several sessions or on both channels. A scheduled
        window without a leaf is one in which nobody was present.
        """
        raise NotImplementedError

    def histogram(self, session: int | None, channel: str | None, among: BitMap | None = None) -> npt.NDArray[np.int64]:
        """Return how many of some attendees were present in exactly m windows, in schedule or not, at m; 0 at index 0.

        A window counts once for who was in it in several sessions or on both channels.
        """
        raise NotImplementedError


def online_by_window(presence: Presence, session: int | None, among: BitMap | None) -> dict[int, tuple[int, int]]:
    """Return by window how many were online, and how many of them had arrived."""
    counts = (counted.tolist() for counted in presence.counts(ONLINE, session, among))
    return dict(zip(presence.windows, zip(*counts, strict=True), strict=True))


class PresenceInMemory(Presence):
    """Who was present, by channel, window and session, every set of it: for few people, or few windows."""

    def __init__(self, event: Event, channels: Mapping[str, Presences]) -> None:
        """Take the sets by channel; a channel that is not there was empty."""
        self._event = event
        self._channels = {name: channels.get(name, {}) for name in CHANNELS}
        self.windows = sorted(
            {window for sets in self._channels.values() for window, sessions in sets.items() if any(sessions.values())}
        )
        self._days = {window: event.day(window) for window in self.windows}
        self.days = sorted(set(self._days.values()))
        self._at: dict[tuple[str | None, int, int | None], BitMap] = {}
        self._within: dict[tuple[str | None, int | None, str | None], BitMap] = {}
        self._arrived: dict[tuple[str | None, int, int | None], BitMap] = {}
        self._runs: dict[tuple[int, str | None, int | None, str | None, bool], BitMap] = {}

    def at(self, channel: str | None, window: int, session: int | None) -> BitMap:
        """Return who was present in a window: in one session or any (None), on one channel or either (None)."""
        key = (channel, window, session)
        if key not in self._at:
            if channel is None:
                parts = [self.at(name, window, session) for name in CHANNELS]
            else:
                sessions = self._channels[channel].get(window, {})
                parts = list(sessions.values()) if session is None else [sessions.get(session, BitMap())]
            self._at[key] = parts[0] if len(parts) == 1 else BitMap.union(BitMap(), *parts)
        return self._at[key]

    def arrived(self, channel: str | None, window: int, session: int | None) -> BitMap:
        """Return who was present in a window and not in the clock minute before it."""
        key = (channel, window, session)
        if key not in self._arrived:
            before = self.at(channel, window - WINDOW_S, session)
            self._arrived[key] = self.at(channel, window, session) - before
        return self._arrived[key]

    def within(self, channel: str | None, session: int | None, day: str | None) -> BitMap:
        """Return who was present in any window of a day, or of the event (None)."""
        key = (channel, session, day)
        if key not in self._within:
            if day is None:
                parts = [self.within(channel, session, each) for each in self.days]
            else:
                parts = [self.at(channel, window, session) for window in self.windows_of(day)]
            self._within[key] = BitMap.union(BitMap(), *parts)
        return self._within[key]

    def counts(
        self, channel: str | None, session: int | None, among: BitMap | None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return (present, arrived) of each of `windows`."""
        pairs = [
            (size(self.at(channel, window, session), among), size(self.arrived(channel, window, session), among))
            for window in self.windows
        ]
        table = np.array(pairs, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def runs(
        self, length: int, channel: str | None, session: int | None, day: str | None, *, in_schedule: bool = False
    ) -> BitMap:
        """Return who was present in `length` consecutive clock minutes."""
        key = (length, channel, session, day, in_schedule)
        if key not in self._runs:
            if day is None:
                found = [self.runs(length, channel, session, each, in_schedule=in_schedule) for each in self.days]
            else:
                found = [
                    self._run_up_to(window, length, channel, session, in_schedule=in_schedule)
                    for window in self.windows_of(day)
                ]
            self._runs[key] = BitMap.union(BitMap(), *found)
        return self._runs[key]

    def _run_up_to(
        self, window: int, length: int, channel: str | None, session: int | None, *, in_schedule: bool
    ) -> BitMap:
        found = self._there(channel, window, session, in_schedule=in_schedule)
        for step in range(1, length):
            if not found:
                break
            found = found & self._there(channel, window - step * WINDOW_S, session, in_schedule=in_schedule)
        return found

    def attended(self, least: int, session: int | None, channel: str | None, *, in_schedule: bool = True) -> BitMap:
        """Return who was present in at least `least` windows, consecutive or not."""
        windows = scheduled_windows(self._event, session, None) if in_schedule else self._everywhere()
        seats, minutes = self._minutes(windows, session, channel, in_schedule=in_schedule)
        return set_of(seats[minutes >= least])

    def histogram(self, session: int | None, channel: str | None, among: BitMap | None = None) -> npt.NDArray[np.int64]:
        """Return how many of some attendees were present in exactly m windows, at index m."""
        seats, minutes = self._minutes(self._everywhere(), session, channel, in_schedule=False)
        if among is not None:
            minutes = minutes[belonging(seats, among)]
        return np.bincount(minutes, minlength=1).astype(np.int64)

    def _there(self, channel: str | None, window: int, session: int | None, *, in_schedule: bool) -> BitMap:
        if not in_schedule:
            return self.at(channel, window, session)
        on = [one.number for one in self._event.scheduled(window) if session in (None, one.number)]
        return BitMap.union(BitMap(), *(self.at(channel, window, number) for number in on))

    def _everywhere(self) -> Iterable[int]:
        """Every window in which anybody can have been present."""
        return self.windows

    def _minutes(
        self, windows: Iterable[int], session: int | None, channel: str | None, *, in_schedule: bool
    ) -> tuple[Seats, npt.NDArray[np.int64]]:
        """Return who was present in any of these windows, ascending, and in how many of them."""
        sets = (self._there(channel, window, session, in_schedule=in_schedule) for window in windows)
        present = [seats_in(seats) for seats in sets]
        return np.unique(np.concatenate([np.empty(0, np.uint32), *present]), return_counts=True)
