"""Numbers as they are printed: every rule over every scope, in one shape, with small cells withheld.

Cells of a session, a day, a country, a category, an outlet or of guests with fewer than `suppress_below` people,
person-days, person-sessions, devices or views (and more than none) are not published: their value is null. Averages and
hours are withheld where fewer people than that were online. Where such a cell would follow from its total and the other
cells, others are withheld as well (counters.suppression). Where attendees of several issuer namespaces meet in a cell
there is no one number of people: its value is null and `bounds` are [the largest namespace's, the sum].

A number that gaps in the evidence touch has its value and, as `bounds`, between what and what it truly lies, the second
null if nothing bounds it. Where `bounds` already are those of namespaces, they are `bounds_with_gaps`.

Guests are devices: they have cells of their own and are in no other cell of people.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from pyroaring import BitMap

from counters.attendance import ONLINE, ONSITE, Attendance
from counters.bounds import Bounds
from counters.event import Event
from counters.event_rules import rules_of
from counters.measures import Cell, Measure, unique_attendees_online
from counters.roll import UNKNOWN
from counters.rules import OF_TIME, Rule
from counters.scope_keys import SMALL_SCOPES
from counters.suppression import PEAK, Number, peak_tells, withhold, withhold_what_follows
from counters.view_bounds import Interval

DECIMALS: Final = 6
"""Averages and hours are rounded once, half to even, to a millionth."""
COUNTED_UNITS: Final = ("people", "person-days", "person-sessions", "views", "devices")
GUEST: Final = {"assurance": "guest"}
GUEST_RULES: Final = ("unique-attendees", "views")
"""What is counted of guests: their devices, and the views that these opened."""

PublicMeasure = Callable[[Rule, Cell], Measure | None]
"""What anybody can recompute from the public leaves; None where that is not possible."""
Partitions = Mapping[str, Mapping[str, BitMap]]
"""Attribute ("country", "category", "outlet") -> its values -> who has which."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope as it is printed, and the cell that it stands for."""

    printed: Mapping[str, str]  # "session" (id), "day", "country", "category", "outlet", "channel"
    cell: Cell


def printed_value(value: int | Fraction) -> int | float:
    """Return the value as it is printed: whole numbers as they are, others rounded to six decimals."""
    return value if isinstance(value, int) else float(round(value, DECIMALS))


def days_of(attendance: Attendance) -> list[str]:
    """Return every day that is scheduled, or on which anybody was present or opened a view."""
    scheduled = {attendance.event.day(window) for window in attendance.event.scheduled_windows()}
    return sorted(scheduled | set(attendance.net.days) | set(attendance.net_views.days))


def scopes(event: Event, rule: Rule, days: Iterable[str], partitions: Partitions) -> Iterator[Scope]:
    """Yield the scopes over which a certificate prints a rule: the event, then part by part."""
    bases = [Scope({}, Cell())]
    if "session" in rule.by:
        bases += [Scope({"session": one.id}, Cell(session=one.number)) for one in event.sessions]
    if "day" in rule.by:
        bases += [Scope({"day": day}, Cell(day=day)) for day in days]
    for attribute, values in partitions.items():
        if attribute in rule.by:
            bases += [
                Scope({attribute: name}, Cell(among=seats, by_join=attribute == "outlet"))
                for name, seats in values.items()
            ]
    for base in bases:
        for channel in rule.channels:
            printed = dict(base.printed) if channel is None else {**base.printed, "channel": channel}
            yield Scope(printed, replace(base.cell, channel=channel))


