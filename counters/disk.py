"""The disk: the few steps of which everything that the ledger keeps is made, and each a point where a crash can happen.

`Disk` is the seam for fault injection. The log, the evidence, grants, reports, keys, secrets and certificates reach the
disk through one of these and in no other way; a test's subclass fails, or kills its process, before or after any step.

What the steps are put together to: a file that is replaced whole, or a group of them (counters.durable_file), and a
file of lines to which one adds (counters.durable_lines).
"""

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import Final


class Disk:
    """The primitive steps. It has no state of its own; all raise OSError if the disk refuses."""

    def make_directory(self, path: Path, mode: int = 0o777) -> None:
        """Create one directory; its parent exists."""
        path.mkdir(exist_ok=True, mode=mode)

    def write(self, path: Path, data: bytes, mode: int = 0o666) -> None:
        """Make a new file of these bytes, in place of any that is there, and sync its bytes (not its name)."""
        path.unlink(missing_ok=True)
        # Created with its mode, not chmodded later: at no instant may others read a secret.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def append(self, path: Path, size: int, data: bytes) -> None:
        """Cut a file to `size` bytes, add `data` and sync it, `size` bytes of before included (not its name).

        Makes the file if it is not there. What stands past `size` is of an append that failed.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            if os.fstat(descriptor).st_size < size:
                raise OSError(errno.EIO, "the file has become shorter than what was added to it", str(path))
            os.ftruncate(descriptor, size)
            at = 0
            try:
                # A full disk may take a part without an error: the rest then raises.
                while at < len(data):
                    at += os.pwrite(descriptor, data[at:], size + at)
                os.fsync(descriptor)
            except OSError:
                with contextlib.suppress(OSError):  # the next append cuts it off as well
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file over whatever `target` names, atomically."""
        source.replace(target)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file, or a directory with all that is in it; nothing happens if there is none."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


DISK: Final = Disk()
"""The disk that does not fail on purpose."""
