"""Who else may have been there: whom the gaps of an event may hide, and who of those counted is in doubt.

Who may have been in a window of which a worker's evidence is lost:
- whoever had joined the event by then, as the journals that are there say: any worker takes any viewing token;
- whoever has one of the seats that were granted to a worker with losses, and no join in any journal, or a later one;
- on site, where the event has gates: everybody, at any time at which scans are taken, since one scan that is lost can
  lengthen, shorten or move a stay.

In a window in which nobody was there to accept anything, no join was accepted either: whoever had joined the session.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from pyroaring import BitMap

from counters.attendee import SEATS_PER_BLOCK, block_seats
from counters.gaps import BOUNDLESS, LOSSES, USUAL_OFFSET_MS, Gap, GapKind, OffClock
from counters.joined import JoinedBy
from counters.journal_segment import JournalSegment
from counters.onsite import read_entries
from counters.partition import set_of
from counters.possible_presence import Doubt, Possible, open_doors
from counters.reckoning import Reckoning
from counters.segment import WINDOW_S

SETS_AT_MOST: Final = 64
"""Different sets of who had joined by then: 5 MB each at 40 million. In more windows than that, some share the set of
the latest of them, which holds the others'."""


class WhoElse:
    """Whom the gaps of one event may hide. Read only once it is made.

    Attributes:
        losses: the gaps in which evidence is lost.
        late_journals: journals that came too late to count.
        known: who is certainly somebody; canonical seats of people, as all sets here.
        doubtful: who was counted and may be nobody, or somebody else who is counted as well.
        strangers: who may have come without a join that is known.
        unbounded: whether nothing bounds how many may have come.
        joins_lost: whether a join may have been earlier than any that is known of the same attendee.
        onsite_lost: whether scans are lost, of any of which a whole stay may depend.
    """

    def __init__(self, reckoning: Reckoning, found: Sequence[Gap]) -> None:
        """Work out who is in doubt, in what was counted and its evidence, given the gaps found in it."""
        attendance, gaps = reckoning.attendance, reckoning.gaps
        self._net = reckoning.windows.net
        self._journals = reckoning.journals
        self._counted, self._event, self._gaps = attendance, attendance.event, gaps
        self._found = found
        self.losses = [gap for gap in self._found if gap.kind in LOSSES]
        self.late_journals = [journal for late in gaps.not_counted for journal in late.journals]
        roll = attendance.roll
        net = attendance.net.within(None, None, None)
        self.known = roll.people(roll.canonical(roll.identified))
        self.doubtful = net - self.known
        self.strangers = self.doubtful | self._people(self._seats_granted()) | self._in_late_evidence()
        self.strangers -= self.known
        # Of seats that nobody knows anybody may come, on site at any time as well.
        self.unbounded = any(gap.kind in BOUNDLESS or gaps.seats_unknown(gap) for gap in self._found)
        # While nobody was there, nobody joined: only what is lost, or of another time, can have been an earlier join.
        self.joins_lost = bool(
            self.losses or self.late_journals or gaps.off_journals or self.strangers or self.unbounded
        )
        # One scan that is lost, or somebody's whose seats are not known to be one person's, changes a whole stay.
        lost = self.losses or self.late_journals or self.doubtful or self.unbounded
        self.onsite_lost = bool(lost) and any(session.gates for session in self._event.sessions)

    def _people(self, seats: BitMap) -> BitMap:
        roll = self._counted.roll
        return roll.people(roll.canonical(seats))

    def _seats_granted(self) -> BitMap:
        """The seats of workers with losses."""
        seats = BitMap()
        for worker in {gap.worker for gap in self.losses}:
            for block in self._gaps.blocks.get(worker, ()):
                seats.add_range(block_seats(block).start, (block + 1) * SEATS_PER_BLOCK)
        return seats

    def _in_late_evidence(self) -> BitMap:
        online = [row.playing for late in self._gaps.not_counted for row in late.merged.values()]
        rows = [rows["seat"] for journal in self.late_journals for rows in (journal.joins, journal.scans)]
        journaled = set_of(np.sort(np.concatenate([np.empty(0, np.uint32), *rows])))
        journaled.discard(0)  # of refused scans
        return self._people(BitMap.union(journaled, *online))

    def possible(self) -> Possible:
        """Return who may have been present besides those counted."""
        event, losses = self._event, self.losses
        uncovered = [gap.window for gap in self._found if gap.kind is GapKind.UNCOVERED]
        online: dict[int, dict[int, BitMap]] = {}
        known = {session.number for session in event.sessions}

        def add(window: int, session: int, seats: BitMap) -> None:
            here = online.setdefault(window, {})
            here[session] = here.get(session, BitMap()) | seats

        for late in self._gaps.not_counted:
            for number in late.merged.keys() & known:
                add(late.leaf.window, number, self._people(late.merged[number].playing))
        for window, off in self._people_of_off_clocks().items():
            for number in off.seen.keys() & known:
                for by in range(-off.back, off.ahead + 1):
                    add(window + by * WINDOW_S, number, off.seen[number])
        if losses:
            anyone = self._anyone({*uncovered, *(gap.window for gap in losses)})
        else:
            anyone = {}
            for window, number, seats in self._of_the_session(uncovered):
                add(window, number, seats)
        everyone, doors = None, {}
        if self.onsite_lost:
            everyone = self.known | self.strangers | self._counted.net.within(None, None, None)
            doors = open_doors(event)
        return Possible(anyone, online, everyone, doors)

    def possibly_inside(self) -> Mapping[int, BitMap]:
        """Who may be inside, by session number: where scans are lost anybody, as long as the session is not over."""
        counted = self._counted
        if not self.onsite_lost:
            return counted.inside
        anybody = self.known | self.strangers | counted.net.within(None, None, None)
        return {
            session.number: anybody
            for session in self._event.sessions
            if session.gates and self._event.session_windows(session)[-1] + WINDOW_S > counted.as_of
        }

    def doubt(self) -> Doubt:
        """Return what is in doubt of what was counted."""
        return Doubt(self.doubtful, self.known, self._people_of_off_clocks(), self._entered())

    def _entered(self) -> dict[int, dict[int, BitMap]] | None:
        """Who was certainly on site: whoever entered, in that window. None: whoever was counted."""
        if not self.onsite_lost:
            return None
        entries = read_entries(self._event, self._journals, self._counted.roll)
        return {
            window: {number: self._counted.roll.people(seats) for number, seats in sessions.items()}
            for window, sessions in entries.items()
        }

    def _journals_read(self) -> Iterator[JournalSegment]:
        """Every journal, late ones as well, once more: all of them together are more than memory holds."""
        yield from self._journals
        yield from self.late_journals

    def _by(self, window: int) -> int:
        """Until when (ms) who was in a window had joined, by the clock of the worker that let them in."""
        offsets = [abs(offset_ms) for _, *offsets_ms in self._gaps.off_journals for offset_ms in offsets_ms]
        return (window + WINDOW_S) * 1000 + USUAL_OFFSET_MS + max([USUAL_OFFSET_MS, *offsets])

    def _anyone(self, windows: Iterable[int]) -> dict[int, BitMap]:
        """Return by window everybody who may have been online in it."""
        in_order, anyone = np.array(sorted(windows), np.int64), dict[int, BitMap]()
        parts = np.array_split(in_order, min(len(in_order), SETS_AT_MOST) or 1)
        groups: list[list[int]] = [part.tolist() for part in parts if len(part)]
        joined_by = JoinedBy([self._by(group[-1]) for group in groups])
        for journal in self._journals_read() if groups else ():
            joined_by.add(journal.joins["seat"], journal.joins["joined_at_ms"])
        always = self.strangers | self._people(self._seats_granted())
        for group, seats in zip(groups, joined_by.sets(), strict=True):
            joined = always | self._people(seats)
            for window, sessions in self._net(group):
                counted = BitMap.union(BitMap(), *sessions.values())
                anyone[window] = joined if counted.issubset(joined) else joined | counted
        return anyone

    def _of_the_session(self, windows: Sequence[int]) -> Iterable[tuple[int, int, BitMap]]:
        """Yield (window, session number, who had joined the session by then)."""
        if not windows:
            return
        deadlines = sorted({self._by(window) for window in windows})
        joined_by = {session.number: JoinedBy(deadlines) for session in self._event.sessions}
        for journal in self._journals_read():
            joins = journal.joins[journal.joins["view"] != 0]
            for number in np.unique(joins["session"]).tolist():
                if number in joined_by:
                    here = joins[joins["session"] == number]
                    joined_by[number].add(here["seat"], here["joined_at_ms"])
        for number, joined in joined_by.items():
            sets = dict(zip(deadlines, joined.sets(), strict=True))
            yield from ((window, number, self._people(sets[self._by(window)])) for window in windows)

    def _people_of_off_clocks(self) -> dict[int, OffClock]:
        return {
            window: OffClock(
                off.back,
                off.ahead,
                {number: self._people(seats) for number, seats in off.seen.items()},
                {number: self._people(seats) for number, seats in off.certain.items()},
            )
            for window, off in self._gaps.off_clocks.items()
        }
