"""The roll: from the journals to one canonical seat for each attendee, with the attributes that counting needs.

A pseudonym that got several seats (two workers assigned one while the registry was away) is one attendee: its canonical
seat is that of its earliest join, then the lowest; the others are aliases. Country, category and issuer are those of
that earliest join or badge. A join by viewing token names only a seat and says nothing about who sits there.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.event import Event
from counters.journal import Assurance, JoinKind
from counters.journal_segment import JournalSegment
from counters.window_leaf import FIRST_GUEST_SEAT, SEATS_END

UNKNOWN: Final = "unknown"
"""What is printed for a country that no ticket told."""

Seats = npt.NDArray[np.uint32]

_IDENTITY: Final = np.dtype(
    [("seat", "<u4"), ("joined_at_ms", "<u8"), ("high", ">u8"), ("low", ">u8"), ("guest", "?"),
     ("issuer", "<u4"), ("country", "<u4"), ("category", "<u4")]
)  # fmt: skip


class Texts:
    """One table for the texts of many journals: the same text has the same number everywhere."""

    def __init__(self) -> None:
        """Start with the empty text as number 0."""
        self._numbers: dict[str, int] = {"": 0}

    def numbers(self, texts: Iterable[str]) -> npt.NDArray[np.uint32]:
        """Return the number of each text."""
        table = self._numbers
        return np.array([table.setdefault(text, len(table)) for text in texts], np.uint32)

    def texts(self) -> list[str]:
        """Return the texts in the order of their numbers."""
        return list(self._numbers)


def seats_of(bitmap: BitMap) -> Seats:
    """Return the members of a set, ascending."""
    return np.array(bitmap.to_array(), np.uint32)


@dataclass(frozen=True, slots=True)
class Roll:
    """Who is who. Sets hold canonical seats unless they say otherwise."""

    identified: BitMap  # every seat, aliases too, that some ticket or badge stands behind
    aliases: BitMap  # seats that are not their attendee's canonical seat
    alias_seats: Seats  # the same, ascending
    alias_of: Seats  # the canonical seat of each
    excluded: BitMap  # attendees of excluded categories
    guests: BitMap  # devices, not people; besides those that bit 31 marks
    countries: Mapping[str, BitMap]  # by country, UNKNOWN for none; only of attendees on the roll
    namespaces: Mapping[str, BitMap]  # by namespace
    contradictory_seats: int  # seats that joins of different pseudonyms name; their earliest join decides

    def canonical(self, seats: BitMap) -> BitMap:
        """Return the attendees in these seats: every alias replaced by its canonical seat."""
        hits = seats & self.aliases
        return (seats - hits) | BitMap(np.unique(self.canonical_seats(seats_of(hits)))) if hits else seats

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


def read_roll(event: Event, journals: Iterable[JournalSegment]) -> Roll:
    """Return the roll of these journals, whatever order they come in."""
    texts = Texts()
    rows, contradictory = _owned(_identities(journal, texts) for journal in journals)
    attendees, seats, canonical = _canonical(rows)
    moved = canonical != seats
    return Roll(
        identified=BitMap(seats),
        aliases=BitMap(seats[moved]),
        alias_seats=seats[moved],
        alias_of=canonical[moved],
        **_attributes(event, attendees, texts.texts()),
        contradictory_seats=contradictory,
    )


def read_owners(journals: Iterable[JournalSegment]) -> Owners:
    """Return whose the seats in these journals are, whatever order they come in."""
    texts = Texts()
    rows, _ = _owned(_identities(journal, texts) for journal in journals)
    _, seats, canonical = _canonical(rows)
    _, first = np.unique(rows["seat"], return_index=True)
    pseudonyms = np.empty((len(seats), 2), ">u8")
    pseudonyms[:, 0], pseudonyms[:, 1] = rows["high"][first], rows["low"][first]
    return Owners(seats, pseudonyms.view("V16").reshape(-1), canonical)


def _owned(identities: Iterable[npt.NDArray[np.void]]) -> tuple[npt.NDArray[np.void], int]:
    """Return the joins, the earliest first, without those in another's seat; and how many such seats there are."""
    rows = np.concatenate([np.empty(0, _IDENTITY), *identities])
    rows = rows[np.lexsort((rows["category"], rows["low"], rows["high"], rows["seat"], rows["joined_at_ms"]))]
    seats, first = np.unique(rows["seat"], return_index=True)
    # A seat belongs to the pseudonym of its earliest join; a later one with another pseudonym is a contradiction.
    owner = rows[first][np.searchsorted(seats, rows["seat"])]
    agrees = (owner["high"] == rows["high"]) & (owner["low"] == rows["low"])
    return rows[agrees], len(np.unique(rows["seat"][~agrees]))


def _canonical(rows: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.void], Seats, Seats]:
    """Return each attendee's earliest join, the seats, ascending, and the canonical seat of each."""
    pseudonyms = np.stack([rows["high"], rows["low"]], axis=1).astype(np.uint64)
    _, earliest, attendee = np.unique(pseudonyms, axis=0, return_index=True, return_inverse=True)
    attendees = rows[earliest]
    seats, at = np.unique(rows["seat"], return_index=True)
    return attendees, seats, attendees["seat"][attendee.reshape(-1)[at]]


def _identities(journal: JournalSegment, texts: Texts) -> npt.NDArray[np.void]:
    numbers = texts.numbers(journal.texts)
    halves = journal.joins["pseudonym"].copy().view(">u8").reshape(-1, 2)
    named = (journal.joins["kind"] != JoinKind.VIEWING_TOKEN) & halves.any(axis=1)
    joins = journal.joins[named]
    rows = np.empty(len(joins), _IDENTITY)
    rows["seat"], rows["joined_at_ms"] = joins["seat"], joins["joined_at_ms"]
    rows["high"], rows["low"] = halves[named, 0], halves[named, 1]
    rows["guest"] = joins["assurance"] == Assurance.GUEST
    for name in ("issuer", "country", "category"):
        rows[name] = numbers[joins[name]] if len(numbers) else 0
    return rows


def _attributes(event: Event, attendees: npt.NDArray[np.void], texts: list[str]) -> dict[str, Any]:
    """Return the sets of attendees by attribute, as `Roll` names them."""
    namespace_of = {issuer.id: issuer.namespace for issuer in event.issuers}
    seats = attendees["seat"]
    barred = [number for number, text in enumerate(texts) if text in event.counting.exclude_categories]
    countries: dict[str, BitMap] = {}
    for number in np.unique(attendees["country"]).tolist():
        _add(countries, texts[number] or UNKNOWN, seats[attendees["country"] == number])
    namespaces: dict[str, BitMap] = {}
    for number in np.unique(attendees["issuer"]).tolist():
        _add(namespaces, namespace_of.get(texts[number], ""), seats[attendees["issuer"] == number])
    return {
        "excluded": BitMap(np.sort(seats[np.isin(attendees["category"], barred)])),
        "guests": BitMap(np.sort(seats[attendees["guest"]])),
        "countries": countries,
        "namespaces": namespaces,
    }


def _add(sets: dict[str, BitMap], name: str, seats: Seats) -> None:
    sets[name] = sets.get(name, BitMap()) | BitMap(np.sort(seats))
