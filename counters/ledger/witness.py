"""A witness (C2SP tlog-witness): cosigns a checkpoint only if it continues all that it has cosigned of that log.

    DIR/lock                             held (flock) by the witness while it lives; holds its process id as text
    DIR/logs/<digest>/checkpoint         the newest checkpoint that it may have cosigned, with the log's signature
    DIR/misbehaviour/<digest>/…          signed checkpoints that cannot be of one log (`_keep_split`), or whose
                                         consistency a request did not prove (`_keep_unproven`)

<digest> is the SHA-256 of the log's origin, hex. What was cosigned is compared and replaced under one lock a log, and
is on the disk before anything is signed: so no two roots are ever cosigned for one size, and no smaller tree after a
larger one, whatever crashes. A kept checkpoint that cannot be read stops the witness: it is never taken for none.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from counters.disk import DISK, Disk
from counters.durable_file import make_folder, write_durably
from counters.ledger.checkpoint import Checkpoint, CheckpointError
from counters.ledger.cosignature import cosign, with_cosignatures
from counters.ledger.merkle import EMPTY_ROOT, ProofError, verify_consistency
from counters.ledger.note import NoteError, Signer, Verifier, open_note, parse_note
from counters.ledger.sole_owner import ClosedAtEnd, OwnedError, take_lock
from counters.ledger.witness_protocol import AddCheckpoint, RequestError, Verdict

LATEST: Final = "checkpoint"
KEPT_LIMIT: Final = 64
"""Checkpoints of each kind that are kept against one log: two are proof of a split view, and more of them must not fill
the disk. One whose consistency was not proven proves nothing by itself: whoever sees a log's newest checkpoint before
the witness does can send it with a wrong proof."""
_log = logging.getLogger("turnout.witness")

TrustedKeys = Callable[[str], Sequence[Verifier]]
"""From a log's origin to the keys that are trusted to sign it; none if the log is unknown."""


class WitnessStateError(Exception):
    """What the witness has cosigned cannot be read, or another witness owns it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness says to a request."""

    verdict: Verdict
    body: str  # signature lines, or a size; else in words what is wrong


class _Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    def __init__(self, verdict: Verdict, body: str) -> None:
        super().__init__(body)
        self.answer = Answer(verdict, body)


