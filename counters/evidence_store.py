"""Evidence on disk: files named by their SHA-256, durable before `put` returns, verified whenever they are read."""

import hashlib
import os
import tempfile
from pathlib import Path

from counters.segment import is_digest


class EvidenceError(Exception):
    """A file of evidence is absent, unreadable, or not what its name says."""


class EvidenceStore:
    """The folder `DIR/evidence`: flat, one file per digest. Several processes may use it at once."""

    def __init__(self, directory: Path) -> None:
        """Use the folder; `put` creates it if it is not there."""
        self._directory = directory

    def path(self, digest: str) -> Path:
        """Where the file of that digest is, or would be.

        Raises:
            EvidenceError: not 64 lower-case hex digits, so that no name can lead out of the folder.
        """
        if not is_digest(digest):
            raise EvidenceError(f"{digest!r} is no SHA-256 in lower-case hex")
        return self._directory / digest

    def put(self, data: bytes) -> str:
        """Store the bytes and return their digest in hex; they survive a power cut from here on.

        Raises:
            OSError: the disk did not take it; then nothing is stored under the digest.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if self._holds(path, digest):
            return digest
        if not self._directory.is_dir():
            # Seats, pseudonyms and digests of tickets are for auditors: no other account of this host looks in.
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sync(self._directory.parent)  # or a power cut could take the folder with everything in it
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=self._directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)  # the folder keeps strangers out; a copy of it is for auditors to read
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync(self._directory)  # a crash before this line may lose the name: the caller has not been told otherwise
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes of that digest.

        Raises:
            EvidenceError: there is no such file, it cannot be read, or its bytes have another digest.
        """
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise EvidenceError(f"evidence {digest} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise EvidenceError(f"evidence {digest} was changed: its bytes have another digest")
        return data

    def _holds(self, path: Path, digest: str) -> bool:
        """Whether the file is there and intact, and its name durable even if the process that put it died before."""
        try:
            intact = hashlib.sha256(path.read_bytes()).hexdigest() == digest
        except OSError:
            return False
        if intact:
            _sync(self._directory)
        return intact


def _sync(directory: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
