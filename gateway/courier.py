"""The courier: carries what the workers of one gateway accepted to Redis and to the ledger.

It reads the workers' spool files and never talks to the workers, so they do nothing slow and a dead worker's windows
are carried like any other's. Every second it sends the sketch registers of the current buckets to Redis; whenever a
window is over it makes segments of what all workers accepted in it, hands them to the ledger, and deletes the files
after the ledger's durable acknowledgement.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import numpy as np

from counters.cells import read_cells
from counters.clock import Clock
from counters.event import Event
from counters.evidence import SegmentHead
from counters.handover import HandOver, WorkerReport, coverage, window_segments
from counters.hyperloglog import Registers
from counters.live import LiveUnavailableError, SketchStore, bucket_key, uniques_key
from counters.spool import (
    SpoolError,
    WindowSpool,
    open_registers,
    owner_is_dead,
    read_header,
    read_lock,
    read_window,
    window_chunks,
)
from counters.tally import BUCKET_S, WINDOW_S
from counters.uniques import read_uniques
from gateway.ledger_client import LedgerClient, LedgerRefusedError, LedgerUnavailableError
from metrics.exposition import Durations

PATIENCE_S: Final = 3.0
"""How long a window waits for a worker that lives and does not close it (stopped, swapped out); its part comes late."""
RETRY_S: Final = (0.2, 5.0)
LOOK_EVERY_S: Final = 0.2
ASIDE: Final = "unreadable"
"""Folder in the spool for files that no version of this reads: somebody has to look at them."""
BUCKET_TTL_S: Final = 15 * 60
DAY_TTL_S: Final = 2 * 24 * 3600
DAY_KEPT_S: Final = 24 * 3600
_log = logging.getLogger("turnout.courier")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerFolder:
    """One worker's spool as it stands now."""

    path: Path
    worker: str
    dead: bool
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
        yield WorkerFolder(path, path.name, dead, window_chunks(path))


@dataclass(slots=True)
class CarrierCounts:
    """What the courier counts for /metrics. Owned by the courier."""

    handed_over: Counter[str] = field(default_factory=Counter)
    flush_failures: int = 0
    flushes: Durations = field(default_factory=Durations)


