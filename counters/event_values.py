"""Single values of the event file: each function takes what TOML gave and returns what is kept.

What a key does not take raises `WrongValueError`, which says what is wrong and how to mend it. `text`, `integer`,
`list_of` and `one_of` make such a function.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from counters.invalid_traffic import IDS as TRAFFIC_REASONS
from counters.issuer_keys import ALGORITHMS, ALIASES
from counters.ledger.cosignature import WitnessKey
from counters.ledger.note import NoteError
from counters.rule_ids import KNOWN_RULES, attended_percentage
from counters.spelling import did_you_mean

LIVE_RULES: Final = ("live-", "joined-")
"""Ids that begin so are those of live estimates."""
LIST_LIMIT: Final = 100
"""Gates of a session, categories, attributes: lists that a person writes by hand."""
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Catches a mistyped year; unix seconds between these fit an unsigned 32-bit integer."""
SPEED_LIMIT: Final = 100_000.0
"""A simulated day in under a second; faster, and the clock outruns the heartbeats that it times."""
ATTRIBUTES: Final = ("country", "category", "outlet")
"""What a ticket may say of an attendee besides who it is."""
CLAIM_LIMIT_CHARS: Final = 255
"""Identifiers that travel in every ticket; the journal counts a text in one byte."""

_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ID_FIX: Final = "Use a-z, 0-9 and -, at most 63 characters, no - at either end."


class WrongValueError(Exception):
    """One value that its key does not take: what is wrong with it, and the fix."""

    def __init__(self, wrong: str, fix: str) -> None:
        super().__init__(wrong, fix)
        self.wrong = wrong
        self.fix = fix


def shown(value: object) -> str:
    """Return a value as it can stand in an error message: short, on one line."""
    text = value.isoformat() if isinstance(value, datetime) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


_TURNING_OR_BREAKING: Final = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Separators of lines and paragraphs, and what reorders the text around a name: a report would print another number.

Names in scripts from right to left need none of them (Unicode Standard Annex #9), nor do joiners and marks reorder.
"""


def text(limit_chars: int, *, optional: bool = False) -> Callable[[Any], str]:
    """Take text of so many characters on one line; empty text only if it is `optional`."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise WrongValueError(f"{shown(value)} is not text", "Put it in quotes.")
        if not value.strip() and not (optional and value == ""):
            raise WrongValueError("it is empty", "Write what it is.")
        if len(value) > limit_chars:
            raise WrongValueError(f"it has {len(value)} characters", f"Use at most {limit_chars}.")
        if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 or 0xD800 <= ord(character) < 0xE000
               or character in _TURNING_OR_BREAKING for character in value):  # fmt: skip
            raise WrongValueError(f"{shown(value)} has control characters", "Write it on one line.")
        return value

    return check


def identifier(value: Any) -> str:
    """Take an id: a-z, 0-9 and -."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise WrongValueError(f"{shown(value)} is not an id", _ID_FIX)
    return value


def integer(low: int, high: int) -> Callable[[Any], int]:
    """Take a whole number from `low` to `high`."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise WrongValueError(f"{shown(value)} is not a whole number", f"Use {low} to {high}.")
        if not low <= value <= high:
            raise WrongValueError(f"{shown(value)} is out of range", f"Use {low} to {high}.")
        return value

    return check


def window_s(value: Any) -> int:
    """Take 60, the one length of a window."""
    if value != 60 or isinstance(value, bool):
        raise WrongValueError(f"{shown(value)} is not 60", "Certified events count clock minutes: leave it out.")
    return 60


