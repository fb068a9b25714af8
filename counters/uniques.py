"""The day's uniques: sketches raised at every join, sharded for a finer live estimate.

A heartbeat raises only the bucket it falls into; that somebody came at all is already known at the join, which carries
the same register, rank and selector. One file per worker and day, `uniques-<day>`, all registers u8:

    offset  size                  field
    0       8                     magic "TURNUNI" and a zero byte
    8       4                     rows: sessions of the event, by number
    4096    rows · 4 · 16384      each session's uniques of the day, 4 shards
    …       16 · 16384            the event's uniques of the day, 16 shards

The shard of an attendee is its selector modulo the number of shards.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

MAGIC: Final = b"TURNUNI\0"
SESSION_SHARDS: Final = 4
EVENT_SHARDS: Final = 16
_BODY_AT: Final = 4096
_REGISTERS: Final = 16_384

Registers = npt.NDArray[np.uint8]


class Uniques:
    """One worker's uniques of one day. The worker is the only writer."""

    def __init__(self, folder: Path, day: str, rows: int) -> None:
        """Allocate and map the file.

        Raises:
            OSError: the disk is full; nothing is left behind.
        """
        size = _BODY_AT + (rows * SESSION_SHARDS + EVENT_SHARDS) * _REGISTERS
        fresh = folder / f"new-uniques-{day}"
        with fresh.open("w+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                self._map = mmap.mmap(file.fileno(), size)
            except OSError:
                fresh.unlink()
                raise
        self._map[:12] = MAGIC + struct.pack("<I", rows)
        # Named when it is whole: the courier reads whatever has the name.
        fresh.rename(folder / f"uniques-{day}")
        self._event_at = _BODY_AT + rows * SESSION_SHARDS * _REGISTERS

    def add(self, row: int, place: int) -> None:
        """Count an attendee's sketch position (counters.hyperloglog) for a session's row and for the event."""
        register, selector, rank = place & 0x3FFF, (place >> 14) & 0x3FF, place >> 24
        session_at = _BODY_AT + (row * SESSION_SHARDS + selector % SESSION_SHARDS) * _REGISTERS + register
        event_at = self._event_at + (selector % EVENT_SHARDS) * _REGISTERS + register
        for at in (session_at, event_at):
            self._map[at] = max(self._map[at], rank)


def read_uniques(path: Path) -> tuple[Registers, Registers]:
    """Return the sessions' registers [rows][4][16384] and the event's [16][16384].

    Raises:
        ValueError: the file is no uniques file.
    """
    raw = np.fromfile(path, np.uint8)
    rows = int.from_bytes(raw[8:12].tobytes(), "little")
    if raw[:8].tobytes() != MAGIC or len(raw) != _BODY_AT + (rows * SESSION_SHARDS + EVENT_SHARDS) * _REGISTERS:
        raise ValueError(f"{path} is no uniques file")
    split = _BODY_AT + rows * SESSION_SHARDS * _REGISTERS
    sessions = raw[_BODY_AT:split].reshape(rows, SESSION_SHARDS, _REGISTERS)
    return sessions, raw[split:].reshape(EVENT_SHARDS, _REGISTERS)
