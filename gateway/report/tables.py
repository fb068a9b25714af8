"""A certificate's numbers as tables for people: one list for PDF, CSV and XLSX alike.

A cell is a text, a whole or broken number, or None where there is nothing to say. A number that is withheld is the
text `WITHHELD`, one that nobody can give as one figure the text of its interval: no table turns either into a zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Cell = str | int | float | None

WITHHELD: Final = "withheld"
"""What stands where a certificate withholds a number because so few people are in it."""
CHANNELS: Final = {"online": "online", "onsite": "on site"}
BREAKDOWNS: Final = {
    "session": ("Sessions", "Session"),
    "day": ("Days", "Day"),
    "country": ("Countries", "Country"),
    "category": ("Categories", "Category"),
    "outlet": ("Outlets", "Outlet"),
    "assurance": ("Assurance", "Assurance"),
}
"""Keys of a scope by which numbers are broken down, with the title of the table and of its first column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what stands above it, and in which unit its numbers are."""

    title: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table. All rows are as long as `columns`."""

    name: str  # of a CSV file or a sheet: a-z and -
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def rule_name(rule: str, channel: str | None = None) -> str:
    """Return a rule's id as people read it: "Unique attendees", "Peak concurrent attendees, on site"."""
    words = rule.replace("-", " ").replace("onsite", "on site")
    named = words[:1].upper() + words[1:]
    return f"{named}, {CHANNELS[channel]}" if channel else named


def minute_of(time: str) -> str:
    """Return an ISO 8601 time as people read it, in the zone that it is in: "2023-11-19 09:03"."""
    return time[:16].replace("T", " ")


def cell_of(number: Mapping[str, Any]) -> Cell:
    """Return a number of a certificate as a cell."""
    if number.get("suppressed"):
        return WITHHELD
    return _figure_of(number)


def truth_of(number: Mapping[str, Any]) -> str:
    """Return between what and what a number truly lies, in words; "" where that is the number itself."""
    said = []
    if number["kind"] == "estimate" and number["value"] is not None:
        low, high = number["interval95"]
        said.append(f"95 %: {low:,} to {high:,}")
    if bounds := number.get("bounds_with_gaps" if number["value"] is None else "bounds"):
        low, high = bounds
        said.append(f"{low:,} or more" if high is None else f"{low:,} to {high:,}")
    return "; with gaps ".join(said)


def tables_of(certificate: Mapping[str, Any]) -> tuple[Table, ...]:
    """Return every table of a certificate (its decoded members, of any version) that has a row."""
    tables = (
        event_table(certificate),
        *(breakdown_table(certificate, key) for key in BREAKDOWNS),
        comparability_table(certificate),
        minutes_table(certificate),
        apart_table(certificate),
        waterfall_table(certificate),
        gaps_table(certificate),
        cross_check_table(certificate),
        curve_table(certificate),
        numbers_table(certificate),
    )
    return tuple(table for table in tables if table.rows)


def event_table(certificate: Mapping[str, Any]) -> Table:
    """Return the numbers of the whole event."""
    columns = ("Number", "Value", "Unit", "In truth", "When", "Checkable by")
    rows = [
        (
            rule_name(number["rule"], number["scope"].get("channel")),
            cell_of(number),
            number["unit"],
            truth_of(number),
            minute_of(number.get("at", "")),
            number["checkable_by"],
        )
        for number in certificate["numbers"]
        if number["scope"].keys() <= {"channel"}
    ]
    return _table("event", "The whole event", "", columns, rows)


def breakdown_table(certificate: Mapping[str, Any], key: str) -> Table:
    """Return one row for each value of a scope's key, one column for each rule and channel."""
    found: dict[tuple[str, str | None], dict[str, Mapping[str, Any]]] = {}
    values: dict[str, None] = {}
    for number in certificate["numbers"]:
        scope = number["scope"]
        if key in scope and scope.keys() <= {key, "channel"}:
            found.setdefault((number["rule"], scope.get("channel")), {})[scope[key]] = number
            values[scope[key]] = None
    units = {rule["id"]: rule["unit"] for rule in certificate["rules"]}
    columns = [Column(rule_name(*column), units.get(column[0], "")) for column in found]
    names = (
        {session["id"]: session["title"] for session in certificate["event"]["sessions"]} if key == "session" else {}
    )
    rows = [
        (names.get(value, value), *(cell_of(cells[value]) if value in cells else None for cells in found.values()))
        for value in values
    ]
    title, head = BREAKDOWNS[key]
    return Table(key, title, "", (Column(head), *columns), tuple(rows))


