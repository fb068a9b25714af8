"""The worker folders of a spool as they stand now: whose, whether their owners live, what windows they hold."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from counters.spool import boot_id, owner_is_dead, read_header, read_lock, window_chunks

_log = logging.getLogger("turnout.spool")


@dataclass(frozen=True, slots=True)
class WorkerFolder:
    """One worker's spool as it stands now."""

    path: Path
    worker: str
    dead: bool
    power_lost: bool  # the host went down since: what was not synced may be gone
    windows: Mapping[int, list[Path]]  # window -> chunk files

    def open_window(self) -> int | None:
        """The window that a living worker writes into; None if it has none open."""
        if self.dead:
            return None
        newest = max(self.windows, default=None)
        return newest if newest is not None and not read_header(self.windows[newest][0]).closed_ms else None

    def between_windows(self, window: int) -> bool:
        """Whether a living worker has closed what it had and not opened `window`, which it may be about to do."""
        return not self.dead and max(self.windows, default=0) < window


def read_folders(spool: Path, event_digest: str) -> Iterator[WorkerFolder]:
    """Yield the worker folders of this event; what is not one is left alone, with a word in the log."""
    for path in sorted(path for path in spool.iterdir() if path.is_dir()):
        about = read_lock(path)
        if not about:
            continue
        if about.get("event_sha256") != event_digest:
            _log.error("%s is the spool of another event: start that event's gateway on it", path.name)
            continue
        # Dead first, then its files: a worker that dies in between is taken the next time.
        dead = owner_is_dead(path)
        yield WorkerFolder(path, path.name, dead, about.get("boot") != boot_id(), window_chunks(path))
