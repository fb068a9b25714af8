"""Attendance against the truth in plain sets."""

import random
from collections import Counter
from dataclasses import replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from counters.attendance import Attendance
from counters.evidence import JournalSegment, PresenceSegment
from counters.journal import Assurance, Direction, JoinKind
from counters.presence import PresenceInMemory
from counters.reckoner import Run
from counters.reckoning import runs_of
from tests.counters.synthetic import START, World, day_of, event_of, fixed_world, world_of


def attendance_of(world: World) -> Attendance:
    segments = world.segments()
    windows = {window: [one for one in rows if isinstance(one, PresenceSegment)] for window, rows in segments.items()}
    journals = [one for rows in segments.values() for one in rows if isinstance(one, JournalSegment)]
    return Attendance.from_evidence(world.event, windows, journals, runs_in(world) | runs_of(world.event))


def runs_in(world: World) -> set[Run]:
    numbers = (None, *(session.number for session in world.event.sessions))
    return set(product(numbers, range(1, 5), (False, True)))


def persons(world: World, attendance: Attendance, *, net: bool) -> set[tuple[str, str, int, str]]:
    """Return (person, day, session, channel)."""
    presence = attendance.net if net else attendance.gross
    return {
        (world.person_of_seat[seat], day, session.number, channel)
        for channel in ("online", "onsite")
        for day in presence.days
        for session in world.event.sessions
        for seat in presence.within(channel, session.number, day)
    }


def by_day(facts: set[tuple[str, int, int, str]]) -> set[tuple[str, str, int, str]]:
    return {(person, day_of(window), session, channel) for person, window, session, channel in facts}


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_presence_gross_and_net_is_what_happened(seed: int) -> None:
    world = world_of(random.Random(seed))
    attendance = attendance_of(world)
    facts = world.facts()
    assert persons(world, attendance, net=False) == by_day(facts)
    assert persons(world, attendance, net=True) == by_day(world.net())
    online = Counter((window, session) for _, window, session, channel in facts if channel == "online")
    for window, session in product(attendance.gross.windows, world.event.sessions):
        assert attendance.gross.online(session.number, window) == online[window, session.number]
    assert len(attendance.net_views) == len(world.views())
    assert attendance.without_journal == sum(
        1 for person in {fact[0] for fact in world.facts()} if person == "stranger"
    )


def truly(world: World, channel: str | None, session: int | None, *, in_schedule: bool) -> set[tuple[str, int]]:
    """Return (person, window) of presence that counts."""
    return {
        (person, window)
        for person, window, number, by in world.net()
        if channel in (None, by) and session in (None, number)
        and (not in_schedule or number in {one.number for one in world.event.scheduled(window)})
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.sampled_from((None, "online", "onsite")),
    st.sampled_from((None, 1, 2)),
    st.booleans(),
)
def test_runs_minutes_and_counts_are_what_happened(
    seed: int, length: int, channel: str | None, session: int | None, in_schedule: bool
) -> None:
    world = world_of(random.Random(seed))
    net = attendance_of(world).net
    present = truly(world, channel, session, in_schedule=in_schedule)
    last = [one for one in present if {(one[0], one[1] - 60 * step) for step in range(length)} <= present]
    for day in (None, *net.days):
        found = net.runs(length, channel, session, day, in_schedule=in_schedule)
        there = {person for person, window in last if day in (None, world.event.day(window))}
        assert {world.person_of_seat[seat] for seat in found} == there
    minutes = Counter(person for person, _ in present)
    attended = net.attended(length, session, channel, in_schedule=in_schedule)
    assert {world.person_of_seat[seat] for seat in attended} == {
        who for who, times in minutes.items() if times >= length
    }
    everywhere = truly(world, channel, session, in_schedule=False)
    histogram = Counter(Counter(person for person, _ in everywhere).values())
    counted = net.histogram(session, channel).tolist()
    assert counted == [histogram[times] for times in range(max(histogram, default=0) + 1)]
    now, arrived = net.counts(channel, session, None)
    rooms, here = Counter(window for _, window in everywhere), set(everywhere)
    came = Counter(window for person, window in everywhere if (person, window - 60) not in here)
    assert dict(zip(net.windows, now.tolist(), strict=True)) == {window: rooms[window] for window in net.windows}
    assert arrived.tolist() == [came[window] for window in net.windows]


