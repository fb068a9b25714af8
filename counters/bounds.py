"""Bounds: between which numbers the true one lies, given what gaps may hide. docs/gaps.md is this module in prose.

A number's lower bound is its rule over the presence that is certain, its upper bound the same rule over whatever is
possible (counters.possible_presence). Every rule grows with presence: one person more in one window never makes a
number smaller, so the truth, which lies between the two presences, gives a number between the two numbers.

Who may have been in a window of which a worker's evidence is lost:
- whoever had joined the event by then, as the journals that are there say: any worker takes any viewing token;
- whoever has one of the seats that were granted to a worker with losses, and no join in any journal, or a later one;
- on site, where the event has gates: everybody, at any time at which scans are taken, since one scan that is lost can
  lengthen, shorten or move a stay.

In a window in which nobody was there to accept anything, no join was accepted either: whoever had joined the session.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from counters.attendance import CHANNELS, ONLINE, scheduled_windows, size
from counters.attendee import SEATS_PER_BLOCK, block_seats
from counters.gaps import BOUNDLESS, LOSSES, USUAL_OFFSET_MS, Gap, GapKind, OffClock
from counters.joined import JoinedBy
from counters.journal_segment import JournalSegment
from counters.measures import HOUR_S, Cell
from counters.onsite import read_entries
from counters.partition import Partition, set_of
from counters.possible_presence import Doubt, Possible, PresenceAtLeast, PresenceAtMost, open_doors
from counters.presence import online_by_window
from counters.reckoner import Asked
from counters.reckoning import Reckoning
from counters.rules import OF_TIME, Rule
from counters.segment import WINDOW_S
from counters.view_bounds import Interval, Value, ViewBounds

SETS_AT_MOST: Final = 64
"""Different sets of who had joined by then: 5 MB each at 40 million. In more windows than that, some share the set of
the latest of them, which holds the others'."""
PERSON_WINDOW_S: Final = 2 * WINDOW_S
"""Person-time that one person in one window more can make: its minute, and the next one that is no arrival then."""
STATEMENT: Final = (
    "What was counted is certain, but for what fewer_people_at_most says; more_people_at_most is how many more people "
    "may have been present online in a window, null if nothing bounds it. A gap hides at most whoever had joined by "
    "then, or got a seat from a worker whose records are lost. The bounds of a number are its rule over the least and "
    "the greatest presence that this allows, on site included. People who found no server at all and never got a seat "
    "are in no bound. A worker's missing report that came in time, or of a worker that had ended before, hides nothing."
)


def bounds_of(reckoning: Reckoning) -> "Bounds | None":
    """Return what the gaps may hide; None, and no work done, if there is none."""
    found = reckoning.gaps.found()
    return Bounds(reckoning, found) if found or reckoning.attendance.without_journal else None