def speed(value: Any) -> float:
    """Take simulated seconds per real second."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WrongValueError(f"{shown(value)} is not a number", "Use 0 (stands still) or simulated s per real s.")
    if not 0 <= value <= SPEED_LIMIT:
        raise WrongValueError(f"{shown(value)} is out of range", f"Use 0 to {SPEED_LIMIT:.0f}.")
    return float(value)


def flag(value: Any) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise WrongValueError(f"{shown(value)} is not true or false", "Write true or false, without quotes.")
    return value


def time(value: Any) -> datetime:
    """Take a time with its UTC offset, in whole seconds."""
    example = "e.g. 2023-11-19T09:00:00+08:00"
    if not isinstance(value, datetime):
        wrong = "is in quotes" if isinstance(value, str) else "is not a date with a time"
        raise WrongValueError(f"{shown(value)} {wrong}", f"Write date, time and offset without quotes, {example}.")
    if value.utcoffset() is None:
        raise WrongValueError(f"{shown(value)} has no UTC offset", f"Add the offset of that place and day, {example}.")
    if value.microsecond:
        raise WrongValueError(f"{shown(value)} has fractions of a second", "Use whole seconds.")
    if not EARLIEST <= value < LATEST:
        raise WrongValueError(f"{shown(value)} is not in this century", "Correct the year.")
    return value


def zone(value: Any) -> str:
    """Take the name of a zone of the tz database."""
    # "localtime" differs from machine to machine and "right/…" counts leap seconds: both would change the canonical
    # times, so only the names of the tz database proper are taken.
    if isinstance(value, str) and (value == "UTC" or "/" in value) and not value.startswith(("posix/", "right/")):
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
        else:
            return value
    known = available_timezones()
    if not known:
        raise WrongValueError("this machine has no time zone data", "Install the tzdata package.")
    fix = "Use a name of the tz database such as Europe/Paris or UTC."
    raise WrongValueError(f"{shown(value)} is no time zone", did_you_mean(value, known) + fix)


def list_of(of: Callable[[Any], str], *, least: int = 0, limit: int = LIST_LIMIT) -> Callable[[Any], tuple[str, ...]]:
    """Take a list of `least` to `limit` different values, each of which `of` takes."""

    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise WrongValueError(f"{shown(value)} is not a list", 'Write a list: ["…"].')
        if not least <= len(value) <= limit:
            raise WrongValueError(f"it has {len(value)} entries", f"Use {least} to {limit}.")
        checked = tuple(of(entry) for entry in value)
        for index, entry in enumerate(checked):
            if entry in checked[:index]:
                raise WrongValueError(f"{shown(entry)} stands twice", "Remove one.")
        return checked

    return check


def rule(value: Any) -> str:
    """Take the id of a counting rule that there is."""
    if not isinstance(value, str) or (value not in KNOWN_RULES and attended_percentage(value) is None):
        raise WrongValueError(
            f"{shown(value)} is no counting rule",
            did_you_mean(value, KNOWN_RULES) + f"Known: {', '.join(KNOWN_RULES)}, and the latter but two with another "
            "percentage. One of your own is declared with [[rule]] and not named here.",
        )
    return value


def own_rule_id(value: Any) -> str:
    """Take an id that no counting rule or live estimate has."""
    checked = identifier(value)
    if checked in KNOWN_RULES or attended_percentage(checked) is not None:
        fix = "Name that rule in counting.rules, or choose another id."
        raise WrongValueError(f"{shown(value)} is a rule that exists", fix)
    if checked.startswith(LIVE_RULES):
        raise WrongValueError(f"{shown(value)} begins as live estimates do", "Choose another id.")
    return checked


def one_of(*words: str) -> Callable[[Any], str]:
    """Take one of these words."""

    def check(value: Any) -> str:
        if value not in words:
            fix = did_you_mean(value, words) + f"Use {' or '.join(words)}."
            raise WrongValueError(f"{shown(value)} is not one of {', '.join(words)}", fix)
        return str(value)

    return check


def traffic(value: Any) -> str:
    """Take a reason of counters.invalid_traffic."""
    if value not in TRAFFIC_REASONS:
        raise WrongValueError(
            f"{shown(value)} is no reason to take out traffic",
            did_you_mean(value, TRAFFIC_REASONS) + f"Known: {', '.join(TRAFFIC_REASONS)}.",
        )
    return str(value)


def algorithm(value: Any) -> str:
    """Take a signature algorithm that tickets may use, by either of its names."""
    named = ALIASES.get(value, value) if isinstance(value, str) else value
    if named in ALGORITHMS:
        return str(named)
    fix = f"Use {', '.join(ALGORITHMS)}."
    if isinstance(value, str) and value.lower() == "none":
        raise WrongValueError("'none' is no signature: anyone could write tickets", fix)
    if isinstance(value, str) and value.upper().startswith("HS"):
        raise WrongValueError(f"{shown(value)} is symmetric: who can check a ticket could also forge it", fix)
    raise WrongValueError(
        f"{shown(value)} is not an algorithm that issuers may use", did_you_mean(value, ALGORITHMS) + fix
    )


def attributes(value: Any) -> dict[str, str]:
    """Take a table of JWT claims and the attribute that each gives."""
    if not isinstance(value, dict):
        raise WrongValueError(f"{shown(value)} is not a table", 'Write { claim = "attribute" }.')
    if len(value) > LIST_LIMIT:
        raise WrongValueError(f"it has {len(value)} entries", f"Use at most {LIST_LIMIT}.")
    checked: dict[str, str] = {}
    for claim, attribute in value.items():
        if attribute not in ATTRIBUTES:
            fix = did_you_mean(attribute, ATTRIBUTES) + f"The right side is one of {', '.join(ATTRIBUTES)}."
            raise WrongValueError(f"{shown(attribute)} is no attribute of an attendee", fix)
        if attribute in checked.values():
            raise WrongValueError(f"{shown(attribute)} is taken from two claims", "Choose one claim.")
        checked[text(CLAIM_LIMIT_CHARS)(claim)] = attribute
    return checked


def key_list(value: Any) -> list[Any]:
    """Take a list; the keys in it are judged by counters.issuer_keys."""
    if not isinstance(value, list):
        raise WrongValueError("it is not a list of keys", "Give the issuer's public JWKs.")
    return value


def witness_key(value: Any) -> str:
    """Take a verifier key of a witness (type 4)."""
    fix = "Ask who runs the witness for its verifier key: name+keyid+base64, of type 4."
    if not isinstance(value, str):
        raise WrongValueError(f"{shown(value)} is not text", fix)
    try:
        return WitnessKey.decode(value).encode()
    except NoteError as error:
        raise WrongValueError(str(error), fix) from None


def address(value: Any) -> str:
    """Take an http(s) URL, without the slashes at its end."""
    checked = text(CLAIM_LIMIT_CHARS)(value)
    scheme, separator, rest = checked.partition("://")
    if scheme not in {"http", "https"} or not separator or not rest or any(char in rest for char in " ?#@"):
        raise WrongValueError(f"{shown(value)} is no address", "Write https://…, without user, query or fragment.")
    return checked.rstrip("/")
