"""Whose each seat is, kept while journals go by: of all tickets and badges that named a seat the one that decides.

A seat belongs to the pseudonym of its earliest join; what other pseudonyms say about it is a contradiction. Of the
owner's joins the earliest tells issuer, country, category and assurance, and the earliest that names an outlet tells
the outlet. Of joins in one and the same millisecond the lowest pseudonym decides, then the texts in their order.

Forty million seats take 44 bytes each. Joins are gathered in batches, each batch settles who owns its seats, and is
then merged into the table. In the order of time almost every further join of a seat changes nothing, which is seen
without sorting; what contradicts is put aside and settled in the end, so that the order of journals does not matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from counters.journal import Assurance, JoinKind
from counters.journal_segment import JournalSegment
from counters.journal_texts import Texts

BATCH: Final = 1 << 22
"""Joins at a time: some 200 MB, and ten merges of an event of forty million attendees."""
NEVER: Final = (1 << 64) - 1
"""`outlet_at` of who never named an outlet."""

Chosen = npt.NDArray[np.bool_] | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a join says of an attendee besides the pseudonym. Of two in one millisecond the lower one decides."""

    category: str
    country: str
    issuer: str
    guest: bool

    def order(self) -> tuple[bytes, bytes, bytes, bool]:
        """Return what to sort by."""
        return self.category.encode(), self.country.encode(), self.issuer.encode(), self.guest


