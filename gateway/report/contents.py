"""What the pages of a report say, as JSON: texts and tables in the order in which report.typ sets them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from gateway.report import charts
from gateway.report.tables import (
    BREAKDOWNS,
    WITHHELD,
    Cell,
    Table,
    cell_of,
    minute_of,
    rule_name,
    tables_of,
    truth_of,
)

HEADLINES: Final = (
    ("unique-attendees", None),
    ("peak-concurrent-attendees", None),
    ("average-minute-audience", "online"),
    ("daily-attendance-sum", None),
)
"""Numbers of the title page, as far as the event counts by these rules: (rule, channel)."""
BESIDE: Final = ("unique-attendees-online", "unique-attendees-onsite", "unique-attendees-both")
"""What stands beneath the first of them."""
NOT_SET: Final = ("curve", "numbers")
"""Tables that are for spreadsheets: a PDF has the curve as a picture, and its numbers in the other tables."""
ROWS_LIMIT: Final = 400
"""A longer table is cut here, with a sentence that says so and where the rest is."""
IN_BREAKDOWNS: Final = (
    "Unique attendees", "Unique attendees online", "Unique attendees on site", "Views", "Peak concurrent attendees",
    "Average minute audience, online", "Hours viewed, online",
)  # fmt: skip
"""What a page's width has room for; the spreadsheet has every column."""
SEVERAL: Final = (
    "Attendees are known in the namespaces {names}. Nobody can tell whether somebody in one is somebody in another, so "
    "people of several are in no one figure: numbers are from the largest namespace's to the sum of all, and tables "
    "and the curve have each by itself."
)
NO_HOST: Final = ".invalid"
"""What a log is named under that was given no address (RFC 2606)."""
WIDE: Final = 5
"""With more columns than this each gets a share of the page."""
LEAST_WIDTH: Final = 10
MOST_WIDTH: Final = 44
"""Characters of a column of texts between which its share grows."""


def verifier_beside(document: Mapping[str, Any]) -> str:
    """Return where the log's publisher serves the verifier's page: /verify of the log's host; "" if it names none."""
    host = document["log"]["origin"].partition("/")[0]
    return "" if host.endswith(NO_HOST) else f"https://{host}/verify"


def charts_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the charts that a certificate has something for, as SVG by name."""
    found = {}
    if curve := document.get("curve"):
        found["curve"] = charts.curve_chart(curve)
    of_event = [each for each in document.get("minutes") or [] if not each["scope"] and each.get("bands")]
    if of_event:
        found["minutes"] = charts.bars_chart([(_short_band(band), band["people"]) for band in of_event[0]["bands"]])
    return found


def _short_band(band: Mapping[str, Any]) -> str:
    low, high = band["from"], band["to"]
    return f"{low}" if low == high else f"{low}+" if high is None else f"{low}–{high}"


def contents_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the pages say, as JSON: texts and tables in the order in which they are set."""
    event = document["event"]
    tables = [_fitted(table) for table in tables_of(document) if table.name not in NOT_SET]
    return {
        "event": {
            "name": event["name"],
            "organiser": event["organiser"],
            "dates": _dates(event["sessions"]),
            "format": event["format"],
            "time_zone": event["time_zone"],
            "sessions": len(event["sessions"]),
            "locked_at": event["locked_at"],
        },
        "notice": document["notice"],
        "headlines": headlines_of(document),
        "issued_at": document["issued_at"],
        "software": document["software"],
        "press": [row["sentence"] for row in document.get("press") or []],
        "confusions": [row["sentence"] for row in (document.get("comparability") or {}).get("confusions", [])],
        "charts": sorted(charts_of(document)),
        "tables": [_as_json(table) for table in tables],
        "identity": [
            {"operated_by": issuer["operated_by"], "namespace": issuer["namespace"], "assurance": issuer["assurance"],
             "development": issuer["development"]}
            for issuer in document["identity"]["issuers"]
        ],
        "statements": _statements(document),
        "rules": [
            {"id": rule["id"], "version": rule["version"], "unit": rule["unit"], "definition": rule["definition"],
             "source": rule["source"]}
            for rule in document["rules"]
        ],
        "log": document["log"],
        "event_sha256": document["event_sha256"],
        "roll": document.get("roll"),
        "corrections": document.get("corrections") or [],
        "audits": [sentence for draw in document.get("audits") or [] for sentence in audit_sentences(draw)],
    }  # fmt: skip


def audit_sentences(draw: Mapping[str, Any]) -> list[str]:
    """Return what was found of a draw from the roll, a sentence for each auditor; one if nobody has stated anything."""
    beacon, unproven = draw["beacon"], "; that the roll came before the beacon rests on the operator's word"
    round_of = f"round {beacon['round']} of {beacon['name']}"
    drawn = f"Of the roll of entry {draw['roll']}, {draw['k']:,} entries were drawn by {round_of}"
    found = [
        f"{drawn}: {result['drawn']:,} opened, {result['bogus']:,} of them bogus. At most {result['bogus_at_most']:,} "
        f"entries of the whole roll are bogus, with {result['confidence_percent']} % confidence"
        f"{'' if result['order_witnessed'] else unproven}. Stated by {result['auditor']} at {result['stated_at']}."
        for result in draw["results"]
    ]
    return found or [f"{drawn}: no auditor has stated a result."]


