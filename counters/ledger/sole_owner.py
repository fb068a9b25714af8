"""A folder's lock file: one process at a time, for as long as that process lives (flock), and its id as text in it."""

import fcntl
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self


class OwnedError(Exception):
    """Another process has the lock; the text is its process id."""


def take_lock(path: Path) -> int:
    """Return the file descriptor that holds the lock; closing it, or ending, lets it go.

    Raises:
        OwnedError: Another descriptor holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise OwnedError(holder) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class ClosedAtEnd(ABC):
    """What owns something until it is closed: at the end of a `with`, whatever happens in it."""

    @abstractmethod
    def close(self) -> None:
        """Let go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
