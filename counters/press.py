"""Press sentences: for each number of the whole event the sentence to print, with its unit and its definition in it.

A sentence is made from rule and number, so that views cannot be published as viewers. A pure function of a
certificate's `numbers`, `rules` and `event`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from counters.wording import NOT_TO_BE_TAKEN_FOR, Row, figure, said

IN_PLAIN_WORDS: Final = {
    "average-minute-audience": "People watching in an average scheduled minute: all the time that they watched within "
    "the schedule, divided by the scheduled time",
    "hours-viewed": "All the time that people watched within the schedule, added up",
}
"""What rules count whose definition is a formula, which nobody prints; it is among the certificate's `rules`."""
ONE_OF: Final = {"people": "person", "views": "view", "hours": "hour"}


def press(
    numbers: Iterable[Row], rules: Iterable[Mapping[str, Any]], event: Mapping[str, Any], *, simulated: bool
) -> list[dict[str, Any]]:
    """Return the certificate's member `press`: for each number of the whole event, also by channel, its sentence.

    Args:
        numbers: the certificate's.
        rules: the certificate's.
        event: the certificate's; while it goes on, sentences begin with INTERIM.
        simulated: whether the certificate is; its sentences then begin with that.
    """
    mark = "SIMULATED: " * simulated + "INTERIM: " * bool(event["windows_to_come"])
    definitions = {rule["id"]: rule["definition"] for rule in rules}
    return [
        {
            "rule": row["rule"],
            "scope": dict(row["scope"]),
            "sentence": mark + _sentence(row, definitions[row["rule"]], event),
        }
        for row in numbers
        if not row["scope"].keys() - {"channel"} and "suppressed" not in row
    ]


def _sentence(row: Row, definition: str, event: Mapping[str, Any]) -> str:
    where = {None: "", "online": " online", "onsite": " on site"}[row["scope"].get("channel")]
    unit = ONE_OF.get(row["unit"], row["unit"]) if row["value"] == 1 else row["unit"]
    what = f"{said(row)} {unit}{where}{NOT_TO_BE_TAKEN_FOR[row['unit']]}"
    meaning = IN_PLAIN_WORDS.get(row["rule"], definition).rstrip(".")
    text = f"{event['name']} counted {what} ({row['rule']}: {meaning})"
    if row["value"] is None:
        text += ". People of several ticket issuers cannot be told apart across them, so there is no one number"
    elif "interval95" in row:
        low, high = row["interval95"]
        text += f". An estimate: between {figure(low)} and {figure(high)} with 95 % confidence"
    least, most = (
        row.get("bounds_with_gaps") or (row.get("bounds") if row["value"] is not None else None) or (None,) * 2
    )
    if least is not None:
        upper = "on, not bounded above" if most is None else f"to {figure(most)}"
        text += f". Evidence is missing: the true number is from {figure(least)} {upper}"
    return text + "."
