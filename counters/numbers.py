"""Numbers as they are printed: every rule over every scope, in one shape, with small cells withheld.

Cells of a session, a day or a country with fewer than `suppress_below` people, person-days, person-sessions or views
(and more than none) are not published: their value is null. Averages and hours are withheld where fewer people than
that were online. Where attendees of several issuer namespaces meet in a cell there is no one number of people: its
value is null and `bounds` are [the largest namespace's, the sum].

A number that gaps in the evidence touch has its value and, as `bounds`, between what and what it truly lies, the second
null if nothing bounds it. Where `bounds` already are those of namespaces, they are `bounds_with_gaps`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from pyroaring import BitMap

from counters.attendance import ONLINE, Attendance
from counters.bounds import Bounds, Interval
from counters.event import Event
from counters.rules import OF_TIME, RULES_BY_ID, Cell, Measure, Rule, unique_attendees_online

DECIMALS: Final = 6
"""Averages and hours are rounded once, half to even, to a millionth."""
COUNTED_UNITS: Final = ("people", "person-days", "person-sessions", "views")
SMALL_SCOPES: Final = frozenset(("session", "day", "country"))
"""A cell of one of these can be so small that it is withheld."""

PublicMeasure = Callable[[Rule, Cell], Measure | None]
"""What anybody can recompute from the public leaves; None where that is not possible."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope as it is printed, and the cell that it stands for."""

    printed: Mapping[str, str]  # "session" (id), "day", "country", "channel"
    cell: Cell


def printed_value(value: int | Fraction) -> int | float:
    """Return the value as it is printed: whole numbers as they are, others rounded to six decimals."""
    return value if isinstance(value, int) else float(round(value, DECIMALS))


def days_of(attendance: Attendance) -> list[str]:
    """Return every day that is scheduled, or on which anybody was present or opened a view."""
    scheduled = {attendance.event.day(window) for window in attendance.event.scheduled_windows()}
    return sorted(scheduled | set(attendance.net.days) | set(attendance.net_views.days))


def scopes(event: Event, rule: Rule, days: Iterable[str], countries: Mapping[str, BitMap]) -> Iterator[Scope]:
    """Yield the scopes over which a certificate prints a rule: the event, then by session, day and country."""
    bases = [Scope({}, Cell())]
    if rule.by_session:
        bases += [Scope({"session": one.id}, Cell(session=one.number)) for one in event.sessions]
    if rule.by_day:
        bases += [Scope({"day": day}, Cell(day=day)) for day in days]
    bases += [Scope({"country": name}, Cell(among=seats)) for name, seats in countries.items()]
    for base in bases:
        for channel in rule.channels:
            printed = dict(base.printed) if channel is None else {**base.printed, "channel": channel}
            yield Scope(printed, replace(base.cell, channel=channel))


def all_numbers(
    attendance: Attendance, public: PublicMeasure, as_of: str, gaps: Bounds | None = None
) -> list[dict[str, Any]]:
    """Return every number of the event's rules; with bounds if `gaps` touch it."""
    chosen = [RULES_BY_ID[rule] for rule in RULES_BY_ID if rule in attendance.event.counting.rules]
    days, countries = days_of(attendance), attendance.countries
    return [
        number(attendance, rule, scope, public, as_of, gaps)
        for rule in chosen
        for scope in scopes(attendance.event, rule, days, countries)
    ]


def number(
    attendance: Attendance, rule: Rule, scope: Scope, public: PublicMeasure, as_of: str, gaps: Bounds | None = None
) -> dict[str, Any]:
    """Return one number in the shape that every number has."""
    event = attendance.event
    value: int | float | None
    bounds = _bounds(attendance, rule, scope.cell)
    measure = None if bounds else rule.measure(attendance, scope.cell)
    row: dict[str, Any] = {
        "rule": rule.id,
        "rule_version": rule.version,
        "scope": dict(scope.printed),
        "unit": rule.unit,
        "kind": "exact",
        "checkable_by": "evidence",
        "as_of": as_of,
        "value": None,
    }
    largest = bounds[1] if bounds else measure.value if measure else 0
    if _withheld(attendance, rule, scope, largest):
        return row | {"suppressed": True}
    small = bool(scope.printed.keys() & SMALL_SCOPES)
    if measure is None:
        row["bounds"] = [printed_value(bound) for bound in bounds]
        if gaps is not None and (between := gaps.of_namespaces(rule, scope.cell, bounds, small=small)):
            row["bounds_with_gaps"] = _printed(between)
        return row
    value = printed_value(measure.value)
    if measure.at is not None:
        row["at"] = event.iso(measure.at)
    if public(rule, scope.cell) == measure:
        row["checkable_by"] = "log"
    if gaps is not None and (between := gaps.of(rule, scope.cell, measure.value, small=small)):
        row["bounds"] = _printed(between)
    return row | {"value": value}


def _printed(between: Interval) -> list[int | float | None]:
    least, most = between
    return [printed_value(least), None if most is None else printed_value(most)]


def are_bounds(row: Mapping[str, Any], *, boundless: bool, version: int) -> bool:
    """Whether a printed number's bounds hold what was counted, as those of a certificate of a version must.

    Args:
        row: the number.
        boundless: whether the log shows a gap of which nobody knows what it hides: then there is no upper bound.
        version: of the certificate.
    """
    if "suppressed" in row or row["value"] is not None:
        counted, between = [row["value"]] * 2, row.get("bounds")
        if "bounds_with_gaps" in row:
            return False
    else:
        counted, between = row["bounds"], row.get("bounds_with_gaps")
    if between is None or "suppressed" in row:
        return between is None and ("suppressed" in row or not boundless)
    (least, most), (lower, upper) = counted, between
    numbers = [lower] if upper is None else [lower, upper]
    if version == 1 or not all(type(number) in (int, float) for number in numbers) or between == counted:
        return False
    return bool(lower <= least and (upper is None or (upper >= most and not boundless)))


def said_with_bounds(row: Mapping[str, Any]) -> str:
    """Return a number that gaps touch in words: "30, in truth from 30 to 65,565"."""
    least, most = row["bounds"]
    return f"{row['value']:,}, in truth from {least:,} " + ("on, not bounded" if most is None else f"to {most:,}")


def _bounds(attendance: Attendance, rule: Rule, cell: Cell) -> list[int | Fraction]:
    """Return [largest, sum] over namespaces if attendees of several are counted, else nothing."""
    if not rule.of_people or len(attendance.namespaces) < 2:
        return []
    values = []
    for seats in attendance.namespaces.values():
        among = seats if cell.among is None else seats & cell.among
        values.append(rule.measure(attendance, replace(cell, among=among)).value)
    return [max(values), sum(values)] if sum(1 for value in values if value) > 1 else []


def _withheld(attendance: Attendance, rule: Rule, scope: Scope, value: int | Fraction) -> bool:
    if not scope.printed.keys() & SMALL_SCOPES:
        return False
    if rule.id in OF_TIME:
        value = unique_attendees_online(attendance, replace(scope.cell, channel=ONLINE)).value
    return (rule.unit in COUNTED_UNITS or rule.id in OF_TIME) and (0 < value < attendance.event.counting.suppress_below)
