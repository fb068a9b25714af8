"""Numbers in words, as sheets and press sentences print them: pure functions of rows of a certificate's `numbers`."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

Row = Mapping[str, Any]

NOT_TO_BE_TAKEN_FOR: Final = {
    "people": "",
    "person-days": ", which are not people",
    "person-sessions": ", which are not people",
    "views": ", which are not viewers",
    "hours": ", which are not people",
    "devices": ", which are not people",
}
"""By unit: what is printed after it, so that nobody takes it for another."""


def figure(value: float) -> str:
    """Return a value as it is written: thousands with commas, at most two decimals, none where there are none."""
    text = f"{value:,.2f}"
    return text.rstrip("0").rstrip(".")


def said(row: Row) -> str:
    """Return a number: its value; of several namespaces "between 30 and 40"; of an estimate "about 30"."""
    if row["value"] is None:
        least, most = row["bounds"]
        return f"between {figure(least)} and {figure(most)}"
    return ("about " if row["kind"] == "estimate" else "") + figure(row["value"])


def people(row: Row) -> str:
    """Return a number of people with its noun: "1 person", "20 people"."""
    return f"{said(row)} {'person' if row['value'] == 1 else 'people'}"


def whole_event(numbers: Iterable[Row]) -> dict[str, Row]:
    """Return by rule its number of the whole event: of both channels, or of the only one that it is printed for."""
    found: dict[str, Row] = {}
    for row in numbers:
        of_it = not row["scope"].keys() - {"channel"} and "suppressed" not in row
        if of_it and (row["rule"] not in found or not row["scope"]):
            found[row["rule"]] = row
    return found