def all_numbers(
    attendance: Attendance, public: PublicMeasure, as_of: str, gaps: Bounds | None = None, version: int = 3
) -> list[dict[str, Any]]:
    """Return every number of the event's rules; with bounds if `gaps` touch it.

    In a certificate before version 3 there are no cells of categories, outlets or guests, and nothing is withheld
    because it would follow from others.
    """
    event, days = attendance.event, days_of(attendance)
    partitions: Partitions = {"country": attendance.countries}
    if version > 2:
        # Where no ticket and no page named one, a cell of the unknown would only repeat the total.
        more = {"category": attendance.categories, "outlet": attendance.outlets}
        partitions = {**partitions, **{name: parts for name, parts in more.items() if parts.keys() - {UNKNOWN}}}
    numbers = [
        number(attendance, rule, scope, public, as_of, gaps)
        for rule in rules_of(event)
        for scope in scopes(event, rule, days, partitions)
    ]
    if version > 2:
        _withhold_peak(attendance, numbers)
        withhold_what_follows(numbers, event.counting.suppress_below)
        numbers += _of_guests(attendance, as_of, gaps)
    return [one.row for one in numbers]


def _withhold_peak(attendance: Attendance, numbers: Iterable[Number]) -> None:
    """Withhold the event's peak if it tells how few were on site in that minute."""
    net, below = attendance.net, attendance.event.counting.suppress_below
    if len(net.within(ONSITE, None, None)) < below:
        return
    for number in numbers:
        if number.row["rule"] == PEAK and not number.row["scope"] and "at" in number.row:
            at = [attendance.event.iso(window) for window in net.windows].index(number.row["at"])
            online, onsite = (int(net.counts(channel, None, None)[0][at]) for channel in (ONLINE, ONSITE))
            if peak_tells(int(number.size), online, onsite, below):
                withhold(number.row)


def _of_guests(attendance: Attendance, as_of: str, gaps: Bounds | None) -> list[Number]:
    """Return the numbers of guests, if there were any: of nothing else, since nothing else is added to them."""
    if not attendance.guests:
        return []
    gross = replace(attendance, net=attendance.gross, namespaces={})
    scope = Scope(GUEST, Cell(among=attendance.guests))
    rows = []
    for rule in rules_of(attendance.event):
        if rule.id in GUEST_RULES:
            unit = "devices" if rule.of_people else rule.unit
            found = number(gross, rule, scope, lambda _rule, _cell: None, as_of)
            found.row["unit"] = unit
            if gaps is not None and gaps.of_guests() and not found.row.get("suppressed"):
                found.row["bounds"] = [found.row["value"], None]
            rows.append(found)
    return rows


def number(
    attendance: Attendance, rule: Rule, scope: Scope, public: PublicMeasure, as_of: str, gaps: Bounds | None = None
) -> Number:
    """Return one number, in the shape that every number has."""
    event = attendance.event
    bounds = _bounds(attendance, rule, scope.cell)
    measure = None if bounds else rule.measure(attendance, scope.cell)
    row: dict[str, Any] = {
        "rule": rule.id,
        "rule_version": rule.version,
        "scope": dict(scope.printed),
        "unit": rule.unit,
        "kind": rule.kind,
        "checkable_by": "evidence",
        "as_of": as_of,
        "value": None,
    }
    largest = bounds[1] if bounds else measure.value if measure else 0
    publicly = public(rule, scope.cell)
    found = Number(row, largest, publicly is not None)
    if _withheld(attendance, rule, scope, largest):
        row["suppressed"] = True
        return found
    small = bool(scope.printed.keys() & SMALL_SCOPES)
    if measure is None:
        row["bounds"] = [printed_value(bound) for bound in bounds]
        if gaps is not None and (between := gaps.of_namespaces(rule, scope.cell, bounds, small=small)):
            row["bounds_with_gaps"] = _printed(between)
        return found
    row["value"] = printed_value(measure.value)
    if measure.at is not None:
        row["at"] = event.iso(measure.at)
    if measure.error is not None:
        row |= as_estimate(measure)
    if publicly == measure:
        row["checkable_by"] = "log"
    if gaps is not None and (between := gaps.of(rule, scope.cell, measure.value, small=small)):
        row["bounds"] = _printed(between)
    return found


def as_estimate(measure: Measure) -> dict[str, Any]:
    """Return what a number that is an estimate says besides: relative standard error, and 95 % interval."""
    if measure.error is None:
        return {}
    return {
        "standard_error": round(measure.error.relative, DECIMALS),
        "interval95": measure.error.interval95(int(measure.value)),
    }


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
