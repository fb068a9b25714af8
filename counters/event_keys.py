"""The keys of the event file: for each its type, meaning and default, and the check of a single value.

docs/event-file.md is the same table for readers; a test holds them together. What concerns several keys at once (an
end after its start, unique numbers) is in counters.event_file.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from counters.bogus_bound import DRAWN_LIMIT
from counters.canonical_json import INTEGER_LIMIT
from counters.invalid_traffic import IDS as TRAFFIC_REASONS
from counters.issuer_keys import ALGORITHMS, ALIASES
from counters.ledger.cosignature import WitnessKey
from counters.ledger.note import NoteError
from counters.rule_ids import KNOWN_RULES, attended_percentage
from counters.spelling import did_you_mean

REQUIRED: Final = object()
"""The default of a key that has none."""

TEXT_LIMIT_CHARS: Final = 200
"""A name or a title is printed on one line of the certificate."""
CLAIM_LIMIT_CHARS: Final = 255
"""Identifiers that travel in every ticket; the journal counts a text in one byte."""
SESSIONS_LIMIT: Final = 1000
"""Far above any convention; leaf 0 holds about 300."""
SHORTEST_INTERVAL_S: Final = 5
"""Six times the traffic of the default; live numbers come from 10 s buckets, so a shorter one shows nothing sooner."""
LONGEST_INTERVAL_S: Final = 54
"""Up to here (1.1 · I < 60 s) a view that goes on is heard in every clock minute. Beyond it has holes, which would have
to be bridged by rule (DESIGN.md §4); as long as no rule does, a longer interval would halve the peak in silence."""
WITNESSES_LIMIT: Final = 32
"""As many as every reader of trust policies is asked to take (C2SP tlog-policy)."""
WINDOWS_OF_A_DAY: Final = 24 * 60
"""More than anybody attends of one session."""
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

_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ID_FIX: Final = "Use a-z, 0-9 and -, at most 63 characters, no - at either end."


class WrongValueError(Exception):
    """One value that its key does not take: what is wrong with it, and the fix."""

    def __init__(self, wrong: str, fix: str) -> None:
        super().__init__(wrong, fix)
        self.wrong = wrong
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table: `check` returns the value as it is kept, or raises WrongValueError."""

    name: str
    check: Callable[[Any], Any]
    meaning: str
    default: Any = REQUIRED


def shown(value: object) -> str:
    """Return a value as it can stand in an error message: short, on one line."""
    text = value.isoformat() if isinstance(value, datetime) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


_TURNING_OR_BREAKING: Final = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Separators of lines and paragraphs, and what reorders the text around a name: a report would print another number.

