"""What a certificate must say whatever the evidence is: anybody can hold it against the public log.

Who and what was counted, by which rules and settings, who vouches for it, and in plain words what it is worth.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from counters import canonical_json
from counters.audit_statements import stated_audits, stated_roll
from counters.corrections import Correction, correction_of, rows_of
from counters.event import Event, Issuer
from counters.event_rules import rules_of
from counters.gaps import gaps_in_log
from counters.issuer_keys import thumbprint
from counters.keys_in_force import ADD
from counters.log_entries import SealedLog
from counters.segment import WINDOW_S

RESTORED: Final = (
    "RESTORED FROM A BACKUP: the log was set back and says so; evidence that was accepted between the times that the "
    "gaps name may be lost, and nobody can say how much it was."
)
SIMULATED: Final = (
    "SIMULATED: the attendees, their tickets and the clock of this event were made up. "
    "This certificate shows how Turnout counts; it says nothing about any real audience."
)
INTERIM: Final = (
    "INTERIM as of {as_of}: {to_come:,} of {scheduled:,} scheduled minutes are still to come. Numbers are of what has "
    "happened so far; averages and percentages are of the whole schedule, as their rules say, and grow until its end."
)
ISSUER_STATEMENT: Final = (
    "An issuer vouches for attendees by signing their tickets. An organiser who also operates the issuer can forge the "
    "roll: can sign tickets for people who do not exist. The numbers count identities in that sense."
)
NO_WITNESS: Final = (
    "No outside witness has cosigned this log. Without a witness the operator could have written the whole log "
    "afterwards; the signatures show only that it has not been changed since it was handed out."
)
REQUIRED_WITNESSES: Final = (
    "The event file demands that {required} of these {named} witnesses cosign each state of the log before it is "
    "shown, the one in this certificate's proof included. A witness signs only what continues all that it has signed "
    "before: so the log has been what it is since then, whatever its operator wants. Their cosignatures stand in the "
    "proof."
)
NAMED_WITNESSES: Final = (
    "These witnesses are asked to cosign the log, and nobody's cosignature is demanded. Those that have cosigned stand "
    "in this certificate's proof. If none does: "
)
SILENCE: Final = (
    "An attendee from whom no heartbeat of a playing player was accepted in a window is not present online in it."
)
SILENCE_TIMEOUT: Final = (
    "Presence online ends with the clock minute of the last heartbeat: a view that falls silent is over then, and a "
    "pause of less than a clock minute leaves no hole."
)
TIME_SHIFT: Final = (
    "Everything is counted live: when it was watched, by the clock of the gateway that heard the player, whatever the "
    "player showed. Players do not report which moment of the stream they play, so that viewing which lags behind is "
    "not told from live viewing. Viewing after a session's end stands apart as outside its schedule."
)
IDENTITY_KEY: Final = (
    "An attendee is one value of the issuer's subject claim within a namespace. Its pseudonym is the digest of both "
    "under a key of this event, to which entry 0 of the log commits."
)
COMPLEMENTS: Final = (
    " Other cells, the smallest, are withheld as well where a withheld one would follow from them: of each sum over "
    "days, sessions, countries, categories or outlets, and of on site, online and both, none or at least two cells are "
    "withheld. What the public leaves tell is not withheld; a limit may still follow. Of the whole event the peak "
    "alone is withheld, where it would tell how few were on site in that minute."
)
KEYS_ADDED: Final = (
    "AN ORGANISER WHO ADDS KEYS CAN VOUCH FOR ANYBODY. Keys of issuers that were added after entry 0 had locked the "
    "others: {added:,}, of them after the first session had begun: {begun:,}."
)
KEYS_RETIRED: Final = (
    "Keys of issuers that were retired: {retired:,}. Whoever joined before, with a ticket that such a key had signed, "
    "stays counted."
)
PAUSE: Final = "Paused, ended and idle players do not count as presence; a player in the background does."


def stated_by_log(log: SealedLog, version: int, correction: Correction | None = None) -> dict[str, Any]:
    """Return what a certificate must say whatever the evidence is: anybody can hold it against the public log.

    Whole members, but for `event`, which lacks `format`, and `gaps`, of which only those are here that leaves tell.

    Args:
        log: up to the size that the certificate counts.
        version: of the certificate.
        correction: what it says that it corrects.

    Raises:
        CorrectionError: the log has no such certificate to correct.
    """
    event = log.event
    notices = [SIMULATED] * event.simulated + interim(log, version) + [RESTORED] * bool(log.restored)
    rules = [
        {name: getattr(rule, name) for name in ("id", "version", "unit", "definition", "source")}
        | ({"parameters": rule.parameters and dict(rule.parameters)} if version > 2 else {})
        for rule in rules_of(event)
    ]
    stated = {
        "type": "certificate",
        "version": version,
        "notice": " ".join(notices) or None,
        "simulated": event.simulated,
        "event": _event(log),
        "event_sha256": event.digest,
        "identity": _identity(event) | _key_changes(log),
        "settings": _settings(log),
        "rules": rules,
        "suppression": _suppression(event, version),
        "gaps": gaps_in_log(log),
        "witnesses": [
            {"name": witness.name, "operated_by": witness.operated_by, "vkey": witness.vkey}
            for witness in event.witnesses
        ],
        "witnesses_statement": _witnessed(event),
    }
    return stated | (_since_3(log, stated, correction) if version > 2 else {})


def windows_to_come(log: SealedLog, windows: Iterable[int]) -> int:
    """Return how many of these windows (unix seconds) had not ended when the log's last window did."""
    return sum(window + WINDOW_S > log.ended for window in windows)


