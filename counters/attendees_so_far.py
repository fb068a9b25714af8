"""Attendees so far: which seats are one attendee's, and of which country, as the journals sealed so far tell.

What a certificate reads anew from all the evidence (counters.roll) is kept up here leaf by leaf, for what is shown of
the newest window. The first leaf that names a seat decides whose it is, and the first that names a pseudonym which of
its seats is canonical; within a leaf the earliest join, then the lowest seat. A certificate goes by the earliest join
of all, so late evidence may make a difference of single people.

An attendee takes 13 bytes: eight for the pseudonym's halves laid over each other (among forty million two are alike in
one of 20,000 events), four for the seat, one for the country. Forty million are 520 MB, and for a moment half as much
again when newcomers are merged into them.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.audience import Aliases
from counters.countries import COUNTRIES, place_of
from counters.journal import JoinKind
from counters.journal_segment import JournalSegment
from counters.partition import seats_in, set_of
from counters.window_leaf import FIRST_GUEST_SEAT

CHUNK: Final = 1 << 20
"""Seats that are looked up at a time: counting takes eight bytes for each."""
SMALL: Final = 1 << 16
MERGED_AT: Final = 8
"""Newcomers are merged into the large table when they are an eighth of it: each is copied about nine times in all."""

Seats = npt.NDArray[np.uint32]
Halves = npt.NDArray[np.uint64]


class AttendeesSoFar:
    """Takes journals in leaf by leaf; taking one in again changes nothing. Owned by its caller."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._seats = BitMap()  # all that some ticket or badge stands behind
        self._owners = _SeatsByPseudonym()
        self._countries = np.zeros(0, np.uint8)  # by seat: place in COUNTRIES
        self.aliases = Aliases(BitMap(), np.empty(0, np.uint32), np.empty(0, np.uint32))
        """Seats that are not their attendee's canonical seat; replaced whole."""

    def add(self, journals: Sequence[JournalSegment]) -> None:
        """Take in the journals of one leaf."""
        parts = [self._fresh(journal) for journal in journals]
        seats, joined_at_ms, halves, countries = (
            np.concatenate(column) for column in zip(_NOBODY, *parts, strict=True)
        )
        order = np.lexsort((halves, joined_at_ms, seats))
        order = order[_firsts(seats[order])]
        seats, joined_at_ms, halves, countries = (each[order] for each in (seats, joined_at_ms, halves, countries))
        self._seats |= set_of(seats)
        self._note_countries(seats, countries)
        order = np.lexsort((seats, joined_at_ms, halves))
        self._note_owners(seats[order], halves[order])

    def _fresh(self, journal: JournalSegment) -> tuple[Seats, Halves, Halves, npt.NDArray[np.uint8]]:
        """Return seat, time (unix ms), pseudonym's half and country of each join that names a seat not known yet."""
        joins = journal.joins[journal.joins["kind"] != JoinKind.VIEWING_TOKEN]
        seats = joins["seat"].astype(np.uint32)
        fresh = seats_in(set_of(np.unique(seats)) - self._seats)
        joins = joins[np.isin(seats, fresh)]
        halves = joins["pseudonym"].copy().view(">u8").reshape(-1, 2)
        named = halves.any(axis=1)
        joins, halves = joins[named], halves[named]
        places = np.array([place_of(text) for text in journal.texts], np.uint8)
        countries = places[joins["country"]] if len(joins) else np.empty(0, np.uint8)
        return (
            joins["seat"].astype(np.uint32),
            joins["joined_at_ms"].astype(np.uint64),
            (halves[:, 0] ^ halves[:, 1]).astype(np.uint64),
            countries,
        )

    def _note_countries(self, seats: Seats, countries: npt.NDArray[np.uint8]) -> None:
        people = seats < FIRST_GUEST_SEAT
        seats, countries = seats[people], countries[people]
        if len(seats) and seats[-1] >= len(self._countries):
            # Zeros that nobody touches take no memory.
            grown = np.zeros(max(int(seats[-1]) + 1, 2 * len(self._countries)), np.uint8)
            grown[: len(self._countries)] = self._countries
            self._countries = grown
        self._countries[seats] = countries

    def _note_owners(self, seats: Seats, halves: Halves) -> None:
        """Find which of these seats, of each pseudonym the canonical one first, are aliases."""
        first = _firsts(halves)
        canonical = seats[first][np.cumsum(first) - 1] if len(seats) else seats
        known, before = self._owners.find(halves)
        canonical = np.where(known, before, canonical)
        alias = canonical != seats
        if alias.any():
            more = np.concatenate([self.aliases.seats, seats[alias]])
            of = np.concatenate([self.aliases.canonical_seats, canonical[alias]])
            order = np.argsort(more)
            self.aliases = Aliases(set_of(more[order]), more[order], of[order])
        self._owners.add(halves[~alias], seats[~alias])

    def by_country(self, attendees: BitMap) -> dict[str, int]:
        """Return how many of these attendees (canonical seats) are of each country; who is of none is OTHER."""
        counts = np.zeros(len(COUNTRIES), np.int64)
        seats = seats_in(attendees)
        for start in range(0, len(seats), CHUNK):
            chunk = seats[start : start + CHUNK]
            inside = int(np.searchsorted(chunk, len(self._countries)))
            counts += np.bincount(self._countries[chunk[:inside]], minlength=len(COUNTRIES))
            counts[0] += len(chunk) - inside
        return {code: count for code, count in zip(COUNTRIES, counts.tolist(), strict=True) if count}


_NOBODY: Final = (
    np.empty(0, np.uint32), np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint8)
)  # fmt: skip


def _firsts(ordered: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return where a value differs from the one before it."""
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first


class _SeatsByPseudonym:
    """The canonical seat of each pseudonym, found by its first eight bytes."""

    def __init__(self) -> None:
        # Two sorted tables: adding to one copies it, and the large one shall not be copied every minute.
        self._tables = [(np.empty(0, np.uint64), np.empty(0, np.uint32)) for _ in range(2)]

    def find(self, halves: Halves) -> tuple[npt.NDArray[np.bool_], Seats]:
        """Return which of them are known, and their seats (0 of those that are not)."""
        known, seats = np.zeros(len(halves), bool), np.zeros(len(halves), np.uint32)
        for table_halves, table_seats in self._tables:
            if len(table_halves):
                at = np.minimum(np.searchsorted(table_halves, halves), len(table_halves) - 1)
                here = table_halves[at] == halves
                seats[here], known[here] = table_seats[at[here]], True
        return known, seats

    def add(self, halves: Halves, seats: Seats) -> None:
        """Add pseudonyms that are not known yet, ascending."""
        large, recent = self._tables
        recent = _merged(recent, (halves, seats))
        if len(recent[0]) > max(SMALL, len(large[0]) // MERGED_AT):
            large, recent = _merged(large, recent), (_NOBODY[1], _NOBODY[0])
        self._tables = [large, recent]


def _merged(table: tuple[Halves, Seats], more: tuple[Halves, Seats]) -> tuple[Halves, Seats]:
    at = np.searchsorted(table[0], more[0])
    return np.insert(table[0], at, more[0]), np.insert(table[1], at, more[1])
