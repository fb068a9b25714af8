"""The keys of the event file: for each its type, meaning and default.

docs/event-file.md is the same table for readers; a test holds them together. How a single value is checked is in
counters.event_values, what concerns several keys at once in counters.event_checks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from counters.bogus_bound import DRAWN_LIMIT
from counters.canonical_json import INTEGER_LIMIT
from counters.event_values import (
    CLAIM_LIMIT_CHARS,
    address,
    algorithm,
    attributes,
    flag,
    identifier,
    integer,
    key_list,
    list_of,
    one_of,
    own_rule_id,
    rule,
    speed,
    text,
    time,
    traffic,
    window_s,
    witness_key,
    zone,
)
from counters.issuer_keys import ALGORITHMS
from counters.rule_ids import KNOWN_RULES

REQUIRED: Final = object()
"""The default of a key that has none."""

TEXT_LIMIT_CHARS: Final = 200
"""A name or a title is printed on one line of the certificate."""
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


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table: `check` returns the value as it is kept, or raises WrongValueError."""

    name: str
    check: Callable[[Any], Any]
    meaning: str
    default: Any = REQUIRED


def meaning_of(keys: tuple[Key, ...], name: str) -> str:
    """Return what the key of that name is for."""
    return next(key.meaning for key in keys if key.name == name)


EVENT: Final = (
    Key("id", identifier, "names the event in addresses, tokens and Redis keys"),
    Key("name", text(TEXT_LIMIT_CHARS), "the event's name as the certificate prints it"),
    Key("organiser", text(TEXT_LIMIT_CHARS, optional=True), "who holds the event, as the certificate prints it", ""),
    Key("time_zone", zone, "the zone in which days begin and times are printed"),
    Key(
        "interval_s",
        integer(SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S),
        "seconds between two heartbeats asked of a player",
        30,
    ),
    Key("window_s", window_s, "seconds of one window of presence", 60),
    Key("late_until", time, "until when late evidence still counts"),
)
SESSION: Final = (
    Key("number", integer(1, 65535), "the session's number in tokens, records and Redis keys"),
    Key("id", identifier, "names the session in addresses and numbers"),
    Key("title", text(TEXT_LIMIT_CHARS), "the session's title as people read it"),
    Key("starts_at", time, "when the session starts, with its UTC offset"),
    Key("ends_at", time, "when the session ends, with its UTC offset; that instant is no longer part of it"),
    Key("gates", list_of(identifier), "the badge gates of the session's room", ()),
)
_ISSUER_HEAD: Final = (
    Key("id", identifier, "names the issuer in evidence and file names"),
    Key("issuer", text(CLAIM_LIMIT_CHARS), "the 'iss' claim of its tickets, character by character"),
    Key("audience", text(CLAIM_LIMIT_CHARS), "what the 'aud' claim of its tickets must be or contain"),
)
_ISSUER_TAIL: Final = (
    Key("namespace", text(CLAIM_LIMIT_CHARS), "shared by issuers that identify the same people in the same way"),
    Key("subject_claim", text(CLAIM_LIMIT_CHARS), "the claim that names the attendee", "sub"),
    Key("operated_by", text(TEXT_LIMIT_CHARS), "who runs the issuer; the certificate prints it"),
    Key("algorithms", list_of(algorithm, least=1), "the signature algorithms that its tickets may use", ALGORITHMS),
    Key("attributes", attributes, "which claim gives which attribute of the attendee", {}),
    Key("development", flag, "whether it is a development issuer, whose tickets vouch for nobody", default=False),
)
ISSUER: Final = (
    *_ISSUER_HEAD,
    Key("jwks", text(1024), "the file with the issuer's public keys, seen from the event file"),
    *_ISSUER_TAIL,
)
SEALED_ISSUER: Final = (*_ISSUER_HEAD, Key("keys", key_list, "the issuer's public keys"), *_ISSUER_TAIL)
"""As in leaf 0: the keys themselves stand where the event file names their file."""
COUNTING: Final = (
    Key("rules", list_of(rule, least=1), "the counting rules that the certificate prints", KNOWN_RULES),
    Key("exclude_categories", list_of(text(64)), "attendees of these categories are in no number", ()),
    Key(
        "suppress_below",
        integer(1, 1000),
        "cells of a session, a day, a country, a category or an outlet with fewer people are not published",
        10,
    ),
    Key("exclude_traffic", list_of(traffic), "invalid traffic that is in no number", ()),
)
RULE: Final = (
    Key("id", own_rule_id, "names the event's own counting rule in numbers"),
    Key("counts", one_of("people"), "what the rule counts", "people"),
    Key("windows", integer(1, WINDOWS_OF_A_DAY), "how many clock minutes of presence somebody needs to count", None),
    Key("percent", integer(1, 100), "what per cent of a session's scheduled minutes somebody needs to count", None),
    Key("consecutive", flag, "whether the minutes must follow each other", default=False),
    Key("in_schedule", flag, "whether only presence in a session while it is scheduled counts", None),
    Key("channel", one_of("online", "onsite"), "where somebody must be present; either, and both, if left out", None),
    Key("category", list_of(text(64)), "only attendees of these categories count; of any, if left out", ()),
)
SEALED_WITNESS: Final = (
    Key("name", identifier, "names the witness in metrics and on the certificate"),
    Key("vkey", witness_key, "the key that the witness cosigns with"),
    Key("operated_by", text(TEXT_LIMIT_CHARS), "who runs the witness; the certificate prints it"),
)
"""As in leaf 0: where a witness can be reached is not locked, so that it may move."""
WITNESS: Final = (*SEALED_WITNESS, Key("url", address, "where the ledger asks it to cosign"))
LOG: Final = (
    Key(
        "required_witnesses",
        integer(0, WITNESSES_LIMIT),
        "how many witnesses must have cosigned the log before anybody is shown it",
        0,
    ),
)
AUDIT: Final = (
    Key("beacon", identifier, "the public randomness beacon that decides which entries of the roll are opened"),
    Key("round", integer(1, INTEGER_LIMIT), "the beacon's round, which happens after the roll is sealed"),
    Key("round_at", time, "when that round happens, for a beacon whose rounds' times are not known here", None),
    Key("k", integer(1, DRAWN_LIMIT), "how many entries of the roll are opened", 3000),
    Key(
        "retain_tokens_until",
        time,
        "until when attendees' tickets are kept, sealed, so that entries can be opened",
        None,
    ),
)
SIMULATION: Final = (
    Key("starts_at", time, "what the simulated clock says when the event is started"),
    Key("speed", speed, "simulated seconds per real second; 0 = it stands still and only jumps when told", 0.0),
)
TABLES: Final = {
    "event": EVENT, "session": SESSION, "issuer": ISSUER, "counting": COUNTING, "rule": RULE, "witness": WITNESS,
    "log": LOG, "audit": AUDIT, "simulation": SIMULATION,
}  # fmt: skip
"""Every table of an event file; `session`, `issuer`, `rule` and `witness` are arrays of tables."""
