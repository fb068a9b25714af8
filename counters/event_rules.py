"""The rules that one event counts by: those of the catalogue that it names, and its own, which it declares."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from counters import canonical_json, measures
from counters.event import Event, OwnRule
from counters.measures import Threshold
from counters.rule_ids import KNOWN_RULES, attended_percentage
from counters.rules import PEOPLE_PARTS, RULES_BY_ID, Rule, attended_percent

SOURCE: Final = "the event's own rule, declared in its event file and locked in entry 0"


def rules_of(event: Event) -> tuple[Rule, ...]:
    """Return the rules in the order in which a certificate prints them: the catalogue's, then the event's own."""

    def place(rule_id: str) -> tuple[int, int]:
        percent = attended_percentage(rule_id)
        return KNOWN_RULES.index("attended-80-percent" if percent else rule_id), percent or 0

    named = (_named(rule_id) for rule_id in sorted(event.counting.rules, key=place))
    return (*named, *(_own(rule) for rule in event.own_rules))


def rule_of(event: Event, rule_id: str) -> Rule:
    """Return a rule that the event counts by.

    Raises:
        KeyError: it does not count by it.
    """
    if rule_id in event.counting.rules:
        return _named(rule_id)
    return _own({rule.id: rule for rule in event.own_rules}[rule_id])


OTHER_EVENT: Final = (
    "this data directory was begun with another event file or pseudonym key: rules are locked once the log has begun. "
    "Start with the file that leaf 0 holds, or in a new directory"
)


def other_event(locked: Mapping[str, Any], event: Event) -> str:
    """Return why a log that another event began cannot be gone on with, and what to do.

    Where the two differ in nothing but the rules that they name, a version with fewer rules began an event whose file
    names none: the line that is missing is said.
    """
    counting = locked["counting"]
    if replace(event, counting=replace(event.counting, rules=tuple(counting["rules"]))).canonical() != (
        canonical_json.encode(dict(locked))
    ):
        return OTHER_EVENT
    line = f"rules = {json.dumps(counting['rules'])}"
    return f"{OTHER_EVENT}. They differ in the rules alone: write {line} in the table [counting]"


def _named(rule_id: str) -> Rule:
    percent = attended_percentage(rule_id)
    return attended_percent(percent) if percent else RULES_BY_ID[rule_id]


def _own(rule: OwnRule) -> Rule:
    threshold = Threshold(rule.windows or 0, rule.percent or 0, rule.consecutive, rule.in_schedule, rule.category)
    by_day = frozenset(("day",)) if rule.consecutive and rule.windows else frozenset()
    return Rule(
        rule.id,
        1,
        "people",
        _definition(rule),
        SOURCE,
        partial(measures.long_enough, threshold),
        channels=(rule.channel,),
        by=PEOPLE_PARTS | by_day,
        parameters=rule.parameters(),
        threshold=threshold,
    )


def _definition(rule: OwnRule) -> str:
    """Return the rule in one sentence, from its parameters alone."""
    who = f"Attendees of the categor{'ies' if len(rule.category) > 1 else 'y'} {', '.join(rule.category)}"
    where = {None: "present online or on site", "online": "present online", "onsite": "present on site"}[rule.channel]
    row = "consecutive " if rule.consecutive else ""
    if rule.percent:
        minutes = f"{rule.percent} % of one session's scheduled windows (clock minutes)"
        minutes += ", one after the other" if rule.consecutive else ""
    elif rule.in_schedule:
        minutes = f"{rule.windows} {row}scheduled windows (clock minutes) of one session"
    else:
        minutes = f"{rule.windows} {row}windows (clock minutes), in or out of schedule"
    return f"{who if rule.category else 'Attendees'} {where} in at least {minutes}, each counted once."
