"""Who is in the rooms: the newest scans decide, however they come; and it is what the exact path says of the same."""

import hashlib
import random
from collections.abc import Iterable
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from counters import hyperloglog
from counters.evidence import JournalSegment, SegmentHead
from counters.journal import Scan
from counters.onsite import read_inside
from counters.roll import read_roll
from counters.rooms import Passage, Rooms, in_order
from tests.counters.test_onsite import ELSEWHERE, EVENT, IN, MORNING, NOON, OUT, ZERO, scan

T = TypeVar("T")
SCANS = st.lists(
    st.builds(
        scan,
        st.sampled_from((IN, OUT)),
        st.integers(-80, 100),
        st.sampled_from(("north", "south", "annexe")),
        st.integers(1, 4),
    ),
    max_size=30,
)


def name_of(seat: int) -> bytes:
    return hashlib.blake2b(seat.to_bytes(4, "little"), digest_size=16).digest()


def passage(one: Scan) -> Passage:
    return name_of(one.seat), in_order(one)


def rooms_of(*scans: Scan) -> Rooms:
    rooms = Rooms(EVENT)
    rooms.take(map(passage, scans))
    return rooms


def inside(rooms: Rooms, minute: float) -> dict[int, set[bytes]]:
    return {number: set(names) for number, names in rooms.inside(ZERO + 60 * minute).items()}


def counted(rooms: Rooms, minute: float) -> dict[int, int]:
    return {number: hyperloglog.estimate(sketch) for number, sketch in rooms.sketches(ZERO + 60 * minute).items()}


def test_a_scan_is_the_number_of_its_worked_example() -> None:
    assert in_order(scan(OUT, 0)) == (ZERO * 1000 << 18) + (2 << 16) + MORNING
    assert int.from_bytes(bytes.fromhex("030002ba5d942f06"), "little") == (ZERO * 1000 << 18) + (2 << 16) + 3


def test_who_has_entered_is_inside_until_they_leave() -> None:
    rooms = rooms_of(scan(IN, 1))
    assert counted(rooms, 2) == {0: 1, MORNING: 1, NOON: 0, ELSEWHERE: 0}
    rooms.take([passage(scan(OUT, 2))])
    assert counted(rooms, 2) == {0: 0, MORNING: 0, NOON: 0, ELSEWHERE: 0}


def test_a_late_entry_revives_nobody_who_has_left_since() -> None:
    assert inside(rooms_of(scan(OUT, 5), scan(IN, 1)), 6)[MORNING] == set()


def test_of_two_scans_in_one_millisecond_the_exit_is_later() -> None:
    assert inside(rooms_of(scan(OUT, 5), scan(IN, 5)), 6)[MORNING] == set()


def test_who_enters_another_room_has_left_the_first_and_is_one_person() -> None:
    rooms = rooms_of(scan(IN, 55, "north"), scan(IN, 70, "annexe"), scan(IN, 56, "south", seat=2))
    assert inside(rooms, 71) == {NOON: {name_of(2)}, ELSEWHERE: {name_of(1)}}
    assert counted(rooms, 71) == {0: 2, MORNING: 0, NOON: 1, ELSEWHERE: 1}


def test_when_a_session_is_over_its_room_is_empty() -> None:
    rooms = rooms_of(scan(IN, 20), scan(IN, 50, seat=2))
    assert counted(rooms, 29.9) == {0: 2, MORNING: 1, NOON: 1, ELSEWHERE: 0}
    assert counted(rooms, 30) == {0: 1, MORNING: 0, NOON: 1, ELSEWHERE: 0}
    assert inside(rooms, 30) == {NOON: {name_of(2)}, ELSEWHERE: set()}


def test_what_is_taken_again_is_no_news() -> None:
    rooms, one = Rooms(EVENT), passage(scan(IN, 1))
    assert (rooms.take([one]), rooms.take([one])) == ([one], [])
    assert rooms.take([passage(scan(IN, 0))]) == []
    assert list(rooms.everybody()) == [one]


@settings(max_examples=60)
@given(SCANS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_any_order_and_repetition_over_gateways_gives_the_state_of_the_newest_scans(
    scans: list[Scan], gateways: int, rng: random.Random
) -> None:
    delivered: list[list[Passage]] = [[] for _ in range(gateways)]
    for one in scans:
        for place in rng.choices(range(gateways), k=rng.randint(1, 3)):
            delivered[place].append(passage(one))
    heard = [Rooms(EVENT) for _ in delivered]
    # Each tells the others only of what was news to it, as gateways do.
    told = [rooms.take(shuffled(own, rng)) for rooms, own in zip(heard, delivered, strict=True)]
    for rooms in heard:
        for others in shuffled(told, rng):
            rooms.take(others)
    newest: dict[bytes, int] = {}
    for name, number in map(passage, scans):
        newest[name] = max(number, newest.get(name, 0))
    for rooms in heard:
        assert dict(rooms.everybody()) == newest
        assert inside(rooms, 10) == inside(rooms_of(*scans), 10)


@settings(max_examples=60)
@given(SCANS, st.integers(-80, 100))
def test_it_is_who_is_inside_by_the_exact_path(scans: list[Scan], minute: int) -> None:
    """The plain reference: counters.onsite over the same scans, until that minute, with seats for pseudonyms."""
    scans = [one for one in scans if one.scanned_at_ms < (ZERO + 60 * minute) * 1000]
    journal = JournalSegment.of(SegmentHead(EVENT.digest, "gw", ZERO, EVENT.interval_s, ()), scans)
    exact = read_inside(EVENT, [journal], read_roll(EVENT, [journal]), ZERO + 60 * minute)
    rooms = rooms_of(*scans)
    assert inside(rooms, minute) == {number: {name_of(seat) for seat in seats} for number, seats in exact.items()}
    expected = {number: sketch_of(map(name_of, seats)) for number, seats in exact.items()}
    for number, sketch in rooms.sketches(ZERO + 60 * minute).items():
        if number:
            assert (sketch == expected.get(number, hyperloglog.empty())).all()
        else:
            assert (sketch == hyperloglog.merge(expected.values())).all()


def sketch_of(names: Iterable[bytes]) -> hyperloglog.Registers:
    registers = hyperloglog.empty()
    for name in names:
        hyperloglog.add(registers, name)
    return registers


def shuffled(items: Iterable[T], rng: random.Random) -> list[T]:
    mixed = list(items)
    rng.shuffle(mixed)
    return mixed
