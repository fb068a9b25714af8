"""Certificate against ground truth: every exact number, to the last person.

Where the truth is only known within bounds, the number has to lie within them. A suppressed cell passes if the truth is
in the range that is suppressed; a cell that is missing although somebody was there fails, and so does a cell twice, or
one that the truth does not know.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from load_tests.ground_truth import CHANNELS, Bounds, Recount, Scope, Truth
from load_tests.scenario import Programme

SUPPRESS_BELOW: Final = 10
"""Cells of fewer people than this are not published (DESIGN.md §6)."""

CHANNEL_RULES: Final = (
    "daily-attendance-sum",
    "session-attendance-sum",
    "peak-concurrent-attendees",
    "attended-80-percent",
    "credit-50min",
)
"""Printed for both channels together and for each."""
TIME_RULES: Final = ("average-minute-audience", "hours-viewed")
PEAK_RULES: Final = ("peak-concurrent-attendees",)
"""The three peaks of one scope tell of each other: leaves say how many were online at a minute."""
ONLINE_RULES: Final = ("reach-3min", "reach-2min", *TIME_RULES)
"""Printed for online only."""
OUTLET_RULES: Final = ("unique-attendees-online", "views", *ONLINE_RULES)
"""The only ones that are printed by outlet."""
UNIQUE_RULES: Final = (
    "unique-attendees",
    "unique-attendees-onsite",
    "unique-attendees-online",
    "unique-attendees-both",
)
PLAIN_RULES: Final = (
    *UNIQUE_RULES,
    "views",
    "inside-count",
)
NOT_PER: Final[Mapping[str, str]] = {
    "session-attendance-sum": "session",
    **dict.fromkeys(("daily-attendance-sum", "attended-80-percent", "credit-50min", "inside-count"), "day"),
}
"""Where a sum has one term, which unique-attendees prints; and what is of sessions, or of one moment."""


_Sum = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of the certificate beside the truth."""

    rule: str
    scope: Scope
    certified: int | float | None  # None = suppressed, or missing
    truth: Truth
    suppressed: bool
    problem: str  # "" if it is as it should be
    bounds: tuple[float, float | None] | None = None  # printed because of gaps; None above = not bounded

    def __str__(self) -> str:
        scope = " ".join(f"{key}={value}" for key, value in sorted(self.scope.items())) or "whole event"
        return f"{self.rule} [{scope}]: {self.problem or self.certified}"


