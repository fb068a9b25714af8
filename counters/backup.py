"""Backup: a copy of a ledger's data directory that opens like the original after a crash, taken while it runs or rests.

What is copied is read in this order, so that everything that is copied has what it names:

    checkpoint   the published one, then what is committed: the state that the copy will have
    lines        reports and grants, whole lines only: at least those that this state rests on, perhaps some later ones
    evidence     every file that is there by now: at least what log and reports name
    tiles        those of the checkpoints read first
    the rest     keys, secrets, certificates of entries that the copy has, proofs of its rolls, what others have signed
                 of its states (`log/cosigned/`, `log/timestamps/`), what else lies in `ledger/`
    tokens       those of now, unless they are to be left out (counters.backup_tokens); `backup.json` says how many

It is written in the order evidence, tiles, lines, the rest, committed, checkpoint, each step synced before the next.
A backup that breaks off leaves what was there before, or a later state, never less; the next one goes on with it.
Evidence and full tiles never change: only what is not yet in the copy is read.

Not copied, because it is not the ledger's or makes itself again: `spool/` and `redis/` of `turnout up`, addresses and
locks.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from counters.backup_tokens import copy_tokens, leave_tokens_out
from counters.canonical_json import encode
from counters.cosigned import COSIGNED
from counters.disk import DISK, Disk
from counters.durable_file import FRESH_SUFFIX, make_folder, write_durably
from counters.evidence_store import EvidenceError, EvidenceStore
from counters.ledger.checkpoint import Checkpoint, CheckpointError, open_checkpoint
from counters.ledger.log import LogCorruptError
from counters.ledger.note import NoteError, Verifier
from counters.ledger.reader import LogAt
from counters.ledger.tiles import TILE_WIDTH, tiles_of
from counters.ledger.writer_folder import COMMITTED
from counters.log_key import load_signer
from counters.manifest import Manifest
from counters.roll_sealing import FOLDER as ROLLS
from counters.segment import is_digest
from counters.software import SOFTWARE
from counters.timestamp_files import TIMESTAMPS
from counters.trust_policy import POLICY_FILE

NOTE_FILE: Final = "backup.json"
_CHECKPOINT: Final = Path("log", "checkpoint")
_LINES: Final = (Path("ledger", "reports.jsonl"), Path("ledger", "grants.jsonl"))
_SINGLE: Final = ("secrets.json", "clock", POLICY_FILE)
_FOLDERS: Final = ("ledger", "development-issuer")
_PASSING: Final = {"probe"}
"""What the ledger writes and removes again; and so is everything that ends in FRESH_SUFFIX."""
_SCRATCH: Final = ".copying"
_TRIES: Final = 20
"""A log that runs may replace a partial tile while it is copied: then the newer state is copied instead."""

Progress = Callable[[int, int], None]
"""Called with how many files of evidence have been seen to, of how many."""


class BackupError(Exception):
    """Nothing was copied, and what to do about it."""


@dataclass(slots=True)
class Copied:
    """What a backup did."""

    size: int = 0  # entries of the log in the copy
    files: int = 0  # copied this time
    bytes: int = 0
    there: int = 0  # files that the copy had before
    tokens: int = 0  # retained tokens that the copy holds
    wrong: list[str] = field(default_factory=list)
    """Sentences about files that are not what their digest says; those are not copied."""


@dataclass(frozen=True, slots=True)
class _State:
    """What the copy will be: two checkpoints of one log, the first as its file is."""

    note: bytes  # empty: nothing is published, because witnesses are still to cosign it
    published: int  # entries
    committed: Checkpoint


class Backup:
    """One run of a backup from a data directory to its copy. Owns the lock on the copy."""

    def __init__(
        self, data: Path, copy: Path, *, tokens: bool = True, disk: Disk = DISK, progress: Progress | None = None
    ) -> None:
        """Prepare; nothing is read yet. `tokens`: whether the copy is to hold the attendees' tokens, if there are."""
        self._with_tokens = tokens
        self._data = data
        self._copy = copy
        self._disk = disk
        self._progress = progress
        self._dirty: set[Path] = set()
        self._done = Copied()

    def run(self, *, check_all: bool = False) -> Copied:
        """Bring the copy up to date, and verify it.

        Args:
            check_all: whether also evidence that the copy had before is read and held against its digest.

        Raises:
            BackupError: these two folders cannot be a ledger's data and its backup.
            OSError: a disk refuses; the copy is what it was, or a later state.
        """
        verifier = self._check_places()
        make_folder(self._copy, mode=0o700, disk=self._disk)
        self._copy.chmod(0o700)  # it holds the key that signs the log
        with self._alone():
            self._check_same_log(verifier)
            self._disk.make_directory(self._copy / _SCRATCH, 0o700)
            for _ in range(_TRIES):
                self._done = Copied()
                try:
                    self._bring_up_to_date(self._state(verifier), check_all=check_all)
                    break
                except FileNotFoundError:
                    continue
            else:
                raise BackupError(f"{self._data / 'log'} changes faster than it can be copied, or lacks a tile")
            self._disk.remove(self._copy / _SCRATCH)
            self._copy_tokens(verifier)
        return self._done

    # Whether this makes sense.

    def _check_places(self) -> Verifier:
        data, copy = self._data.resolve(), self._copy.resolve()
        if not (self._data / COMMITTED).exists():
            raise BackupError(f"{self._data} holds no log: name the ledger's data directory")
        if copy == data or copy.is_relative_to(data) or data.is_relative_to(copy):
            raise BackupError(f"{self._copy} and {self._data} lie in each other: back up to a place of its own")
        if copy.exists() and any(copy.iterdir()) and not (copy / NOTE_FILE).exists():
            raise BackupError(f"{self._copy} is not empty and no backup: name an empty folder, or an earlier backup")
        try:
            return load_signer(self._data).verifier
        except (OSError, NoteError) as error:
            raise BackupError(f"the log's key cannot be read: {error}") from None

    def _check_same_log(self, verifier: Verifier) -> None:
        """Refuse a copy of another log, and one that is ahead: that would replace the better by the worse."""
        note_file = self._copy / NOTE_FILE
        if not note_file.exists():
            self._write_note(verifier, 0)
        note = json.loads(note_file.read_bytes())
        if note.get("log") != verifier.encode():
            raise BackupError(f"{self._copy} is the backup of another log, {note.get('log')}: name another folder")
        if not (self._copy / COMMITTED).exists():
            return
        theirs, ours = read_committed(self._copy), LogAt(self._data / "log", read_committed(self._data))
        if theirs.size > ours.size:
            raise BackupError(
                f"{self._copy} has {theirs.size} entries of this log and {self._data} only {ours.size}: the backup is "
                "the newer one. Restore it; or, to keep both, back up to another folder"
            )
        if ours.root_at(theirs.size) != theirs.root:
            raise BackupError(f"{self._copy} has another history of this log than {self._data}: keep it, and back up "
                              "to another folder")  # fmt: skip
        for path in _LINES:
            before = _whole_lines(self._copy / path)
            if _whole_lines(self._data / path)[: len(before)] != before:
                raise BackupError(f"{self._copy / path} has lines that {self._data / path} has not: the backup is the "
                                  "newer one. Restore it, or back up to another folder")  # fmt: skip

    def _write_note(self, verifier: Verifier, tokens: int) -> None:
        document = {"type": "backup", "version": 1, "log": verifier.encode(), "software": SOFTWARE, "tokens": tokens}
        write_durably(self._copy / NOTE_FILE, encode(document), disk=self._disk)

    # Copying.

    def _copy_tokens(self, verifier: Verifier) -> None:
        if self._with_tokens:
            copied = copy_tokens(self._data, self._copy, self._disk)
        else:
            copied = leave_tokens_out(self._copy, self._disk)
        self._done.tokens = copied.tokens
        self._done.files += copied.files
        self._done.bytes += copied.bytes
        self._done.wrong += copied.wrong
        if json.loads((self._copy / NOTE_FILE).read_bytes()).get("tokens") != copied.tokens:
            # A crash before this: the note tells the number of an earlier run until the next.
            self._write_note(verifier, copied.tokens)

    def _state(self, verifier: Verifier) -> _State:
        try:
            note = (self._data / _CHECKPOINT).read_bytes() if (self._data / _CHECKPOINT).exists() else b""
            published = open_checkpoint(note, verifier).size if note else 0
        except NoteError as error:
            raise BackupError(f"the log's checkpoint is damaged: {error}") from None
        return _State(note, published, read_committed(self._data))

    def _bring_up_to_date(self, state: _State, *, check_all: bool) -> None:
        lines = {path: _whole_lines(self._data / path) for path in _LINES}
        self._copy_evidence(check_all=check_all)
        tiles = {tile for size in (state.published, state.committed.size) for tile in tiles_of(size)}
        for tile in sorted(tiles, key=lambda tile: tile.path):
            # A partial tile may have been staged anew, with other entries, since an earlier backup that broke off.
            self._copy_file(Path("log", tile.path), fresh=tile.width < TILE_WIDTH)
        self._settle()
        # A crash up to here leaves evidence and tiles that nothing in the copy names yet.
        for path, data in lines.items():
            if data:
                self._write(path, data)
        for path in self._single_files(state.committed.size):
            self._copy_file(path, fresh=True)
        self._settle()
        # A crash here leaves hand-overs that are not in a leaf yet: as after a crash of the ledger itself.
        self._write(COMMITTED, state.committed.encode().encode())
        self._settle()
        # A crash here leaves a decided state that opening publishes.
        if state.note:
            self._write(_CHECKPOINT, state.note)
        self._settle()
        self._done.size = state.committed.size
        self._verify()

    def _copy_evidence(self, *, check_all: bool) -> None:
        folder = self._data / "evidence"
        names = sorted(path.name for path in folder.iterdir() if is_digest(path.name)) if folder.is_dir() else []
        for number, name in enumerate(names, start=1):
            target = self._copy / "evidence" / name
            there = target.exists() and target.stat().st_size == (folder / name).stat().st_size
            if there and check_all and hashlib.sha256(target.read_bytes()).hexdigest() != name:
                self._done.wrong.append(f"{target} was damaged, and is copied again")
                there = False
            if there:
                self._done.there += 1
            else:
                self._copy_one_of_evidence(name)
            if self._progress is not None:
                self._progress(number, len(names))

    def _copy_one_of_evidence(self, name: str) -> None:
        path = Path("evidence", name)
        data = (self._data / path).read_bytes()
        if hashlib.sha256(data).hexdigest() != name:
            self._done.wrong.append(f"{self._data / path} is damaged: its bytes have another digest")
            return
        self._write(path, data)

    def _single_files(self, size: int) -> Iterator[Path]:
        """The paths of what is copied whole each time: small, and not named by what is in it."""
        yield from (Path(name) for name in _SINGLE if (self._data / name).is_file())
        for folder in _FOLDERS:
            if (self._data / folder).is_dir():
                for path in sorted((self._data / folder).rglob("*")):
                    relative = path.relative_to(self._data)
                    if path.is_file() and relative not in _LINES and not _passing(path):
                        yield relative
        for path in (self._data / "log" / name for name in (COSIGNED, TIMESTAMPS)):
            for signed in sorted(path.iterdir()) if path.is_dir() else ():
                # Of a state that the copy does not have, nobody could say what it is of.
                if signed.stem.isdigit() and int(signed.stem) <= size and not _passing(signed):
                    yield signed.relative_to(self._data)
        # Of a roll its entry and its first proof: the rest is made again from the evidence (counters.roll_sealing).
        rolls = [path for path in (self._data / ROLLS).glob("*/entry.*") if path.parent.name.isdigit()]
        yield from (path.relative_to(self._data) for path in sorted(rolls) if int(path.parent.name) < size)
        certificates = self._data / "certificates"
        for path in sorted(certificates.iterdir()) if certificates.is_dir() else ():
            # The certificate of an entry that the copy does not have would stand in the way of another one's.
            if path.stem.isdigit() and int(path.stem) < size:
                yield path.relative_to(self._data)

    def _copy_file(self, path: Path, *, fresh: bool) -> None:
        if (self._copy / path).exists() and not fresh:
            self._done.there += 1
            return
        self._write(path, (self._data / path).read_bytes())

    def _write(self, path: Path, data: bytes) -> None:
        """Put a file into the copy under its name, whole, with the mode that it has; durable after `_settle`."""
        target = self._copy / path
        if target.exists() and target.read_bytes() == data:
            self._done.there += 1
            return
        self._make_folder(path.parent)
        scratch = self._copy / _SCRATCH / "file"
        self._disk.write(scratch, data, stat.S_IMODE((self._data / path).stat().st_mode))
        self._disk.rename(scratch, target)
        self._dirty.add(target.parent)
        self._done.files += 1
        self._done.bytes += len(data)

    def _make_folder(self, path: Path) -> None:
        if (self._copy / path).is_dir():
            return
        self._make_folder(path.parent)
        source = self._data / path
        self._disk.make_directory(self._copy / path, stat.S_IMODE(source.stat().st_mode))
        self._dirty.add((self._copy / path).parent)

    def _settle(self) -> None:
        for folder in sorted(self._dirty):
            self._disk.sync_directory(folder)
        self._dirty.clear()

    # What it is worth.

    def _verify(self) -> None:
        """Recompute the whole log of the copy from its entries; what it names must be there."""
        try:
            log = LogAt(self._copy / "log", read_committed(self._copy))
            log.check_whole()
            entries = [json.loads(entry) for entry in log.entries()]
        except LogCorruptError as error:
            self._done.wrong.append(f"the log of the copy: {error}")
            return
        reports = [json.loads(line) for line in _whole_lines(self._copy / _LINES[0]).splitlines()]
        named = {digest for row in reports for digest in row["segments"]}
        store = EvidenceStore(self._copy / "evidence")
        for entry in entries:
            named |= {entry[name] for name in ("manifest_sha256", "revocations_sha256") if entry.get(name)}
            if "manifest_sha256" in entry:
                # One that is not there is named below.
                with contextlib.suppress(EvidenceError):
                    manifest = Manifest.decode(store.get(entry["manifest_sha256"]))
                    named |= {file.sha256 for file in manifest.evidence}
        for digest in sorted(named):
            if not store.path(digest).exists():
                self._done.wrong.append(f"evidence {digest} is named by log or reports, and is not in the copy")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._copy, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(f"another backup to {self._copy} is running") from None
            yield
        finally:
            os.close(descriptor)


def read_committed(data: Path) -> Checkpoint:
    """Return what the log of a data directory, or of its copy, has decided.

    Raises:
        BackupError: there is none, or it is damaged.
    """
    try:
        return Checkpoint.decode((data / COMMITTED).read_bytes().decode())
    except (OSError, CheckpointError, UnicodeDecodeError) as error:
        raise BackupError(f"the log in {data} cannot be read: {error}") from None


def _passing(path: Path) -> bool:
    return path.name in _PASSING or path.name.endswith(FRESH_SUFFIX)


def _whole_lines(path: Path) -> bytes:
    """The lines of a file that end; one that is being added does not yet."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]