def headlines_of(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the numbers of the title page: value, unit, name, definition, and between what the truth lies."""
    numbers = {
        (number["rule"], number["scope"].get("channel")): number
        for number in document["numbers"]
        if number["scope"].keys() <= {"channel"}
    }
    definitions = {rule["id"]: rule["definition"] for rule in document["rules"]}
    chosen = [key for key in HEADLINES if key in numbers] or list(numbers)[:1]
    return [_headline(numbers[key], definitions[key[0]], numbers) for key in chosen]


def _headline(
    number: Mapping[str, Any],
    definition: str,
    numbers: Mapping[tuple[str, str | None], Mapping[str, Any]],
) -> dict[str, str]:
    beside = [numbers[rule, None] for rule in BESIDE if (rule, None) in numbers]
    parts = [f"{shown(cell_of(each))} {rule_name(each['rule'])[len('Unique attendees ') :].lower()}" for each in beside]
    return {
        "value": shown(cell_of(number)),
        "unit": number["unit"],
        "name": rule_name(number["rule"], number["scope"].get("channel")),
        "definition": definition,
        "truth": truth_of(number),
        "at": minute_of(number.get("at", "")),
        "beside": ", ".join(parts) if number["rule"] == "unique-attendees" else "",
        "checkable_by": number["checkable_by"],
    }


def shown(cell: Cell) -> str:
    """Return a cell as it is set: "21,700", "619.6"."""
    if isinstance(cell, str) or cell is None:
        return cell or ""
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.1f}"


def _fitted(table: Table) -> Table:
    """Return a table as it fits a page's width and is not endless."""
    note, rows = table.note, table.rows
    if len(rows) > ROWS_LIMIT:
        note = f"{note} The first {ROWS_LIMIT:,} of {len(rows):,} rows; the spreadsheet has all of them.".strip()
        rows = rows[:ROWS_LIMIT]
    kept = list(range(len(table.columns)))
    if table.name in BREAKDOWNS:
        chosen = [at for at, column in enumerate(table.columns) if at == 0 or column.title in IN_BREAKDOWNS]
        kept = chosen if len(chosen) > 1 else kept[: 1 + len(IN_BREAKDOWNS)]
        if len(kept) < len(table.columns):
            note = f"{note} The spreadsheet has all {len(table.columns) - 1} numbers of each.".strip()
    # A column that says nothing takes room from those that do.
    kept = [at for at in kept if any(row[at] not in ("", None) for row in rows)]
    return replace(
        table, note=note, columns=tuple(table.columns[at] for at in kept),
        rows=tuple(tuple(row[at] for at in kept) for row in rows),
    )  # fmt: skip


def _as_json(table: Table) -> dict[str, Any]:
    numeric = [
        at > 0 and all(not isinstance(row[at], str) or row[at] in {"", WITHHELD} for row in table.rows)
        for at in range(len(table.columns))
    ]
    return {
        "name": table.name,
        "title": table.title,
        "note": table.note,
        "columns": [
            {
                "title": column.title,
                "unit": column.unit,
                "numeric": numeric[at],
                "width": _width(table, at, numeric[at]),
            }
            for at, column in enumerate(table.columns)
        ],
        "rows": [[shown(cell) for cell in row] for row in table.rows],
    }


def _width(table: Table, at: int, numeric: bool) -> int:
    """Return how wide a column is beside the others; 0 = as its numbers need."""
    if numeric:
        return 9 if len(table.columns) > WIDE else 0
    return min(max([LEAST_WIDTH, *(len(shown(row[at])) for row in table.rows)]), MOST_WIDTH)


def _dates(sessions: Sequence[Mapping[str, str]]) -> str:
    days = sorted(
        {session["starts_at"][:10] for session in sessions} | {session["ends_at"][:10] for session in sessions}
    )
    first, last = (datetime.fromisoformat(day) for day in (days[0], days[-1]))
    said = f"{last.day} {last:%B} {last.year}"
    if first == last:
        return said
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {said}"
    return f"{first.day} {first:%B}{'' if first.year == last.year else f' {first.year}'} to {said}"


def _intervals(settings: Mapping[str, Any]) -> str:
    """Return in words the interval of heartbeats, and how it was changed while the event ran."""
    before = settings["interval_s"]
    said = [f"every {before} s"]
    for change in settings.get("steering") or []:
        if change["interval_s"] != before:
            before = change["interval_s"]
            said.append(f"every {before} s from {minute_of(change['at'])} on")
    return ", ".join(said)


def _statements(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the sentences that say what the numbers mean and what they cannot tell."""
    settings = document["settings"]
    names = sorted({issuer["namespace"] for issuer in document["identity"]["issuers"]})
    several = SEVERAL.format(names=", ".join(names)) if len(names) > 1 else ""
    said = [
        ("Who is counted", document["identity"]["statement"]),
        ("Keys of issuers", document["identity"].get("key_changes_statement", "")),
        ("Several namespaces", several),
        ("Guests", document["identity"]["guests"]),
        ("Heartbeats", f"Players were asked for one {_intervals(settings)}. {settings['silence']}"),
        ("Pause", settings["pause"]),
        ("On site", settings["onsite"]),
        ("Small numbers", document["suppression"]["statement"]),
        ("Several seats", document["aliases"]["statement"]),
        ("Witnesses", document["witnesses_statement"]),
    ]
    return [{"title": title, "text": text} for title, text in said if text]
