"""The newest window beside its leaf: two paths that agree or do not, who was in the room, and from which countries."""

import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from counters import attendees_so_far, hyperloglog
from counters.attendees_so_far import AttendeesSoFar
from counters.countries import COUNTRIES, OTHER
from counters.cross_check import LARGEST_USUAL
from counters.evidence import JournalSegment, PresenceSegment
from counters.journal import Direction, Join, JoinKind
from counters.newest_window import EITHER, EVENT, NewestWindow, WindowReader
from counters.presence import ONSITE
from tests.counters.synthetic import Sealed, World, event_of, fixed_world, seal, world_of
from tests.counters.worker_at_hand import a_join, a_scan


def reader_of(world: World, sealed: Sealed) -> WindowReader:
    return WindowReader(world.event, sealed.files.__getitem__)


def newest(world: World) -> NewestWindow:
    sealed = seal(world)
    reader = reader_of(world, sealed)
    for entry in sealed.entries:
        reader.take(entry)
    return reader.newest()


# --- Beside plain sets ------------------------------------------------------------------------------------------------


def as_known(world: World, until_ms: int) -> World:
    """What the journals tell by a time: a seat that no ticket or badge stands behind yet is somebody of its own."""
    joins = [join for join in world.joins if join.joined_at_ms < until_ms]
    named = {join.seat for join in joins if join.kind is not JoinKind.VIEWING_TOKEN}
    persons = {seat: name if seat in named else f"seat-{seat}" for seat, name in world.person_of_seat.items()}
    scans = [scan for scan in world.scans if scan.received_at_ms < until_ms]
    return replace(world, joins=joins, scans=scans, person_of_seat=persons)


def in_rooms(known: World, window: int) -> dict[int, set[str]]:
    """Who was in which session's room: by the rule of presence, or by an entry that no exit has followed yet."""
    rooms: dict[int, set[str]] = {session.number: set() for session in known.event.sessions}
    for person, at, number, channel in known.facts():
        if (at, channel) == (window, ONSITE):
            rooms[number].add(person)
    last = {person: (number, scan) for person, number, scan in known.walks((window + 60) * 1000)}
    for person, (number, scan) in last.items():
        if scan.direction is Direction.IN and number in rooms and max(known.scheduled(number)) >= window:
            rooms[number].add(person)
    return rooms


def expected(world: World, window: int) -> dict[str, Any]:
    known = as_known(world, (window + 60) * 1000)
    below, people = world.event.counting.suppress_below, known.identity()
    staff = {name for name, join in people.items() if join.category in world.event.counting.exclude_categories}
    rooms, shown, differences = in_rooms(known, window), dict[tuple[str, str], int](), dict[str, float]()
    watching = {session.number: {beat[3] for beat in world.beats if beat[1:3] == (window, session.number)}
                for session in world.event.sessions}  # fmt: skip
    of = {session.id: {session.number} for session in world.event.sessions} | {EVENT: set(rooms)}
    everybody = set[str]()
    for name, numbers in of.items():
        seats = {seat for number in numbers for seat in watching[number]}
        registers = hyperloglog.empty()
        for seat in seats:
            hyperloglog.add(registers, world.person_of_seat[seat].encode())
        online = {known.person_of_seat[seat] for seat in seats}
        estimate = hyperloglog.estimate(registers)
        if online or estimate:
            difference = Fraction(estimate - len(online)) / max(Fraction(8125, 10**6) * len(online), Fraction(1))
            differences[name] = float(round(difference, 3))
        online, onsite = online - staff, {one for number in numbers for one in rooms[number]} - staff
        few = {len(online), len(onsite), len(online & onsite), len(online - onsite), len(onsite - online)}
        if not 0 < len(onsite) < below:
            shown[name, ONSITE] = len(onsite)
        if not few & set(range(1, below)):
            shown[name, EITHER] = len(online | onsite)
        everybody = online | onsite
    countries = Counter((people[one].country if one in people else "") or OTHER for one in everybody)
    sizes = {session.id: len(rooms[session.number] - staff) for session in world.event.sessions}
    return {"differences": differences, "attendees": shown, "countries": countries, "rooms": sizes}


