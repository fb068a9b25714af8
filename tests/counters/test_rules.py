"""Every rule over every scope against the truth in plain sets."""

import random
from dataclasses import replace
from typing import TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st

from counters.numbers import all_numbers
from counters.rule_ids import KNOWN_RULES
from counters.rules import RULES
from tests.counters.synthetic import World, world_of
from tests.counters.synthetic_rules import OWN_RULES
from tests.counters.test_attendance import attendance_of

AnyWorld = TypeVar("AnyWorld", bound=World)


def _scope(row: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(row.items()))


def told(world: AnyWorld) -> AnyWorld:
    """Return the world, its event counting by rules of its own as well."""
    counting = replace(world.event.counting, rules=(*KNOWN_RULES, "attended-35-percent"))
    world.event = replace(world.event, counting=counting, own_rules=OWN_RULES)
    return world


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(289)  # a day on which only excluded people came
def test_every_number_over_every_scope_is_the_truth(seed: int) -> None:
    world = told(world_of(random.Random(seed)))
    rows = all_numbers(attendance_of(world), lambda _rule, _cell: None, "now")
    printed = {(row["rule"], _scope(row["scope"])): row for row in rows}
    assert len(printed) == len(rows)
    expected = {
        (rule, _scope(scope)): world.number(rule, scope) for rule in world.rules() for scope in world.scopes(rule)
    }
    assert printed.keys() == expected.keys()
    for key, truth in expected.items():
        row = printed[key]
        shown = {name: row[name] for name in ("value", "at", "bounds", "suppressed") if name in row}
        assert shown in (truth, {"value": None, "suppressed": True}), key


def test_each_rule_has_a_version_a_unit_a_source_and_a_definition_of_one_sentence() -> None:
    units = ["people"] * 4 + ["person-days", "person-sessions", "views", "people", "people"]
    units += ["people", "views", "people", "hours", "people", "people", "people"]
    assert [rule.unit for rule in RULES] == units
    for rule in RULES:
        assert rule.version == 1
        assert rule.source
        assert rule.definition.endswith(".")
        assert rule.definition.count(". ") == 0