class Courier:
    """Carries for one gateway. Owned by the supervisor's event loop."""

    def __init__(
        self, spool: Path, event: Event, gateway: str, clock: Clock, sketches: SketchStore, ledger: LedgerClient
    ) -> None:
        """Carry from `spool` to `sketches` and `ledger`."""
        self._spool = spool
        self._event = event
        self._gateway = gateway
        # Two gateways may have one name; their temporary keys in Redis must not be the same.
        self._incarnation = os.urandom(8).hex()
        self._clock = clock
        self._sketches = sketches
        self._ledger = ledger
        self._numbers = tuple(session.number for session in event.sessions)
        self._noticed: dict[int, float] = {}
        self._looked = (0, 0.0)  # window of the clock and monotonic time of the last look for windows that are due
        self._awaited = False  # whether a living worker has not closed a window that is over
        self.retired: dict[str, int] = {}
        """Counters of workers whose folders are gone: totals must not fall when a worker does."""
        self.counts = CarrierCounts()
        # One thread for all disk work: nothing reads a folder while it is being removed.
        self._thread = ThreadPoolExecutor(1, "courier")

    async def on_disk(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do disk work in the courier's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))

    # Windows to the ledger.

    async def carry(self) -> int:
        """Hand over every window that is over, oldest first; return how many.

        Raises:
            LedgerUnavailableError: nothing is lost; call again.
            LedgerRefusedError: nothing is lost, but the ledger takes nothing of this gateway.
        """
        carried = 0
        while (step := await self.on_disk(self._next)) is not None:
            bundle, folders, spools, ended = step
            await self._hand_over(bundle)
            # Acknowledged: the ledger has it on disk. A crash before the files are gone hands the same over again.
            await self.on_disk(self._forget, spools, ended)
            carried += bool(folders)
        return carried

    async def _hand_over(self, bundle: bytes) -> None:
        try:
            outcome = await self._ledger.hand_over(bundle)
        except LedgerUnavailableError:
            self.counts.handed_over["unreachable"] += 1
            raise
        except LedgerRefusedError:
            self.counts.handed_over["refused"] += 1
            raise
        self.counts.handed_over["repeated" if outcome == "known" else "accepted"] += 1

    def _next(self) -> tuple[bytes, list[WorkerFolder], list[WindowSpool], list[WorkerFolder]] | None:
        """The next bundle to hand over, with what may be deleted once it is; None if nothing is due."""
        folders = list(read_folders(self._spool, self._event.digest))
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

    def _bundle(
        self, window: int, folders: list[WorkerFolder], lagging: set[str]
    ) -> tuple[bytes, list[WorkerFolder], list[WindowSpool], list[WorkerFolder]]:
        self._noticed.pop(window, None)
        closed = [f for f in folders if window in f.windows and f.worker not in lagging]
        spools = [spool for folder in closed if (spool := self._read(folder, window)) is not None]
        reports = [
            WorkerReport(f.worker, window + WINDOW_S, ended=f.dead and set(f.windows) <= {window})
            for f in folders
            if f.worker not in lagging
        ]
        head = SegmentHead(
            event_sha256=self._event.digest,
            gateway=self._gateway,
            window=window,
            interval_s=self._event.interval_s,
            workers=tuple(sorted((coverage(s, self._gateway) for s in spools), key=lambda row: row.worker)),
        )
        segments = window_segments(head, spools, self._numbers)
        nothing = not any(len(spool.records) or len(spool.journal) or any(spool.counters.values()) for spool in spools)
        if nothing and not self._event.scheduled(window):
            segments = ()
        bundle = HandOver(self._event.digest, self._gateway, window, tuple(reports), segments).encode()
        ended = [f for f in folders if f.dead and set(f.windows) <= {window}]
        return bundle, folders, spools, ended

    def _read(self, folder: WorkerFolder, window: int) -> WindowSpool | None:
        """Read a window; one that cannot be read, as after a power cut, is put aside and holds up no other."""
        try:
            return read_window(folder.windows[window])
        except (SpoolError, OSError, ValueError):
            aside = self._spool / ASIDE
            aside.mkdir(exist_ok=True)
            for path in folder.path.glob(f"w{window}[-.]*"):
                path.rename(aside / f"{folder.worker}-{path.name}")
            _log.exception("a window of worker %s cannot be read: its files are kept in %s", folder.worker, aside)
            return None

    def _promise(
        self, ended: list[WorkerFolder], now: float
    ) -> tuple[bytes, list[WorkerFolder], list[WindowSpool], list[WorkerFolder]]:
        window = int(now) // WINDOW_S * WINDOW_S
        reports = tuple(WorkerReport(folder.worker, window, ended=True) for folder in ended)
        return HandOver(self._event.digest, self._gateway, window, reports, ()).encode(), [], [], ended

    def _forget(self, spools: Iterable[WindowSpool], ended: Iterable[WorkerFolder]) -> None:
        for spool in spools:
            for path in spool.paths:
                path.unlink(missing_ok=True)
        for folder in ended:
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

    # Sketches to Redis.

    async def flush(self) -> None:
        """Send the registers of the buckets that are still growing, and now and then the day's uniques.

        Raises:
            LiveUnavailableError: Redis does not take them; they are sent with the next flush.
        """
        started = time.monotonic()
        try:
            await self._sketches.merge(await self.on_disk(self._buckets), BUCKET_TTL_S, self._incarnation)
            await self._sketches.merge(
                await self.on_disk(self._uniques), DAY_TTL_S, self._incarnation, keep_s=DAY_KEPT_S
            )
        except LiveUnavailableError:
            self.counts.flush_failures += 1
            raise
        finally:
            self.counts.flushes = self.counts.flushes.observed(time.monotonic() - started)

    def _buckets(self) -> dict[str, Registers]:
        """The merged registers of the buckets that began in the last two windows, by Redis key."""
        since = self._clock.now() - 2 * WINDOW_S
        merged: dict[tuple[int, int, int], Registers] = {}
        for folder in read_folders(self._spool, self._event.digest):
            for window, paths in folder.windows.items():
                if window < since - WINDOW_S:
                    continue
                registers = open_registers(paths[0])
                if registers is not None:
                    self._fold(window, registers, merged)
        names = ("attendees", "views")
        return {
            bucket_key(self._event.id, number, bucket, names[sketch]): registers  # type: ignore[arg-type]
            for (number, bucket, sketch), registers in merged.items()
            if bucket >= since
        }

    def _fold(self, window: int, registers: Registers, merged: dict[tuple[int, int, int], Registers]) -> None:
        """Merge one worker's window [6][rows][2][16384] into the buckets of each session and of the event (0)."""
        for place, of_bucket in enumerate(registers):
            bucket = window + place * BUCKET_S
            for row in np.flatnonzero(of_bucket.any(axis=(1, 2))).tolist():
                for sketch in range(2):
                    for number in (0, self._numbers[row]):
                        known = merged.get((number, bucket, sketch))
                        fresh = np.array(of_bucket[row, sketch])
                        merged[number, bucket, sketch] = fresh if known is None else np.maximum(known, fresh)

    def _uniques(self) -> dict[str, Registers]:
        """The day's uniques by Redis key, merged over the workers."""
        merged: dict[str, Registers] = {}
        for folder in read_folders(self._spool, self._event.digest):
            for path in folder.path.glob("uniques-*"):
                day = path.name.removeprefix("uniques-")
                sessions, event = read_uniques(path)
                for number, shards in ((0, event), *zip(self._numbers, sessions, strict=True)):
                    for shard in np.flatnonzero(shards.any(axis=1)).tolist():
                        key = uniques_key(self._event.id, number, shard, day)
                        known = merged.get(key)
                        merged[key] = shards[shard] if known is None else np.maximum(known, shards[shard])
        return merged

    async def keep_flushing(self, pause_s: float) -> None:
        """Flush for as long as the gateway runs; an outage of Redis is only logged when it begins and ends."""
        away = False
        while True:
            try:
                await self.flush()
                if away:
                    _log.info("Redis takes the live sketches again")
                away = False
            except LiveUnavailableError as error:
                if not away:
                    _log.warning("live numbers go stale, heartbeats go on: %s", error)
                away = True
            await asyncio.sleep(pause_s)

    # For /metrics.

    def totals(self) -> dict[str, int]:
        """The workers' counters summed, living and gone."""
        totals = dict(self.retired)
        for folder in read_folders(self._spool, self._event.digest):
            for name, count in _cells(folder.path).items():
                totals[name] = totals.get(name, 0) + count
        return totals

    def spool_size(self) -> tuple[int, float]:
        """Bytes of evidence that wait in the spool, and the age in seconds of the oldest window among them."""
        now = self._clock.now()
        windows: list[int] = []
        size = 0
        for folder in read_folders(self._spool, self._event.digest):
            for window, paths in folder.windows.items():
                windows.append(window)
                size += sum(path.stat().st_size for path in paths if path.exists())
        return size, max(now - min(windows, default=int(now)), 0.0)


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
