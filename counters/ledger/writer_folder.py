"""The folder that is private to a log's writer: who writes, and what is decided, which may be more than is published.

DIR/log.writer/
lock                   held (flock) by the writer while it lives; holds its process id as text
committed              the checkpoint that is decided, unsigned: the three lines of counters.ledger.checkpoint
scratch/               files on their way to their names
"""

import os
from pathlib import Path
from typing import Final

from counters.durable_file import DurableFolder
from counters.ledger.checkpoint import Checkpoint, CheckpointError
from counters.ledger.sole_owner import OwnedError, take_lock
from counters.ledger.tile_files import CHECKPOINT, LogCorruptError, LogError

PRIVATE_SUFFIX: Final = ".writer"
"""It stands beside the log's directory, under its name with this suffix, and is never served."""
COMMITTED: Final = Path("log" + PRIVATE_SUFFIX, "committed")
"""Below a data directory, what its log has decided."""


class LogLockedError(LogError):
    """Another process is writing this log."""


class Decided:
    """The checkpoint that is decided. Owned by the log's one writer."""

    def __init__(self, directory: Path, origin: str, folder: DurableFolder) -> None:
        """Look at the log in `directory`, whose files are written by `folder`."""
        self._path = private_folder(directory) / COMMITTED.name
        self._origin = origin
        self._folder = folder

    def read(self) -> Checkpoint | None:
        """Return what is decided; None for a log that is to begin.

        Raises:
            LogCorruptError: the file is no checkpoint of this log.
        """
        try:
            checkpoint = Checkpoint.decode(self._path.read_bytes().decode())
        except FileNotFoundError:
            return None
        except (CheckpointError, UnicodeDecodeError) as error:
            raise LogCorruptError(str(self._path), str(error)) from None
        if checkpoint.origin != self._origin:
            raise LogCorruptError(
                str(self._path), f"this is the log {checkpoint.origin!r}; the key given is {self._origin!r}"
            )
        return checkpoint

    def swap(self, expected: Checkpoint | None, checkpoint: Checkpoint) -> None:
        """Decide: from now on the log of this size has this root, and no other may ever be signed.

        Raises:
            LogLockedError: it is not what is expected that was decided until now; None = nothing.
            OSError: the disk refuses; `read` says whether it is decided.
        """
        if self.read() != expected:
            # Reached only if the lock does not work, as on some network file systems, or somebody edits by hand.
            raise LogLockedError(
                f"{self._path} has changed under this writer: find and stop the other one, keep the data "
                "directory on a local disk, and open the log again"
            )
        self._folder.replace([(self._path, checkpoint.encode().encode())])


def private_folder(directory: Path) -> Path:
    """Return the writer's folder of the log in a directory."""
    return directory.with_name(directory.name + PRIVATE_SUFFIX)


def lock_log(directory: Path) -> int:
    """Return the file descriptor that makes its owner the writer of the log in a directory.

    Raises:
        LogLockedError: another process is.
    """
    try:
        return take_lock(private_folder(directory) / "lock")
    except OwnedError as holder:
        raise LogLockedError(
            f"the log {directory} is being written by process {holder}: stop that ledger first, "
            "or give this one another data directory"
        ) from None


def require_rest(directory: Path) -> None:
    """Raise LogLockedError while somebody writes to the log in a directory."""
    os.close(lock_log(directory))


def log_begun(directory: Path) -> bool:
    """Return whether there is a log, published or not, of which this is the directory."""
    return (directory / CHECKPOINT).exists() or (private_folder(directory) / COMMITTED.name).exists()
