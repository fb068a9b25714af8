"""The tail of a spool: what a worker stored since the last look, read from the records themselves.

A heartbeat raises its two registers and only then stores its record (counters.tally). So whoever has read a record sees
the registers that it raised, and the records since the last look say which rows of which bucket may have changed: eight
bytes a heartbeat are read instead of every register of every session. It costs the heartbeat nothing.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from counters.spool import BUCKETS, Records, SpoolError, read_header, read_words

STRIDE_RECORDS: Final = 16 * 1024
"""Looked through at once: 128 KB, so that a quiet window costs one look and not the whole chunk."""
SESSION_NUMBERS: Final = 1 << 16

Row = tuple[int, int]
"""(bucket within the window, session number)"""


def rows_of(records: Records) -> list[Row]:
    """Return the distinct (bucket, session number) of records, ascending.

    Raises:
        SpoolError: a record is of no bucket.
    """
    # The fields by their bytes (counters.spool): no copy of the records is made.
    buckets, sessions = records.view(np.uint8)[7::8], records.view(np.uint16)[2::4]
    if len(records) and buckets.max() >= BUCKETS:
        raise SpoolError(f"a record is of bucket {buckets.max()} of a window")
    met = np.zeros((BUCKETS, SESSION_NUMBERS), np.bool_)
    met[buckets, sessions] = True
    return [(place // SESSION_NUMBERS, place % SESSION_NUMBERS) for place in np.flatnonzero(met).tolist()]


class WindowTail:
    """Follows the records of one worker's window. Owned by its reader."""

    def __init__(self) -> None:
        """Begin before the first record."""
        self._chunk = 0
        self._read = 0  # records of that chunk

    def fresh_rows(self, paths: Sequence[Path]) -> set[Row]:
        """Return the rows of the records stored since the last call; at first, of all records.

        Args:
            paths: the window's chunk files, in chunk order.

        Raises:
            FileNotFoundError: the window is gone.
            SpoolError: a file was not written by this version.
        """
        rows: set[Row] = set()
        for stride in self._strides(paths):
            rows.update(rows_of(stride))
        return rows

    def _strides(self, paths: Sequence[Path]) -> Iterator[Records]:
        while self._chunk < len(paths):
            header = read_header(paths[self._chunk])
            words = read_words(paths[self._chunk], header)
            while self._read < header.capacity:
                stride = words[self._read : self._read + STRIDE_RECORDS]
                stored = len(stride) if (holds := stride != 0).all() else int(holds.argmin())
                if stored:
                    self._read += stored
                    yield stride[:stored]
                if stored < len(stride):
                    return
            self._chunk, self._read = self._chunk + 1, 0
