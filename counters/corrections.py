"""Corrections: a certificate that turned out wrong is superseded by a new one, and never edited.

Both stay in the log. The new one names the old one and the reason; a leaf after it says the same to whoever holds the
old one. Canonical JSON:

    type, version   "correction", 1
    event_sha256    hex digest of the canonical event file
    supersedes      SHA-256 of the certificate that no longer stands, hex
    certificate     SHA-256 of the one that takes its place, hex
    reason          why, in words
    simulated, software

The certificate's own leaf and this one enter the log as one group, so that there is never one without the other. A
certificate is superseded once; what takes its place may be superseded in turn.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from counters import canonical_json
from counters.segment import is_count, is_digest

VERSION: Final = 1
REASON_LIMIT_CHARS: Final = 500
"""A reason is printed in a few lines of the certificate, beside those of earlier corrections."""


class CorrectionError(ValueError):
    """A certificate cannot be corrected so."""


@dataclass(frozen=True, slots=True)
class CertificateLeaf:
    """A certificate was issued."""

    index: int  # in the log; the certificate's id
    sha256: str  # of the certificate, hex


@dataclass(frozen=True, slots=True)
class CorrectionLeaf:
    """A certificate was superseded."""

    index: int  # in the log
    supersedes: str  # SHA-256 of the certificate that no longer stands, hex
    certificate: str  # of the one that takes its place
    reason: str


@dataclass(frozen=True, slots=True)
class Correction:
    """What a new certificate corrects."""

    entry: int  # id of the certificate that it supersedes
    supersedes: str  # its SHA-256, hex
    reason: str

    def row(self, by: str | None) -> dict[str, Any]:
        """Return it as certificates print it; `by` is what superseded it, None for the certificate that prints it."""
        return {"entry": self.entry, "supersedes": self.supersedes, "by": by, "reason": self.reason}


def read_reason(text: object) -> str:
    """Return a reason.

    Raises:
        CorrectionError: it is not one that can be printed.
    """
    if not isinstance(text, str) or not text.strip() or text != text.strip() or not text.isprintable():
        raise CorrectionError("a correction needs its reason: one line of text that says what was wrong")
    if len(text) > REASON_LIMIT_CHARS:
        raise CorrectionError(f"the reason has {len(text)} characters, more than {REASON_LIMIT_CHARS}")
    return text


def correction_of(
    number: int, reason: str, certificates: Iterable[CertificateLeaf], corrections: Iterable[CorrectionLeaf]
) -> Correction:
    """Return the correction of the certificate with this id.

    Args:
        number: its id, which is its index in the log.
        reason: why it no longer stands.
        certificates: those of the log.
        corrections: those of the log.

    Raises:
        CorrectionError: there is no such certificate, it is superseded already, or the reason is none.
    """
    ids = {leaf.sha256: leaf.index for leaf in certificates}
    found = [digest for digest, index in ids.items() if index == number]
    if not found:
        there = ", ".join(str(index) for index in ids.values()) or "none"
        raise CorrectionError(f"there is no certificate {number} to correct; those that were issued: {there}")
    for leaf in corrections:
        if leaf.supersedes == found[0]:
            raise CorrectionError(
                f"certificate {number} is superseded already, by certificate {ids[leaf.certificate]} "
                f"({leaf.reason}): correct that one"
            )
    return Correction(number, found[0], read_reason(reason))


def correction_entry(certificate: bytes, document: Mapping[str, Any]) -> bytes | None:
    """Return the entry that goes with a certificate, of which `document` are the members; None if it corrects none.

    Raises:
        CorrectionError: what it says of corrections is malformed.
    """
    own = own_correction(document)
    if own is None:
        return None
    return canonical_json.encode(
        {
            "type": "correction",
            "version": VERSION,
            "event_sha256": document["event_sha256"],
            "supersedes": own.supersedes,
            "certificate": hashlib.sha256(certificate).hexdigest(),
            "reason": own.reason,
            "simulated": document["simulated"],
            "software": document["software"],
        }
    )


def own_correction(document: Mapping[str, Any]) -> Correction | None:
    """Return what a certificate, of which these are the members, itself corrects.

    Raises:
        CorrectionError: what it says of corrections is malformed.
    """
    rows = document.get("corrections", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CorrectionError("its corrections are not a list")
    own = [row for row in rows if row.get("by") is None]
    if not own:
        return None
    row = own[0]
    if row is not rows[-1] or set(row) != {"entry", "supersedes", "by", "reason"}:
        raise CorrectionError("its own correction is not the last one, or has other members than it must")
    if not is_count(row["entry"]) or not is_digest(row["supersedes"]):
        raise CorrectionError("it does not say which certificate it supersedes")
    return Correction(row["entry"], row["supersedes"], read_reason(row["reason"]))


def read_correction(index: int, entry: dict[str, Any]) -> CorrectionLeaf:
    """Return a `correction` entry as a value.

    Raises:
        ValueError: it is malformed.
        KeyError: it lacks a member.
    """
    supersedes, certificate = entry["supersedes"], entry["certificate"]
    if not is_digest(supersedes) or not is_digest(certificate):
        raise CorrectionError("it does not name two certificates by their digests")
    return CorrectionLeaf(index, supersedes, certificate, read_reason(entry["reason"]))


def check_correction(
    leaf: CorrectionLeaf, certificates: Sequence[CertificateLeaf], corrections: Sequence[CorrectionLeaf]
) -> None:
    """Check that a correction fits the entries before it.

    Raises:
        CorrectionError: it does not.
    """
    ids = {one.sha256: one.index for one in certificates}
    if ids.get(leaf.certificate) != leaf.index - 1:
        raise CorrectionError("the certificate that it speaks of is not the entry before it")
    if leaf.supersedes not in ids or leaf.supersedes == leaf.certificate:
        raise CorrectionError("it supersedes a certificate that is not in the log before it")
    if any(one.supersedes == leaf.supersedes for one in corrections):
        raise CorrectionError("it supersedes a certificate that is superseded already")


def rows_of(certificates: Iterable[CertificateLeaf], corrections: Iterable[CorrectionLeaf]) -> list[dict[str, Any]]:
    """Return the corrections of a log as a certificate over it prints them, in the order of the log."""
    ids = {one.sha256: one.index for one in certificates}
    return [
        Correction(ids[leaf.supersedes], leaf.supersedes, leaf.reason).row(leaf.certificate) for leaf in corrections
    ]


def read_issued(entries: Iterable[bytes]) -> tuple[list[CertificateLeaf], list[CorrectionLeaf]]:
    """Return the certificates and corrections of a log, in its order, and nothing else of it.

    Args:
        entries: all entries of the log, from entry 0 on. Entries of a type that is not known here are passed over:
            whoever asks wants to know which certificates stand, and no other entry can restore one.

    Raises:
        CorrectionError: a correction is malformed or does not fit the entries before it.
        KeyError: an entry lacks a member.
    """
    certificates: list[CertificateLeaf] = []
    corrections: list[CorrectionLeaf] = []
    for index, raw in enumerate(entries):
        # Cheaper than reading every window: an entry is canonical, so its type is spelt in one way only.
        if b'"type":"certificate"' not in raw and b'"type":"correction"' not in raw:
            continue
        entry = canonical_json.decode(raw)
        if entry["type"] == "certificate":
            certificates.append(CertificateLeaf(index, entry["certificate_sha256"]))
        elif entry["type"] == "correction":
            leaf = read_correction(index, entry)
            check_correction(leaf, certificates, corrections)
            corrections.append(leaf)
    return certificates, corrections


def places_taken(certificates: Iterable[CertificateLeaf], corrections: Iterable[CorrectionLeaf]) -> dict[int, int]:
    """Return by the id of each superseded certificate the id of the one that took its place."""
    ids = {leaf.sha256: leaf.index for leaf in certificates}
    return {ids[leaf.supersedes]: ids[leaf.certificate] for leaf in corrections}


def superseded_by(sha256: str, entries: Iterable[bytes]) -> CorrectionLeaf | None:
    """Return the correction that supersedes a certificate, or None.

    Args:
        sha256: of the certificate, hex.
        entries: all entries of the log, from entry 0 on.

    Raises:
        CorrectionError, KeyError: see `read_issued`.
    """
    return next((leaf for leaf in read_issued(entries)[1] if leaf.supersedes == sha256), None)


def check_entered(sha256: str, own: Correction, entries: Iterable[bytes]) -> None:
    """Check that the log has the correction that a certificate claims to be.

    Args:
        sha256: of the certificate, hex.
        own: what it says that it corrects.
        entries: all entries of the log, from entry 0 on.

    Raises:
        CorrectionError: it has not, or another one.
        KeyError: see `read_issued`.
    """
    made = {leaf.certificate: (leaf.supersedes, leaf.reason) for leaf in read_issued(entries)[1]}
    if made.get(sha256) != (own.supersedes, own.reason):
        raise CorrectionError(f"it says that it supersedes certificate {own.entry}, and the log does not say so")
