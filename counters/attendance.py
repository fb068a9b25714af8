"""Attendance: who was present where and when, as sets of attendees, and what counting rules count.

Built once from evidence: heartbeats (channel online) and badge scans (channel onsite), aliases resolved first. Gross is
everybody; net is without excluded categories and without guests (devices are no people). The journals are read first:
who is who has to be known when presence is read, window by window (counters.reckoner).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from pyroaring import BitMap

from counters.audience import Aliases, Audience
from counters.counted import CountedPresence, GrossPresence
from counters.event import Event
from counters.evidence import JournalSegment, PresenceSegment
from counters.journal_segment import JOIN_DTYPE
from counters.onsite import Visits, read_inside, read_visits
from counters.partition import Partition
from counters.presence import (
    CHANNELS,
    ONLINE,
    ONSITE,
    Presence,
    PresenceInMemory,
    Presences,
    scheduled_windows,
    size,
)
from counters.reckoner import Asked, Run, Totals
from counters.roll import UNKNOWN, Roll, RollReader
from counters.segment import WINDOW_S
from counters.views import Views, ViewsReader
from counters.window_estimates import WindowEstimates
from counters.window_leaf import FIRST_GUEST_SEAT, SEATS_END, merge_presence

__all__ = [
    "CHANNELS",
    "ONLINE",
    "ONSITE",
    "Attendance",
    "JournalReader",
    "Journaled",
    "Presence",
    "Views",
    "scheduled_windows",
    "size",
]


SESSION_NUMBERS: Final = 1 << 16
"""A join's session is a u16."""


@dataclass(frozen=True, slots=True)
class Attendance:
    """All that counting rules count."""

    event: Event
    roll: Roll
    gross: GrossPresence
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
        runs: Iterable[Run] = (),
    ) -> "Attendance":
        """Return the attendance in this evidence.

        Args:
            event: of leaf 0.
            windows: presence segments by window (unix seconds); one may be there twice without counting twice.
            journals: all journals, in any order.
            runs: those that will be asked for.
        """
        reader = JournalReader(event)
        for journal in journals:
            reader.add(journal)
        last = max([-WINDOW_S, *windows, *reader.intervals_s])
        journaled = reader.close(last + WINDOW_S, runs)
        estimates, reckoner, unknown = WindowEstimates(event, windows), journaled.audience.reckoner(), set[int]()
        for window, segments in sorted(windows.items()):
            merged = merge_presence(segments)
            estimates.add(window, {number: row.views for number, row in merged.items()})
            unknown |= journaled.audience.unknown(merged)
            reckoner.take(window, journaled.audience.gross(merged))
            for segment in segments:
                reader.add_interval(window, segment.head.interval_s)
        return journaled.attendance(*journaled.presence(reckoner.totals()), unknown, estimates.estimates())


