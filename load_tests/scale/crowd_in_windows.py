"""Minute by minute: whose player plays where, as bitmaps of seats and as sketches, carried from window to window.

A window differs from the one before by who came and who left. So are the sets, and so are the sketches: how many
players hold each rank of each register is counted, and a register's value is the highest rank that somebody holds.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters import hyperloglog
from counters.evidence import SessionPresence
from load_tests.scale.people import People
from load_tests.scale.programme import SESSIONS
from load_tests.scale.visits import Visits, gateways_of, seats_of, stays_of, views_of
from load_tests.sketching import places


class RankCounts:
    """How many elements hold each rank of each register of one sketch."""

    def __init__(self) -> None:
        """Start empty."""
        self._counts = np.zeros((1, hyperloglog.REGISTERS), np.int32)

    def change(self, register: npt.NDArray[np.int64], rank: npt.NDArray[np.uint8], by: int) -> None:
        """Add elements (by = 1) or take them away (by = −1)."""
        if len(rank) and (highest := int(rank.max())) >= len(self._counts):
            more = np.zeros((highest + 1 - len(self._counts), hyperloglog.REGISTERS), np.int32)
            self._counts = np.concatenate([self._counts, more])
        np.add.at(self._counts, (rank, register), by)

    def registers(self) -> hyperloglog.Registers:
        """Return the sketch of those who are there."""
        held = self._counts[::-1] > 0
        return np.where(held.any(axis=0), len(held) - 1 - held.argmax(axis=0), 0).astype(np.uint8)


@dataclass(slots=True)
class _Room:
    """One session as one gateway sees it."""

    playing: BitMap
    background: BitMap
    attendees: RankCounts
    views: RankCounts


class Crowd:
    """Who is present, for one run of windows. Owned by whoever makes its evidence."""

    def __init__(self, people: People, visits: Visits, first: int) -> None:
        """Begin before window `first`, with whoever came before it and is still there; `visits` are all that touch it.

        Windows must be asked for from `first` on, one after the other.
        """
        stays = stays_of(people, visits)
        kept = stays.end >= first
        self._start, self._end, visit = stays.start[kept], stays.end[kept], stays.visit[kept].astype(np.uint32)
        self._by_start = np.argsort(self._start.astype(np.uint16), kind="stable").astype(np.uint32)
        self._by_end = np.argsort(self._end.astype(np.uint16), kind="stable").astype(np.uint32)
        self._starts, self._ends = self._start[self._by_start], self._end[self._by_end]
        self._visit = visit
        self._people, self._visits = people, visits
        self._seats = seats_of(people, visits)
        # gateway · (SESSIONS + 1) + session
        self._groups = (gateways_of(people, visits) * (SESSIONS + 1) + visits["session"]).astype(np.uint16)
        self._rooms: dict[int, _Room] = {}
        self._change(np.flatnonzero(self._starts < first), self._by_start, 1)

    def step(self, window: int) -> None:
        """Go on to the next window: who left after the one before it goes, who comes in it comes."""
        for keys, order, value, by in (
            (self._ends, self._by_end, window - 1, -1),
            (self._starts, self._by_start, window, 1),
        ):
            begin, end = np.searchsorted(keys, (value, value + 1))
            self._change(np.arange(begin, end), order, by)

    def rooms(self, gateway: int) -> Iterator[SessionPresence]:
        """Yield what a gateway sees in this window, by session."""
        for group in sorted(self._rooms):
            room = self._rooms[group]
            if group // (SESSIONS + 1) == gateway and room.playing:
                yield SessionPresence(
                    group % (SESSIONS + 1), room.playing, room.background, room.attendees.registers(),
                    room.views.registers(),
                )  # fmt: skip

    def _change(self, positions: npt.NDArray[np.int64], order: npt.NDArray[np.uint32], by: int) -> None:
        if not len(positions):
            return
        visit = self._visit[order[positions]]
        group, seat = self._groups[visit].astype(np.int64), self._seats[visit]
        by_group = np.lexsort((seat, group))
        visit, group, seat = visit[by_group], group[by_group], seat[by_group]
        breaks = np.flatnonzero(np.diff(group, prepend=-1))
        for begin, end in zip(breaks.tolist(), [*breaks[1:].tolist(), len(group)], strict=True):
            number = int(group[begin])
            room = self._rooms.setdefault(number, _Room(BitMap(), BitMap(), RankCounts(), RankCounts()))
            self._change_room(room, visit[begin:end], seat[begin:end], by)
            if not room.playing:
                del self._rooms[number]

    def _change_room(self, room: _Room, visit: npt.NDArray[np.uint32], seat: npt.NDArray[np.uint32], by: int) -> None:
        visits, people = self._visits[visit], self._people
        persons = visits["person"].astype(np.int64)
        behind = bitmap(seat[people.background(persons)])
        if by > 0:
            room.playing |= bitmap(seat)
            room.background |= behind
        else:
            room.playing -= bitmap(seat)
            room.background -= behind
        for counts, words in ((room.attendees, people.pseudonyms(persons)), (room.views, views_of(people, visits))):
            place, rank = places(words.reshape(len(words), -1))
            counts.change(place & hyperloglog.REGISTER_MASK, rank, by)


def bitmap(seats: npt.NDArray[np.uint32]) -> BitMap:
    """Return the set of ascending seats."""
    # An array goes to the bitmap's own loop; a numpy array's elements would become Python integers one by one.
    return BitMap(array("I", seats.tobytes()))
