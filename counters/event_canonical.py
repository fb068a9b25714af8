"""The canonical form of an event: what is locked as leaf 0, written, and read back as the tables of an event file.

It is RFC 8785 JSON with these members; it is the `event` of the ledger's leaf 0, and its SHA-256 is the
event's digest everywhere (`event_sha256`):

    id, name, organiser, time_zone   text
    interval_s, window_s             integers
    late_until                       time
    sessions                         by number: number, id, title, starts_at, ends_at, gates
    issuers                          in the file's order: id, issuer, audience, namespace, subject_claim, operated_by,
                                     algorithms, attributes, development, keys (the public JWKs)
    counting                         rules, exclude_categories, suppress_below; exclude_traffic only if it names any
    simulation                       null, or starts_at and speed
    witnesses                        in the file's order: name, vkey, operated_by; not there if there are none
    log                              required_witnesses; not there if there are no witnesses
    audit                            beacon, round, k, and round_at and retain_tokens_until if the file has
                                     them; not there without [audit]
    own_rules                        in the file's order: id, counts, windows or percent, consecutive, in_schedule,
                                     category, and channel if it is said; not there if there are none

A time is ISO 8601 in the event's zone with its offset, to the second: 2023-11-19T09:00:00+08:00.
"""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import rfc8785

if TYPE_CHECKING:
    from counters.event import Audit, Event, Issuer, Session


def write(event: "Event") -> bytes:
    """Return the canonical form of an event."""
    # Not there rather than empty: the canonical form of an event without witnesses is what it always was.
    witnessed = {
        "witnesses": [
            {"name": witness.name, "vkey": witness.vkey, "operated_by": witness.operated_by}
            for witness in event.witnesses
        ],
        "log": {"required_witnesses": event.required_witnesses},
    }
    audited = {} if event.audit is None else {"audit": _audit(event.audit, event.zone)}
    own_rules = {"own_rules": [rule.parameters() for rule in event.own_rules]}
    there: dict[str, Any] = (witnessed if event.witnesses else {}) | audited | (own_rules if event.own_rules else {})
    document = there | {
        "id": event.id,
        "name": event.name,
        "organiser": event.organiser,
        "time_zone": event.time_zone,
        "interval_s": event.interval_s,
        "window_s": event.window_s,
        "late_until": _time(event.late_until, event.zone),
        "sessions": [_session(session, event.zone) for session in event.sessions],
        "issuers": [_issuer(issuer) for issuer in event.issuers],
        "counting": {name: list(value) if isinstance(value, tuple) else value
                     for name, value in asdict(event.counting).items() if name != "exclude_traffic" or value},
        "simulation": event.simulation and {
            "starts_at": _time(event.simulation.starts_at, event.zone), "speed": event.simulation.speed
        },
    }  # fmt: skip
    return rfc8785.dumps(document)


def _time(time: datetime, zone: ZoneInfo) -> str:
    return time.astimezone(zone).isoformat(timespec="seconds")


def _audit(audit: "Audit", zone: ZoneInfo) -> dict[str, Any]:
    times = {"round_at": audit.round_at, "retain_tokens_until": audit.retain_tokens_until}
    there = {name: _time(time, zone) for name, time in times.items() if time is not None}
    return {"beacon": audit.beacon, "round": audit.round, "k": audit.k} | there


def _session(session: "Session", zone: ZoneInfo) -> dict[str, Any]:
    return {
        "number": session.number,
        "id": session.id,
        "title": session.title,
        "starts_at": _time(session.starts_at, zone),
        "ends_at": _time(session.ends_at, zone),
        "gates": list(session.gates),
    }


def _issuer(issuer: "Issuer") -> dict[str, Any]:
    return {
        "id": issuer.id,
        "issuer": issuer.issuer,
        "audience": issuer.audience,
        "namespace": issuer.namespace,
        "subject_claim": issuer.subject_claim,
        "operated_by": issuer.operated_by,
        "algorithms": list(issuer.algorithms),
        "attributes": dict(issuer.attributes),
        "development": issuer.development,
        "keys": [dict(key) for key in issuer.keys],
    }


def as_tables(canonical: dict[str, Any]) -> dict[str, Any]:
    """Return the canonical form's members in the shape of an event file, so that one check reads both."""
    named = {
        "sessions": "session", "issuers": "issuer", "counting": "counting", "simulation": "simulation",
        "witnesses": "witness", "log": "log", "audit": "audit", "own_rules": "rule",
    }  # fmt: skip
    tables = {table: canonical[member] for member, table in named.items() if canonical.get(member) is not None}
    tables["event"] = {member: value for member, value in canonical.items() if member not in named}
    _parse_times(tables["event"], "late_until")
    for session in tables["session"] if isinstance(tables.get("session"), list) else []:
        _parse_times(session, "starts_at", "ends_at")
    _parse_times(tables.get("simulation"), "starts_at")
    _parse_times(tables.get("audit"), "round_at", "retain_tokens_until")
    return tables


def _parse_times(table: object, *names: str) -> None:
    if not isinstance(table, dict):
        return
    for name in names:
        try:
            table[name] = datetime.fromisoformat(table[name])
        except (KeyError, TypeError, ValueError):
            continue  # left as it is: the check says what is wrong with it
