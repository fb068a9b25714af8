"""From the joins in the journals to the leaves of the roll, ascending by pseudonym, in bounded memory.

Who is on the roll follows from the joins and badges alone, in whatever order the journals come:

1. A seat belongs to the pseudonym of its earliest join; other pseudonyms' joins in that seat are left out.
2. An attendee is a pseudonym; its leaf is its earliest join, of the lowest seat if several are as early.
3. Guests, whom no issuer vouched for, and seats with bit 31 are not on the roll.

Of joins that are equal in all this the one with the lowest bytes counts. counters.roll has the same rules for counting;
a test holds them together.

An event of 40 million has more rows than memory, so they go to files by seat, then by pseudonym, each small enough to
be sorted by itself (`Shelves`). What fits into one is never written.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from counters.event import Event
from counters.journal_segment import JOIN_TIME_LIMIT_MS, JournalSegment
from counters.roll_leaf import LEAF_DTYPE, ROW_DTYPE, Rows, rows_of
from counters.window_leaf import FIRST_GUEST_SEAT

SHELF_BITS: Final = 18
"""A shelf holds the rows of 262,144 seats, or about as many attendees: some 25 MB for each join they have."""
BUFFER_ROWS: Final = 1 << 20
"""Rows in memory before they are put on shelves: 90 MB."""
_TIME_BITS: Final = (JOIN_TIME_LIMIT_MS - 1).bit_length()

SeatIndex = npt.NDArray[np.uint64]
"""Seat in the upper 32 bits, position in the roll in the lower: of every seat of an attendee, aliases too."""


class Shelves:
    """Rows in files by a number that each row has. Owns its folder."""

    def __init__(self, folder: Path, number_of: Callable[[Rows], npt.NDArray[np.uint32]], buffer_rows: int) -> None:
        self._folder = folder
        self._number_of = number_of
        self._limit = buffer_rows
        self._buffer: list[Rows] = []
        self._buffered = 0
        self._written = False

    def add(self, rows: Rows) -> None:
        """Take rows."""
        self._buffer.append(rows)
        self._buffered += len(rows)
        if self._buffered >= self._limit:
            self._write()

    def __iter__(self) -> Iterator[Rows]:
        """Yield the rows of one shelf after the other, ascending by number; each is gone after that."""
        if not self._written:
            rows = self._taken()
            numbers = self._number_of(rows)
            order = np.argsort(numbers, kind="stable")
            yield from _cut(rows[order], numbers[order])
            return
        self._write()
        for path in sorted(self._folder.iterdir()):
            rows = np.fromfile(path, ROW_DTYPE)
            path.unlink()
            yield rows
        shutil.rmtree(self._folder)

    def _taken(self) -> Rows:
        rows = np.concatenate([np.empty(0, ROW_DTYPE), *self._buffer])
        self._buffer, self._buffered = [], 0
        return rows

    def _write(self) -> None:
        if not self._written:
            self._folder.mkdir(parents=True)
            self._written = True
        rows = self._taken()
        numbers = self._number_of(rows)
        order = np.argsort(numbers, kind="stable")
        for shelf in _cut(rows[order], numbers[order]):
            number = int(self._number_of(shelf[:1])[0])
            with (self._folder / f"{number:08x}").open("ab") as file:
                file.write(shelf.tobytes())


def _cut(rows: Rows, numbers: npt.NDArray[np.uint32]) -> Iterator[Rows]:
    """Yield the runs of rows with one number."""
    if len(rows):
        yield from np.split(rows, np.flatnonzero(np.diff(numbers)) + 1)


class RollSorter:
    """Takes journals and gives leaves. Owns a folder for what memory does not hold."""

    def __init__(self, event: Event, scratch: Path, buffer_rows: int = BUFFER_ROWS) -> None:
        """Prepare; what an earlier run left in `scratch` is thrown away."""
        shutil.rmtree(scratch, ignore_errors=True)
        self._event = event
        self._scratch = scratch
        self._buffer_rows = buffer_rows
        self._by_seat = Shelves(scratch / "seats", lambda rows: rows["seat"] >> np.uint32(SHELF_BITS), buffer_rows)

    def add(self, journals: Iterable[JournalSegment]) -> None:
        """Take the joins of journals that count."""
        for journal in journals:
            self._by_seat.add(rows_of(self._event, journal))

    def leaves(self) -> Iterator[tuple[Rows, SeatIndex]]:
        """Yield the leaves (`LEAF_DTYPE`), ascending by pseudonym, in parts, each with the seats of its attendees."""
        by_pseudonym = Shelves(self._scratch / "pseudonyms", _leading_bits, self._buffer_rows)
        for rows in self._by_seat:
            by_pseudonym.add(_owners(rows))
        position = 0
        for rows in by_pseudonym:
            leaves, seats = _attendees(rows, position)
            position += len(leaves)
            yield leaves, seats
        shutil.rmtree(self._scratch, ignore_errors=True)


def _leading_bits(rows: Rows) -> npt.NDArray[np.uint32]:
    # 256 shelves are 160,000 attendees each for 40 million, and far from a limit of open files.
    return np.ascontiguousarray(rows["pseudonym"]).view("u1").reshape(-1, 16)[:, 0].astype(np.uint32)


def _words(rows: Rows, *names: str) -> Any:
    """Return fields as the big-endian words of 8 bytes that compare as their bytes do: (len(rows), words)."""
    columns = np.empty(len(rows), [(name, ROW_DTYPE[name]) for name in names])
    for name in names:
        columns[name] = rows[name]
    return columns.view(">u8").reshape(len(rows), -1)


def _owners(rows: Rows) -> Rows:
    """Return the earliest join of each seat: whose seat it is."""
    offset = (rows["seat"] & np.uint32((1 << SHELF_BITS) - 1)).astype(np.uint64)
    key = (offset << np.uint64(_TIME_BITS)) | rows["joined_at_ms"]
    order = np.argsort(key, kind="stable")
    if np.any(np.diff(key[order]) == 0):
        words = _words(rows, *(LEAF_DTYPE.names or ()))
        order = np.lexsort((rows["guest"], *words.T[::-1], key))
    rows = rows[order]
    return rows[_first_of(rows["seat"])]


def _attendees(rows: Rows, position: int) -> tuple[Rows, SeatIndex]:
    """Return one leaf for each pseudonym, the first of which is at `position`, and where each seat's is."""
    names = _words(rows, "pseudonym")
    order = np.argsort(names[:, 0], kind="stable")
    if np.any(np.diff(names[order, 0]) == 0):
        order = np.lexsort((rows["seat"], rows["joined_at_ms"], names[:, 1], names[:, 0]))
    rows, names = rows[order], names[order]
    first = np.ones(len(rows), bool)
    first[1:] = np.any(names[1:] != names[:-1], axis=1)
    attendee = np.cumsum(first) - 1
    listed = ~rows["guest"][first] & (rows["seat"][first] < FIRST_GUEST_SEAT)
    at = np.cumsum(listed) - 1 + position
    kept = listed[attendee]
    seats = (rows["seat"][kept].astype(np.uint64) << np.uint64(32)) | at[attendee[kept]].astype(np.uint64)
    leaves = np.zeros(int(listed.sum()), LEAF_DTYPE)
    for name in LEAF_DTYPE.names or ():
        leaves[name] = rows[name][first][listed]
    return leaves, seats


def _first_of(seats: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Where, in an ascending column, a value stands for the first time."""
    first = np.ones(len(seats), bool)
    first[1:] = seats[1:] != seats[:-1]
    return first
