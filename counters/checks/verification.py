"""What one verification was given, what its checks have found so far, and how a check says that it cannot hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from counters import canonical_json
from counters.keys_of_joins import KeysOfJoins
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.merkle import prefix_roots
from counters.ledger.note import Verifier, decode_base64
from counters.log_entries import SealedLog
from counters.trust_policy import TrustPolicy

NEEDS_LOG: Final = "not checked: this needs the public log (its folder `log`)"
NEEDS_EVIDENCE: Final = "not checked: this needs the evidence (its folder `evidence`), which auditors get"
NO_LOG: Final = "the log did not pass"


class FailedError(Exception):
    """What is wrong, in words for the report."""


class OpenError(Exception):
    """Why it could not be checked."""


def same(one: object, other: object) -> bool:
    """Whether two JSON values are the same: Python takes true for 1, and no other reader of a certificate does."""
    return one == other and canonical_json.encode(one) == canonical_json.encode(other)


@dataclass(frozen=True, slots=True)
class Other:
    """What else somebody was shown of the log: a certificate with its proof, a proof alone, or a checkpoint."""

    name: str  # as the report calls it
    note: bytes  # the signed checkpoint, of a proof the one in it
    certificate: bytes | None = None
    proof: bytes | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be verified, and by what."""

    certificate: bytes
    proof: bytes
    log_dir: Path | None = None  # the public log (checkpoint, tile/…)
    evidence_dir: Path | None = None
    policy: TrustPolicy | None = None
    strict: bool = False
    others: Sequence[Other] = ()
    timestamps_dir: Path | None = None  # <size>.tsr; None = those of the log
    authority: bytes | None = None  # the timestamp authority's certificates, PEM; None = no timestamps are asked for
    progress: Callable[[int, int], None] | None = None


@dataclass(slots=True)
class Verification:
    """Everything known so far. Owned by one `verify` call."""

    given: Given
    document: dict[str, Any] | None = None
    verifier: Verifier | None = None
    proven: Checkpoint | None = None  # the checkpoint that the proof leads to
    published: Checkpoint | None = None  # the one of the log's copy
    leaf_hashes: list[bytes] | None = None  # of all entries of the copy
    entries: list[bytes] | None = None  # those that the certificate counts from
    newest: list[bytes] | None = None  # all of the copy
    log: SealedLog | None = None
    keys_of_joins: KeysOfJoins | None = None  # once the journals of all leaves have been read
    evidence_read: set[str] = field(default_factory=set)  # digests of the files that leaves led to
    contradiction: Mapping[str, bytes] = field(default_factory=dict)  # files that prove one, by name

    def the_document(self) -> dict[str, Any]:
        """Return the certificate, which could be read."""
        if self.document is None:
            raise OpenError("the certificate could not be read")
        return self.document

    def the_verifier(self) -> Verifier:
        """Return the key of the log."""
        if self.verifier is None:
            raise OpenError("the log's key could not be read")
        return self.verifier

    def the_entries(self) -> list[bytes]:
        """Return the entries that the certificate counts from."""
        if self.entries is None:
            raise OpenError(NO_LOG if self.given.log_dir else NEEDS_LOG)
        return self.entries

    def the_log(self) -> SealedLog:
        """Return these entries as values."""
        if self.log is None:
            raise OpenError(NO_LOG if self.given.log_dir else NEEDS_LOG)
        return self.log

    def stated_checkpoint(self) -> Checkpoint:
        """Return the state of the log that the certificate says it counts from."""
        log = self.the_document()["log"]
        return Checkpoint(log["origin"], log["size"], decode_base64(log["root"]))

    def roots(self, sizes: Sequence[int]) -> dict[int, bytes]:
        """Return the roots that the log had at these sizes, as far as its copy goes."""
        if self.leaf_hashes is None:
            raise OpenError(NO_LOG if self.given.log_dir else NEEDS_LOG)
        return prefix_roots(self.leaf_hashes, sizes)
