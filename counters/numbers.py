"""Numbers as they are printed: every rule over every scope, in one shape, with small cells withheld.

Cells of a session, a day or a country with fewer than `suppress_below` people, person-days, person-sessions or views
(and more than none) are not published: their value is null. Averages and hours are withheld where fewer people than
that were online. Where attendees of several issuer namespaces meet in a cell there is no one number of people: its
value is null and `bounds` are [the largest namespace's, the sum].
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from pyroaring import BitMap

from counters.attendance import ONLINE, Attendance
from counters.event import Event
from counters.rules import RULES_BY_ID, Cell, Measure, Rule, unique_attendees_online

DECIMALS: Final = 6
"""Averages and hours are rounded once, half to even, to a millionth."""
COUNTED_UNITS: Final = ("people", "person-days", "person-sessions", "views")
WITHHELD_WITH_AUDIENCE: Final = ("average-minute-audience", "hours-viewed")

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
    return sorted(scheduled | set(attendance.net.days) | set(attendance.net_views.days.tolist()))


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


def all_numbers(attendance: Attendance, public: PublicMeasure, as_of: str) -> list[dict[str, Any]]:
    """Return every number of the event's rules."""
    chosen = [RULES_BY_ID[rule] for rule in RULES_BY_ID if rule in attendance.event.counting.rules]
    days, countries = days_of(attendance), attendance.countries
    return [
        number(attendance, rule, scope, public, as_of)
        for rule in chosen
        for scope in scopes(attendance.event, rule, days, countries)
    ]


def number(attendance: Attendance, rule: Rule, scope: Scope, public: PublicMeasure, as_of: str) -> dict[str, Any]:
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
    if measure is None:
        return row | {"bounds": [printed_value(bound) for bound in bounds]}
    value = printed_value(measure.value)
    if measure.at is not None:
        row["at"] = event.iso(measure.at)
    if public(rule, scope.cell) == measure:
        row["checkable_by"] = "log"
    return row | {"value": value}


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
    if not scope.printed.keys() & {"session", "day", "country"}:
        return False
    if rule.id in WITHHELD_WITH_AUDIENCE:
        value = unique_attendees_online(attendance, replace(scope.cell, channel=ONLINE)).value
    return (rule.unit in COUNTED_UNITS or rule.id in WITHHELD_WITH_AUDIENCE) and (
        0 < value < attendance.event.counting.suppress_below
    )
