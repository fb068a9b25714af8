"""Every rule over every scope against the truth in plain sets."""

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from counters.numbers import all_numbers
from counters.rule_ids import KNOWN_RULES
from counters.rules import RULES
from tests.counters.synthetic import world_of
from tests.counters.test_attendance import attendance_of


def _scope(row: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(row.items()))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(289)  # a day on which only excluded people came
def test_every_number_over_every_scope_is_the_truth(seed: int) -> None:
    world = world_of(random.Random(seed))
    rows = all_numbers(attendance_of(world), lambda _rule, _cell: None, "now")
    printed = {(row["rule"], _scope(row["scope"])): row for row in rows}
    assert len(printed) == len(rows)
    expected = {
        (rule, _scope(scope)): world.number(rule, scope) for rule in KNOWN_RULES for scope in world.scopes(rule)
    }
    assert printed.keys() == expected.keys()
    for key, truth in expected.items():
        row = printed[key]
        shown = {name: row[name] for name in ("value", "at", "bounds", "suppressed") if name in row}
        assert shown == truth, key


def test_each_rule_has_a_version_a_unit_a_source_and_a_definition_of_one_sentence() -> None:
    units = ["people"] * 4 + ["person-days", "person-sessions", "views", "people", "people", "hours"]
    assert [rule.unit for rule in RULES] == units
    for rule in RULES:
        assert rule.version == 1
        assert rule.source
        assert rule.definition.endswith(".")
        assert rule.definition.count(". ") == 0