def interim(log: SealedLog, version: int) -> list[str]:
    """Return in words that the event goes on, as a certificate of a version says it; nothing if it does not."""
    scheduled = log.event.scheduled_windows()
    to_come = windows_to_come(log, scheduled)
    if version < 3 or not to_come:
        return []
    as_of = log.event.iso(log.ended) if log.ended else "before the first minute"
    return [INTERIM.format(as_of=as_of, to_come=to_come, scheduled=len(scheduled))]


def _since_3(log: SealedLog, stated: dict[str, Any], correction: Correction | None) -> dict[str, Any]:
    """Return what a certificate of version 3 says besides, or says more fully."""
    event = log.event
    corrections = rows_of(log.certificates, log.corrections)
    if correction:
        found = correction_of(correction.entry, correction.reason, log.certificates, log.corrections)
        corrections.append(found.row(by=None))
    return {
        "event": stated["event"]
        | _schedule(log, event.scheduled_windows())
        | {
            "sessions": [
                row | _schedule(log, event.session_windows(session))
                for row, session in zip(stated["event"]["sessions"], event.sessions, strict=True)
            ]
        },
        "identity": stated["identity"]
        | {
            "issuers": [
                row | _identified_by(issuer)
                for row, issuer in zip(stated["identity"]["issuers"], event.issuers, strict=True)
            ],
            "identity_key": {"statement": IDENTITY_KEY, "pseudonym_key_sha256": log.pseudonym_key_sha256},
        },
        "settings": stated["settings"]
        | {
            "silence_timeout": SILENCE_TIMEOUT,
            "silence_timeout_s": event.window_s,
            "time_shift": TIME_SHIFT,
            "exclude_traffic": list(event.counting.exclude_traffic),
            "rule_set": {
                "sha256": hashlib.sha256(canonical_json.encode(stated["rules"])).hexdigest(),
                "locked_in": event.digest,
                "locked_at": log.locked_at,
            },
        },
        "corrections": corrections,
        "roll": stated_roll(log),
        "audits": stated_audits(log),
    }


def _schedule(log: SealedLog, windows: Sequence[int]) -> dict[str, int]:
    return {"scheduled_windows": len(windows), "windows_to_come": windows_to_come(log, windows)}


def _identified_by(issuer: Issuer) -> dict[str, Any]:
    """Return what makes a ticket of this issuer, and one attendee of all that have the same subject."""
    return {
        "issuer": issuer.issuer,
        "subject_claim": issuer.subject_claim,
        "keys": [thumbprint(key) for key in issuer.keys],
    }


