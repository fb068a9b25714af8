"""What Redis held, made again from journals: as plain loops over the same records make it."""

import random
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import hyperloglog
from counters.attendee import attendee_selector
from counters.evidence import JournalSegment
from counters.evidence_store import EvidenceError
from counters.journal import Assurance, Direction, Join, JoinKind, Scan
from counters.live import uniques_key
from counters.log_entries import read_log
from counters.recovery import ScanOutcome, read_journals, recover
from counters.registry import scan_key
from counters.segment import SegmentHead
from counters.uniques import EVENT_SHARDS, SESSION_SHARDS
from tests.counters.synthetic import Sealed, World, fixed_world, seal, world_of


def journals_of(world: World) -> tuple[Sealed, list[JournalSegment]]:
    sealed = seal(world)
    return sealed, list(read_journals(read_log(sealed.entries), lambda digest: sealed.files[digest]))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_seats_and_uniques_are_those_of_plain_loops(seed: int) -> None:
    world = world_of(random.Random(seed))
    _, journals = journals_of(world)
    recovered = recover(world.event, journals)
    earliest = world.identity()
    seats = dict(zip(recovered.pseudonyms.tolist(), recovered.seats.tolist(), strict=True))
    assert seats == {join.pseudonym: join.seat for join in earliest.values()}
    named = {join.seat for join in world.joins if join.kind is not JoinKind.VIEWING_TOKEN}
    assert recovered.aliases == len(named) - len(earliest)

    sketches: dict[str, Any] = {}
    for join in world.joins:
        if join.kind is JoinKind.BADGE or join.seat not in named:
            continue
        pseudonym = earliest[world.person_of_seat[join.seat]].pseudonym
        day = world.event.day(join.joined_at_ms / 1000)
        for session, shards in ((join.session, SESSION_SHARDS), (0, EVENT_SHARDS)):
            key = uniques_key(world.event.id, session, attendee_selector(pseudonym) % shards, day)
            hyperloglog.add(sketches.setdefault(key, hyperloglog.empty()), pseudonym)
    assert recovered.uniques.keys() == sketches.keys()
    assert all(np.array_equal(recovered.uniques[key], sketches[key]) for key in sketches)


BADGE = Join(
    seat=5, session=1, kind=JoinKind.BADGE, assurance=Assurance.TICKETED, filters=0, view=0, joined_at_ms=60_000,
    pseudonym=b"a" * 16, token_digest=sha256(b"badge").digest(), address=bytes(8), issuer="i", key_thumbprint="k",
    country="", category="", outlet="", network="", agent="",
)  # fmt: skip
SCAN = Scan(
    seat=5, session=1, direction=Direction.IN, forced=False, scanned_at_ms=50_000, received_at_ms=60_000, gate="a",
    nonce="1", refusal="",
)  # fmt: skip
HALF = sha256(b"badge").hexdigest()[:32]


def scans_of(*journals: Sequence[Join | Scan]) -> list[ScanOutcome]:
    event = fixed_world().event
    head = SegmentHead(event.digest, "g", 60, 30, ())
    return list(recover(event, [JournalSegment.of(head, records) for records in journals]).scans)


def key(nonce: str) -> str:
    return scan_key(fixed_world().event.id, "a", nonce)


def test_a_scan_is_told_with_the_badge_that_was_written_with_it() -> None:
    out = replace(SCAN, nonce="2", direction=Direction.OUT, received_at_ms=61_000)
    refused = replace(SCAN, nonce="3", seat=0, refusal="ticket_forged")
    alone = replace(SCAN, nonce="4", received_at_ms=62_000)
    records: list[Join | Scan] = [BADGE, SCAN, replace(BADGE, joined_at_ms=61_000), out, refused, alone]
    expected = [ScanOutcome(key("1"), f"{HALF} in"), ScanOutcome(key("2"), f"{HALF} out")]
    assert scans_of(records) == expected
    # A journal with many texts is several segments, and may part the two records.
    assert scans_of(records[:1], records[1:3], records[3:]) == expected


def test_of_a_scan_that_was_journaled_twice_the_first_is_told() -> None:
    other = replace(BADGE, seat=6, pseudonym=b"b" * 16, joined_at_ms=59_000, token_digest=sha256(b"other").digest())
    earlier = replace(SCAN, seat=6, received_at_ms=59_000)
    assert scans_of([BADGE, SCAN], [other, earlier]) == [
        ScanOutcome(key("1"), f"{sha256(b'other').hexdigest()[:32]} in")
    ]


def test_two_badges_of_one_attendee_in_one_millisecond_are_not_guessed_at() -> None:
    other = replace(BADGE, token_digest=sha256(b"other").digest())
    assert scans_of([BADGE, other, SCAN]) == []


def test_nothing_comes_of_nothing() -> None:
    recovered = recover(fixed_world().event, [])
    assert (len(recovered.seats), recovered.aliases, list(recovered.scans), dict(recovered.uniques)) == (0, 0, [], {})


def test_evidence_that_is_not_there_is_named() -> None:
    sealed = seal(fixed_world())

    def read(digest: str) -> bytes:
        raise EvidenceError(f"evidence {digest} cannot be read")

    with pytest.raises(EvidenceError, match=r"entry 1, window .*cannot be read"):
        list(read_journals(read_log(sealed.entries), read))