class JournalReader:
    """Takes journals in one by one. Owned by who reads the evidence."""

    def __init__(self, event: Event) -> None:
        """Start without any."""
        self.event = event
        self.intervals_s: dict[int, int] = {}
        """By window: the longest heartbeat interval that was in force."""
        self._roll = RollReader(event)
        self._views = ViewsReader(event)
        self._scanned: list[JournalSegment] = []  # journals without their joins, where there are scans
        self._seen = np.zeros(SESSION_NUMBERS, bool)

    def add(self, journal: JournalSegment) -> None:
        """Take in a journal, and keep what counting needs of it: all of them together are more than memory holds."""
        self._roll.add(journal)
        self._views.add(journal)
        if len(journal.scans):
            self._scanned.append(replace(journal, joins=np.empty(0, JOIN_DTYPE)))
        self._seen[journal.joins["session"]] = True
        self.add_interval(journal.head.window, journal.head.interval_s)

    def add_interval(self, window: int, interval_s: int) -> None:
        """Take in a heartbeat interval that was in force in a window."""
        self.intervals_s[window] = max(interval_s, self.intervals_s.get(window, 0))

    def close(self, as_of: int, runs: Iterable[Run]) -> "Journaled":
        """Return what all of them say together; nothing may be taken in after, but for intervals.

        Args:
            as_of: end of the last window of which there is evidence (unix seconds).
            runs: those that will be asked for.
        """
        event = self.event
        roll = self._roll.build()
        visits = read_visits(event, self._scanned, roll)
        onsite = _net(roll, visits.present)
        namespaces = [roll.people(seats) for seats in roll.namespaces.values()]
        families = (roll.countries, roll.categories, roll.outlets)
        asked = Asked(
            frozenset(runs),
            of_event=tuple(Partition([map(roll.people, sets.values()), namespaces]) for sets in families),
            of_sessions=(Partition([namespaces]),),
        )
        aside = PresenceInMemory(event, {ONSITE: onsite}).within(ONSITE, None, None)
        unknown = set(np.flatnonzero(self._seen).tolist()) - {session.number for session in event.sessions} - {0}
        return Journaled(
            as_of,
            roll,
            visits,
            onsite,
            {number: roll.people(seats) for number, seats in read_inside(event, self._scanned, roll, as_of).items()},
            self._views.build(roll),
            self._views.sound,
            dict(self._views.invalid),
            self.intervals_s,
            unknown,
            Audience(event, Aliases.of(roll), asked, roll.excluded | roll.guests, aside),
        )


@dataclass(frozen=True, slots=True)
class Journaled:
    """What the journals say: all that has to be known before presence is read."""

    as_of: int
    roll: Roll
    visits: Visits
    onsite: Presences  # who was on site and counts
    inside: Mapping[int, BitMap]
    views: Views
    sound_views: Views  # those that were not opened by invalid traffic
    invalid_views: Mapping[str, int]  # by reason
    intervals_s: Mapping[int, int]
    unknown: Collection[int]  # session numbers that the event does not have
    audience: Audience

    def presence(self, totals: Totals) -> tuple[GrossPresence, CountedPresence]:
        """Return who was present, and who of them counts, by what a pass over all windows has found."""
        audience = self.audience
        online = {place: self.roll.people(seats) for place, seats in totals.within.items()}
        net = CountedPresence(audience.event, totals, audience.asked, online, self.onsite)
        for partition in (*audience.asked.of_event, *audience.asked.of_sessions):
            partition.close(net.within(None, None, None))
        return GrossPresence(audience.event, totals, self.visits.present), net

    def attendance(
        self,
        gross: GrossPresence,
        net: CountedPresence,
        unknown: Iterable[int],
        views_by_window: Mapping[int, Mapping[int, int]],
    ) -> Attendance:
        """Return the attendance.

        Args:
            gross: who was present.
            net: who of them counts.
            unknown: session numbers with presence that the event does not have.
            views_by_window: as `Attendance.views_by_window`.
        """
        event, roll = self.audience.event, self.roll
        everybody, counted = gross.within(None, None, None), net.within(None, None, None)
        return Attendance(
            event=event,
            roll=roll,
            gross=gross,
            net=net,
            gross_views=self.views,
            net_views=self.sound_views.without(roll.excluded),
            sound_views=self.sound_views,
            invalid_views=self.invalid_views,
            intervals_s=self.intervals_s,
            countries=_partition(roll, roll.countries, counted, UNKNOWN),
            categories=_partition(roll, roll.categories, counted, UNKNOWN),
            outlets=_partition(roll, roll.outlets, counted, UNKNOWN),
            guests=_guests(roll, everybody),
            as_of=self.as_of,
            inside=self.inside,
            views_by_window=views_by_window,
            namespaces=_partition(roll, roll.namespaces, counted, _only_namespace(event)),
            without_journal=everybody.difference_cardinality(roll.identified),
            unknown_sessions=tuple(sorted({*unknown, *self.unknown})),
            scans_outside_event=self.visits.outside_event,
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