def comparability_table(certificate: Mapping[str, Any]) -> Table:
    """Return all rules over the same evidence, beside each other."""
    sheet = certificate.get("comparability") or {"statement": "", "rows": []}
    rows = [(row["rule"], _figure_of(row), row["unit"], row["definition"]) for row in sheet["rows"]]
    columns = ("Rule", "Value", "Unit", "Counts")
    return _table("comparability", "Comparability sheet", sheet["statement"], columns, rows)


def minutes_table(certificate: Mapping[str, Any]) -> Table:
    """Return how many people attended for how many minutes."""
    rows = [
        (scope_name(certificate, each["scope"]), _band(band), _value(band["people"]))
        for each in certificate.get("minutes") or []
        for band in each.get("bands") or []
    ]
    return _table("minutes", "Minutes attended", "", ("Of", "Minutes", "People"), rows)


def apart_table(certificate: Mapping[str, Any]) -> Table:
    """Return what is shown apart: outside the schedule, in the background."""
    apart = certificate.get("apart") or {"statement": "", "rows": []}
    parts = [
        (scope_name(certificate, each.get("scope", {})), part.replace("_", " "), counts)
        for each in apart["rows"]
        for part, counts in each.items()
        if isinstance(counts, Mapping) and part != "scope"
    ]
    spaces = _spaces(counts["people"] for *_, counts in parts)
    rows = [
        (of, part, *_people(counts["people"], spaces), _value(counts["person_minutes"])) for of, part, counts in parts
    ]
    columns = ("Of", "Part", *_people_columns("People", spaces), "Person-minutes")
    return _table("apart", "Shown apart", apart["statement"], columns, rows)


def waterfall_table(certificate: Mapping[str, Any]) -> Table:
    """Return the way from all joins to what is counted."""
    waterfall = certificate.get("waterfall") or {"statement": "", "rows": []}
    spaces = _spaces(row["people"] for row in waterfall["rows"])
    rows = [
        (row["step"], row["reason"], *_people(row["people"], spaces), _value(row["views"])) for row in waterfall["rows"]
    ]
    columns = ("Step", "Reason", *_people_columns("People", spaces), "Views")
    return _table("waterfall", "From gross to net", waterfall["statement"], columns, rows)


def gaps_table(certificate: Mapping[str, Any]) -> Table:
    """Return what the evidence lacks, and what that may hide."""
    bounds = certificate["gaps"].get("bounds") or {"statement": "", "rows": []}
    rows = [
        (
            row["gap"],
            minute_of(row["window"] or ""),
            row["seconds"],
            _unbounded(row["more_people_at_most"]),
            _unbounded(row["fewer_people_at_most"]),
        )
        for row in bounds["rows"]
    ]
    columns = ("Gap", "Window", "Seconds", "More people at most", "Fewer people at most")
    return _table("gaps", "Gaps", bounds["statement"], columns, rows)


def cross_check_table(certificate: Mapping[str, Any]) -> Table:
    """Return the live path's estimates beside the exact counts."""
    check = certificate["cross_check"]
    rows = [
        (
            scope_name(certificate, row["scope"]),
            WITHHELD if row.get("suppressed") else row["estimate"],
            WITHHELD if row.get("suppressed") else row["exact"],
            row["difference_in_standard_errors"],
        )
        for row in check["unions"]
    ]
    columns = ("Of", "HyperLogLog", "Exact", "Difference in standard errors")
    return _table("cross-check", "Estimate beside exact", check["statement"], columns, rows)


