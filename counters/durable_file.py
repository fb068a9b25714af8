"""Files that are replaced whole and survive a power cut: written beside, synced, renamed, and the folder synced.

A file appears under its name only whole and only after its bytes are on the disk. What a crash leaves is the old file
or the new one, and perhaps a `.new` beside it, or something in the scratch folder, that the next write replaces.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from counters.disk import DISK, Disk

FRESH_SUFFIX: Final = ".new"
"""Of a file on its way to its name."""


def sync_folder(folder: Path, disk: Disk = DISK) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: the disk refused.
    """
    disk.sync_directory(folder)


def make_folder(folder: Path, *, mode: int = 0o777, disk: Disk = DISK) -> None:
    """Create a folder and what is missing on the way to it; when this returns no power cut takes them back.

    Raises:
        OSError: the disk refused.
    """
    if folder.is_dir():
        # Whoever made it may have been killed before it was durable. A parent that we may not read, others have made.
        with contextlib.suppress(PermissionError):
            disk.sync_directory(folder.parent)
        return
    make_folder(folder.parent, disk=disk)
    disk.make_directory(folder, mode)
    disk.sync_directory(folder.parent)


def write_durably(path: Path, data: bytes, *, mode: int = 0o644, disk: Disk = DISK) -> None:
    """Make the file hold these bytes; when this returns no power cut takes them back.

    Raises:
        OSError: the disk refused; the file is what it was or, if its folder could not be synced, perhaps the new one.
    """
    fresh = path.with_name(path.name + FRESH_SUFFIX)
    try:
        disk.write(fresh, data, mode)
        disk.rename(fresh, path)
    except OSError:
        # A full disk needs the room; what a crash leaves here, the next write replaces.
        with contextlib.suppress(OSError):
            disk.remove(fresh)
        raise
    # A crash before this line may lose the name: the caller has not been told otherwise.
    disk.sync_directory(path.parent)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is there, until the block ends; the kernel lets go of it with the process.

    Raises:
        OSError: the folder cannot be opened.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def read_or_create(path: Path, make: Callable[[], bytes], *, mode: int = 0o644, disk: Disk = DISK) -> bytes:
    """Return what a file holds that is made once; of several processes that start together, one makes it.

    Raises:
        OSError: the disk refused, or the file cannot be read.
    """
    make_folder(path.parent, disk=disk)
    with alone_in(path.parent):
        if path.exists():
            # Whoever wrote it may have been killed before its name was durable; from here on others rely on it.
            disk.sync_directory(path.parent)
        else:
            write_durably(path, make(), mode=mode, disk=disk)
    return path.read_bytes()


class DurableFolder:
    """Replaces files below one folder durably, a group at a time, with as few syncs as that takes.

    Owns `scratch`, a folder on the same file system that nobody else uses. Remembers which directories are known to be
    durable, since one that an earlier process made may still be lost with the power until its parent is synced.
    """

    def __init__(self, base: Path, scratch: Path, disk: Disk) -> None:
        self._base = base
        self._scratch = scratch
        self._disk = disk
        self._durable = {base}

    def clear_scratch(self) -> None:
        """Throw away what a crash left half-written."""
        self._disk.remove(self._scratch)
        self._disk.make_directory(self._scratch)

    def replace(self, files: Iterable[tuple[Path, bytes]]) -> None:
        """Make each file hold its bytes. On return all are durable; before, any of them may be old or new.

        Costs one sync a file, one for each directory that they are in, and one for each parent of a directory that is
        used for the first time since this object was made.

        Raises:
            OSError: The disk is full, read-only, broken. Any of the files may be old or new.
        """
        targets = []
        for number, (target, data) in enumerate(files):
            self._disk.write(self._scratch / str(number), data)
            targets.append(target)
        # Syncing a parent after its children is fine: all of it happens before the caller goes on.
        dirty: set[Path] = set()
        new: set[Path] = set()
        for target in targets:
            self._prepare(target.parent, dirty, new)
        for number, target in enumerate(targets):
            self._disk.rename(self._scratch / str(number), target)
            dirty.add(target.parent)
        for directory in sorted(dirty):
            self._disk.sync_directory(directory)
        self._durable |= new

    def settle(self, directory: Path) -> None:
        """Make removals from a directory durable; if it has become empty it goes as well."""
        if any(directory.iterdir()):
            self._disk.sync_directory(directory)
        else:
            self.remove(directory)
            self._disk.sync_directory(directory.parent)

    def remove(self, path: Path) -> None:
        """Remove a file or a whole directory. Not yet durable: it may come back after power loss."""
        self._disk.remove(path)
        self._durable = {directory for directory in self._durable if not directory.is_relative_to(path)}

    def _prepare(self, directory: Path, dirty: set[Path], new: set[Path]) -> None:
        """Create a directory and its parents up to the base; note whose names then need a sync."""
        missing = []
        while directory not in self._durable and directory not in new:
            missing.append(directory)
            directory = directory.parent
        for path in reversed(missing):
            if not path.is_dir():
                self._disk.make_directory(path)
            dirty.add(path.parent)
            new.add(path)