def hold_rooms(seen: NewestWindow, truth: dict[str, Any], below: int) -> None:
    """Nobody is in two rooms: a small one follows from the event's number and the others, unless more are withheld."""
    assert seen.attendees.items() <= truth["attendees"].items()
    hidden = [size for name, size in truth["rooms"].items() if (name, ONSITE) not in seen.attendees]
    if not any(0 < size < below for size in truth["rooms"].values()):
        assert seen.attendees == truth["attendees"]
    elif (EVENT, ONSITE) in seen.attendees:
        assert len(hidden) > 1
        assert sum(hidden) >= below
    for name in truth["rooms"]:
        assert (name, ONSITE) in seen.attendees or (name, EITHER) not in seen.attendees


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_each_window_is_what_plain_sets_say(seed: int) -> None:
    world = world_of(random.Random(seed), people=random.Random(seed).randrange(12))
    sealed = seal(world)
    reader = reader_of(world, sealed)
    windows = sorted(world.segments().keys() | set(world.event.scheduled_windows()))
    assert reader.newest() == NewestWindow()
    for number, entry in enumerate(sealed.entries):
        reader.take(entry)
        if number == 0:
            continue
        seen, truth = reader.newest(), expected(world, windows[number - 1])
        assert seen.window == windows[number - 1]
        assert seen.differences == truth["differences"]
        below, countries = world.event.counting.suppress_below, truth["countries"]
        hold_rooms(seen, truth, below)
        assert seen.countries.items() <= countries.items()
        withheld = countries - Counter(seen.countries)
        if not any(size < below for size in countries.values()):
            assert not withheld
        elif countries.keys() != withheld.keys():
            assert len(withheld) > 1
            assert withheld.total() >= below


def test_the_order_of_taking_in_does_not_matter_and_neither_does_taking_in_again() -> None:
    world = fixed_world(people=40)
    sealed = seal(world, late=frozenset(world.segments()))
    late = len(world.segments())
    assert late > 3
    once, again = reader_of(world, sealed), reader_of(world, sealed)
    for entry in sealed.entries:
        once.take(entry)
    for entry in [*sealed.entries, *sealed.entries[-late:], *sealed.entries[1:]]:
        again.take(entry)
    assert again.newest() == once.newest()


# --- Two paths --------------------------------------------------------------------------------------------------------


def crowd(online: int, *, country: str = "FR") -> World:
    """So many people with a ticket, all of whom watch the first session in its first minute, on one gateway."""
    world = World(
        replace(event_of(random.Random(1)), counting=replace(event_of(random.Random(1)).counting, suppress_below=10))
    )
    session = world.event.sessions[0]
    window = min(world.scheduled(session.number))
    for seat in range(1, online + 1):
        name = f"person-{seat}"
        world.person_of_seat[seat] = name
        pseudonym = name.encode().ljust(16, b"\0")
        at_ms, number = window * 1000, session.number
        world.joins.append(a_join(seat, session=number, pseudonym=pseudonym, joined_at_ms=at_ms, country=country))
        world.beats.append((0, window, session.number, seat, False))
    return world


def compared(world: World, mischief: Any = None) -> NewestWindow:
    """The window of the crowd, with something done to its evidence before it is sealed."""
    segments = {window: list(found) for window, found in world.segments().items()}
    (window,) = [at for at, found in segments.items() if any(isinstance(one, PresenceSegment) for one in found)]
    if mischief is not None:
        segments[window] = [mischief(one) if isinstance(one, PresenceSegment) else one for one in segments[window]]
    world.segments = lambda: segments  # type: ignore[method-assign]
    sealed = seal(world)
    reader = reader_of(world, sealed)
    for entry in sealed.entries[: 2 + sorted({*segments, *world.event.scheduled_windows()}).index(window)]:
        reader.take(entry)
    seen = reader.newest()
    assert seen.window == window
    return seen


def without_seats(share: float) -> Any:
    """The exact path lost some of the seats; the sketches have them."""

    def lose(segment: PresenceSegment) -> PresenceSegment:
        kept = [
            replace(one, playing=BitMap(list(one.playing)[int(share * len(one.playing)) :])) for one in segment.sessions
        ]
        return PresenceSegment.of(segment.head, segment.refusals, kept)

    return lose


