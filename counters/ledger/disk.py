"""Durable files: the few ways in which the log changes the disk, and the order in which they hold through power loss.

A file appears under its name only whole and only after its bytes are on the disk: written beside (in a scratch folder
of the same file system), synced, renamed, and the folder synced. What a crash leaves is the old file or the new one.

`Disk` is the seam for fault injection: a test's subclass fails before or after any single step.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path


class Disk:
    """The primitive steps. Each is one point at which a crash can happen."""

    def make_directory(self, path: Path) -> None:
        """Create one directory; its parent exists."""
        path.mkdir(exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        """Create or overwrite a file and sync its bytes (not its name)."""
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

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
