"""Attendance: who was present where and when, as sets of attendees, and the few questions that counting rules ask.

Built once from evidence: heartbeats (channel online) and badge scans (channel onsite), aliases resolved first. Gross is
everybody; net is without excluded categories and without guests (devices are no people). Everything is Roaring algebra
over canonical seats; there is no loop over attendees.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.event import Event
from counters.evidence import JournalSegment, PresenceSegment
from counters.onsite import read_inside, read_visits
from counters.roll import UNKNOWN, Roll, read_roll
from counters.segment import WINDOW_S
from counters.views import Views, ViewsReader
from counters.window_estimates import WindowEstimates
from counters.window_leaf import FIRST_GUEST_SEAT, SEATS_END

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


class Presence:
    """Who was present, by channel, window and session. Sets it returns are shared: read them only."""

    def __init__(self, event: Event, channels: Mapping[str, Presences]) -> None:
        """Take the sets by channel; a channel that is not there was empty."""
        self._event = event
        self._channels = {name: channels.get(name, {}) for name in CHANNELS}
        self.windows = sorted(
            {window for sets in self._channels.values() for window, sessions in sets.items() if any(sessions.values())}
        )
        """Every window in which anybody was present, ascending (unix seconds)."""
        self._days = {window: event.day(window) for window in self.windows}
        self.days = sorted(set(self._days.values()))
        """Every day on which anybody was present."""
        self._at: dict[tuple[str | None, int, int | None], BitMap] = {}
        self._within: dict[tuple[str | None, int | None, str | None], BitMap] = {}
        self._arrived: dict[tuple[str | None, int, int | None], BitMap] = {}
        self._attended: dict[tuple[int, int | None, str | None, bool], BitMap] = {}
        self._runs: dict[tuple[int, str | None, int | None, str | None, bool], BitMap] = {}

    def windows_of(self, day: str | None) -> list[int]:
        """Return the windows of a day (of every day for None) in which anybody was present."""
        return self.windows if day is None else [window for window in self.windows if self._days[window] == day]

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
        """Return (present, arrived), int64, one value for each of `windows`: how many, of some attendees (None: all).

        Arrived are those present who were not in the clock minute before; where that had no leaf, nobody was.
        """
        pairs = [
            (size(self.at(channel, window, session), among), size(self.arrived(channel, window, session), among))
            for window in self.windows
        ]
        table = np.array(pairs, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

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
        key = (length, channel, session, day, in_schedule)
        if key not in self._runs:
            if day is None:
                found = [self.runs(length, channel, session, each, in_schedule=in_schedule) for each in self.days]
            else:
                found = [
                    self._run_up_to(window, length, channel, session, in_schedule=in_schedule)
                    for window in self._everywhere()
                    if self._event.day(window) == day
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
        """Return who was present in at least `least` (one or more) windows, consecutive or not.

        Only presence in a session while it is scheduled counts, unless `in_schedule` is False; with session None in
        whatever sessions. A window counts once for who was in it in several sessions or on both channels. A scheduled
        window without a leaf is one in which nobody was present.
        """
        key = (least, session, channel, in_schedule)
        if key not in self._attended:
            windows = scheduled_windows(self._event, session, None) if in_schedule else self._everywhere()
            sets = [self._there(channel, window, session, in_schedule=in_schedule) for window in windows]
            rungs = [BitMap.union(BitMap(), *sets)] + [BitMap()] * least  # who was in at least so many of those seen
            for seats in sets if least <= len(sets) else ():
                for times in range(least, 0, -1):
                    rungs[times] = rungs[times] | (rungs[times - 1] & seats)
            self._attended[key] = rungs[least]
        return self._attended[key]

    def histogram(self, session: int | None, channel: str | None) -> npt.NDArray[np.int64]:
        """Return how many attendees were present in exactly m windows, in schedule or not, at index m; 0 at index 0.

        A window counts once for who was in it in several sessions or on both channels. The last value is not 0: the
        array is as long as the longest attendance, and one more.
        """
        present = [self.at(channel, window, session).to_array() for window in self._everywhere()]
        _, minutes = np.unique(np.concatenate([np.empty(0, np.uint32), *present]), return_counts=True)
        return np.bincount(minutes, minlength=1).astype(np.int64)

    def _there(self, channel: str | None, window: int, session: int | None, *, in_schedule: bool) -> BitMap:
        if not in_schedule:
            return self.at(channel, window, session)
        on = [one.number for one in self._event.scheduled(window) if session in (None, one.number)]
        return BitMap.union(BitMap(), *(self.at(channel, window, number) for number in on))

    def _everywhere(self) -> Iterable[int]:
        """Every window in which anybody can have been present."""
        return self.windows


@dataclass(frozen=True, slots=True)
class Attendance:
    """All that counting rules count."""

    event: Event
    roll: Roll
    gross: Presence
    net: Presence
    gross_views: Views
    net_views: Views
    intervals_s: Mapping[int, int]  # by window: longest heartbeat interval in force; absent = the event's
    countries: Mapping[str, BitMap]  # net attendees by country; UNKNOWN holds everybody else who was present
    categories: Mapping[str, BitMap]  # likewise
    outlets: Mapping[str, BitMap]  # likewise
    guests: BitMap  # devices that were present; in no set of people
    as_of: int  # end of the last window of which there is evidence (unix seconds)
    inside: Mapping[int, BitMap]  # by session number: who had checked in and not out by then; net
    views_by_window: Mapping[int, Mapping[int, int]]  # window -> session number -> estimate of views that were playing
    namespaces: Mapping[str, BitMap]  # the same by issuer namespace; everybody else is in the only one, or in ""
    without_journal: int  # attendees present whom no ticket or badge in the journals stands behind
    unknown_sessions: tuple[int, ...]  # session numbers in the evidence that the event does not have
    scans_outside_event: int
    sound_views: Views = field(default_factory=lambda: Views({}))  # gross, without what invalid traffic opened
    invalid_views: Mapping[str, int] = field(default_factory=dict)  # by reason: how many that is

    @classmethod
    def from_evidence(
        cls,
        event: Event,
        windows: Mapping[int, Sequence[PresenceSegment]],
        journals: Iterable[JournalSegment],
    ) -> "Attendance":
        """Return the attendance in this evidence.

        Args:
            event: of leaf 0.
            windows: presence segments by window (unix seconds); one may be there twice without counting twice.
            journals: all journals, in any order.
        """
        builder, views = AttendanceBuilder(event), WindowEstimates(event, windows)
        for window, segments in windows.items():
            for segment in segments:
                views.add(window, {row.session: row.views for row in segment.sessions})
                builder.add_sessions(window, {row.session: row.playing for row in segment.sessions})
                builder.add_interval(window, segment.head.interval_s)
        for journal in journals:
            builder.add_journal(journal)
        return builder.build(views.estimates())


@dataclass(slots=True)
class AttendanceBuilder:
    """Takes in evidence one window at a time, so that segments need not all be in memory. Owned by its caller."""

    event: Event
    _online: dict[int, dict[int, BitMap]] = field(default_factory=dict)
    _intervals_s: dict[int, int] = field(default_factory=dict)
    _journals: list[JournalSegment] = field(default_factory=list)
    _views: ViewsReader = field(init=False)
    _unknown: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._views = ViewsReader(self.event)

    @property
    def journals(self) -> Sequence[JournalSegment]:
        """Those taken in."""
        return self._journals

    def add_sessions(self, window: int, playing: Mapping[int, BitMap]) -> None:
        """Take in who was present in a window, by session number."""
        known = {session.number for session in self.event.sessions}
        self._unknown |= playing.keys() - known
        here = self._online.setdefault(window, {})
        for session in playing.keys() & known:
            here[session] = here[session] | playing[session] if session in here else playing[session]

    def add_interval(self, window: int, interval_s: int) -> None:
        """Take in a heartbeat interval that was in force in a window."""
        self._intervals_s[window] = max(interval_s, self._intervals_s.get(window, 0))

    def add_journal(self, journal: JournalSegment) -> None:
        """Take in a journal."""
        self._journals.append(journal)
        self._views.add(journal)
        self.add_interval(journal.head.window, journal.head.interval_s)

    def build(self, views_by_window: Mapping[int, Mapping[int, int]], as_of: int | None = None) -> Attendance:
        """Return the attendance in everything taken in.

        Args:
            views_by_window: as `Attendance.views_by_window`.
            as_of: as `Attendance.as_of`; None: the end of the last window taken in.
        """
        if as_of is None:
            as_of = max([-WINDOW_S, *self._online, *self._intervals_s]) + WINDOW_S
        event, roll = self.event, read_roll(self.event, self._journals)
        online = {
            window: {session: roll.canonical(seats) for session, seats in sorted(sessions.items())}
            for window, sessions in self._online.items()
        }
        visits = read_visits(event, self._journals, roll)
        gross = Presence(event, {ONLINE: online, ONSITE: visits.present})
        net = Presence(event, {ONLINE: _net(roll, online), ONSITE: _net(roll, visits.present)})
        views = self._views.build(roll)
        everybody = gross.within(None, None, None)
        counted = net.within(None, None, None)
        known = {session.number for session in event.sessions}
        numbers = {number for journal in self._journals for number in np.unique(journal.joins["session"]).tolist()}
        return Attendance(
            event=event,
            roll=roll,
            gross=gross,
            net=net,
            gross_views=views,
            net_views=self._views.sound.without(roll.excluded),
            sound_views=self._views.sound,
            invalid_views=dict(self._views.invalid),
            intervals_s=dict(self._intervals_s),
            countries=_partition(roll, roll.countries, counted, UNKNOWN),
            categories=_partition(roll, roll.categories, counted, UNKNOWN),
            outlets=_partition(roll, roll.outlets, counted, UNKNOWN),
            guests=_guests(roll, everybody),
            as_of=as_of,
            inside={
                number: roll.people(seats) for number, seats in read_inside(event, self._journals, roll, as_of).items()
            },
            views_by_window=views_by_window,
            namespaces=_partition(roll, roll.namespaces, counted, _only_namespace(event)),
            without_journal=everybody.difference_cardinality(roll.identified),
            unknown_sessions=tuple(sorted(self._unknown | (numbers - known - {0}))),
            scans_outside_event=visits.outside_event,
        )


def _net(roll: Roll, presences: Presences) -> dict[int, dict[int, BitMap]]:
    return {
        window: {session: roll.people(seats) for session, seats in sessions.items()}
        for window, sessions in presences.items()
    }


def _guests(roll: Roll, present: BitMap) -> BitMap:
    marked = BitMap()
    marked.add_range(FIRST_GUEST_SEAT, SEATS_END)
    return (present & (roll.guests | marked)) - roll.excluded


def _only_namespace(event: Event) -> str:
    """Return the namespace of attendees whom no journal knows: the event's only one, or "" if it has several."""
    names = {issuer.namespace for issuer in event.issuers}
    return names.pop() if len(names) == 1 else ""


def _partition(roll: Roll, sets: Mapping[str, BitMap], present: BitMap, rest: str) -> dict[str, BitMap]:
    """Return the sets without those who are in no number; who is present and in none of them is in `rest`."""
    parts = {name: roll.people(seats) for name, seats in sorted(sets.items())}
    others = present - BitMap.union(BitMap(), *parts.values())
    if others:
        parts[rest] = parts.get(rest, BitMap()) | others
    return {name: seats for name, seats in sorted(parts.items()) if seats}
