"""The worker folders of a spool as they stand now: whose, whether their owners live, what windows they hold."""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters.spool import read_header
from counters.spool_lock import boot_id, owner_is_dead, read_lock
from counters.spooled_window import window_chunks

RECENT_S: Final = 1.0
"""For a scrape, a listing of this age is as good as a new one; the courier makes five a second."""
_log = logging.getLogger("turnout.spool")


@dataclass(frozen=True, slots=True)
class WorkerFolder:
    """One worker's spool as it stands now."""

    path: Path
    worker: str
    dead: bool
    power_lost: bool  # the host went down since: what was not synced may be gone
    windows: Mapping[int, list[Path]]  # window -> chunk files
    epoch: float | None = None  # of its wall clock (counters.ledger_clock); None = simulated, or of another boot

    def open_window(self) -> int | None:
        """The window that a living worker writes into; None if it has none open."""
        if self.dead:
            return None
        newest = max(self.windows, default=None)
        return newest if newest is not None and not read_header(self.windows[newest][0]).closed_ms else None

    def between_windows(self, window: int) -> bool:
        """Whether a living worker has closed what it had and not opened `window`, which it may be about to do."""
        return not self.dead and max(self.windows, default=0) < window


class WorkerFolders:
    """The worker folders of one event in a spool. Owns what is known of them that never changes: whose they are.

    It may be asked from several threads. What is in a folder may be gone by the time it is looked into.
    """

    def __init__(self, spool: Path, event_digest: str) -> None:
        """Look into `spool`, for the folders of one event."""
        self.spool = spool
        self._event_digest = event_digest
        self._boot = boot_id()
        self._owners: Mapping[Path, Mapping[str, Any]] = {}
        self._listed: tuple[float, Sequence[WorkerFolder]] = (-RECENT_S, ())

    def read(self) -> Sequence[WorkerFolder]:
        """Return the folders as they stand now, by name; what is not one of this event is left alone."""
        owners = self._read_owners()
        folders = []
        for path, owner in owners.items():
            if owner.get("event_sha256") == self._event_digest:
                # One that goes meanwhile has been handed over.
                with contextlib.suppress(FileNotFoundError):
                    # Dead first, then its files: a worker that dies in between is taken the next time.
                    dead = owner_is_dead(path)
                    windows = window_chunks(path)
                    power_lost = owner.get("boot") != self._boot
                    epoch = None if power_lost else owner.get("epoch")
                    folders.append(WorkerFolder(path, path.name, dead, power_lost, windows, epoch))
        self._listed = (time.monotonic(), folders)
        return folders

    def recent(self) -> Sequence[WorkerFolder]:
        """Return the folders as they stood at most a second ago."""
        read_at, folders = self._listed
        return folders if time.monotonic() - read_at < RECENT_S else self.read()

    def _read_owners(self) -> Mapping[Path, Mapping[str, Any]]:
        """Whose the folders are. A lock is named when it is whole, and then never written to again."""
        known, owners = self._owners, dict[Path, Mapping[str, Any]]()
        for path in sorted(path for path in self.spool.iterdir() if path in known or path.is_dir()):
            owner = known.get(path) or read_lock(path)
            if not owner:
                continue
            if path not in known and owner.get("event_sha256") != self._event_digest:
                _log.error("%s is the spool of another event: start that event's gateway on it", path.name)
            owners[path] = owner
        self._owners = owners
        return owners
