"""No withheld number follows from those that are printed, by any sum that readers can form."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from counters.numbers import all_numbers
from counters.suppression import Number, withhold_what_follows
from tests.counters.crowd import crowd
from tests.counters.synthetic import world_of
from tests.counters.test_attendance import attendance_of
from tests.counters.test_rules import told

Row = dict[str, Any]
UNIQUE = ("unique-attendees", "unique-attendees-online", "unique-attendees-onsite", "unique-attendees-both")


def printed(seed: int, below: int) -> list[Row]:
    world = told(world_of(random.Random(seed), people=25))
    world.event = replace(world.event, counting=replace(world.event.counting, suppress_below=below))
    return all_numbers(attendance_of(world), lambda _rule, _cell: None, "now")


def sums(rows: list[Row]) -> Iterator[dict[int, int]]:
    """Yield each sum that is known to be 0 but for what is printed: position of a number -> its sign."""
    at = {(row["rule"], *sorted(row["scope"].items())): place for place, row in enumerate(rows)}
    parts: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        for part in row["scope"].keys() - {"channel"}:
            parts[part, row["rule"], row["scope"].get("channel", "")].append(place)
    for (part, rule, channel), cells in parts.items():
        of = [("channel", channel)] if channel else []
        if part in ("country", "category", "outlet") and not rule.startswith(("peak", "average")):
            yield {at[rule, *of]: -1} | dict.fromkeys(cells, 1)
        elif rule in UNIQUE[:3]:
            of = [("channel", rule.split("-")[2])] if rule != UNIQUE[0] else []
            total = "daily-attendance-sum" if part == "day" else "session-attendance-sum"
            yield {at[total, *of]: -1} | dict.fromkeys(cells, 1)
        elif rule in ("views", "inside-count", "hours-viewed") and part == "day":
            yield {at[rule, *of]: -1} | dict.fromkeys(cells, 1)
    for row in rows:
        scope = sorted(row["scope"].items())
        if row["rule"] == UNIQUE[0] and all((rule, *scope) in at for rule in UNIQUE):
            yield {at[rule, *scope]: sign for rule, sign in zip(UNIQUE, (1, -1, -1, 1), strict=True)}


def followed(rows: list[Row]) -> list[Row]:
    """Return the withheld numbers that the sums determine: those unknowns that elimination leaves alone in a line."""
    hidden = {place for place, row in enumerate(rows) if "suppressed" in row}
    lines: list[dict[int, Fraction]] = []
    for one in sums(rows):
        line = {place: Fraction(sign) for place, sign in one.items() if place in hidden}
        for pivot, known in lines_by_pivot(lines):
            if pivot in line:
                line = added(line, known, -line[pivot] / known[pivot])
        if line:
            pivot = min(line)
            lines = [added(old, line, -old[pivot] / line[pivot]) if pivot in old else old for old in lines] + [line]
    return [rows[next(iter(line))] for line in lines if len(line) == 1]


def lines_by_pivot(lines: list[dict[int, Fraction]]) -> Iterator[tuple[int, dict[int, Fraction]]]:
    for line in lines:
        yield min(line), line


def added(one: dict[int, Fraction], other: dict[int, Fraction], times: Fraction) -> dict[int, Fraction]:
    total = {place: one.get(place, Fraction(0)) + times * other.get(place, Fraction(0)) for place in one | other}
    return {place: value for place, value in total.items() if value}


@pytest.mark.parametrize("below", [3, 5])
def test_no_withheld_number_follows_from_those_that_are_printed(below: int) -> None:
    withheld = 0
    for seed in range(12):
        rows = printed(seed, below)
        withheld += sum(1 for row in rows if "suppressed" in row)
        assert [row for row in followed(rows) if not alone(rows, row)] == [], seed
    assert withheld


def alone(rows: list[Row], row: Row) -> bool:
    """Whether no other number could hide this one: all others of its part are 0, so that it is the total itself."""
    (part,) = row["scope"].keys() - {"channel"}
    others = [
        one
        for one in rows
        if one is not row and one["rule"] == row["rule"] and part in one["scope"]
        and one["scope"].get("channel") == row["scope"].get("channel")
    ]  # fmt: skip
    return all(one["value"] == 0 for one in others)


def test_without_the_others_withheld_small_cells_would_follow() -> None:
    """The check above can fail: with only the small cells withheld, some follow."""
    found = 0
    for seed in range(12):
        world = told(world_of(random.Random(seed), people=25))
        world.event = replace(world.event, counting=replace(world.event.counting, suppress_below=3))
        rows = all_numbers(attendance_of(world), lambda _rule, _cell: None, "now", version=2)
        found += len([row for row in followed(rows) if not alone(rows, row)])
    assert found


def number(size: int, *, public: bool = False, suppressed: bool = False, **scope: str) -> Number:
    row: Row = {"rule": "views", "scope": scope, "value": None if suppressed else size, "checkable_by": "evidence"}
    return Number(row | ({"suppressed": True} if suppressed else {}), size, public)


def withheld(numbers: list[Number]) -> list[str]:
    withhold_what_follows(numbers, 10)
    return [one.row["scope"]["country"] for one in numbers if "suppressed" in one.row]


def test_the_smallest_of_the_others_is_withheld_and_only_if_it_must() -> None:
    few, fr, ke = number(4, suppressed=True, country="few"), number(90, country="FR"), number(20, country="KE")
    total = number(114)
    assert withheld([total, few, fr, ke]) == ["few", "KE"]
    some = number(7, suppressed=True, country="some")
    assert withheld([total, some, number(4, suppressed=True, country="few"), fr]) == ["some", "few"]
    less = number(3, suppressed=True, country="less")
    assert withheld([total, less, number(4, suppressed=True, country="few"), number(90, country="FR")]) == [
        "less", "few", "FR",
    ]  # fmt: skip
    assert withheld([total, number(90, country="FR"), number(20, country="KE")]) == []


def test_a_peak_does_not_tell_how_few_were_on_site() -> None:
    """At the minute of the peak, leaves say how many were online: the rest of it was on site."""
    rows = [
        number(13, session="s1"),
        number(11, public=True, session="s1", channel="online"),
        number(2, suppressed=True, session="s1", channel="onsite"),
    ]
    for one in rows:
        one.row["rule"] = "peak-concurrent-attendees"
    withhold_what_follows(rows, 5)
    assert [one.row["value"] for one in rows] == [None, 11, None]


@pytest.mark.parametrize(("onsite", "ever", "withheld"), [
    (2, 8, True), (5, 8, False), (0, 8, False), (2, 0, False),
])  # fmt: skip
def test_the_peak_of_the_event_does_not_tell_how_few_were_on_site_in_its_minute(
    onsite: int, ever: int, withheld: bool
) -> None:
    """Unless that few were ever there, which is printed: `ever` came some minutes later."""
    world = crowd(onsite, ever)
    rows = all_numbers(attendance_of(world), lambda _rule, _cell: None, "now")
    (peak,) = [row for row in rows if (row["rule"], row["scope"]) == ("peak-concurrent-attendees", {})]
    assert ("suppressed" in peak, "at" in peak) == (withheld, not withheld)
    assert peak["value"] == (None if withheld else 12 + onsite)


def test_what_public_leaves_tell_is_never_withheld_in_anothers_place() -> None:
    few = number(4, suppressed=True, country="few")
    assert withheld([few, number(20, public=True, country="KE"), number(90, country="FR")]) == ["few", "FR"]
