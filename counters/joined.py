"""Who had joined by when: sets of seats that grow from deadline to deadline, read off journals as they go by."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.partition import set_of
from counters.roll import Seats


class JoinedBy:
    """Takes joins in, in any order. Owned by its caller."""

    def __init__(self, deadlines_ms: Sequence[int]) -> None:
        """Start without joins; deadlines are unix ms, ascending."""
        self._deadlines_ms = np.array(deadlines_ms, np.int64)
        self._since = [BitMap() for _ in deadlines_ms]  # who joined by this deadline, and after the one before it

    def add(self, seats: Seats, joined_at_ms: npt.NDArray[np.uint64]) -> None:
        """Take in joins; columns of equal length."""
        period = np.searchsorted(self._deadlines_ms, joined_at_ms.astype(np.int64))
        order = np.argsort(period.astype(np.uint64) << np.uint64(32) | seats)
        period, seats = period[order], seats[order]
        starts = np.flatnonzero(np.diff(period, prepend=-1))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(period)], strict=False):
            if period[start] < len(self._since):
                self._since[int(period[start])] |= set_of(seats[start:end])

    def sets(self) -> list[BitMap]:
        """Return who had joined by each deadline, at its millisecond included."""
        return list(accumulate(self._since, lambda before, more: before | more))
