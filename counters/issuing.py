"""Issuing a certificate: computed over the log as it stands, entered into it, and shipped with its proof.

    DIR/certificates/<id>.json         the certificate, canonical JSON
    DIR/certificates/<id>.tlog-proof   its place in the log, for offline verification

The id is the certificate's index in the log. The certificate is on disk before its leaf, and the proof is written last,
once the leaf is published: a certificate counts as issued when both are there. One that corrects an older one enters
the log together with the leaf that supersedes that (counters.corrections).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from counters.certificate import (
    CertificateError,
    certificate_entries,
    certificate_entry,
    compute_certificate,
)
from counters.corrections import correction_of, own_correction
from counters.durable_file import make_folder, write_durably
from counters.ledger.log import Log
from counters.ledger.note import Verifier
from counters.reckoning import Progress
from counters.sealing import Sealer
from counters.software import SOFTWARE


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and what proves its place in the log."""

    id: int  # index of its entry
    certificate: bytes
    proof: bytes

    @property
    def sha256(self) -> str:
        """The certificate's digest, hex."""
        return hashlib.sha256(self.certificate).hexdigest()


def compute(
    sealer: Sealer,
    verifier: Verifier,
    now: float,
    progress: Progress | None = None,
    *,
    corrects: int | None = None,
    reason: str = "",
) -> bytes:
    """Return a certificate over everything that is sealed. Reads only what is published, so any thread may do it.

    Args:
        sealer: of the ledger.
        verifier: of its log.
        now: unix seconds on the event's clock.
        progress: is told after each leaf.
        corrects: id of the certificate that this one supersedes; None if it supersedes none.
        reason: why it does.

    Raises:
        CertificateError: the log does not make a certificate.
        CorrectionError: there is nothing of that id to correct, or no reason.
        EvidenceError: evidence is absent or contradicts the log.
    """
    checkpoint = sealer.log.published.checkpoint
    return compute_certificate(
        sealer.event,
        list(sealer.log.published.entries(0, checkpoint.size)),
        sealer.evidence.read,
        log_origin=sealer.log.origin,
        log_vkey=verifier.encode(),
        checkpoint=checkpoint,
        issued_at=sealer.event.iso(now),
        software=SOFTWARE,
        corrects=corrects,
        reason=reason,
        progress=progress,
    )


def enter(sealer: Sealer, certificate: bytes, directory: Path) -> int:
    """Put a computed certificate on disk and into the log; return its id. Only in the thread that owns the sealer.

    Raises:
        CorrectionError: what it corrects has been superseded since it was computed.
        OSError: the disk refuses; whether it is in shows when `complete` has run.
    """
    complete(sealer, directory)
    _check_correction(sealer, certificate)
    index = sealer.log.size
    make_folder(directory, disk=sealer.disk)
    write_durably(directory / f"{index}.json", certificate, disk=sealer.disk)
    # A crash here leaves a certificate that no leaf names: `complete` removes it, and nobody was told of it.
    # So does a crash within, unless the group is committed; with it is the correction, if it is one.
    sealer.append(*certificate_entries(certificate))
    # A crash here leaves a certificate without its proof: `complete` writes it.
    return index


def _check_correction(sealer: Sealer, certificate: bytes) -> None:
    """Refuse a correction that no longer fits: in the log it would be an entry that no verifier accepts."""
    if own := own_correction(json.loads(certificate)):
        correction_of(own.entry, own.reason, sealer.certificates, sealer.corrections)


def issued(sealer: Sealer, number: int, directory: Path) -> Issued:
    """Return a certificate that was entered and is published. Only in the thread that owns the sealer."""
    complete(sealer, directory)
    files = (directory / f"{number}.{kind}" for kind in ("json", "tlog-proof"))
    return Issued(number, *(path.read_bytes() for path in files))


def complete(sealer: Sealer, directory: Path) -> None:
    """Finish what a crash, a full disk or a lost quorum left half-issued. Only in the thread that owns the sealer.

    Raises:
        OSError: the disk refuses; call again.
    """
    sealer.settle()
    for number in _numbers(directory, "tlog-proof"):
        if number >= sealer.log.size:
            # Of a log that went on from here, and was set back since: its proof is none of the entry that comes now.
            sealer.disk.remove(directory / f"{number}.tlog-proof")
    # A crash here leaves certificates without a proof, which go now.
    for number in _numbers(directory, "json") - _numbers(directory, "tlog-proof"):
        path = directory / f"{number}.json"
        if number >= sealer.log.size or sealer.log.entry(number) != _entry_of(path.read_bytes()):
            sealer.disk.remove(path)
        elif number < sealer.log.published.size:
            write_durably(directory / f"{number}.tlog-proof", _proof(sealer.log, number), disk=sealer.disk)


def issued_numbers(directory: Path) -> list[int]:
    """Return the ids of the certificates that are issued, ascending."""
    return sorted(_numbers(directory, "json") & _numbers(directory, "tlog-proof"))


def _numbers(directory: Path, kind: str) -> set[int]:
    return {int(path.stem) for path in directory.glob(f"*.{kind}") if path.stem.isdecimal()}


def _entry_of(certificate: bytes) -> bytes | None:
    try:
        return certificate_entry(certificate)
    except CertificateError:
        return None


def _proof(log: Log, index: int) -> bytes:
    return log.published.tlog_proof(index).encode()
