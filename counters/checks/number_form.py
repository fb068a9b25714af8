"""The form of a number's row: no member, scope or kind of value that no number has: nothing else passes for one."""

from collections.abc import Mapping
from typing import Any, Final

SCOPES: Final = frozenset(("session", "day", "country", "category", "outlet", "assurance", "channel"))
ALWAYS: Final = frozenset(("rule", "rule_version", "scope", "unit", "kind", "checkable_by", "as_of", "value"))
COUNTED: Final = frozenset(("at", "standard_error", "interval95", "bounds", "bounds_with_gaps"))


def misshapen(row: Mapping[str, Any]) -> str:
    """Return in words what is wrong with the form of a number's row; "" if nothing is."""
    scope, value = row["scope"], row["value"]
    withheld = "suppressed" in row
    silent = row.get("suppressed") is True and value is None and row.keys() == ALWAYS | {"suppressed"}
    is_number = value is None or (_is_number(value) and value >= 0)
    wrong = {
        "there is no such scope": not scope.keys() <= SCOPES
        or not all(isinstance(text, str) for text in scope.values()),
        "its version is no whole number": type(row["rule_version"]) is not int,
        "it is withheld, and says something all the same": withheld and not silent,
        "it has members that no number has, or lacks one": not withheld
        and not ALWAYS <= row.keys() <= ALWAYS | COUNTED,
        "its value is no number": not withheld and not is_number,
        "its bounds are no numbers": not withheld and not _has_bounds(row),
        "its time or error is none": not isinstance(row.get("at", ""), str)
        or not _is_number(row.get("standard_error", 0)),
    }
    return next((words for words, holds in wrong.items() if holds), "")


def _has_bounds(row: Mapping[str, Any]) -> bool:
    """Whether what stands as bounds are two numbers, the second maybe null; of a number without value they must be."""
    if row["value"] is None and "bounds" not in row:
        return False
    pairs = [row[name] for name in ("bounds", "bounds_with_gaps", "interval95") if name in row]
    if not all(isinstance(pair, list) and len(pair) == len(("least", "most")) for pair in pairs):
        return False
    return all(_is_number(least) and (most is None or _is_number(most)) for least, most in pairs)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