def _event(log: SealedLog) -> dict[str, Any]:
    event = log.event
    return {
        "id": event.id,
        "name": event.name,
        "organiser": event.organiser,
        "time_zone": event.time_zone,
        "sessions": [
            {
                "number": session.number,
                "id": session.id,
                "title": session.title,
                "starts_at": event.iso(session.starts_at.timestamp()),
                "ends_at": event.iso(session.ends_at.timestamp()),
            }
            for session in event.sessions
        ],
        "late_until": event.iso(event.late_until.timestamp()),
        "locked_at": log.locked_at,
    }


def _identity(event: Event) -> dict[str, Any]:
    return {
        "issuers": [
            {
                "id": issuer.id,
                "operated_by": issuer.operated_by,
                "namespace": issuer.namespace,
                "assurance": "ticketed",
                "development": issuer.development,
            }
            for issuer in event.issuers
        ],
        "statement": ISSUER_STATEMENT,
        "guests": "Devices without a ticket are in no number of people, of their time, or of person-days or -sessions.",
    }


def _key_changes(log: SealedLog) -> dict[str, Any]:
    """Return the keys that issuers took into use or gave up after entry 0, and what that is worth.

    Only where there were any, so that the certificates of before this was known stay what they were.
    """
    if not log.key_changes:
        return {}
    changes = [
        {
            "entry": leaf.index,
            "at": log.event.iso(leaf.change.at),
            "issuer": leaf.change.issuer,
            "action": leaf.change.action,
            "thumbprint": leaf.change.thumbprint,
            "reason": leaf.change.reason,
        }
        for leaf in log.key_changes
    ]
    return {"key_changes": changes, "key_changes_statement": vouching(log)}


def vouching(log: SealedLog) -> str:
    """Return in words what it means that keys were added and retired; "" if none were."""
    begun_at = min(session.starts_at for session in log.event.sessions).timestamp()
    added = [leaf.change.at for leaf in log.key_changes if leaf.change.action == ADD]
    begun = sum(at >= begun_at for at in added)
    retired = len(log.key_changes) - len(added)
    said = [KEYS_ADDED.format(added=len(added), begun=begun)] * bool(added)
    return " ".join(said + [KEYS_RETIRED.format(retired=retired)] * bool(retired))


def _witnessed(event: Event) -> str:
    if not event.witnesses:
        return NO_WITNESS
    if not event.required_witnesses:
        return NAMED_WITNESSES + NO_WITNESS
    return REQUIRED_WITNESSES.format(required=event.required_witnesses, named=len(event.witnesses))


def _settings(log: SealedLog) -> dict[str, Any]:
    event = log.event
    return {
        "interval_s": event.interval_s,
        "steering": [
            {
                "at": event.iso(change.at),
                "interval_s": change.interval_s,
                "revoked_seats": change.revoked_seats,
                "revoked_views": change.revoked_views,
            }
            for change in log.steering
        ],
        "window_s": event.window_s,
        "silence": SILENCE,
        "pause": PAUSE,
        "onsite": "From the entry's window to the exit's, at most to the session's last scheduled window; an entry or "
        "exit without its counterpart counts for its own window only. An exit directly after an entry, at a gate of "
        "the session entered, is for that session; any other for the one on at its gate, or the last one there.",
    }


def _suppression(event: Event, version: int) -> dict[str, Any]:
    below = event.counting.suppress_below
    cells = (
        "a session, a day or a country"
        if version < 3
        else ("a session, a day, a country, a category, an outlet or of guests")
    )
    statement = (
        f"Cells of {cells} with fewer than {below} (and more than no) people, "
        f"person-days, person-sessions or views are withheld: their value is null. Averages and hours are withheld "
        f"where fewer than {below} people were online. Event-wide numbers are always printed."
    )
    return {"below": below, "statement": statement + (COMPLEMENTS if version > 2 else "")}
