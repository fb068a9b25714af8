"""Histograms in named cells: a worker's survive it, and its supervisor adds them up like any other counters.

A histogram `join` with the bounds 0.1 and 1 s is the cells `join<0.1`, `join<1`, `join<inf`, each of what took at most
that long and longer than the bound before, and `join.ns`, the nanoseconds summed. The bounds are in the names: counts
by other bounds, of an older version, are never mixed with these.
"""

from bisect import bisect_left
from collections.abc import Mapping, MutableSequence, Sequence
from typing import Final, Protocol

from metrics.readings import Durations

_NS: Final = 1_000_000_000


class NamedCells(Protocol):
    """Counters with names: a worker's (counters.cells.Cells), or those of a process that has no workers (Plain)."""

    @property
    def values(self) -> "MutableSequence[int] | memoryview[int]":
        """The counters."""
        ...

    def index(self, name: str) -> int:
        """The position of one of them."""
        ...


class PlainCells:
    """Counters of a process that adds nothing up and need not survive it. Owned by its event loop."""

    def __init__(self, names: Sequence[str]) -> None:
        """Begin at zero."""
        self.names = tuple(names)
        self.values: MutableSequence[int] = [0] * len(self.names)
        self._index = {name: at for at, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """The position of one of them."""
        return self._index[name]

    def read(self) -> dict[str, int]:
        """Return the counters by name."""
        return dict(zip(self.names, self.values, strict=True))


def cell_names(name: str, bounds: Sequence[float]) -> tuple[str, ...]:
    """Return the names of a histogram's cells; `bounds` (s) ascend."""
    return (*(f"{name}<{bound:g}" for bound in (*bounds, float("inf"))), f"{name}.ns")


class TimedCells:
    """One histogram. Its cells follow each other, as `cell_names` has them."""

    def __init__(self, cells: NamedCells, name: str, bounds: Sequence[float]) -> None:
        """Observe into `cells`."""
        self._values = cells.values
        self._bounds = bounds
        self._first = cells.index(cell_names(name, bounds)[0])
        self._sum = self._first + len(bounds) + 1

    def observe(self, seconds: float) -> None:
        """Count what took so long."""
        self._values[self._first + bisect_left(self._bounds, seconds)] += 1
        self._values[self._sum] += int(seconds * _NS)


def durations(totals: Mapping[str, int], name: str, bounds: tuple[float, ...]) -> Durations:
    """Return a histogram out of the counters by name; what is missing among them is zero."""
    *counts, sum_ns = (totals.get(cell, 0) for cell in cell_names(name, bounds))
    return Durations(bounds, tuple(counts), sum_ns / _NS)