def curve_table(certificate: Mapping[str, Any]) -> Table:
    """Return how many people were present, minute by minute."""
    curve = certificate.get("curve") or {"windows": []}
    titles = {"either": "People", "online": "People online", "onsite": "People on site"}
    lines = [line for name, title in titles.items() if name in curve for line in lines_of(curve[name], title)]
    rows = list(zip(curve["windows"], *(values for _, values in lines), strict=True))
    columns = ("Minute", *(title for title, _ in lines))
    return _table("curve", "Minute by minute", "", columns, [tuple(map(_value, row)) for row in rows])


def lines_of(column: Any, title: str) -> list[tuple[str, Sequence[int | None]]]:
    """Return a column of the curve with its title; of several namespaces one for each."""
    if not isinstance(column, Mapping):
        return [(title, column)]
    return [(f"{title}, {space_name(name)}", values) for name, values in column.items()]


def space_name(namespace: str) -> str:
    """Return a namespace as people read it."""
    return namespace or "in no journal"


def _spaces(figures: Iterable[Any]) -> list[str]:
    """Return the namespaces that figures of people are of; nothing if there is only one."""
    return sorted({name for figure in figures if isinstance(figure, Mapping) for name in figure})


def _people_columns(title: str, spaces: Sequence[str]) -> list[str]:
    return [f"{title}, {space_name(name)}" for name in spaces] or [title]


def _people(figure: Any, spaces: Sequence[str]) -> list[Cell]:
    """Return the cells of a figure of people; of several namespaces no cell adds them up."""
    if not isinstance(figure, Mapping):
        return [_value(figure)] * max(len(spaces), 1)
    return [_value(figure.get(name, 0)) for name in spaces]


def numbers_table(certificate: Mapping[str, Any]) -> Table:
    """Return every number of the certificate, one a row, with all that the certificate says of it."""
    keys = ("session", "channel", "day", "country", "category", "outlet", "assurance")
    rows = [
        (
            number["rule"],
            number["rule_version"],
            *(number["scope"].get(key, "") for key in keys),
            cell_of(number),
            number["unit"],
            number["kind"],
            number["checkable_by"],
            *(_bounds(number)),
            number.get("at", ""),
            number["as_of"],
        )
        for number in certificate["numbers"]
    ]
    columns = ("rule", "rule_version", *keys, "value", "unit", "kind", "checkable_by", "least", "most", "at", "as_of")
    return _table("numbers", "Every number", "", columns, rows)


def scope_name(certificate: Mapping[str, Any], scope: Mapping[str, str]) -> str:
    """Return a scope as people read it: "Opening ceremony, online"; of nothing "the event"."""
    titles = {session["id"]: session["title"] for session in certificate["event"]["sessions"]}
    said = dict(scope)
    space = [space_name(said.pop("namespace"))] if "namespace" in said else []
    parts = [
        titles.get(value, value) if key == "session" else CHANNELS.get(value, value)
        for key, value in sorted(said.items(), key=lambda item: item[0] == "channel")
    ] + space
    return ", ".join(parts) or "the event"


def _table(name: str, title: str, note: str, columns: Sequence[str], rows: Iterable[tuple[Cell, ...]]) -> Table:
    return Table(name, title, note, tuple(map(Column, columns)), tuple(rows))


def _figure_of(row: Mapping[str, Any]) -> Cell:
    """Return a row's number; of several namespaces its interval."""
    if row["value"] is None and "bounds" in row:
        return " to ".join(f"{bound:,}" for bound in row["bounds"])
    return _value(row["value"])


def _value(value: Cell) -> Cell:
    return WITHHELD if value is None else value


def _unbounded(people: int | None) -> Cell:
    return "not bounded" if people is None else people


def _bounds(number: Mapping[str, Any]) -> tuple[Cell, Cell]:
    low, high = number.get("bounds_with_gaps") or number.get("bounds") or number.get("interval95") or (None, None)
    return low, high


def _band(band: Mapping[str, Any]) -> str:
    low, high = band["from"], band["to"]
    return f"{low}" if low == high else f"{low} or more" if high is None else f"{low} to {high}"
