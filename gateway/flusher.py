"""The flusher: sends the workers' sketch registers to Redis, so that the live numbers are a second old.

It reads the same spool files as the courier. A window's registers are final when the courier takes it; they are handed
to the flusher then (`take_final`), because the file may be gone before the next flush.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from counters.clock import Clock
from counters.event import Event
from counters.hyperloglog import Registers
from counters.live import (
    BUCKET_TTL_S,
    UNIQUES_TTL_S,
    LiveUnavailableError,
    Sketch,
    SketchStore,
    bucket_key,
    uniques_key,
)
from counters.spool import SpoolError, open_registers
from counters.tally import BUCKET_S, WINDOW_S
from counters.uniques import read_uniques
from gateway.worker_folders import read_folders
from metrics.exposition import Durations

LIVE_S: Final = 2 * WINDOW_S
"""Buckets that began longer ago are in no live number any more."""
DAY_KEPT_S: Final = 24 * 3600
SKETCHES: Final[tuple[Sketch, ...]] = ("attendees", "views")
_log = logging.getLogger("turnout.flusher")

Batch = dict[str, Registers]
"""Registers by Redis key."""
T = TypeVar("T")
OnDisk = Callable[[Callable[[], Batch]], Awaitable[Batch]]


class Flusher:
    """Flushes for one gateway. Owned by the supervisor's event loop; its disk work runs in the courier's thread."""

    def __init__(self, spool: Path, event: Event, clock: Clock, sketches: SketchStore) -> None:
        """Flush from `spool` to `sketches`."""
        self._spool = spool
        self._event = event
        self._clock = clock
        self._sketches = sketches
        # Two gateways may have one name; their temporary keys in Redis must not be the same.
        self._incarnation = os.urandom(8).hex()
        self._numbers = tuple(session.number for session in event.sessions)
        self._final: Batch = {}
        self.failures = 0
        self.durations = Durations()

    async def flush(self, on_disk: OnDisk) -> None:
        """Send the registers of the buckets that are still growing or have just become final, and the day's uniques.

        Args:
            on_disk: runs work in the thread that may read the spool.

        Raises:
            LiveUnavailableError: Redis does not take them; they are sent with the next flush.
        """
        started = time.monotonic()
        try:
            await self._sketches.merge(await on_disk(self._buckets), BUCKET_TTL_S, self._incarnation)
            await self._sketches.merge(
                await on_disk(self._uniques), UNIQUES_TTL_S, self._incarnation, keep_s=DAY_KEPT_S
            )
        except LiveUnavailableError:
            self.failures += 1
            raise
        finally:
            self.durations = self.durations.observed(time.monotonic() - started)

    def take_final(self, window: int, registers: Iterable[Registers]) -> None:
        """Keep the registers of a window [6][rows][2][16384], one array a worker, for the next flush."""
        if window >= self._clock.now() - LIVE_S - WINDOW_S:
            for of_worker in registers:
                self._fold(window, of_worker, self._final)

    def _buckets(self) -> Batch:
        """The merged registers of the buckets that live numbers may still need."""
        since = self._clock.now() - LIVE_S
        merged, self._final = self._final, {}
        for folder in read_folders(self._spool, self._event.digest):
            for window, paths in folder.windows.items():
                registers = _read(open_registers, paths[0]) if window >= since - WINDOW_S else None
                if registers is not None:
                    self._fold(window, registers, merged)
        return merged

    def _fold(self, window: int, registers: Registers, merged: Batch) -> None:
        """Merge one worker's window into the buckets of each session and of the whole event (0)."""
        for place, of_bucket in enumerate(registers):
            bucket = window + place * BUCKET_S
            for row in np.flatnonzero(of_bucket.any(axis=(1, 2))).tolist():
                for sketch, of_sketch in zip(SKETCHES, of_bucket[row], strict=True):
                    for number in (0, self._numbers[row]):
                        _raise(merged, bucket_key(self._event.id, number, bucket, sketch), of_sketch)

    def _uniques(self) -> Batch:
        """The day's uniques, merged over the workers."""
        merged: Batch = {}
        for folder in read_folders(self._spool, self._event.digest):
            for path in folder.path.glob("uniques-*"):
                day = path.name.removeprefix("uniques-")
                uniques = _read(read_uniques, path)
                if uniques is None:
                    continue
                sessions, event = uniques
                for number, shards in ((0, event), *zip(self._numbers, sessions, strict=True)):
                    for shard in np.flatnonzero(shards.any(axis=1)).tolist():
                        _raise(merged, uniques_key(self._event.id, number, shard, day), shards[shard])
        return merged

    async def keep_flushing(self, on_disk: OnDisk, pause_s: float) -> None:
        """Flush for as long as the gateway runs; an outage of Redis is only logged when it begins and ends."""
        away = False
        while True:
            try:
                await self.flush(on_disk)
                if away:
                    _log.info("Redis takes the live sketches again")
                away = False
            except LiveUnavailableError as error:
                if not away:
                    _log.warning("live numbers go stale, heartbeats go on: %s", error)
                away = True
            await asyncio.sleep(pause_s)


def _read(read: Callable[[Path], T], path: Path) -> T | None:
    """What a file of the spool holds; None if it cannot be read, as after a power cut: estimates do without it."""
    try:
        return read(path)
    except (SpoolError, ValueError, OSError):
        return None


def _raise(merged: Batch, key: str, registers: Any) -> None:
    """Raise the registers of a key to at least these."""
    known = merged.get(key)
    merged[key] = np.array(registers) if known is None else np.maximum(known, registers)
