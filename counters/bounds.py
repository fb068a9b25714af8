"""Bounds: between which numbers the true one lies, given what gaps may hide. docs/gaps.md is this module in prose.

A number's lower bound is its rule over the presence that is certain, its upper bound the same rule over whatever is
possible (counters.possible_presence). Every rule grows with presence: one person more in one window never makes a
number smaller, so the truth, which lies between the two presences, gives a number between the two numbers. Who may have
been where is in counters.who_else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

from pyroaring import BitMap

from counters.attendance import CHANNELS, ONLINE, scheduled_windows, size
from counters.gaps import BOUNDLESS, Gap
from counters.measures import HOUR_S, Cell
from counters.partition import Partition
from counters.possible_presence import PresenceAtLeast, PresenceAtMost
from counters.presence import online_by_window
from counters.reckoner import Asked
from counters.reckoning import Reckoning
from counters.rules import OF_TIME, Rule
from counters.segment import WINDOW_S
from counters.view_bounds import Interval, Value, ViewBounds
from counters.who_else import WhoElse

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
        attendance, gaps = reckoning.attendance, reckoning.gaps
        self._counted, self._event, self._gaps = attendance, attendance.event, gaps
        self._found = list(found)
        self._who = who = WhoElse(reckoning, self._found)
        self._announced_s = max([self._event.interval_s, *(change.interval_s for change in gaps.log.steering)])
        counted, net = reckoning.net, reckoning.windows.net
        self._at_most = PresenceAtMost(self._event, counted, who.possible(), self._asked(reckoning.asked), net)
        asked = replace(reckoning.asked, minutes=False)
        self._at_least = PresenceAtLeast(self._event, counted, who.doubt(), asked, net)
        self._with: dict[int, tuple[BitMap, BitMap]] = {}
        self._views = ViewBounds(
            attendance, gaps, self._found, who.losses, who.late_journals, who.known, who.strangers,
            self._at_most, unbounded=who.unbounded,
        )  # fmt: skip
        self._most = replace(
            attendance,
            net=self._at_most,
            intervals_s=self._intervals_s(),
            categories={name: seats | who.strangers for name, seats in attendance.categories.items()},
            inside=who.possibly_inside(),
        )
        in_doubt = who.doubtful or gaps.off_clocks or who.onsite_lost
        nobody_inside = {} if who.onsite_lost else attendance.inside
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
            elsewhere = cell.by_join and self._who.joins_lost
            between = (0, of(rule, replace(cell, among=None))[1]) if elsewhere else of(rule, cell)
        return self._around((value, value), between, self._fewest(rule, cell) if small else 0)

    def of_guests(self) -> bool:
        """Whether there may have been guests of whom no record is left: nothing bounds how many devices."""
        return bool(self._who.losses or self._gaps.not_counted or self._who.unbounded)

    def of_namespaces(self, rule: Rule, cell: Cell, counted: Sequence[Value], *, small: bool) -> Interval | None:
        """Return the least that the largest namespace, and the most that the sum of them, may truly be.

        `counted` are [largest, sum] as counted; the rest is as for `of`.
        """
        elsewhere = cell.by_join and self._who.joins_lost
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
        if self._who.unbounded:
            return least, None
        if cell.among is not None:
            cell = replace(cell, among=self._and_strangers(cell.among))
        return least, rule.measure(self._most, cell).value + self._by_merging(rule, cell)

    def _asked(self, asked: Asked) -> Asked:
        """Return what will be asked of the presence at most: of strangers as well."""
        counted = self._counted
        families = [counted.countries.values(), counted.categories.values(), counted.outlets.values()]
        others = [counted.namespaces.values(), [self._who.strangers]]
        return replace(
            asked,
            minutes=False,
            of_event=tuple(Partition([family, *others]) for family in families),
            of_sessions=(Partition(others),),
        )

    def _and_strangers(self, among: BitMap) -> BitMap:
        # The same set for the same question: it is asked again and again.
        if id(among) not in self._with:
            self._with[id(among)] = among, among | self._who.strangers
        return self._with[id(among)][1]

    def _by_merging(self, rule: Rule, cell: Cell) -> Value:
        """Return by how much a number may grow if strangers are other seats of people who are counted.

        Elsewhere one person less is less. But who was online in one seat and on site in another was both; and who goes
        on watching in another seat does not arrive.
        """
        most, strangers = self._at_most, self._who.strangers
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
        present = size(self._at_most.within(cell.channel, cell.session, cell.day), self._who.strangers)
        alone = rule.measure(self._most, replace(cell, among=self._who.strangers)).value
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
        if self._who.doubtful:
            nobody = {"gap": "no-journal", "window": None, "seconds": None, "worker": None, "gateway": None}
            rows.append(nobody | self._people_at_most(0, len(self._who.doubtful)))
        return rows

    def _people_at_most(self, more: int | None, fewer: int) -> dict[str, int | None]:
        below = self._event.counting.suppress_below

        def shown(people: int | None) -> int | None:
            return below if people is not None and 0 < people < below else people

        return {"more_people_at_most": shown(more), "fewer_people_at_most": shown(fewer)}

    def _intervals_s(self) -> dict[int, int]:
        """The longest heartbeat intervals that a report which is not there may have named."""
        intervals_s = dict(self._counted.intervals_s)
        for gap in self._who.losses:
            intervals_s[gap.window] = self._announced_s
        for late in self._gaps.not_counted:
            window = late.leaf.window
            intervals_s[window] = max(intervals_s.get(window, 0), late.manifest.interval_s)
        return intervals_s
