"""People by parts that do not overlap: how many of a set are of each country, in one step for all countries.

One small number for each seat says which part it is in, so that a set is counted by looking its seats up and counting
the numbers: for fifty parts far less work than fifty intersections. 0 is whoever is in no part, or has a seat beyond
all of them.
"""

import itertools
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

Counts = npt.NDArray[np.int64]

FEW: Final = 8
"""With so few parts intersections are less work than looking up …"""
MANY_SEATS: Final = 1 << 20
"""… so many seats."""


def seats_in(attendees: BitMap) -> npt.NDArray[np.uint32]:
    """Return the members of a set, ascending."""
    return np.frombuffer(attendees.to_array(), np.uint32)


def set_of(seats: npt.NDArray[np.uint32]) -> BitMap:
    """Return the set of some seats, which come in ascending order."""
    # An array goes to the bitmap's own loop; a numpy array's elements would become Python integers one by one.
    return BitMap(array("I", seats.tobytes()))


def belonging(seats: npt.NDArray[np.uint32], among: BitMap) -> npt.NDArray[np.bool_]:
    """Return which of some seats, ascending, are `among` others."""
    found = np.zeros(int(seats[-1]) + 1 if len(seats) else 0, bool)
    others = seats_in(among)
    found[others[: np.searchsorted(others, len(found))]] = True
    return found[seats]


class Partition:
    """Which part each seat is in. Read-only, but for `close`; owned by whoever counts."""

    def __init__(self, families: Sequence[Iterable[BitMap]]) -> None:
        """Take families of sets that do not overlap within their family: a part is where one set of each meets."""
        kept = [[seats for seats in family if seats] for family in families]
        seats = seats_in(BitMap.union(BitMap(), *(part for family in kept for part in family)))
        # Zeros that nobody touches take no memory: a single seat far beyond the others costs nothing.
        codes = np.zeros(int(seats[-1]) + 1 if len(seats) else 1, np.uint32)
        self.parts = 1
        """How many parts, part 0 among them."""
        for family in kept:
            codes[seats] *= len(family) + 1
            for number, part in enumerate(family, start=1):
                codes[seats_in(part)] += number
            numbers = _as_few(codes[seats], self.parts * (len(family) + 1))
            codes[seats], self.parts = numbers, int(numbers.max(initial=0)) + 1
        self._codes = np.zeros(len(codes), np.min_scalar_type(self.parts))
        self._codes[seats] = codes[seats]
        self._members: list[BitMap] = []
        self._asked: dict[tuple[int, int, int], list[tuple[BitMap, list[int] | None]]] = {}

    def counts(self, attendees: BitMap) -> Counts:
        """Return how many of the attendees are in each part."""
        if not attendees:
            return np.zeros(self.parts, np.int64)
        if self.parts <= FEW and len(attendees) > MANY_SEATS:
            few = [attendees.intersection_cardinality(one) for one in self.members()[1:]]
            return np.array([len(attendees) - sum(few), *few], np.int64)
        seats = seats_in(attendees)
        if seats[-1] < len(self._codes):
            codes = self._codes[seats]
        else:
            codes = np.zeros(len(seats), self._codes.dtype)
            inside = int(np.searchsorted(seats, len(self._codes)))
            codes[:inside] = self._codes[seats[:inside]]
        return np.bincount(codes, minlength=self.parts)

    def members(self) -> list[BitMap]:
        """Return who is in each part; of part 0, and once closed of all, only those who were counted."""
        if not self._members:
            seats = np.flatnonzero(self._codes).astype(np.uint32)
            codes = self._codes[seats]
            seats = seats[np.argsort(codes, kind="stable")]
            ends = np.cumsum(np.bincount(codes, minlength=self.parts))
            self._members = [BitMap(), *(set_of(seats[first:end]) for first, end in itertools.pairwise(ends.tolist()))]
        return self._members

    def close(self, attendees: BitMap) -> None:
        """Say who was counted at all: only they matter for what parts a set is made up of."""
        members = self.members()
        others = attendees - BitMap.union(*members)
        self._members = [others, *(one & attendees for one in members[1:])]
        self._asked.clear()

    def parts_of(self, among: BitMap) -> list[int] | None:
        """Return the parts that make up `among`; None if one of them is only partly in it: nobody has counted that."""
        if not among:
            return []
        known = self._asked.setdefault((len(among), among.min(), among.max()), [])
        for seats, parts in known:
            if seats == among:
                return parts
        touched = [part for part, members in enumerate(self.members()) if members.intersect(among)]
        found = touched if all(self.members()[part].issubset(among) for part in touched) else None
        known.append((among, found))
        return found


def _as_few(codes: npt.NDArray[np.uint32], end: int) -> npt.NDArray[np.uint32]:
    """Return the codes, all below `end`, with those left out that nobody has; 0 stays 0."""
    used = np.zeros(end, bool)
    used[codes] = True
    used[0] = True
    return (np.cumsum(used) - 1).astype(np.uint32)[codes]