def without_registers(share: float) -> Any:
    """The sketches lost some of their registers; the exact path has everybody."""

    def lose(segment: PresenceSegment) -> PresenceSegment:
        chosen = np.random.default_rng(5).random(hyperloglog.REGISTERS) >= share
        kept = [replace(one, attendees=(one.attendees * chosen).astype(np.uint8)) for one in segment.sessions]
        return PresenceSegment.of(segment.head, segment.refusals, kept)

    return lose


@pytest.mark.parametrize("people", [1, 50, 3000])
def test_two_paths_that_have_the_same_people_differ_by_an_estimates_error(people: int) -> None:
    differences = compared(crowd(people)).differences
    assert set(differences) == {EVENT, crowd(1).event.sessions[0].id}
    assert all(abs(difference) < 4 for difference in differences.values())


def test_a_path_that_lost_people_is_seen_and_the_sign_says_which() -> None:
    # Of 3,000 people 5 % are 6 standard errors, and an estimate is off by one of them itself.
    exact_lost, sketch_lost = (
        compared(crowd(3000), lose(0.1)).differences for lose in (without_seats, without_registers)
    )
    assert all(difference > LARGEST_USUAL for difference in exact_lost.values())
    assert all(difference < -LARGEST_USUAL for difference in sketch_lost.values())


def test_below_the_floor_a_difference_is_in_people() -> None:
    differences = compared(crowd(40), without_seats(0.15)).differences
    assert set(differences.values()) == {6.0}


def test_a_path_that_lost_everybody_is_seen_although_the_count_is_suppressed() -> None:
    seen = compared(crowd(3000), without_seats(1.0))
    assert all(difference > 1000 for difference in seen.differences.values())
    assert seen.countries == {}


