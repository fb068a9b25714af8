"""On-site presence, scan by scan, with each scan for the session that a gateway would write."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from counters.event import Event, Session
from counters.evidence import JournalSegment, SegmentHead
from counters.journal import Direction, Scan
from counters.onsite import read_visits
from counters.roll import read_roll
from tests.counters.synthetic import event_of

ZERO = int(datetime(2023, 11, 19, 1, 0, tzinfo=UTC).timestamp())
"""Minute 0: the morning session starts. It ends at 30, the noon session in the same hall is from 60 to 90."""
IN, OUT = Direction.IN, Direction.OUT
NONCES = count()


def session(number: int, starts: int, ends: int, *gates: str) -> Session:
    begins_at, ends_at = (datetime.fromtimestamp(ZERO + 60 * minute, UTC) for minute in (starts, ends))
    return Session(number, f"s{number}", f"Session {number}", begins_at, ends_at, gates)


MORNING, NOON, ELSEWHERE = 1, 2, 3
EVENT: Event = replace(
    event_of(random.Random(1)),
    sessions=(
        session(MORNING, 0, 30, "north", "south"),
        session(NOON, 60, 90, "north", "south"),
        session(ELSEWHERE, 60, 90, "annexe"),
    ),
)


def scan(direction: Direction, minute: float, gate: str = "north", seat: int = 1) -> Scan:
    at = ZERO + minute * 60
    written = EVENT.session_at_gate(gate, at, leaving=direction is OUT)
    at_ms = int(at * 1000)
    return Scan(
        seat=seat, session=written.number if written else 0, direction=direction, forced=False, scanned_at_ms=at_ms,
        received_at_ms=at_ms + 500, gate=gate, nonce=f"n{next(NONCES)}", refusal="",
    )  # fmt: skip


def present(*scans: Scan) -> dict[int, list[int]]:
    """Return the minutes of presence by session number, of whomever."""
    journal = JournalSegment.of(SegmentHead(EVENT.digest, "gw", ZERO, EVENT.interval_s, ()), scans)
    found: dict[int, list[int]] = {}
    for at, sessions in sorted(read_visits(EVENT, [journal], read_roll(EVENT, [journal])).present.items()):
        for number in sessions:
            found.setdefault(number, []).append((at - ZERO) // 60)
    return found


def test_who_enters_early_and_leaves_before_it_starts_is_not_counted_in_the_session_before() -> None:
    entry, leaving = scan(IN, 40), scan(OUT, 43)
    assert (entry.session, leaving.session) == (NOON, MORNING), "what the gateway writes"
    assert present(entry, leaving) == {NOON: [40, 41, 42, 43]}


def test_so_does_who_leaves_by_another_door_of_the_hall() -> None:
    assert present(scan(IN, 40, "north"), scan(OUT, 42, "south")) == {NOON: [40, 41, 42]}


def test_who_stayed_for_the_session_before_and_looks_into_the_next_is_in_each_for_its_own_time() -> None:
    scans = [scan(IN, 27), scan(OUT, 35), scan(IN, 50), scan(OUT, 52)]
    assert present(*scans) == {MORNING: [27, 28, 29], NOON: [50, 51, 52]}


def test_who_leaves_before_the_first_session_of_all_has_stayed_from_entry_to_exit() -> None:
    leaving = scan(OUT, -8)
    assert leaving.session == 0, "no session has been on there yet"
    assert present(scan(IN, -10), leaving) == {MORNING: [-10, -9, -8]}


def test_an_exit_in_a_break_without_an_entry_stays_with_the_session_that_has_ended() -> None:
    assert present(scan(OUT, 40)) == {MORNING: [40]}
    assert present(scan(IN, 38), scan(OUT, 39), scan(OUT, 41)) == {NOON: [38, 39], MORNING: [41]}


def test_an_exit_after_another_attendees_entry_stays_with_the_session_that_has_ended() -> None:
    assert present(scan(IN, 40, seat=1), scan(OUT, 42, seat=2)) == {NOON: [40], MORNING: [42]}


def test_an_exit_from_another_hall_than_the_one_entered_stays_with_its_own_session() -> None:
    assert present(scan(IN, 70, "north"), scan(OUT, 75, "annexe")) == {NOON: [70], ELSEWHERE: [75]}


def test_who_sits_through_the_break_has_stayed_to_the_end_of_the_session_entered() -> None:
    assert present(scan(IN, 28), scan(OUT, 70)) == {MORNING: [28, 29]}


def test_an_entry_for_no_session_leaves_the_exit_to_the_session_that_is_on() -> None:
    entry = scan(IN, -70)
    assert entry.session == 0, "more than an hour early"
    assert present(entry, scan(OUT, 10)) == {MORNING: [10]}


def test_a_refused_or_repeated_scan_stands_between_no_entry_and_its_exit() -> None:
    entry, leaving = scan(IN, 40), scan(OUT, 43)
    again = replace(leaving, scanned_at_ms=entry.scanned_at_ms + 1000, received_at_ms=leaving.received_at_ms + 9000)
    refused = replace(scan(OUT, 41), seat=0, refusal="ticket_forged")
    assert present(entry, refused, again, leaving) == {NOON: [40, 41, 42, 43]}


def test_a_scan_of_a_scanner_whose_clock_is_days_off_is_nobodys_entry() -> None:
    entry = replace(scan(IN, -3 * 24 * 60), session=NOON)
    assert present(entry, scan(OUT, 40)) == {MORNING: [40]}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from((IN, OUT)), st.integers(-80, 160), st.sampled_from(("north", "south", "annexe"))),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_in_which_scans_arrive_changes_nothing(
    made: list[tuple[Direction, int, str]], rng: random.Random
) -> None:
    scans = [scan(*one) for one in made]
    before = present(*scans)
    rng.shuffle(scans)
    assert present(*scans) == before
