"""The day's uniques: sketches raised at every join, sharded for a finer live estimate.

A heartbeat raises only the bucket it falls into; that somebody came at all is already known at the join, which carries
the same register, rank and selector. One file per worker and day, `uniques-<day>`, little-endian, version 2:

    offset  size        field
    0       8           magic "TURNUNI" and a zero byte
    8       4           rows: sessions of the event, by number
    12      4           version 2
    16      4 · S       of each shard, u32: how often one of its registers rose; S = 4 · rows + 16
    B       S · 16384   the shards' registers, u8; B = 16 + 4 · S rounded up to a multiple of 4096

Shards: 4 of the first session, 4 of the second, …, then the event's 16. The shard of an attendee is its selector modulo
the number of shards: in an event of 3 sessions, selector 6 of the second session is shard 4 + 6 mod 4 = 6, and
12 + 6 mod 16 = 18 of S = 28.

A register rises before its shard's count does, so whoever reads the count first sees everything that it counts.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

MAGIC: Final = b"TURNUNI\0"
VERSION: Final = 2
SESSION_SHARDS: Final = 4
EVENT_SHARDS: Final = 16
_HEAD: Final = struct.Struct("<8sII")
_REGISTERS: Final = 16_384

Registers = npt.NDArray[np.uint8]


def _shards(rows: int) -> int:
    return rows * SESSION_SHARDS + EVENT_SHARDS


def _registers_at(rows: int) -> int:
    return -(-(_HEAD.size + 4 * _shards(rows)) // 4096) * 4096


class Uniques:
    """One worker's uniques of one day. The worker is the only writer."""

    def __init__(self, folder: Path, day: str, rows: int) -> None:
        """Allocate and map the file.

        Raises:
            OSError: the disk is full; nothing is left behind.
        """
        self._registers_at = _registers_at(rows)
        size = self._registers_at + _shards(rows) * _REGISTERS
        fresh = folder / f"new-uniques-{day}"
        with fresh.open("w+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                self._map = mmap.mmap(file.fileno(), size)
            except OSError:
                fresh.unlink()
                raise
        _HEAD.pack_into(self._map, 0, MAGIC, rows, VERSION)
        self._rises = memoryview(self._map)[_HEAD.size : _HEAD.size + 4 * _shards(rows)].cast("I")
        # Named when it is whole: the flusher reads whatever has the name.
        fresh.rename(folder / f"uniques-{day}")
        self._event_from = rows * SESSION_SHARDS

    def add(self, row: int, place: int) -> None:
        """Count an attendee's sketch position (counters.hyperloglog) for a session's row and for the event."""
        register, selector, rank = place & 0x3FFF, (place >> 14) & 0x3FF, place >> 24
        for shard in (row * SESSION_SHARDS + selector % SESSION_SHARDS, self._event_from + selector % EVENT_SHARDS):
            at = self._registers_at + shard * _REGISTERS + register
            if self._map[at] < rank:
                self._map[at] = rank
                self._rises[shard] = (self._rises[shard] + 1) & 0xFFFFFFFF


class UniquesTail:
    """Follows one worker's uniques of one day: which shards rose since they were last taken. Owned by its reader."""

    def __init__(self, path: Path) -> None:
        """Map the file.

        Raises:
            FileNotFoundError: it is gone.
            ValueError: the file is no uniques file of this version.
        """
        raw = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
        self.rows = int.from_bytes(raw[8:12].tobytes(), "little")
        head = _HEAD.pack(MAGIC, self.rows, VERSION)
        shards, body = _shards(self.rows), _registers_at(self.rows)
        if raw[: _HEAD.size].tobytes() != head or len(raw) != body + shards * _REGISTERS:
            raise ValueError(f"{path} is no uniques file of version {VERSION}")
        self._rises = raw[_HEAD.size : _HEAD.size + 4 * shards].view(np.uint32)
        self._registers = raw[body:].reshape(shards, _REGISTERS)
        self._taken = np.zeros(shards, np.uint32)

    def risen(self) -> list[int]:
        """Return the shards that rose since they were last taken, ascending; at first, all that hold anything."""
        found: list[int] = np.flatnonzero(self._rises != self._taken).tolist()
        return found

    def take(self, shard: int) -> Registers:
        """Return a shard's registers, u8 [16384], which may go on rising."""
        # The count first: what rises in between is taken again.
        self._taken[shard] = self._rises[shard]
        registers: Registers = self._registers[shard]
        return registers


def read_uniques(path: Path) -> tuple[Registers, Registers]:
    """Return the sessions' registers [rows][4][16384] and the event's [16][16384].

    Raises:
        ValueError: the file is no uniques file of this version.
    """
    tail = UniquesTail(path)
    shards = [tail.take(shard) for shard in range(_shards(tail.rows))]
    sessions = np.array(shards[:-EVENT_SHARDS]).reshape(tail.rows, SESSION_SHARDS, _REGISTERS)
    return sessions, np.array(shards[-EVENT_SHARDS:])