class Bounds:
    """What the gaps of one event may hide. Reads what it was given; owned by whoever assembles a certificate."""

    def __init__(self, reckoning: Reckoning, found: Iterable[Gap]) -> None:
        """Work out who may have been where.

        Args:
            reckoning: what was counted, and the evidence of all leaves.
            found: the gaps in it.
        """
        attendance, gaps, journals = reckoning.attendance, reckoning.gaps, reckoning.journals
        self._net = reckoning.windows.net
        self._counted, self._event, self._gaps, self._journals = attendance, attendance.event, gaps, journals
        self._found = list(found)
        self._losses = [gap for gap in self._found if gap.kind in LOSSES]
        self._late_journals = [journal for late in gaps.not_counted for journal in late.journals]
        roll = attendance.roll
        net = attendance.net.within(None, None, None)
        self._known = roll.people(roll.canonical(roll.identified))
        self._doubtful = net - self._known
        self._strangers = self._doubtful | self._people(self._seats_granted()) | self._in_late_evidence()
        self._strangers -= self._known
        self._announced_s = max([self._event.interval_s, *(change.interval_s for change in gaps.log.steering)])
        # Of seats that nobody knows anybody may come, on site at any time as well.
        self._unbounded = any(gap.kind in BOUNDLESS or gaps.seats_unknown(gap) for gap in self._found)
        # While nobody was there, nobody joined: only what is lost, or of another time, can have been an earlier join.
        self._joins_lost = bool(
            self._losses or self._late_journals or gaps.off_journals or self._strangers or self._unbounded
        )
        # One scan that is lost, or somebody's whose seats are not known to be one person's, changes a whole stay.
        lost = self._losses or self._late_journals or self._doubtful or self._unbounded
        self._onsite_lost = bool(lost) and any(session.gates for session in self._event.sessions)
        counted = reckoning.net
        self._at_most = PresenceAtMost(self._event, counted, self._possible(), self._asked(reckoning.asked), self._net)
        doubt = Doubt(self._doubtful, self._known, self._people_of_off_clocks(), self._entered())
        asked = replace(reckoning.asked, minutes=False)
        self._at_least = PresenceAtLeast(self._event, counted, doubt, asked, self._net)
        self._with: dict[int, tuple[BitMap, BitMap]] = {}
        self._views = ViewBounds(
            attendance, gaps, self._found, self._losses, self._late_journals, self._known, self._strangers,
            self._at_most, unbounded=self._unbounded,
        )  # fmt: skip
        self._most = replace(
            attendance,
            net=self._at_most,
            intervals_s=self._intervals_s(),
            categories={name: seats | self._strangers for name, seats in attendance.categories.items()},
            inside=self._possibly_inside(),
        )
        in_doubt = self._doubtful or gaps.off_clocks or self._onsite_lost
        nobody_inside = {} if self._onsite_lost else attendance.inside
        self._least = replace(attendance, net=self._at_least, inside=nobody_inside) if in_doubt else attendance

    # Numbers.

    def of(self, rule: Rule, cell: Cell, value: Value, *, small: bool) -> Interval | None:
        """Return the bounds of one number; None if no gap touches it.

        Args:
            rule: of the number.
            cell: what it is of.
            value: as counted.
            small: whether the cell is one that would be withheld if it held few people.
        """
        if rule.estimated:
            between = self._views.of_peak(cell)
        else:
            of = self._of_people if rule.of_people else self._views.of
            # A join that is lost, or of another time, may have been through another outlet.
            elsewhere = cell.by_join and self._joins_lost
            between = (0, of(rule, replace(cell, among=None))[1]) if elsewhere else of(rule, cell)
        return self._around((value, value), between, self._fewest(rule, cell) if small else 0)

    def of_guests(self) -> bool:
        """Whether there may have been guests of whom no record is left: nothing bounds how many devices."""
        return bool(self._losses or self._gaps.not_counted or self._unbounded)

    def of_namespaces(self, rule: Rule, cell: Cell, counted: Sequence[Value], *, small: bool) -> Interval | None:
        """Return the least that the largest namespace, and the most that the sum of them, may truly be.

        `counted` are [largest, sum] as counted; the rest is as for `of`.
        """
        elsewhere = cell.by_join and self._joins_lost
        among = None if elsewhere else cell.among
        parts = [
            self._of_people(rule, replace(cell, among=seats if among is None else seats & among))
            for seats in self._counted.namespaces.values()
        ]
        if elsewhere:
            parts = [(0, most) for _, most in parts]
        highest = [most for _, most in parts if most is not None]
        most = sum(highest) if len(highest) == len(parts) else None
        least = max(least for least, _ in parts)
        return self._around((counted[0], counted[1]), (least, most), self._fewest(rule, cell) if small else 0)

    @staticmethod
    def _around(counted: tuple[Value, Value], between: Interval, fewest: Value) -> Interval | None:
        """Return bounds that hold what was counted, and are no closer to it than `fewest` unless they are equal to it.

        The difference between a number and its bound counts people, too: it must not tell of fewer than a cell may.
        """
        least, most = min(between[0], counted[0]), None if between[1] is None else max(between[1], counted[1])
        if (least, most) == counted:
            return None
        if 0 < counted[0] - least < fewest:
            least = max(counted[0] - fewest, 0)
        if most is not None and 0 < most - counted[1] < fewest:
            most = counted[1] + fewest
        return least, most

    def _fewest(self, rule: Rule, cell: Cell) -> Value:
        """Return what as many people as a printed cell must hold can make of a number, in all the gaps there are."""
        below = self._event.counting.suppress_below
        if rule.id not in OF_TIME:
            return below
        touched = {*self._at_most.touched(ONLINE, cell.day), *self._gaps.off_clocks}
        scheduled = scheduled_windows(self._event, cell.session, cell.day)
        unit_s = HOUR_S if rule.unit == "hours" else WINDOW_S * max(len(scheduled), 1)
        return Fraction(below * PERSON_WINDOW_S * max(len(touched), 1), unit_s)

    def _of_people(self, rule: Rule, cell: Cell) -> Interval:
        least = rule.measure(self._least, cell).value
        if self._unbounded:
            return least, None
        if cell.among is not None:
            cell = replace(cell, among=self._and_strangers(cell.among))
        return least, rule.measure(self._most, cell).value + self._by_merging(rule, cell)

    def _asked(self, asked: Asked) -> Asked:
        """Return what will be asked of the presence at most: of strangers as well."""
        counted = self._counted
        families = [counted.countries.values(), counted.categories.values(), counted.outlets.values()]
        others = [counted.namespaces.values(), [self._strangers]]
        return replace(
            asked,
            minutes=False,
            of_event=tuple(Partition([family, *others]) for family in families),
            of_sessions=(Partition(others),),
        )

    def _and_strangers(self, among: BitMap) -> BitMap:
        # The same set for the same question: it is asked again and again.
        if id(among) not in self._with:
            self._with[id(among)] = among, among | self._strangers
        return self._with[id(among)][1]

    def _by_merging(self, rule: Rule, cell: Cell) -> Value:
        """Return by how much a number may grow if strangers are other seats of people who are counted.

        Elsewhere one person less is less. But who was online in one seat and on site in another was both; and who goes
        on watching in another seat does not arrive.
        """
        most, strangers = self._at_most, self._strangers
        if not strangers:
            return 0
        if rule.id == "unique-attendees-both":
            online, onsite = (most.within(channel, cell.session, cell.day) for channel in CHANNELS)
            return len((online ^ onsite) & strangers)
        if rule.threshold is not None:
            return self._long_enough_together(rule, cell)
        if rule.id not in OF_TIME:
            return 0
        scheduled, doubled = scheduled_windows(self._event, cell.session, cell.day), 0
        merging = online_by_window(most, cell.session, strangers)
        arriving = online_by_window(most, cell.session, cell.among)
        for window in scheduled:
            merged = merging.get(window - WINDOW_S, (0, 0))[0] + merging.get(window, (0, 0))[1]
            if merged:
                interval_s = self._most.intervals_s.get(window, self._event.interval_s)
                doubled += (2 * WINDOW_S - interval_s) * min(merged, arriving.get(window, (0, 0))[1])
        return Fraction(doubled, 2 * (HOUR_S if rule.unit == "hours" else WINDOW_S * max(len(scheduled), 1)))

    def _long_enough_together(self, rule: Rule, cell: Cell) -> int:
        """Return how many more were long enough if their minutes in several seats add up: one for each stranger.

        Of those who are long enough alone the one person that they make is counted already.
        """
        present = size(self._at_most.within(cell.channel, cell.session, cell.day), self._strangers)
        alone = rule.measure(self._most, replace(cell, among=self._strangers)).value
        return present - int(alone)

    # Gaps.

    def rows(self) -> list[dict[str, Any]]:
        """Return each gap with what it may hide, as the certificate prints it."""
        rows, nobody_there = [], (0, 0)
        least, counted, most = (
            online_by_window(presence, None, None) for presence in (self._at_least, self._counted.net, self._at_most)
        )
        for gap in self._found:
            here, _ = counted.get(gap.window, nobody_there)
            more: int | None = most.get(gap.window, nobody_there)[0] - here
            fewer = here - least.get(gap.window, nobody_there)[0]
            if gap.kind in BOUNDLESS or self._gaps.seats_unknown(gap):
                more = None
            rows.append(gap.as_json(self._event) | self._people_at_most(more, fewer))
        if self._doubtful:
            nobody = {"gap": "no-journal", "window": None, "seconds": None, "worker": None, "gateway": None}
            rows.append(nobody | self._people_at_most(0, len(self._doubtful)))
        return rows

    def _people_at_most(self, more: int | None, fewer: int) -> dict[str, int | None]:
        below = self._event.counting.suppress_below

        def shown(people: int | None) -> int | None:
            return below if people is not None and 0 < people < below else people

        return {"more_people_at_most": shown(more), "fewer_people_at_most": shown(fewer)}

    # Who may have been where.

    def _people(self, seats: BitMap) -> BitMap:
        roll = self._counted.roll
        return roll.people(roll.canonical(seats))

    def _seats_granted(self) -> BitMap:
        """The seats of workers with losses."""
        seats = BitMap()
        for worker in {gap.worker for gap in self._losses}:
            for block in self._gaps.blocks.get(worker, ()):
                seats.add_range(block_seats(block).start, (block + 1) * SEATS_PER_BLOCK)
        return seats

    def _in_late_evidence(self) -> BitMap:
        online = [row.playing for late in self._gaps.not_counted for row in late.merged.values()]
        rows = [rows["seat"] for journal in self._late_journals for rows in (journal.joins, journal.scans)]
        journaled = set_of(np.sort(np.concatenate([np.empty(0, np.uint32), *rows])))
        journaled.discard(0)  # of refused scans
        return self._people(BitMap.union(journaled, *online))

    def _possible(self) -> Possible:
        """Return who may have been present besides those counted."""
        event, losses = self._event, self._losses
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
        if self._onsite_lost:
            everyone = self._known | self._strangers | self._counted.net.within(None, None, None)
            doors = open_doors(event)
        return Possible(anyone, online, everyone, doors)

    def _possibly_inside(self) -> Mapping[int, BitMap]:
        """Who may be inside, by session number: where scans are lost anybody, as long as the session is not over."""
        counted = self._counted
        if not self._onsite_lost:
            return counted.inside
        anybody = self._known | self._strangers | counted.net.within(None, None, None)
        return {
            session.number: anybody
            for session in self._event.sessions
            if session.gates and self._event.session_windows(session)[-1] + WINDOW_S > counted.as_of
        }

    def _entered(self) -> dict[int, dict[int, BitMap]] | None:
        """Who was certainly on site: whoever entered, in that window. None: whoever was counted."""
        if not self._onsite_lost:
            return None
        entries = read_entries(self._event, self._journals, self._counted.roll)
        return {
            window: {number: self._counted.roll.people(seats) for number, seats in sessions.items()}
            for window, sessions in entries.items()
        }

    def _journals_read(self) -> Iterator[JournalSegment]:
        """Every journal, late ones as well, once more: all of them together are more than memory holds."""
        yield from self._journals
        yield from self._late_journals

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
        always = self._strangers | self._people(self._seats_granted())
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

    def _intervals_s(self) -> dict[int, int]:
        """The longest heartbeat intervals that a report which is not there may have named."""
        intervals_s = dict(self._counted.intervals_s)
        for gap in self._losses:
            intervals_s[gap.window] = self._announced_s
        for late in self._gaps.not_counted:
            window = late.leaf.window
            intervals_s[window] = max(intervals_s.get(window, 0), late.manifest.interval_s)
        return intervals_s