@dataclass(slots=True)
class Identities:
    """Joins that say who sits in a seat; columns of equal length."""

    seats: npt.NDArray[np.uint32]
    joined_at_ms: npt.NDArray[np.uint64]
    high: npt.NDArray[np.uint64]  # the pseudonym's first eight bytes, big-endian: in order as the bytes are
    low: npt.NDArray[np.uint64]
    kind: npt.NDArray[np.uint32]  # number of the `Kind`
    outlet: npt.NDArray[np.uint32]  # number of the text; 0 = none
    outlet_at: npt.NDArray[np.uint64]  # when the outlet was named, unix ms

    @classmethod
    def all(cls, parts: Iterable[Self]) -> Self:
        """Return the joins of all parts, one part after the other."""
        parts = list(parts)
        empty = (np.empty(0, dtype) for dtype in ("<u4", "<u8", "<u8", "<u8", "<u4", "<u4", "<u8"))
        return cls(
            *(
                np.concatenate([nothing, *(getattr(part, field.name) for part in parts)])
                for field, nothing in zip(fields(cls), empty, strict=True)
            )
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.seats)

    def only(self, chosen: Chosen) -> Self:
        """Return those that are chosen."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def put(self, at: npt.NDArray[np.int64], rows: Self) -> None:
        """Replace the joins at these positions."""
        for field in fields(self):
            getattr(self, field.name)[at] = getattr(rows, field.name)

    def insert(self, at: npt.NDArray[np.int64], rows: Self) -> None:
        """Insert joins before these positions, column by column: never more than one of them is there twice."""
        for field in fields(self):
            setattr(self, field.name, np.insert(getattr(self, field.name), at, getattr(rows, field.name)))


class SeatTable:
    """Takes journals in, in any order. Owned by its caller."""

    def __init__(self) -> None:
        """Start with no seat."""
        self.texts = Texts()
        self._kinds: dict[Kind, int] = {}
        self._table = Identities.all(())
        self._contradicting: list[Identities] = []
        self._batch: list[Identities] = []
        self._waiting = 0

    @property
    def kinds(self) -> list[Kind]:
        """The kinds in the order of their numbers."""
        return list(self._kinds)

    def add(self, journal: JournalSegment) -> None:
        """Take in a journal."""
        rows = self._identities(journal)
        self._batch.append(rows)
        self._waiting += len(rows)
        if self._waiting >= BATCH:
            self._merge()

    def finish(self) -> tuple[Identities, int]:
        """Return what decides for each seat, ascending by seat, and how many seats contradictory joins name.

        Only to be called once, when all journals are in: the table is given away.
        """
        self._merge()
        table, others = self._table, Identities.all(self._contradicting)
        self._table, self._contradicting = Identities.all(()), []
        disputed = np.unique(others.seats)
        if len(disputed):
            at = np.searchsorted(table.seats, disputed)
            owners, _ = self._settle(Identities.all((table.only(at), others)))
            table.put(at, owners)
        return table, len(disputed)

    def _identities(self, journal: JournalSegment) -> Identities:
        """Return the joins that name somebody. One by viewing token says nothing about who sits there."""
        halves = journal.joins["pseudonym"].copy().view(">u8").reshape(-1, 2)
        named = (journal.joins["kind"] != JoinKind.VIEWING_TOKEN) & halves.any(axis=1)
        joins, halves = journal.joins[named], halves[named]
        numbers = self.texts.numbers(journal.texts)
        outlet = numbers[joins["outlet"]] if len(joins) else np.empty(0, np.uint32)
        joined_at_ms = joins["joined_at_ms"].astype(np.uint64)
        return Identities(
            joins["seat"].astype(np.uint32),
            joined_at_ms,
            halves[:, 0].astype(np.uint64),
            halves[:, 1].astype(np.uint64),
            self._kinds_of(journal, joins),
            outlet,
            np.where(outlet != 0, joined_at_ms, np.uint64(NEVER)),
        )

    def _kinds_of(self, journal: JournalSegment, joins: npt.NDArray[np.void]) -> npt.NDArray[np.uint32]:
        key = (joins["assurance"] == Assurance.GUEST).astype(np.uint64)
        for name in ("issuer", "country", "category"):
            key = key << np.uint64(16) | joins[name]
        distinct, at = np.unique(key, return_inverse=True)
        numbers = []
        for each in distinct.tolist():
            issuer, country, category = (journal.texts[each >> shift & 0xFFFF] for shift in (32, 16, 0))
            kind = Kind(category, country, issuer, guest=bool(each >> 48))
            numbers.append(self._kinds.setdefault(kind, len(self._kinds)))
        return np.array(numbers, np.uint32)[at.reshape(-1)]

    def _merge(self) -> None:
        """Merge the batch into the table."""
        batch, others = self._settle(Identities.all(self._batch))
        self._batch, self._waiting = [], 0
        self._contradicting.append(others)
        table = self._table
        at = np.searchsorted(table.seats, batch.seats)
        known = np.zeros(len(batch), bool)
        inside = at < len(table)
        known[inside] = table.seats[at[inside]] == batch.seats[inside]
        mine, theirs = table.only(at[known]), batch.only(known)
        same_owner = (mine.high == theirs.high) & (mine.low == theirs.low)
        later = (theirs.joined_at_ms > mine.joined_at_ms) & (theirs.outlet_at > mine.outlet_at)
        later |= (theirs.joined_at_ms > mine.joined_at_ms) & (theirs.outlet_at == NEVER)
        news = ~(same_owner & later)
        if news.any():
            owners, others = self._settle(Identities.all((mine.only(news), theirs.only(news))))
            table.put(at[known][news], owners)
            self._contradicting.append(others)
        del mine, theirs
        fresh = ~known
        if fresh.any():
            table.insert(at[fresh], batch.only(fresh))

    def _settle(self, rows: Identities) -> tuple[Identities, Identities]:
        """Return for each seat the join of its owner, ascending by seat, and for each the joins of other pseudonyms.

        Either is one row for each seat and pseudonym: its earliest join, with the outlet that was named first.
        """
        order = np.sort(rows.seats.astype(np.uint64) << np.uint64(32) | np.arange(len(rows), dtype=np.uint64))
        rows = rows.only((order & np.uint64(0xFFFFFFFF)).astype(np.int64))
        several = np.zeros(len(rows), bool)
        again = rows.seats[1:] == rows.seats[:-1]
        several[1:] |= again
        several[:-1] |= again
        if not several.any():
            return rows, rows.only(several)
        owners, others = _earliest(self._as_one(rows.only(several)))
        at = np.concatenate([np.flatnonzero(~several), np.searchsorted(rows.seats, owners.seats)])
        settled = Identities.all((rows.only(~several), owners))
        return settled.only(np.argsort(at, kind="stable")), others

    def _as_one(self, rows: Identities) -> Identities:
        """Return one row for each seat and pseudonym: its earliest join, with the outlet that was named first."""
        kinds, outlets = self._ranks()[rows.kind], self.texts.ranks()[rows.outlet]
        by_owner = np.lexsort((kinds, rows.joined_at_ms, rows.low, rows.high, rows.seats))
        by_outlet = np.lexsort((outlets, kinds, rows.outlet_at, rows.low, rows.high, rows.seats))
        earliest, named = rows.only(by_owner), rows.only(by_outlet)
        first = _firsts(earliest.seats, earliest.high, earliest.low)
        earliest, named = earliest.only(first), named.only(first)  # both orders have the same groups, as long
        earliest.outlet, earliest.outlet_at = named.outlet, named.outlet_at
        return earliest

    def _ranks(self) -> npt.NDArray[np.int64]:
        kinds = self.kinds
        ranks = np.empty(len(kinds), np.int64)
        ranks[sorted(range(len(kinds)), key=lambda number: kinds[number].order())] = np.arange(len(kinds))
        return ranks


def _earliest(rows: Identities) -> tuple[Identities, Identities]:
    """Return the earliest row of each seat, ascending by seat, and the others."""
    rows = rows.only(np.lexsort((rows.low, rows.high, rows.joined_at_ms, rows.seats)))
    first = _firsts(rows.seats)
    return rows.only(first), rows.only(~first)


def _firsts(*columns: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return where a row differs from the one before it."""
    first = np.ones(len(columns[0]), bool)
    first[1:] = False
    for column in columns:
        first[1:] |= column[1:] != column[:-1]
    return first
