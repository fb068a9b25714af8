"""The courier: carries what the workers of one gateway accepted to the ledger.

It reads the workers' spool files and never talks to the workers, so they do nothing slow and a dead worker's windows
are carried like any other's. Whenever a window is over it makes segments of what all workers accepted in it, hands them
to the ledger, and deletes the files after the ledger's durable acknowledgement.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from counters.announcements import Announcements
from counters.cells import read_cells
from counters.clock import Clock
from counters.event import Event
from counters.evidence import SegmentHead
from counters.handover import HandOver, WorkerReport, coverage, window_segments
from counters.spool import SpoolError, WindowSpool, read_window
from counters.tally import WINDOW_S
from gateway.flusher import Flusher
from gateway.ledger_client import LedgerClient, LedgerRefusedError, LedgerUnavailableError
from gateway.worker_folders import WorkerFolder, WorkerFolders

PATIENCE_S: Final = 3.0
"""How long a window waits for a worker that lives and does not close it (stopped, swapped out); its part comes late."""
RETRY_S: Final = (0.2, 5.0)
LOOK_EVERY_S: Final = 0.2
ASIDE: Final = "unreadable"
"""Folder in the spool for files that no version of this reads: somebody has to look at them."""
_log = logging.getLogger("turnout.courier")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Load:
    """One bundle on its way, and what may be deleted once the ledger has it."""

    window: int
    bundle: bytes
    spools: tuple[WindowSpool, ...] = ()
    ended: tuple[WorkerFolder, ...] = ()  # folders of dead workers that hold nothing else


class Courier:
    """Carries for one gateway. Owned by the supervisor's event loop."""

    def __init__(
        self, folders: WorkerFolders, event: Event, gateway: str, clock: Clock, flusher: Flusher, ledger: LedgerClient
    ) -> None:
        """Carry from `folders` to `ledger`; the registers of what is carried go to `flusher` once more."""
        self._folders = folders
        self._event = event
        self._gateway = gateway
        self._clock = clock
        self._flusher = flusher
        self._ledger = ledger
        self._numbers = tuple(session.number for session in event.sessions)
        self.announcements = Announcements.of(event.interval_s)
        """What players were told and when; whoever steers puts the newer one here."""
        self._noticed: dict[int, float] = {}
        self._looked = (0, 0.0)  # window of the clock and monotonic time of the last look for windows that are due
        self._awaited = False  # whether a living worker has not closed a window that is over
        self.retired: dict[str, int] = {}
        """Counters of workers whose folders are gone: totals must not fall when a worker does."""
        self.handed_over: Counter[str] = Counter()
        """Bundles by what the ledger said, for /metrics."""
        # One thread for the carrying, which may take seconds over a full window.
        self._thread = ThreadPoolExecutor(1, "courier")
        # Held while a folder's counters become retired ones and it is removed: nobody counts them twice or not at all.
        self._retiring = threading.Lock()

    async def on_disk(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do disk work in the courier's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Wait until the thread has done what it is at, and end it."""
        self._thread.shutdown()

    # Windows to the ledger.

    async def carry(self) -> int:
        """Hand over every window that is over, oldest first; return how many.

        Raises:
            LedgerUnavailableError: nothing is lost; call again.
            LedgerRefusedError: nothing is lost, but the ledger takes nothing of this gateway.
        """
        carried = 0
        while (load := await self.on_disk(self._next)) is not None:
            await self._hand_over(load.bundle)
            # Acknowledged: the ledger has it on disk. A crash before the files are gone hands the same over again.
            await self.on_disk(self._forget, load)
            carried += bool(load.spools)
        return carried

    async def _hand_over(self, bundle: bytes) -> None:
        try:
            outcome = await self._ledger.hand_over(bundle)
        except LedgerUnavailableError:
            self.handed_over["unreachable"] += 1
            raise
        except LedgerRefusedError:
            self.handed_over["refused"] += 1
            raise
        self.handed_over["repeated" if outcome == "known" else "accepted"] += 1

    def _next(self) -> _Load | None:
        """The next bundle to hand over, with what may be deleted once it is; None if nothing is due."""
        folders = self._folders.read()
        now = self._clock.now()
        opened = {folder.worker: folder.open_window() for folder in folders}
        self._awaited = any(window is not None and window + WINDOW_S <= now for window in opened.values())
        due = sorted({w for f in folders for w in f.windows if w != opened[f.worker]})
        for window in due:
            lagging = {w for w, open_window in opened.items() if open_window is not None and open_window <= window}
            over = window + WINDOW_S <= now or not any(not f.dead for f in folders)
            if not over:
                break
            waits = lagging or any(folder.between_windows(window) for folder in folders)
            if waits and time.monotonic() - self._noticed.setdefault(window, time.monotonic()) < PATIENCE_S:
                break
            return self._bundle(window, folders, lagging)
        ended = [folder for folder in folders if folder.dead and not folder.windows]
        return self._promise(ended, now) if ended else None

    def _bundle(self, window: int, folders: Sequence[WorkerFolder], lagging: set[str]) -> _Load:
        self._noticed.pop(window, None)
        closed = [f for f in folders if window in f.windows and f.worker not in lagging]
        spools = [spool for folder in closed if (spool := self._read(folder, window)) is not None]
        power_lost = {folder.worker for folder in closed if folder.power_lost}
        reports = [
            WorkerReport(f.worker, window + WINDOW_S, ended=f.dead and set(f.windows) <= {window})
            for f in folders
            if f.worker not in lagging
        ]
        head = SegmentHead(
            event_sha256=self._event.digest,
            gateway=self._gateway,
            window=window,
            interval_s=self.announcements.longest_s(window, window + WINDOW_S),
            workers=tuple(
                sorted(
                    (coverage(s, self._gateway, power_lost=s.worker in power_lost) for s in spools),
                    key=lambda row: row.worker,
                )
            ),
        )
        segments = window_segments(head, spools, self._numbers)
        nothing = not any(len(spool.records) or len(spool.journal) or any(spool.counters.values()) for spool in spools)
        if nothing and not self._event.scheduled(window):
            segments = ()
        bundle = HandOver(self._event.digest, self._gateway, window, tuple(reports), segments).encode()
        ended = tuple(f for f in folders if f.dead and set(f.windows) <= {window})
        return _Load(window, bundle, tuple(spools), ended)

    def _read(self, folder: WorkerFolder, window: int) -> WindowSpool | None:
        """Read a window; one that cannot be read, as after a power cut, is put aside and holds up no other."""
        try:
            return read_window(folder.windows[window])
        except (SpoolError, OSError, ValueError):
            aside = self._folders.spool / ASIDE
            aside.mkdir(exist_ok=True)
            for path in folder.path.glob(f"w{window}[-.]*"):
                path.rename(aside / f"{folder.worker}-{path.name}")
            _log.exception("a window of worker %s cannot be read: its files are kept in %s", folder.worker, aside)
            return None

    def _promise(self, ended: list[WorkerFolder], now: float) -> _Load:
        window = int(now) // WINDOW_S * WINDOW_S
        reports = tuple(WorkerReport(folder.worker, window, ended=True) for folder in ended)
        bundle = HandOver(self._event.digest, self._gateway, window, reports, ()).encode()
        return _Load(window, bundle, ended=tuple(ended))

    def _forget(self, load: _Load) -> None:
        self._flusher.take_final(load.window, load.spools)
        for spool in load.spools:
            for path in spool.paths:
                path.unlink(missing_ok=True)
        for folder in load.ended:
            self._flusher.take_last_uniques(folder)
            with self._retiring:
                for name, count in _cells(folder.path).items():
                    self.retired[name] = self.retired.get(name, 0) + count
                for path in folder.path.iterdir():
                    path.unlink()
                folder.path.rmdir()

    def _worth_a_look(self) -> bool:
        """Whether a window may have become due: the clock is in another one, or a worker has still to close its own.

        A worker that died is found by looking now and then.
        """
        window = int(self._clock.now()) // WINDOW_S
        now = time.monotonic()
        if window == self._looked[0] and not self._awaited and now - self._looked[1] < LOOK_EVERY_S:
            return False
        self._looked = (window, now)
        return True

    async def keep_carrying(self, pause_s: float) -> None:
        """Carry for as long as the gateway runs."""
        wait_s = RETRY_S[0]
        while True:
            try:
                if self._worth_a_look():
                    await self.carry()
                wait_s = pause_s
            except (LedgerUnavailableError, LedgerRefusedError) as error:
                _log.warning("evidence stays in the spool for now: %s", error)
                wait_s = min(max(wait_s, RETRY_S[0]) * 2, RETRY_S[1])
            await asyncio.sleep(wait_s)

    # For /metrics.

    def totals(self) -> dict[str, int]:
        """The workers' counters summed, living and gone. From any thread."""
        with self._retiring:
            totals = dict(self.retired)
            for folder in self._folders.recent():
                for name, count in _cells(folder.path).items():
                    totals[name] = totals.get(name, 0) + count
        return totals

    def spool_size(self) -> tuple[int, float]:
        """Bytes in the spool, and how many seconds ago the oldest window that is over ended (0 if none waits).

        From any thread.
        """
        now = self._clock.now()
        size, oldest_s = 0, 0.0
        for folder in self._folders.recent():
            for window, paths in folder.windows.items():
                size += sum(map(_size, paths))
                oldest_s = max(oldest_s, now - window - WINDOW_S)
        return size, oldest_s


def _size(path: Path) -> int:
    """Bytes of a file; 0 if it has been carried meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _cells(folder: Path) -> Mapping[str, int]:
    """The counters of a worker; none if it is just making them, died before it had, or is gone."""
    try:
        return read_cells(folder / "cells")
    except (OSError, ValueError):
        return {}


def as_labels(totals: Mapping[str, int], path: str, prefixes: Sequence[str]) -> dict[str, int]:
    """Pick one path's outcomes out of the cells: `beat.playing` and `refused.beat.token_forged` by their last part."""
    wanted = (*prefixes, f"refused.{path}.")
    return {name.rpartition(".")[2]: count for name, count in totals.items() if name.startswith(wanted)}