def test_people_with_two_seats_are_one_on_both_paths() -> None:
    world = crowd(3000)
    for join in list(world.joins)[:600]:
        # They joined once more while nobody could look up their first seat, and watch on both devices.
        other = join.seat + 10_000
        world.person_of_seat[other] = world.person_of_seat[join.seat]
        world.joins.append(replace(join, seat=other, joined_at_ms=join.joined_at_ms + 1))
        world.beats.append((0, join.joined_at_ms // 1000, join.session, other, False))
    seen = compared(world)
    assert all(abs(difference) < 4 for difference in seen.differences.values())
    assert seen.countries == {"FR": 3000}


# --- Channels ---------------------------------------------------------------------------------------------------------


def scanned(world: World, people: int, *, later_ms: int = 0) -> World:
    """The same crowd, of which so many, from the last seat down, are scanned into the session's room."""
    window = min(world.scheduled(1))
    at_ms = window * 1000 + 5
    for seat in range(len(world.joins), len(world.joins) - people, -1):
        scan = a_scan(f"n{seat}", seat=seat, scanned_at_ms=at_ms + later_ms, received_at_ms=at_ms + 10)
        world.scans.append(replace(scan, gate=world.event.sessions[0].gates[0]))
    return world


@pytest.mark.parametrize(
    ("online", "onsite", "either"),
    [(40, 20, 40), (40, 37, None), (40, 3, None), (40, 40, 40), (20, 32, 32), (20, 23, None), (7, 30, None)],
)
def test_either_channel_is_withheld_where_it_would_tell_of_a_few(online: int, onsite: int, either: int | None) -> None:
    world = crowd(max(online, onsite))
    world.beats = world.beats[:online]
    seen = compared(scanned(world, onsite))
    shown = {EITHER: either, ONSITE: onsite if onsite >= 10 else None}
    assert {by: seen.attendees.get((EVENT, by)) for by in shown} == shown


@pytest.mark.parametrize(
    ("rooms", "shown"),
    [
        ((45, 12), {EVENT: 57, "s1": 45, "s2": 12}),
        ((45, 5), {EVENT: 50}),  # 50 − 45 would tell of the five
        ((6, 5), {EVENT: 11}),
        ((45, 0), {EVENT: 45, "s1": 45, "s2": 0}),
        ((0, 5), {"s1": 0}),
    ],
)
def test_a_small_room_is_withheld_and_with_it_one_from_which_it_would_follow(
    rooms: tuple[int, int], shown: dict[str, int]
) -> None:
    world = crowd(60)
    world.beats.clear()
    sessions = [replace(each, starts_at=world.event.sessions[0].starts_at, ends_at=world.event.sessions[0].ends_at)
                for each in world.event.sessions[:2]]  # fmt: skip
    world.event = replace(world.event, sessions=tuple(sessions))
    window = min(world.scheduled(1))
    at_ms = window * 1000 + 5
    where = [session for session, people in zip(sessions, rooms, strict=True) for _ in range(people)]
    for seat, session in enumerate(where, 1):
        scan = a_scan(f"n{seat}", seat=seat, scanned_at_ms=at_ms, received_at_ms=at_ms + 10)
        world.scans.append(replace(scan, gate=session.gates[0], session=session.number))
    sealed = seal(world)
    reader = reader_of(world, sealed)
    for entry in sealed.entries:
        if reader.window < window:
            reader.take(entry)
    seen = reader.newest()
    assert seen.window == window
    assert {name: size for (name, by), size in seen.attendees.items() if by == ONSITE} == shown
    assert {name for name, by in seen.attendees if by == EITHER} == shown.keys()


def test_whoever_is_scanned_by_a_clock_ahead_is_in_the_room_when_it_says() -> None:
    assert compared(scanned(crowd(40), 20)).attendees[EVENT, ONSITE] == 20
    assert compared(scanned(crowd(40), 20, later_ms=60_000)).attendees[EVENT, ONSITE] == 0


# --- Countries --------------------------------------------------------------------------------------------------------


def test_whatever_an_issuer_writes_is_a_country_or_other() -> None:
    told = {"FR": 12, "fr": 3, " De ": 20, "France": 4, "XX": 5, "": 6, "ßs": 1}
    attendees, seat = AttendeesSoFar(), 0
    for country, people in told.items():
        for _ in range(people):
            seat += 1
            attendees.add([journal_of(replace(a_join(seat), country=country, pseudonym=seat.to_bytes(16)))])
    everybody = BitMap(range(1, seat + 1)) | BitMap([seat + 1, 5_000_000])
    assert attendees.by_country(everybody) == {"FR": 15, "DE": 20, OTHER: 4 + 5 + 6 + 1 + 2}
    assert set(attendees.by_country(everybody)) <= set(COUNTRIES)


def test_a_small_country_is_withheld_and_with_it_one_from_which_it_would_follow() -> None:
    world = crowd(0)
    for country, people in {"FR": 30, "DE": 12, "CN": 3}.items():
        more, begin = crowd(people, country=country), 1000 * len(world.person_of_seat)
        for join in more.joins:
            seat, name = begin + join.seat, f"{country}-{join.seat}"
            world.person_of_seat[seat] = name
            world.joins.append(replace(join, seat=seat, pseudonym=name.encode().ljust(16, b"\0")))
        world.beats += [(*beat[:3], begin + beat[3], beat[4]) for beat in more.beats]
    seen = compared(world)
    assert seen.countries == {"FR": 30}
    assert seen.attendees[EVENT, EITHER] == 45


# --- Who is who -------------------------------------------------------------------------------------------------------


def journal_of(*joins: Join) -> JournalSegment:
    return JournalSegment.of(World(event_of(random.Random(1))).head(0, 0), joins)


def test_tables_that_are_merged_now_and_then_know_what_one_table_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendees_so_far, "SMALL", 4)
    rng, attendees = random.Random(8), AttendeesSoFar()
    first: dict[int, int] = {}
    aliases: dict[int, int] = {}
    for seat in range(1, 400):
        person = rng.randrange(1, 300)
        canonical = first.setdefault(person, seat)
        if canonical != seat:
            aliases[seat] = canonical
        attendees.add([journal_of(replace(a_join(seat), pseudonym=(person << 64).to_bytes(16), joined_at_ms=seat))])
    assert (
        dict(zip(attendees.aliases.seats.tolist(), attendees.aliases.canonical_seats.tolist(), strict=True)) == aliases
    )
    assert len(aliases) > 50
    everyone = np.arange(1, 400, dtype=np.uint32)
    assert set(attendees.aliases.canonical_of_each(everyone).tolist()) == set(first.values())
