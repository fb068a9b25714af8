"""The certificate: every number with its rule, its source of truth and its gaps, bound to one state of the log.

Canonical JSON (RFC 8785). It is computed from the log's entries and the evidence alone, so that an auditor who has both
computes the very same bytes. Its SHA-256 goes into the log as an entry of its own (`certificate_entry`) and it ships
with the tlog-proof of that entry. Members:

    type, version        "certificate", 3 (older versions are verified as well: see `VERSIONS`)
    notice               null, or in plain words that everything was SIMULATED, or the log RESTORED FROM A BACKUP;
    simulated            the first of these as true or false
    event, event_sha256  what was certified; the digest is that of the event in entry 0, where it has been locked
    identity             who vouches for attendees, and what that is worth
    settings, rules      how was counted: intervals and how they were steered, silence, pause; each rule's definition
    numbers              counters.numbers
    comparability        counters.comparability: all rules side by side, and a sentence for each pair people confuse
    press                counters.press: for each number of the whole event the sentence to print
    waterfall            counters.waterfall: how gross becomes net
    minutes              counters.distribution: how many people attended for how many minutes
    apart                counters.apart: in schedule and outside, in the foreground and in the background
    curve                counters.curve: how many were present minute by minute
    suppression          which numbers are withheld, and why
    cross_check          counters.cross_check
    gaps                 counters.gaps, and as `bounds` what they may hide (counters.bounds)
    aliases, exclusions  who counts once in spite of several seats; who does not count
    corrections          counters.corrections: which certificates were superseded by later ones, and why
    roll, audits         null, or the sealed roll of attendees; what its audits found
    witnesses            who was named in entry 0 to cosign the log; whether they have stands in the proof
    log                  origin, vkey, size and root (base64) of the log up to which it counts
    software, issued_at  by whom and when
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from counters import canonical_json, log_entries
from counters.apart import Foreground, apart
from counters.attendance import ONLINE, ONSITE, Attendance
from counters.bounds import STATEMENT, Bounds, bounds_of
from counters.certificate_statements import stated_by_log
from counters.comparability import comparability
from counters.corrections import Correction, CorrectionError, correction_entry, correction_of
from counters.cross_check import cross_check, with_errors, without_withheld
from counters.curve import curve
from counters.distribution import minutes_attended
from counters.event import Event
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.merkle import leaf_hash, tree_root
from counters.ledger.note import encode_base64
from counters.log_entries import LogEntryError, SealedLog, read_log
from counters.numbers import all_numbers
from counters.press import press
from counters.public_numbers import PublicNumbers
from counters.reckoning import Progress, Reckoning, reckon
from counters.sealed_evidence import ReadEvidence
from counters.waterfall import waterfall

VERSION: Final = 3
VERSIONS: Final = (1, 2, 3)
"""What is read and computed again; only the newest is issued. In version 1 numbers and gaps have no bounds."""
_ALWAYS: Final = frozenset(
    ("type", "version", "notice", "simulated", "event", "event_sha256", "identity", "settings", "rules", "numbers",
     "suppression", "cross_check", "gaps", "aliases", "exclusions", "witnesses", "witnesses_statement", "log",
     "software", "issued_at")
)  # fmt: skip
_SINCE_3: Final = frozenset(
    ("comparability", "press", "waterfall", "minutes", "apart", "curve", "corrections", "roll", "audits")
)
MEMBERS: Final = {1: _ALWAYS, 2: _ALWAYS, 3: _ALWAYS | _SINCE_3}
"""Of a certificate of each version: all of them, and no others."""
ALIASES_STATEMENT: Final = (
    "Seats of attendees who got more than one; each attendee counts once, at the seat of the earliest join."
)


class CertificateError(Exception):
    """The log and the evidence do not make a certificate."""


def certificate_entry(certificate: bytes) -> bytes:
    """Return the log entry of a certificate: it follows from the certificate alone.

    Raises:
        CertificateError: these bytes are no certificate.
    """
    document = read_certificate(certificate)
    digest = hashlib.sha256(certificate).hexdigest()
    return log_entries.certificate_entry(digest, document["event_sha256"], document["issued_at"])


def certificate_entries(certificate: bytes) -> list[bytes]:
    """Return all that a certificate puts into the log: its entry, and if it corrects an older one, the correction.

    Raises:
        CertificateError: these bytes are no certificate.
    """
    entry = certificate_entry(certificate)
    try:
        correction = correction_entry(certificate, read_certificate(certificate))
    except CorrectionError as error:
        raise CertificateError(str(error)) from error
    return [entry, correction] if correction else [entry]


def read_certificate(certificate: bytes) -> dict[str, Any]:
    """Return the members of a certificate.

    Raises:
        CertificateError: not canonical JSON, or not a certificate of a version in `VERSIONS` with all its members.
    """
    try:
        document = canonical_json.decode(certificate)
    except canonical_json.CanonicalJsonError as error:
        raise CertificateError(str(error)) from error
    if not isinstance(document, dict) or document.get("type") != "certificate":
        raise CertificateError("not a certificate")
    if type(document.get("version")) is not int or document["version"] not in VERSIONS:
        raise CertificateError("not a certificate of a version that this software knows")
    texts = ("event_sha256", "issued_at", "software")
    if not all(isinstance(document.get(name), str) for name in texts):
        raise CertificateError("event_sha256, issued_at or software is not text")
    log = document.get("log")
    if not isinstance(log, dict) or set(log) != {"origin", "vkey", "size", "root"} or type(log["size"]) is not int:
        raise CertificateError("it does not say which log it was counted from")
    if not all(isinstance(log[name], str) for name in ("origin", "vkey", "root")):
        raise CertificateError("origin, vkey or root of its log is not text")
    return document


def compute_certificate(
    event: Event,
    entries: Sequence[bytes],
    read_evidence: ReadEvidence,
    *,
    log_origin: str,
    log_vkey: str,
    checkpoint: Checkpoint,
    issued_at: str,
    software: str,
    corrects: int | None = None,
    reason: str = "",
    progress: Progress | None = None,
) -> bytes:
    """Return the certificate of everything in the log so far, as canonical JSON.

    Args:
        event: must be the event in entry 0.
        entries: all entries of the log, as many as `checkpoint` says.
        read_evidence: from a digest to the file (`EvidenceStore.get`).
        log_origin: the log's name.
        log_vkey: the key to verify its checkpoints with.
        checkpoint: the state of the log that is certified.
        issued_at: ISO 8601.
        software: name and version.
        corrects: id of the certificate that this one supersedes; None if it supersedes none.
        reason: why it does.
        progress: is told after each leaf.

    Raises:
        CertificateError: the entries are not those of the checkpoint, or do not make sense.
        CorrectionError: there is nothing of that id to correct, or no reason.
        EvidenceError: evidence is absent or contradicts the log.
    """
    try:
        log = read_log(entries)
    except LogEntryError as error:
        raise CertificateError(str(error)) from error
    if log.event.digest != event.digest:
        raise CertificateError("the log is that of another event file")
    if (checkpoint.origin, checkpoint.size) != (log_origin, len(entries)):
        raise CertificateError("the checkpoint is of another log, or of another size than the entries")
    if tree_root([leaf_hash(entry) for entry in entries]) != checkpoint.root:
        raise CertificateError("the entries have another root than the checkpoint")
    origin = {"origin": log_origin, "vkey": log_vkey, "size": checkpoint.size, "root": encode_base64(checkpoint.root)}
    correction = None if corrects is None else correction_of(corrects, reason, log.certificates, log.corrections)
    reckoning = reckon(log, read_evidence, progress=progress)
    return assemble(log, reckoning, origin, issued_at, software, correction=correction)


def assemble(
    log: SealedLog,
    reckoning: Reckoning,
    origin: dict[str, Any],
    issued_at: str,
    software: str,
    version: int = VERSION,
    correction: Correction | None = None,
) -> bytes:
    """Return the certificate of a log and of what is counted in it.

    Args:
        log: up to the size that is certified.
        reckoning: of its leaves.
        origin: the certificate's member `log`.
        issued_at: ISO 8601.
        software: name and version.
        version: of the certificate.
        correction: what it corrects.

    Raises:
        CorrectionError: the log has no such certificate to correct.
    """
    attendance, gaps = reckoning.attendance, reckoning.gaps
    bounds = bounds_of(reckoning) if version > 1 else None
    stated = stated_by_log(log, version, correction)
    numbers = all_numbers(attendance, PublicNumbers(log).measure, as_of(log, issued_at), bounds, version)
    document = stated | {
        "event": stated["event"] | {"format": _format(attendance)},
        "numbers": numbers,
        "cross_check": cross_check(attendance, reckoning.sketches),
        "gaps": stated["gaps"] | gaps.as_json(attendance) | ({"bounds": _bounds(bounds)} if version > 1 else {}),
        "aliases": {
            "count": len(attendance.roll.alias_seats),
            "sha256": attendance.roll.aliases_sha256(),
            "statement": ALIASES_STATEMENT,
        },
        "exclusions": _exclusions(attendance),
        "log": origin,
        "software": software,
        "issued_at": issued_at,
    }
    if version > 2:
        document |= _since_3(log, attendance, reckoning.foreground, numbers, document["cross_check"], stated)
    return canonical_json.encode(document)


def _since_3(
    log: SealedLog,
    attendance: Attendance,
    foreground: Foreground,
    numbers: Sequence[dict[str, Any]],
    check: dict[str, Any],
    stated: dict[str, Any],
) -> dict[str, Any]:
    """Return what a certificate of version 3 has besides, or more fully."""
    withheld = _withheld_sessions(numbers)
    return {
        "cross_check": with_errors(without_withheld(check, numbers)),
        "comparability": comparability(numbers, stated["rules"]),
        "press": press(numbers, stated["rules"], stated["event"], simulated=log.event.simulated),
        "waterfall": waterfall(attendance, log),
        "minutes": minutes_attended(attendance, withheld),
        "apart": apart(attendance, foreground, withheld),
        "curve": curve(attendance, log.ended),
    }


def _withheld_sessions(numbers: Sequence[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return (rule, session id) of the sessions' numbers that are withheld: nothing else may tell them."""
    return {
        (row["rule"], row["scope"]["session"])
        for row in numbers
        if "suppressed" in row and row["scope"].keys() == {"session"}
    }


def _bounds(bounds: Bounds | None) -> dict[str, Any]:
    return {"statement": STATEMENT, "rows": bounds.rows() if bounds else []}


def as_of(log: SealedLog, issued_at: str) -> str:
    """Return the end of the last window in the log: what the numbers know."""
    return log.event.iso(log.ended) if log.ended else issued_at


def _format(attendance: Attendance) -> str:
    online, onsite = (bool(attendance.net.within(channel, None, None)) for channel in (ONLINE, ONSITE))
    return "hybrid" if online and onsite else "physical" if onsite else "online"


def _exclusions(attendance: Attendance) -> dict[str, Any]:
    roll, gross, net = attendance.roll, attendance.gross, attendance.net
    present = gross.within(None, None, None)
    excluded = present & roll.excluded
    return {
        "categories": list(attendance.event.counting.exclude_categories),
        "unit": "identities",
        "gross": len(present),
        "excluded": len(excluded),
        "guests": len(present) - len(excluded) - len(net.within(None, None, None)),
        "net": len(net.within(None, None, None)),
        "views_gross": len(attendance.gross_views),
        "views_excluded": len(attendance.gross_views) - len(attendance.net_views),
        "views_net": len(attendance.net_views),
    }
