"""Disks that fail on purpose, at one step of many: by an error, by the end of the process, by a loss of power."""

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import NoReturn

from counters.disk import Disk


class CrashError(BaseException):
    """The end of the process, as far as the writer can tell."""


def crash() -> NoReturn:
    """End the process, in a test that goes on."""
    raise CrashError


def die() -> NoReturn:
    """End this very process, with nothing done any more."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it lives on")


def full() -> NoReturn:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, "No space left on device")


@dataclass
class FaultyDisk(Disk):
    """Counts its steps, and does `fault` at step `fail_at`: before the step, or when it has happened."""

    fail_at: int = -1  # counted from 0; -1 = never
    after: bool = False  # whether the step itself still happens
    fault: Callable[[], NoReturn] = crash
    only: str = "*"
    """Which steps count: a pattern of "name path", as in "rename */committed"; of a rename the path is the new one."""
    steps: int = 0

    def step(self, name: str, path: Path, action: Callable[[], None]) -> None:
        """Do one step, or fail at it."""
        if not fnmatch(f"{name} {path}", self.only):
            action()
            return
        self.steps += 1
        fails = self.steps - 1 == self.fail_at
        if fails and not self.after:
            self.fault()
        action()
        if fails:
            self.fault()

    def make_directory(self, path: Path, mode: int = 0o777) -> None:
        """Create one directory."""
        self.step("make_directory", path, lambda: Disk.make_directory(self, path, mode))

    def write(self, path: Path, data: bytes, mode: int = 0o666) -> None:
        """Make a new file."""
        self.step("write", path, lambda: Disk.write(self, path, data, mode))

    def append(self, path: Path, size: int, data: bytes) -> None:
        """Add to a file."""
        self.step("append", path, lambda: Disk.append(self, path, size, data))

    def rename(self, source: Path, target: Path) -> None:
        """Move a file."""
        self.step("rename", target, lambda: Disk.rename(self, source, target))

    def sync_directory(self, path: Path) -> None:
        """Make names durable."""
        self.step("sync_directory", path, lambda: Disk.sync_directory(self, path))

    def remove(self, path: Path) -> None:
        """Remove a file or a directory."""
        self.step("remove", path, lambda: Disk.remove(self, path))


@dataclass
class FragileDisk(FaultyDisk):
    """A disk without real syncs, which knows what a power loss would leave.

    `durable` holds per directory the names as of its last sync, each with its synced content (None for a directory).
    """

    durable: dict[Path, dict[str, bytes | None]] = field(default_factory=dict)
    contents: dict[Path, bytes] = field(default_factory=dict)
    """What was synced of each file; syncing a directory syncs names, not what was written past this disk."""

    def make_directory(self, path: Path, mode: int = 0o777) -> None:
        """Create one directory; what was once under its name is gone."""

        def make() -> None:
            if not path.exists():
                self.durable.pop(path, None)
            path.mkdir(exist_ok=True, mode=mode)

        self.step("make_directory", path, make)

    def write(self, path: Path, data: bytes, mode: int = 0o666) -> None:  # noqa: ARG002 - nobody else looks
        """Make a new file. Its name is not durable, so neither is it."""

        def write() -> None:
            path.write_bytes(data)
            self.contents[path] = data

        self.step("write", path, write)

    def append(self, path: Path, size: int, data: bytes) -> None:
        """Add to a file; if its name is durable, so are its bytes."""

        def append() -> None:
            content = (path.read_bytes() if path.exists() else b"")[:size] + data
            path.write_bytes(content)
            self.contents[path] = content
            if path.name in (names := self.durable.get(path.parent, {})):
                names[path.name] = content

        self.step("append", path, append)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file. Its bytes are synced, its new name is not."""

        def rename() -> None:
            source.replace(target)
            self.contents[target] = self.contents.pop(source)

        self.step("rename", target, rename)

    def sync_directory(self, path: Path) -> None:
        """Note the names."""

        def sync() -> None:
            self.durable[path] = {
                name: self.contents.get(path / name, content) for name, content in listing(path).items()
            }

        self.step("sync_directory", path, sync)

    def after_power_loss(self, directory: Path, target: Path, keeps: Callable[[], bool]) -> None:
        """Write to `target` what is left of `directory`, each name as synced or, where `keeps()`, as it is now."""
        target.mkdir()
        now = listing(directory) if directory.is_dir() else {}
        synced = self.durable.get(directory, {})
        for name in sorted(now.keys() | synced.keys()):
            version = now if keeps() else synced
            if name not in version:
                continue
            content = version[name]
            if content is None:
                self.after_power_loss(directory / name, target / name, keeps)
            else:
                (target / name).write_bytes(content)


def listing(directory: Path) -> dict[str, bytes | None]:
    """What is in a directory: contents of files, None for directories."""
    return {
        path.name: None if path.is_dir() else path.read_bytes() for path in directory.iterdir() if not path.is_symlink()
    }