def cells(programme: Programme, attributes: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every (rule, scope) that a certificate of this event prints."""
    scopes: list[dict[str, str]] = [{}]
    scopes += [{"session": session.id} for session in programme.sessions]
    scopes += [{"day": day} for day in programme.days]
    scopes += [{name: value} for name, values in attributes.items() for value in values]
    for scope in scopes:
        for rule in (*PLAIN_RULES, *CHANNEL_RULES, *ONLINE_RULES):
            if NOT_PER.get(rule) in scope or ("outlet" in scope and rule not in OUTLET_RULES):
                continue
            if rule not in ONLINE_RULES:
                yield rule, scope
            for channel in CHANNELS if rule in CHANNEL_RULES else CHANNELS[:1] if rule in ONLINE_RULES else ():
                yield rule, scope | {"channel": channel}


def _key(rule: str, scope: Scope) -> tuple[str, frozenset[tuple[str, str]]]:
    return rule, frozenset(scope.items())


def compare(certificate: Mapping[str, Any], recount: Recount | Bounds, programme: Programme) -> list[Compared]:
    """Compare every exact number of a certificate with the truth, and look for those that are missing."""
    compared: list[Compared] = []
    withheld = _sums_withheld(certificate)
    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    for number in certificate["numbers"]:
        if number["kind"] != "exact":
            continue
        key = _key(number["rule"], number["scope"])
        line = _compare(number, recount, withheld)
        if key in seen:
            line = Compared(line.rule, line.scope, line.certified, line.truth, line.suppressed, "printed twice")
        seen.add(key)
        compared.append(line)
    for rule, scope in cells(programme, recount.attributes()):
        if _key(rule, scope) not in seen and (truth := recount.value(rule, scope)).value:
            problem = f"missing, the truth is {truth}"
            compared.append(Compared(rule, scope, None, truth, suppressed=False, problem=problem))
    return compared


@dataclass(slots=True)
class _Withheld:
    """Of the numbers that add up: how many are withheld, and the smallest that is printed and not of the leaves."""

    count: int = 0
    smallest: float = math.inf


def _sums(number: Mapping[str, Any]) -> Iterator[_Sum]:
    """Yield the sums that a number is in: those of its rule over a part of the event, and those of its scope."""
    rule, scope = number["rule"], {key: value for key, value in number["scope"].items() if key != "channel"}
    for part in scope:
        yield part, rule, number["scope"].get("channel", "")
    for together in (UNIQUE_RULES, TIME_RULES, PEAK_RULES):
        if rule in together:
            yield *together, *(f"{key} {value}" for key, value in sorted(scope.items()))


def _sums_withheld(certificate: Mapping[str, Any]) -> dict[_Sum, _Withheld]:
    found: dict[_Sum, _Withheld] = {}
    for number in certificate["numbers"]:
        for one in _sums(number):
            row = found.setdefault(one, _Withheld())
            row.count += bool(number.get("suppressed"))
            if number["value"] and number.get("checkable_by") != "log":
                row.smallest = min(row.smallest, number["value"])
    return found


def _compare(number: Mapping[str, Any], recount: Recount | Bounds, withheld: Mapping[_Sum, _Withheld]) -> Compared:
    rule, scope, value = number["rule"], number["scope"], number["value"]
    suppressed = bool(number.get("suppressed", False))
    try:
        truth = recount.value(rule, scope)
    except KeyError as unknown:
        return Compared(rule, scope, value, Truth(0), suppressed, f"the truth knows no {unknown}")
    bounds = None if value is None or "bounds" not in number else tuple(number["bounds"])
    return Compared(rule, scope, value, truth, suppressed, _problem(number, recount, truth, withheld), bounds)


def _problem(
    number: Mapping[str, Any], recount: Recount | Bounds, truth: Truth, withheld: Mapping[_Sum, _Withheld]
) -> str:
    rule, scope, value = number["rule"], number["scope"], number["value"]
    if number.get("suppressed", False):
        hidden = recount.value("unique-attendees-online", _people_scope(scope)) if rule in TIME_RULES else truth
        if value is not None:
            return "suppressed and printed all the same"
        can_be_few = hidden.value < SUPPRESS_BELOW and (hidden.value if hidden.highest is None else hidden.highest) > 0
        # One of many may be withheld so that one of few does not follow from their sum.
        sums = [withheld[one] for one in _sums(number)]
        for_another = number["scope"] and any(row.count > 1 and truth.value <= row.smallest for row in sums)
        of_few = rule in PEAK_RULES and not scope and _can_tell_few(recount, truth)
        return "" if can_be_few or for_another or of_few else f"suppressed, but the truth is {truth}"
    if not truth.admits(value):
        return f"{value}, but the truth is {truth}"
    if truth.at and value and not recount.can_peak(scope, value, number.get("at", "")):
        return f"at {number.get('at')}, but the truth is at {truth.at}"
    return ""


def _can_tell_few(recount: Recount | Bounds, peak: Truth) -> bool:
    """Whether so few may have been on site, and not online, in the minute of the event's peak."""
    online = recount.value(PEAK_RULES[0], {"channel": "online"})
    return peak.value - (online.value if online.highest is None else online.highest) < SUPPRESS_BELOW


def _people_scope(scope: Scope) -> dict[str, str]:
    return {key: value for key, value in scope.items() if key != "channel"}
