"""The counting rules that exist, by id: an event file may name these and no others, besides declaring its own."""

import re
from typing import Final

KNOWN_RULES: Final = (
    "unique-attendees",
    "unique-attendees-onsite",
    "unique-attendees-online",
    "unique-attendees-both",
    "daily-attendance-sum",
    "session-attendance-sum",
    "views",
    "reach-3min",
    "reach-2min",
    "peak-concurrent-attendees",
    "peak-concurrent-views",
    "average-minute-audience",
    "hours-viewed",
    "attended-80-percent",
    "credit-50min",
    "inside-count",
)
"""In the order in which a certificate prints them; each id is one definition for ever, its version is counted apart."""

_ATTENDED: Final = re.compile(r"attended-([1-9][0-9]?|100)-percent")


def attended_percentage(rule_id: str) -> int | None:
    """Return P of an id `attended-P-percent`, which is a rule for any P of 1 to 100; None for any other id."""
    found = _ATTENDED.fullmatch(rule_id)
    return int(found[1]) if found else None
