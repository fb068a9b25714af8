"""Issuing a certificate: computed over the log as it stands, entered into it, and shipped with its proof.

    DIR/certificates/<id>.json         the certificate, canonical JSON
    DIR/certificates/<id>.tlog-proof   its place in the log, for offline verification

The id is the certificate's index in the log.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from counters.certificate import Progress, certificate_entry, compute_certificate
from counters.durable_file import make_folder, write_durably
from counters.ledger.log import Log
from counters.ledger.note import Verifier
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


def compute(sealer: Sealer, verifier: Verifier, now: float, progress: Progress | None = None) -> bytes:
    """Return a certificate over everything that is sealed. Reads only what is published, so any thread may do it."""
    checkpoint = sealer.log.checkpoint
    return compute_certificate(
        sealer.event,
        list(sealer.log.entries(0, checkpoint.size)),
        sealer.evidence.get,
        log_origin=sealer.log.origin,
        log_vkey=verifier.encode(),
        checkpoint=checkpoint,
        issued_at=sealer.event.iso(now),
        software=SOFTWARE,
        progress=progress,
    )


def enter(sealer: Sealer, certificate: bytes, directory: Path) -> Issued:
    """Put a computed certificate into the log and on disk. Only in the thread that owns the sealer."""
    index = sealer.log.size
    sealer.append(certificate_entry(certificate))
    # A crash here leaves an entry whose certificate nobody has: the numbers can be had again, by a new certificate.
    issued = Issued(index, certificate, _proof(sealer.log, index))
    make_folder(directory, disk=sealer.disk)
    for name, data in ((f"{index}.tlog-proof", issued.proof), (f"{index}.json", certificate)):
        write_durably(directory / name, data, disk=sealer.disk)
    return issued


def _proof(log: Log, index: int) -> bytes:
    return log.tlog_proof(index).encode()
