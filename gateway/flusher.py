"""The flusher: sends the workers' sketch registers to Redis, so that the live numbers are a second old.

It reads the same spool files as the courier, and of them only what changed: the records stored since the last flush say
which sessions of which buckets (counters.spool_tail), a count in the day's uniques says which shards rose. A session
that nobody watches is never looked at. The registers of all workers of the host are merged here, so that Redis gets
each sketch once a second at most, however many workers there are. Sketches are cumulative and merging is idempotent:
SketchStore drops what Redis has already and sends again what it may have lost.

When the courier has carried a window, its registers are handed to the flusher once more (`take_final`): the files are
gone before the next flush, and from then on the sketches are remembered for two minutes.

All of this runs in a thread of its own. The courier may take seconds over a full window; live numbers do not wait.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from counters.clock import Clock
from counters.event import Event
from counters.hyperloglog import MAX_RANK, Registers
from counters.live import (
    BUCKET_TTL_S,
    UNIQUES_TTL_S,
    LiveUnavailableError,
    Sketch,
    SketchStore,
    bucket_key,
    uniques_key,
)
from counters.segment import WINDOW_S
from counters.spool import SpoolError, open_registers
from counters.spool_tail import Row, WindowTail, rows_of
from counters.spooled_window import WindowSpool
from counters.tally import BUCKET_S
from counters.uniques import SESSION_SHARDS, UniquesTail
from gateway.worker_folders import WorkerFolder, WorkerFolders
from metrics.catalogue import FLUSH_BUCKETS_S
from metrics.readings import Durations

LIVE_S: Final = 2 * WINDOW_S
"""Buckets that began longer ago are in no live number any more."""
DAY_KEPT_S: Final = 24 * 3600
UNIQUES_A_FLUSH: Final = 64
"""Shards of the day's uniques sent at once, the longest waiting first: 6 ms of Redis' time. An event of 64 sessions has
272, so in a rush each is some 4 s old, and in an event of up to 12 sessions a second."""
SKETCHES: Final[tuple[Sketch, ...]] = ("attendees", "views")
_log = logging.getLogger("turnout.flusher")

Batch = dict[str, Registers]
"""Registers by Redis key."""
Shard = tuple[str, int]
"""(day, place of the shard in its file)"""


class Flusher:
    """Flushes for one gateway. Owned by the supervisor's event loop; its reading runs in a thread of its own."""

    def __init__(self, folders: WorkerFolders, event: Event, clock: Clock, sketches: SketchStore) -> None:
        """Flush from the workers' folders to `sketches`."""
        self._folders = folders
        self._event = event
        self._clock = clock
        self._sketches = sketches
        # Two gateways may have one name; their temporary keys in Redis must not be the same.
        self._incarnation = os.urandom(8).hex()
        self._numbers = tuple(session.number for session in event.sessions)
        self._rows = {number: row for row, number in enumerate(self._numbers)}
        self._thread = ThreadPoolExecutor(1, "flusher")
        # What follows is read and written in the flusher's thread and in the courier's, by whoever has the lock.
        self._lock = threading.Lock()
        self._tails: dict[tuple[str, int], WindowTail] = {}  # by worker and window
        self._uniques_tails: dict[tuple[str, str], UniquesTail] = {}  # by worker and day
        self._uniques_sent: dict[Shard, int] = {}  # the flush that took it last
        self._flushes = 0
        self._final: Batch = {}
        self._final_uniques: Batch = {}
        self._away = False
        self.failures = 0
        self.durations = Durations.none(FLUSH_BUCKETS_S)

    async def flush(self) -> None:
        """Send the registers that rose since the last flush or have just become final, and the day's uniques.

        Raises:
            LiveUnavailableError: Redis does not take them; they are sent with the next flush.
        """
        started = time.monotonic()
        try:
            buckets, uniques = await asyncio.get_running_loop().run_in_executor(self._thread, self._risen)
            # The store has all of it before anything can fail: it will not be read a second time.
            await self._sketches.keep(uniques, UNIQUES_TTL_S, DAY_KEPT_S)
            await self._sketches.merge(buckets, BUCKET_TTL_S, self._incarnation)
        except LiveUnavailableError:
            self.failures += 1
            raise
        finally:
            self.durations = self.durations.observed(time.monotonic() - started)

    async def flush_or_say(self) -> str:
        """Flush; return what kept anything from being sent, "" if nothing did.

        An outage of Redis is only logged when it begins and when it ends.
        """
        try:
            await self.flush()
        except LiveUnavailableError as error:
            if not self._away:
                _log.warning("live numbers go stale, heartbeats go on: %s", error)
            self._away = True
            return str(error)
        if self._away:
            _log.info("Redis takes the live sketches again")
        self._away = False
        return ""

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    # From the courier, before it deletes files.

    def take_final(self, window: int, spools: Iterable[WindowSpool]) -> None:
        """Keep all registers of a window that has been carried, for the next flush."""
        if window < self._clock.now() - LIVE_S - WINDOW_S:
            return
        with self._lock:
            for spool in spools:
                # Estimates do without what a broken disk left: the evidence has gone its way, the files must go too.
                with contextlib.suppress(SpoolError):
                    self._fold(window, spool.registers, rows_of(spool.records), self._final)

    def take_last_uniques(self, folder: WorkerFolder) -> None:
        """Keep what a dead worker's uniques hold and is not sent yet, for the next flush."""
        with self._lock:
            for shard, tails in self._risen_shards([folder]).items():
                self._take_shard(shard, tails, self._final_uniques)

    # In a thread, with the lock.

    def _risen(self) -> tuple[Batch, Batch]:
        """What rose since the last flush: the buckets that live numbers may still need, and the day's uniques."""
        folders = self._folders.read()
        with self._lock:
            self._flushes += 1
            return self._buckets(folders), self._uniques(folders)

    def _buckets(self, folders: Sequence[WorkerFolder]) -> Batch:
        since = self._clock.now() - LIVE_S - WINDOW_S
        merged, self._final = self._final, {}
        live = {(folder.worker, window): paths for folder in folders
                for window, paths in folder.windows.items() if window >= since}  # fmt: skip
        self._tails = {key: self._tails.get(key) or WindowTail() for key in live}
        for (worker, window), paths in live.items():
            try:
                # The records first, then the registers that they raised.
                rows = self._tails[worker, window].fresh_rows(paths)
                registers = open_registers(paths[0]) if rows else None
            except (SpoolError, ValueError, OSError):
                # Gone, or unreadable as after a power cut: estimates do without it.
                continue
            if registers is not None:
                self._fold(window, registers, rows, merged)
        return merged

    def _fold(self, window: int, registers: Registers, rows: Iterable[Row], merged: Batch) -> None:
        """Merge rows of one worker's window, [6][rows][2][16384], into each session's buckets and the event's (0)."""
        for place, session in rows:
            row = self._rows.get(session)
            if row is None:
                continue
            bucket = window + place * BUCKET_S
            for sketch, of_sketch in zip(SKETCHES, registers[place, row], strict=True):
                for number in (0, session) if _sound(of_sketch) else ():
                    _raise(merged, bucket_key(self._event.id, number, bucket, sketch), of_sketch)

    def _uniques(self, folders: Sequence[WorkerFolder]) -> Batch:
        merged, self._final_uniques = self._final_uniques, {}
        risen = self._risen_shards(folders)
        here = {folder.worker for folder in folders}
        self._uniques_tails = {key: tail for key, tail in self._uniques_tails.items() if key[0] in here}
        waiting = sorted(risen, key=lambda shard: self._uniques_sent.get(shard, 0))
        for shard in waiting[:UNIQUES_A_FLUSH]:
            self._take_shard(shard, risen[shard], merged)
        return merged

    def _risen_shards(self, folders: Sequence[WorkerFolder]) -> dict[Shard, list[UniquesTail]]:
        """The shards that rose, and in which files."""
        risen: dict[Shard, list[UniquesTail]] = {}
        for day, tail in self._follow_uniques(folders):
            for place in tail.risen():
                risen.setdefault((day, place), []).append(tail)
        return risen

    def _follow_uniques(self, folders: Sequence[WorkerFolder]) -> Iterator[tuple[str, UniquesTail]]:
        for folder in folders:
            for path in sorted(folder.path.glob("uniques-*")):
                day = path.name.removeprefix("uniques-")
                try:
                    tail = self._uniques_tails.get((folder.worker, day)) or UniquesTail(path)
                except (ValueError, OSError):
                    continue
                self._uniques_tails[folder.worker, day] = tail
                yield day, tail

    def _take_shard(self, shard: Shard, tails: Iterable[UniquesTail], merged: Batch) -> None:
        day, place = shard
        row, within = divmod(place, SESSION_SHARDS)
        # Behind the sessions' shards come the event's.
        sessions = len(self._numbers)
        number, part = (self._numbers[row], within) if row < sessions else (0, place - SESSION_SHARDS * sessions)
        for tail in tails:
            registers = tail.take(place)
            if _sound(registers):
                _raise(merged, uniques_key(self._event.id, number, part, day), registers)
        self._uniques_sent[shard] = self._flushes


def _sound(registers: Registers) -> bool:
    """Whether these can be registers; a broken disk may have left others, and estimates do without them."""
    return bool(registers.max() <= MAX_RANK)


def _raise(merged: Batch, key: str, registers: Any) -> None:
    """Raise the registers of a key to at least these."""
    known = merged.get(key)
    if known is None:
        merged[key] = np.array(registers)
    else:
        np.maximum(known, registers, out=known)
