"""Evidence on disk: files named by their SHA-256, durable before `put` returns, verified whenever they are read."""

import hashlib
from pathlib import Path

from counters.disk import DISK, Disk
from counters.durable_file import FRESH_SUFFIX, make_folder, write_durably
from counters.segment import is_digest


class EvidenceError(Exception):
    """A file of evidence is absent, unreadable, or not what its name says."""


class EvidenceStore:
    """The folder `DIR/evidence`: flat, one file per digest. One process puts, any may read."""

    def __init__(self, directory: Path, disk: Disk = DISK) -> None:
        """Use the folder; `put` creates it if it is not there."""
        self._directory = directory
        self._disk = disk

    def sweep(self) -> None:
        """Remove what a crash left half-written. Only for the process that puts."""
        for path in self._directory.glob(f"*{FRESH_SUFFIX}"):
            self._disk.remove(path)

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
            # Seats, pseudonyms and digests of tickets are for auditors: no other account of this host looks in. Their
            # copy of the folder is theirs to read, so the files are as readable as any.
            make_folder(self._directory, mode=0o700, disk=self._disk)
        write_durably(path, data, disk=self._disk)
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes of that digest.

        Raises:
            EvidenceError: there is no such file, it cannot be read, or its bytes have another digest.
        """
        data = self.read(digest)
        if hashlib.sha256(data).hexdigest() != digest:
            raise EvidenceError(f"evidence {digest} was changed: its bytes have another digest")
        return data

    def read(self, digest: str) -> bytes:
        """Return the bytes of that name, for who checks the digest.

        Raises:
            EvidenceError: there is no such file, or it cannot be read.
        """
        try:
            return self.path(digest).read_bytes()
        except OSError as error:
            raise EvidenceError(f"evidence {digest} cannot be read: {error.strerror}") from error

    def _holds(self, path: Path, digest: str) -> bool:
        """Whether the file is there and intact, and its name durable even if the process that put it died before."""
        try:
            intact = hashlib.sha256(path.read_bytes()).hexdigest() == digest
        except OSError:
            return False
        if intact:
            self._disk.sync_directory(self._directory)
        return intact