Names in scripts from right to left need none of them (Unicode Standard Annex #9), nor do joiners and marks reorder.
"""


def _text(limit_chars: int, *, optional: bool = False) -> Callable[[Any], str]:
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


def _id(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise WrongValueError(f"{shown(value)} is not an id", _ID_FIX)
    return value


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise WrongValueError(f"{shown(value)} is not a whole number", f"Use {low} to {high}.")
        if not low <= value <= high:
            raise WrongValueError(f"{shown(value)} is out of range", f"Use {low} to {high}.")
        return value

    return check


def _window(value: Any) -> int:
    if value != 60 or isinstance(value, bool):
        raise WrongValueError(f"{shown(value)} is not 60", "Certified events count clock minutes: leave it out.")
    return 60


def _speed(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WrongValueError(f"{shown(value)} is not a number", "Use 0 (stands still) or simulated s per real s.")
    if not 0 <= value <= SPEED_LIMIT:
        raise WrongValueError(f"{shown(value)} is out of range", f"Use 0 to {SPEED_LIMIT:.0f}.")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongValueError(f"{shown(value)} is not true or false", "Write true or false, without quotes.")
    return value


def _time(value: Any) -> datetime:
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


def _zone(value: Any) -> str:
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


def _list(of: Callable[[Any], str], *, least: int = 0, limit: int = LIST_LIMIT) -> Callable[[Any], tuple[str, ...]]:
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


def _rule(value: Any) -> str:
    if not isinstance(value, str) or (value not in KNOWN_RULES and attended_percentage(value) is None):
        raise WrongValueError(
            f"{shown(value)} is no counting rule",
            did_you_mean(value, KNOWN_RULES) + f"Known: {', '.join(KNOWN_RULES)}, and the latter but two with another "
            "percentage. One of your own is declared with [[rule]] and not named here.",
        )
    return value


def _own_rule_id(value: Any) -> str:
    checked = _id(value)
    if checked in KNOWN_RULES or attended_percentage(checked) is not None:
        fix = "Name that rule in counting.rules, or choose another id."
        raise WrongValueError(f"{shown(value)} is a rule that exists", fix)
    if checked.startswith(LIVE_RULES):
        raise WrongValueError(f"{shown(value)} begins as live estimates do", "Choose another id.")
    return checked


def _one_of(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            fix = did_you_mean(value, words) + f"Use {' or '.join(words)}."
            raise WrongValueError(f"{shown(value)} is not one of {', '.join(words)}", fix)
        return str(value)

    return check


def _traffic(value: Any) -> str:
    if value not in TRAFFIC_REASONS:
        raise WrongValueError(
            f"{shown(value)} is no reason to take out traffic",
            did_you_mean(value, TRAFFIC_REASONS) + f"Known: {', '.join(TRAFFIC_REASONS)}.",
        )
    return str(value)


def _algorithm(value: Any) -> str:
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


def _attributes(value: Any) -> dict[str, str]:
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
        checked[_text(CLAIM_LIMIT_CHARS)(claim)] = attribute
    return checked


def _keys(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise WrongValueError("it is not a list of keys", "Give the issuer's public JWKs.")
    return value


def _witness_key(value: Any) -> str:
    fix = "Ask who runs the witness for its verifier key: name+keyid+base64, of type 4."
    if not isinstance(value, str):
        raise WrongValueError(f"{shown(value)} is not text", fix)
    try:
        return WitnessKey.decode(value).encode()
    except NoteError as error:
        raise WrongValueError(str(error), fix) from None


def _url(value: Any) -> str:
    text = _text(CLAIM_LIMIT_CHARS)(value)
    scheme, separator, rest = text.partition("://")
    if scheme not in {"http", "https"} or not separator or not rest or any(char in rest for char in " ?#@"):
        raise WrongValueError(f"{shown(value)} is no address", "Write https://…, without user, query or fragment.")
    return text.rstrip("/")


EVENT: Final = (
    Key("id", _id, "names the event in addresses, tokens and Redis keys"),
    Key("name", _text(TEXT_LIMIT_CHARS), "the event's name as the certificate prints it"),
    Key("organiser", _text(TEXT_LIMIT_CHARS, optional=True), "who holds the event, as the certificate prints it", ""),
    Key("time_zone", _zone, "the zone in which days begin and times are printed"),
    Key(
        "interval_s",
        _integer(SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S),
        "seconds between two heartbeats asked of a player",
        30,
    ),
    Key("window_s", _window, "seconds of one window of presence", 60),
    Key("late_until", _time, "until when late evidence still counts"),
)
SESSION: Final = (
    Key("number", _integer(1, 65535), "the session's number in tokens, records and Redis keys"),
    Key("id", _id, "names the session in addresses and numbers"),
    Key("title", _text(TEXT_LIMIT_CHARS), "the session's title as people read it"),
    Key("starts_at", _time, "when the session starts, with its UTC offset"),
    Key("ends_at", _time, "when the session ends, with its UTC offset; that instant is no longer part of it"),
    Key("gates", _list(_id), "the badge gates of the session's room", ()),
)
_ISSUER_HEAD: Final = (
    Key("id", _id, "names the issuer in evidence and file names"),
    Key("issuer", _text(CLAIM_LIMIT_CHARS), "the 'iss' claim of its tickets, character by character"),
    Key("audience", _text(CLAIM_LIMIT_CHARS), "what the 'aud' claim of its tickets must be or contain"),
)
_ISSUER_TAIL: Final = (
    Key("namespace", _text(CLAIM_LIMIT_CHARS), "shared by issuers that identify the same people in the same way"),
    Key("subject_claim", _text(CLAIM_LIMIT_CHARS), "the claim that names the attendee", "sub"),
    Key("operated_by", _text(TEXT_LIMIT_CHARS), "who runs the issuer; the certificate prints it"),
    Key("algorithms", _list(_algorithm, least=1), "the signature algorithms that its tickets may use", ALGORITHMS),
    Key("attributes", _attributes, "which claim gives which attribute of the attendee", {}),
    Key("development", _flag, "whether it is a development issuer, whose tickets vouch for nobody", default=False),
)
ISSUER: Final = (
    *_ISSUER_HEAD,
    Key("jwks", _text(1024), "the file with the issuer's public keys, seen from the event file"),
    *_ISSUER_TAIL,
)
SEALED_ISSUER: Final = (*_ISSUER_HEAD, Key("keys", _keys, "the issuer's public keys"), *_ISSUER_TAIL)
"""As in leaf 0: the keys themselves stand where the event file names their file."""
COUNTING: Final = (
    Key("rules", _list(_rule, least=1), "the counting rules that the certificate prints", KNOWN_RULES),
    Key("exclude_categories", _list(_text(64)), "attendees of these categories are in no number", ()),
    Key(
        "suppress_below",
        _integer(1, 1000),
        "cells of a session, a day, a country, a category or an outlet with fewer people are not published",
        10,
    ),
    Key("exclude_traffic", _list(_traffic), "invalid traffic that is in no number", ()),
)
RULE: Final = (
    Key("id", _own_rule_id, "names the event's own counting rule in numbers"),
    Key("counts", _one_of("people"), "what the rule counts", "people"),
    Key("windows", _integer(1, WINDOWS_OF_A_DAY), "how many clock minutes of presence somebody needs to count", None),
    Key("percent", _integer(1, 100), "what per cent of a session's scheduled minutes somebody needs to count", None),
    Key("consecutive", _flag, "whether the minutes must follow each other", default=False),
    Key("in_schedule", _flag, "whether only presence in a session while it is scheduled counts", None),
    Key("channel", _one_of("online", "onsite"), "where somebody must be present; either, and both, if left out", None),
    Key("category", _list(_text(64)), "only attendees of these categories count; of any, if left out", ()),
)
SEALED_WITNESS: Final = (
    Key("name", _id, "names the witness in metrics and on the certificate"),
    Key("vkey", _witness_key, "the key that the witness cosigns with"),
    Key("operated_by", _text(TEXT_LIMIT_CHARS), "who runs the witness; the certificate prints it"),
)
"""As in leaf 0: where a witness can be reached is not locked, so that it may move."""
WITNESS: Final = (*SEALED_WITNESS, Key("url", _url, "where the ledger asks it to cosign"))
LOG: Final = (
    Key(
        "required_witnesses",
        _integer(0, WITNESSES_LIMIT),
        "how many witnesses must have cosigned the log before anybody is shown it",
        0,
    ),
)
AUDIT: Final = (
    Key("beacon", _id, "the public randomness beacon that decides which entries of the roll are opened"),
    Key("round", _integer(1, INTEGER_LIMIT), "the beacon's round, which happens after the roll is sealed"),
    Key("round_at", _time, "when that round happens, for a beacon whose rounds' times are not known here", None),
    Key("k", _integer(1, DRAWN_LIMIT), "how many entries of the roll are opened", 3000),
    Key(
        "retain_tokens_until",
        _time,
        "until when attendees' tickets are kept, sealed, so that entries can be opened",
        None,
    ),
)
SIMULATION: Final = (
    Key("starts_at", _time, "what the simulated clock says when the event is started"),
    Key("speed", _speed, "simulated seconds per real second; 0 = it stands still and only jumps when told", 0.0),
)
TABLES: Final = {
    "event": EVENT, "session": SESSION, "issuer": ISSUER, "counting": COUNTING, "rule": RULE, "witness": WITNESS,
    "log": LOG, "audit": AUDIT, "simulation": SIMULATION,
}  # fmt: skip
"""Every table of an event file; `session`, `issuer`, `rule` and `witness` are arrays of tables."""