def test_a_run_across_midnight_is_of_the_day_on_which_it_is_complete() -> None:
    event = replace(event_of(random.Random(1)))
    midnight = START + 180
    assert event.day(midnight - 60) < event.day(midnight)
    sets = {midnight + 60 * minute: {1: BitMap([7])} for minute in (-2, -1, 0)}
    presence = PresenceInMemory(event, {"online": sets})
    assert [list(presence.runs(3, "online", None, day)) for day in presence.days] == [[], [7]]
    assert list(presence.runs(2, "online", None, presence.days[0])) == [7]
    assert list(presence.runs(3, "online", None, None)) == [7]
    assert presence.histogram(None, None).tolist() == [0, 0, 0, 1]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_evidence_that_comes_twice_or_in_another_order_changes_nothing(seed: int) -> None:
    world = world_of(random.Random(seed))
    segments = world.segments()
    windows = {w: [one for one in rows if isinstance(one, PresenceSegment)] for w, rows in segments.items()}
    journals = [one for rows in segments.values() for one in rows if isinstance(one, JournalSegment)]
    twice = {window: rows[::-1] + rows for window, rows in windows.items()}
    once = Attendance.from_evidence(world.event, windows, journals)
    again = Attendance.from_evidence(world.event, twice, journals[::-1] + journals)
    assert persons(world, once, net=True) == persons(world, again, net=True)
    assert once.roll.countries == again.roll.countries
    assert len(once.net_views) == len(again.net_views)


def test_an_attendee_with_several_seats_counts_once_at_the_seat_of_the_earliest_join() -> None:
    world = fixed_world()
    roll = attendance_of(world).roll
    identity = world.identity()
    aliases = dict(zip(roll.alias_seats.tolist(), roll.alias_of.tolist(), strict=True))
    assert aliases, "the fixed world has somebody with several seats"
    for seat, canonical in aliases.items():
        assert identity[world.person_of_seat[seat]].seat == canonical


def test_evidence_of_nothing_is_attendance_of_nobody() -> None:
    event = event_of(random.Random(1))
    attendance = Attendance.from_evidence(event, {}, [])
    assert not attendance.net.within(None, None, None)
    assert attendance.net.windows == []
    assert attendance.countries == {}


def test_a_scanner_whose_clock_is_years_off_gives_no_presence_but_a_gap() -> None:
    world = fixed_world()
    scan = next(scan for scan in world.scans if scan.session and not scan.refusal)
    world.scans = [
        replace(scan, nonce="in", direction=Direction.IN, scanned_at_ms=0),
        replace(scan, nonce="out", direction=Direction.OUT, scanned_at_ms=START * 1000),
        replace(scan, nonce="far", direction=Direction.OUT, scanned_at_ms=2**64 - 1),
    ]
    attendance = attendance_of(world)
    assert attendance.scans_outside_event == 2
    onsite = [
        (day, session) for _, day, session, channel in persons(world, attendance, net=False) if channel == "onsite"
    ]
    assert onsite == [(day_of(START), scan.session)]
    assert attendance.net.histogram(None, "onsite").tolist() in ([0], [0, 1])


def test_session_numbers_that_the_event_does_not_have_are_named_and_not_counted() -> None:
    world = fixed_world()
    before = persons(world, attendance_of(world), net=False)
    seat = world.joins[0].seat
    world.beats.append((0, START, 77, seat, False))
    attendance = attendance_of(world)
    assert attendance.unknown_sessions == (77,)
    assert persons(world, attendance, net=False) == before


def test_guests_are_in_gross_presence_and_in_views_but_in_no_number_of_people() -> None:
    world = fixed_world()
    ticket = next(join for join in world.joins if join.kind is JoinKind.TICKET)
    before = attendance_of(world)
    guests = (2**31 + 7, 90_001)  # marked by bit 31, and by the assurance of its join
    for seat in guests:
        world.person_of_seat[seat] = f"guest-{seat}"
        name = world.person_of_seat[seat].encode().ljust(16, b"\0")
        world.joins.append(replace(ticket, seat=seat, view=seat, pseudonym=name, assurance=Assurance.GUEST))
        world.beats.append((0, START, 1, seat, False))
    after = attendance_of(world)
    assert set(guests) <= set(after.gross.within("online", None, None))
    assert after.net.within(None, None, None) == before.net.within(None, None, None)
    assert len(after.net_views) == len(before.net_views) + 2


def test_a_seat_that_two_pseudonyms_claim_belongs_to_the_earlier_and_is_a_gap() -> None:
    world = fixed_world()
    first = min((join for join in world.joins if join.pseudonym.strip(b"\0")), key=lambda join: join.joined_at_ms)
    before = attendance_of(world)
    other = replace(first, pseudonym=b"somebody else...", joined_at_ms=first.joined_at_ms + 1, country="XX")
    world.joins.append(other)
    after = attendance_of(world)
    assert before.roll.contradictory_seats == 0
    assert after.roll.contradictory_seats == 1
    assert after.countries == before.countries
    assert after.net.within(None, None, None) == before.net.within(None, None, None)
