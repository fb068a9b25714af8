"""The roll: from the journals to one canonical seat for each attendee, with the attributes that counting needs.

A pseudonym that got several seats (two workers assigned one while the registry was away) is one attendee: its canonical
seat is that of its earliest join, then the lowest; the others are aliases. Country, category and issuer are those of
that earliest join or badge; the outlet is that of the earliest join that names one. A join by viewing token names only
a seat and says nothing about who sits there. Whose a seat is where joins contradict each other: counters.seat_table.
"""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.event import Event
from counters.invalid_attendees import InvalidAttendees
from counters.journal_segment import JournalSegment
from counters.partition import seats_in, set_of
from counters.seat_table import Identities, SeatTable
from counters.window_leaf import FIRST_GUEST_SEAT, SEATS_END

UNKNOWN: Final = "unknown"
"""What is printed for a country, category or outlet that nothing told."""
CHUNK: Final = 1 << 22
"""Seats that are sorted by attribute at a time."""

Seats = npt.NDArray[np.uint32]
Name = TypeVar("Name", str, bool)


@dataclass(frozen=True, slots=True)
class Roll:
    """Who is who. Sets hold canonical seats unless they say otherwise."""

    identified: BitMap  # every seat, aliases too, that some ticket or badge stands behind
    aliases: BitMap  # seats that are not their attendee's canonical seat
    alias_seats: Seats  # the same, ascending
    alias_of: Seats  # the canonical seat of each
    excluded: BitMap  # attendees of excluded categories, and those whom invalid traffic takes out
    guests: BitMap  # devices, not people; besides those that bit 31 marks
    countries: Mapping[str, BitMap]  # by country, UNKNOWN for none; only of attendees on the roll
    categories: Mapping[str, BitMap]  # likewise
    outlets: Mapping[str, BitMap]  # likewise, by the media outlet that embeds the stream
    namespaces: Mapping[str, BitMap]  # by namespace
    invalid: Mapping[str, BitMap]  # by reason: whom invalid traffic takes out (counters.invalid_attendees)
    flagged: Mapping[str, int]  # by reason: how many joins have its flag, excluded or not
    contradictory_seats: int  # seats that joins of different pseudonyms name; their earliest join decides

    def canonical(self, seats: BitMap) -> BitMap:
        """Return the attendees in these seats: every alias replaced by its canonical seat."""
        hits = seats & self.aliases
        return (seats - hits) | BitMap(np.unique(self.canonical_seats(seats_in(hits)))) if hits else seats

    def canonical_seats(self, seats: Seats) -> Seats:
        """Return the canonical seat of each seat."""
        if not len(self.alias_seats):
            return seats
        at = np.minimum(np.searchsorted(self.alias_seats, seats), len(self.alias_seats) - 1)
        return np.where(self.alias_seats[at] == seats, self.alias_of[at], seats)

    def people(self, attendees: BitMap) -> BitMap:
        """Return the attendees without those excluded and without guests: what numbers of people count."""
        net = attendees - self.excluded - self.guests
        net.remove_range(FIRST_GUEST_SEAT, SEATS_END)
        return net

    def aliases_sha256(self) -> str:
        """Return the digest of the table: u32 alias, u32 canonical seat, little-endian, ascending by alias."""
        return hashlib.sha256(np.stack([self.alias_seats, self.alias_of], axis=1).astype("<u4").tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose the seats are."""

    seats: Seats  # ascending, aliases too
    pseudonyms: npt.NDArray[np.void]  # 16 bytes of each seat's attendee
    canonical: Seats  # the canonical seat of each


class RollReader:
    """Takes journals in one by one, so that they need not be in memory. Owned by its caller."""

    def __init__(self, event: Event) -> None:
        """Start without any."""
        self._event = event
        self._table = SeatTable()
        self._invalid = InvalidAttendees(event)

    def add(self, journal: JournalSegment) -> None:
        """Take in a journal; the order does not matter."""
        self._table.add(journal)
        self._invalid.add(journal)

    def build(self) -> Roll:
        """Return the roll. Only to be called once, when all journals are in."""
        rows, contradictory = self._table.finish()
        alias, canonical = _aliases(rows)
        alias_seats = rows.seats[alias]
        attendee = np.ones(len(rows), bool)
        attendee[alias] = False
        roll = Roll(
            identified=set_of(rows.seats),
            aliases=set_of(alias_seats),
            alias_seats=alias_seats,
            alias_of=canonical,
            contradictory_seats=contradictory,
            invalid={},
            flagged=dict(self._invalid.flagged),
            **self._attributes(rows, attendee),
        )
        invalid = self._invalid.build(roll.canonical)
        return replace(roll, invalid=invalid, excluded=BitMap.union(roll.excluded, *invalid.values()))

    def _attributes(self, rows: Identities, attendee: npt.NDArray[np.bool_]) -> dict[str, Any]:
        """Return the sets of attendees by attribute, as `Roll` names them."""
        kinds, texts = self._table.kinds, self._table.texts.texts()
        namespace_of = {issuer.id: issuer.namespace for issuer in self._event.issuers}
        barred = self._event.counting.exclude_categories
        seats, kind, outlet = rows.seats[attendee], rows.kind[attendee], rows.outlet[attendee]
        return {
            "excluded": _sets(seats, kind, [one.category in barred for one in kinds]).get(True, BitMap()),
            "guests": _sets(seats, kind, [one.guest for one in kinds]).get(True, BitMap()),
            "countries": _sets(seats, kind, [one.country or UNKNOWN for one in kinds]),
            "categories": _sets(seats, kind, [one.category or UNKNOWN for one in kinds]),
            "namespaces": _sets(seats, kind, [namespace_of.get(one.issuer, "") for one in kinds]),
            "outlets": _sets(seats, outlet, [text or UNKNOWN for text in texts]),
        }


def read_roll(event: Event, journals: Iterable[JournalSegment]) -> Roll:
    """Return the roll of these journals, whatever order they come in."""
    reader = RollReader(event)
    for journal in journals:
        reader.add(journal)
    return reader.build()


def read_owners(journals: Iterable[JournalSegment]) -> Owners:
    """Return whose the seats in these journals are, whatever order they come in."""
    table = SeatTable()
    for journal in journals:
        table.add(journal)
    rows, _ = table.finish()
    alias, of = _aliases(rows)
    canonical = rows.seats.copy()
    canonical[alias] = of
    pseudonyms = np.stack([rows.high, rows.low], axis=1).astype(">u8")
    return Owners(rows.seats, pseudonyms.view("V16").reshape(-1), canonical)


def _aliases(rows: Identities) -> tuple[npt.NDArray[np.int64], Seats]:
    """Return the positions of aliases, ascending, and the canonical seat of each.

    The canonical seat's row takes over the outlet that its attendee named first, in whatever seat.
    """
    several = np.flatnonzero(_shared(rows.high))
    order = np.lexsort((rows.seats[several], rows.joined_at_ms[several], rows.low[several], rows.high[several]))
    several = several[order]
    first = np.ones(len(several), bool)
    first[1:] = (rows.high[several][1:] != rows.high[several][:-1]) | (rows.low[several][1:] != rows.low[several][:-1])
    attendee = np.cumsum(first) - 1
    canonical = several[first]
    by_outlet = np.lexsort((rows.seats[several], rows.outlet_at[several], attendee))
    named = several[by_outlet][first]  # as many of each attendee, in the same order of attendees
    rows.outlet[canonical] = rows.outlet[named]
    alias, of = several[~first], canonical[attendee][~first]
    ascending = np.argsort(alias)
    return alias[ascending], rows.seats[of[ascending]]


def _shared(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return which values are there more than once."""
    ascending = np.sort(values)
    twice = np.unique(ascending[1:][ascending[1:] == ascending[:-1]])
    del ascending
    # Most are there once, which a look at their upper bits mostly shows.
    maybe = np.zeros(1 << 24, bool)
    maybe[twice >> np.uint64(40)] = True
    found: npt.NDArray[np.bool_] = maybe[values >> np.uint64(40)]
    found[found] = np.isin(values[found], twice)
    return found


def _sets(seats: Seats, codes: npt.NDArray[np.uint32], names: Sequence[Name]) -> dict[Name, BitMap]:
    """Return the seats by the name of their code; `seats` are ascending."""
    distinct = {name: number for number, name in enumerate(dict.fromkeys(names))}
    # Of small numbers the sorting is radix sorting.
    number_of = np.array([distinct[name] for name in names], np.min_scalar_type(len(distinct)))
    parts: list[list[BitMap]] = [[] for _ in distinct]
    for start in range(0, len(seats), CHUNK):
        numbers = number_of[codes[start : start + CHUNK]]
        order = np.argsort(numbers, kind="stable")
        ends: list[int] = np.cumsum(np.bincount(numbers, minlength=len(distinct))).tolist()
        chunk = seats[start : start + CHUNK][order]
        for number, (begin, end) in enumerate(itertools.pairwise([0, *ends])):
            if end > begin:
                parts[number].append(set_of(chunk[begin:end]))
    return {name: BitMap.union(BitMap(), *parts[number]) for name, number in distinct.items() if parts[number]}