@dataclass(slots=True)
class _Watched:
    """One log. Its lock owns the rest."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    latest: Checkpoint | None = None
    note: bytes = b""


class Witness(ClosedAtEnd):
    """One witness. Owns its folder until `close`; any number of threads may call `add_checkpoint`."""

    def __init__(self, folder: Path, signer: Signer, trusted: TrustedKeys, *, disk: Disk = DISK) -> None:
        """Open the folder, or begin it.

        Raises:
            WitnessStateError: another witness owns it, or something in it cannot be read.
            OSError: the disk refuses.
        """
        self._folder = folder.absolute()
        self._signer = signer
        self._trusted = trusted
        self._disk = disk
        make_folder(self._folder / "logs", disk=disk)
        try:
            self._lock: int | None = take_lock(self._folder / "lock")
        except OwnedError as holder:
            raise WitnessStateError(
                f"{self._folder} is used by the witness of process {holder}: stop that one first"
            ) from None
        self._opening = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        try:
            for path in sorted((self._folder / "logs").iterdir()):
                self._load(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def sizes(self) -> dict[str, int]:
        """How far each log has been cosigned: origin → entries."""
        return {origin: log.latest.size for origin, log in self._watched.items() if log.latest is not None}

    def add_checkpoint(self, body: bytes, time_s: int) -> Answer:
        """Answer a request. When this returns a cosignature, what it cosigns is on the disk.

        Args:
            body: the request, byte for byte.
            time_s: unix seconds.

        Raises:
            OSError: the disk refuses; nothing was cosigned.
        """
        try:
            request, checkpoint, note = self._read(body)
            with self._opening:
                log = self._watched.setdefault(checkpoint.origin, _Watched())
            with log.lock:
                self._check(log, request, checkpoint, note)
                if checkpoint != log.latest:
                    self._persist(checkpoint, note)
                    log.latest, log.note = checkpoint, note
                # Persisted. A crash here leaves a state that nobody holds a cosignature of: the log is told its size
                # by a conflict, and asks again from there.
                return Answer(Verdict.COSIGNED, cosign(checkpoint.encode(), self._signer, time_s).line)
        except _Refusal as refusal:
            return refusal.answer

    def _read(self, body: bytes) -> tuple[AddCheckpoint, Checkpoint, bytes]:
        """Return the request, its checkpoint, and the note with no signature but those of the log's trusted keys."""
        try:
            request = AddCheckpoint.decode(body)
            text, _ = parse_note(request.note)
        except (RequestError, NoteError) as error:
            raise _Refusal(Verdict.MALFORMED, str(error)) from None
        origin = text.partition("\n")[0]
        keys = self._trusted(origin)
        if not keys:
            raise _Refusal(Verdict.UNKNOWN_LOG, f"this witness does not watch the log {origin[:200]!r}")
        try:
            opened = open_note(request.note, keys)
        except NoteError as error:
            raise _Refusal(Verdict.UNTRUSTED, str(error)) from None
        try:
            checkpoint = Checkpoint.decode(text)
        except CheckpointError as error:
            # The specification's one checkpoint that is well-formed and cannot be: of size 0 with another root.
            empty = text.split("\n")[1:2] == ["0"]
            raise _Refusal(Verdict.INCONSISTENT if empty else Verdict.MALFORMED, str(error)) from None
        if request.old > checkpoint.size:
            raise _Refusal(Verdict.MALFORMED, f"old size {request.old} is above the checkpoint's {checkpoint.size}")
        return request, checkpoint, with_cosignatures(text.encode() + b"\n", opened.verified)

    def _check(self, log: _Watched, request: AddCheckpoint, checkpoint: Checkpoint, note: bytes) -> None:
        """Refuse a checkpoint that is not proven to continue the latest one."""
        size, root = (log.latest.size, log.latest.root) if log.latest else (0, EMPTY_ROOT)
        split = checkpoint.size == size and checkpoint.root != root
        if split:
            self._keep_split(log, checkpoint, note)
        if request.old != size:
            raise _Refusal(Verdict.CONFLICT, f"{size}\n")
        if split:
            raise _Refusal(Verdict.INCONSISTENT, f"this witness knows another root for the same {size} entries")
        try:
            verify_consistency(size, root, checkpoint.size, checkpoint.root, request.proof)
        except ProofError as error:
            self._keep_unproven(checkpoint, note)
            raise _Refusal(Verdict.INCONSISTENT, str(error)) from None

    # Disk.

    def _persist(self, checkpoint: Checkpoint, note: bytes) -> None:
        path = self._log_folder("logs", checkpoint.origin) / LATEST
        make_folder(path.parent, disk=self._disk)
        # A crash up to here changes nothing; within, the old or the new checkpoint is there, and neither was cosigned
        # in vain: nobody has an answer yet.
        write_durably(path, note, disk=self._disk)

    def _load(self, folder: Path) -> None:
        path = folder / LATEST
        if not path.exists():
            return  # a crash before the first checkpoint of this log was on the disk
        try:
            note = path.read_bytes()
            checkpoint = Checkpoint.decode(parse_note(note)[0])
            if self._log_folder("logs", checkpoint.origin) != folder:
                raise WitnessStateError(f"{path} is of another log than its folder: restore it from where it was")
        except (NoteError, OSError) as error:
            raise WitnessStateError(
                f"{path} cannot be read ({error}): restore it. A witness that has forgotten what it cosigned must not "
                "go on with this key"
            ) from None
        self._watched[checkpoint.origin] = _Watched(latest=checkpoint, note=note)

    def _keep_split(self, log: _Watched, checkpoint: Checkpoint, note: bytes) -> None:
        """Keep two checkpoints of one size with different roots, both signed by the log: proof that it was forked."""
        if log.latest is not None:
            self._keep("split-view", log.latest, log.note)
        if self._keep("split-view", checkpoint, note):
            _log.error(
                "SPLIT VIEW of the log %s: it has signed two roots for its first %d entries. Both are kept in %s",
                checkpoint.origin, checkpoint.size, self._log_folder("misbehaviour", checkpoint.origin),
            )  # fmt: skip

    def _keep_unproven(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Keep a signed checkpoint that came with a proof that does not hold."""
        if self._keep("unproven", checkpoint, note):
            _log.warning("%s: size %d came without a proof that it continues", checkpoint.origin, checkpoint.size)

    def _keep(self, what: str, checkpoint: Checkpoint, note: bytes) -> bool:
        """Keep a checkpoint as evidence; return whether it is new."""
        folder = self._log_folder("misbehaviour", checkpoint.origin)
        path = folder / f"{what}-{checkpoint.size}-{checkpoint.root.hex()}"
        if path.exists() or len(list(folder.glob(f"{what}-*"))) >= KEPT_LIMIT:
            return False
        try:
            make_folder(folder, disk=self._disk)
            write_durably(path, note, disk=self._disk)
        except OSError:
            # The answer is no in any case.
            _log.exception("a checkpoint that is evidence against %s could not be kept", checkpoint.origin)
        return True

    def _log_folder(self, kind: str, origin: str) -> Path:
        return self._folder / kind / sha256(origin.encode()).hexdigest()
