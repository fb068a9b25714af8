"""The roll at any size: whatever joins there are and however they come, it is what a plain reading of them gives."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from counters import roll as roll_module
from counters import seat_table
from counters.evidence import JournalSegment, SegmentHead
from counters.journal import Assurance, Join, JoinKind
from counters.roll import UNKNOWN, Roll, RollReader, read_owners, read_roll
from tests.counters.synthetic import START, event_of

EVENT = event_of(random.Random(3))
HEAD = SegmentHead(EVENT.digest, "gw", START, EVENT.interval_s, ())
NOBODY = bytes(16)


def joins(rng: random.Random, count: int, times: int) -> Iterator[Join]:
    """Yield joins in few seats by few pseudonyms, so that seats are contradicted and attendees have several."""
    for _ in range(count):
        kind = rng.choice((JoinKind.TICKET, JoinKind.TICKET, JoinKind.BADGE, JoinKind.VIEWING_TOKEN))
        yield Join(
            seat=rng.choice((1, 2, 3, 65_536, 65_537, 400_000, 2**31 + 1)),
            session=1,
            kind=kind,
            assurance=rng.choice((Assurance.TICKETED, Assurance.TICKETED, Assurance.GUEST)),
            filters=0,
            view=0,
            joined_at_ms=START * 1000 + rng.randrange(times),
            pseudonym=rng.choice((NOBODY, b"a" * 16, b"a" * 15 + b"b", b"b" * 16, b"c" * 16, b"\xff" * 16)),
            token_digest=bytes(32),
            address=bytes(8),
            issuer=rng.choice(("issuer-0", "issuer-1", "")),
            key_thumbprint="",
            country=rng.choice(("", "FR", "KE", "é")),
            category=rng.choice(("", "staff", "press")),
            outlet=rng.choice(("", "", "paper", "radio")),
            network="",
            agent="",
        )


def order(row: Join) -> tuple[object, ...]:
    texts = (row.category.encode(), row.country.encode(), row.issuer.encode(), row.assurance is Assurance.GUEST)
    return row.joined_at_ms, row.seat, row.pseudonym, texts, row.outlet.encode()


class Plain:
    """The roll read row by row, as its documentation says."""

    def __init__(self, rows: Sequence[Join]) -> None:
        named = [row for row in rows if row.kind is not JoinKind.VIEWING_TOKEN and row.pseudonym != NOBODY]
        named.sort(key=order)
        self.owner: dict[int, bytes] = {}
        for row in named:
            self.owner.setdefault(row.seat, row.pseudonym)
        self.contradictory = len({row.seat for row in named if self.owner[row.seat] != row.pseudonym})
        agreeing = [row for row in named if self.owner[row.seat] == row.pseudonym]
        self.earliest: dict[bytes, Join] = {}
        self.outlet: dict[bytes, str] = {}
        for row in agreeing:
            self.earliest.setdefault(row.pseudonym, row)
        for row in agreeing:
            if row.outlet:
                self.outlet.setdefault(row.pseudonym, row.outlet)
        self.canonical = {seat: self.earliest[name].seat for seat, name in self.owner.items()}

    def sets(self, value: object) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for name, row in self.earliest.items():
            found.setdefault(value(name, row), set()).add(row.seat)  # type: ignore[operator]
        return found


def as_sets(sets: object) -> dict[str, set[int]]:
    return {name: set(seats) for name, seats in sets.items()}  # type: ignore[attr-defined]


def agree(roll: Roll, plain: Plain) -> None:
    spaces = {issuer.id: issuer.namespace for issuer in EVENT.issuers}
    aliases = {seat: canonical for seat, canonical in plain.canonical.items() if seat != canonical}
    assert set(roll.identified) == set(plain.owner)
    assert dict(zip(roll.alias_seats.tolist(), roll.alias_of.tolist(), strict=True)) == aliases
    assert roll.alias_seats.tolist() == sorted(aliases) == list(roll.aliases)
    assert roll.contradictory_seats == plain.contradictory
    assert as_sets(roll.countries) == plain.sets(lambda _, row: row.country or UNKNOWN)
    assert as_sets(roll.categories) == plain.sets(lambda _, row: row.category or UNKNOWN)
    assert as_sets(roll.namespaces) == plain.sets(lambda _, row: spaces.get(row.issuer, ""))
    assert as_sets(roll.outlets) == plain.sets(lambda name, _: plain.outlet.get(name, UNKNOWN))
    barred = {row.seat for row in plain.earliest.values() if row.category in EVENT.counting.exclude_categories}
    assert set(roll.excluded) == barred
    guests = {row.seat for row in plain.earliest.values() if row.assurance is Assurance.GUEST}
    assert set(roll.guests) == guests


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from((3, 40, 4000)))
def test_the_roll_is_that_of_reading_row_by_row_in_whatever_batches(seed: int, batch: int, times: int) -> None:
    rng = random.Random(seed)
    rows = list(joins(rng, rng.randrange(40), times))
    journals = [JournalSegment.of(HEAD, rows[at : at + 6]) for at in range(0, len(rows), 6)]
    rng.shuffle(journals)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(seat_table, "BATCH", batch)
        patched.setattr(roll_module, "CHUNK", rng.choice((1, 2, 1 << 20)))
        reader = RollReader(EVENT)
        for journal in journals + journals[:1]:
            reader.add(journal)
        roll, plain = reader.build(), Plain(rows)
        owners = read_owners(journals)
    agree(roll, plain)
    assert owners.seats.tolist() == sorted(plain.owner)
    assert [name.tobytes() for name in owners.pseudonyms] == [plain.owner[seat] for seat in sorted(plain.owner)]
    assert owners.canonical.tolist() == [plain.canonical[seat] for seat in sorted(plain.owner)]


def test_a_seat_of_which_the_earlier_owner_turns_up_late_is_that_owner_s() -> None:
    (row,) = joins(random.Random(1), 1, 1)
    row = replace(row, kind=JoinKind.TICKET)
    made = [
        replace(row, pseudonym=name * 16, joined_at_ms=START * 1000 + at, country=country)
        for name, at, country in ((b"x", 50, "FR"), (b"x", 60, "KE"), (b"y", 10, "FR"), (b"y", 70, "KE"))
    ]
    journals = [JournalSegment.of(HEAD, [one]) for one in made]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(seat_table, "BATCH", 1)
        roll, owners = read_roll(EVENT, journals), read_owners(journals)
    assert owners.pseudonyms[0].tobytes() == b"y" * 16
    assert roll.contradictory_seats == 1
    assert roll.countries == {"FR": BitMap([row.seat])}


def test_a_roll_of_nothing_is_nobody() -> None:
    roll = read_roll(EVENT, [])
    assert not roll.identified
    assert roll.countries == {}
    assert len(read_owners([]).seats) == 0
