"""One pass over the windows, against plain sets: the same numbers, wherever the windows are divided."""

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from counters.counted import CountedPresence, GrossPresence
from counters.event import Event
from counters.partition import Partition
from counters.presence import CHANNELS, ONLINE, ONSITE, Presence, PresenceInMemory
from counters.reckoner import Asked, Reckoner, Run, Totals
from tests.counters.synthetic import START, event_of

SEATS = (*range(1, 15), 70_001, 70_002, 2**31 + 5)
EXCLUDED = BitMap([2, 70_002])
GUEST = 2**31 + 5
COUNTRIES = [BitMap([1, 2, 3, 4, 5]), BitMap([6, 7, 8, 70_001])]
NAMESPACES = [BitMap([1, 3, 6, 9, 10]), BitMap([2, 4, 5, 7, 8])]
LENGTHS = (1, 2, 3, 5)

Rooms = dict[int, dict[int, BitMap]]


def asked_of(event: Event) -> Asked:
    numbers = (None, *(session.number for session in event.sessions))
    runs: set[Run] = set(product(numbers, LENGTHS, (False, True)))
    return Asked(
        frozenset(runs), of_event=(Partition([COUNTRIES, NAMESPACES]),), of_sessions=(Partition([NAMESPACES]),)
    )


def rooms_of(rng: random.Random, event: Event, seats: tuple[int, ...]) -> Rooms:
    """Return who is in which session in which window: people who come, stay for some time, and go."""
    windows = [START + 60 * minute for minute in range(-2, 12)]
    rooms: Rooms = {window: {} for window in windows if rng.random() < 0.95}
    for seat in seats:
        for _ in range(rng.randrange(4)):
            session, first = rng.choice(event.sessions).number, rng.randrange(len(windows))
            for window in windows[first : first + rng.randrange(1, 9)]:
                if window in rooms and rng.random() < 0.9:
                    rooms[window].setdefault(session, BitMap()).add(seat)
    return rooms


def without(rooms: Rooms, some: BitMap) -> Rooms:
    guests = BitMap([GUEST])
    return {window: {number: seats - some - guests for number, seats in here.items()} for window, here in rooms.items()}


def passed(event: Event, rooms: Rooms, aside: BitMap, cuts: list[int]) -> tuple[Totals, Asked]:
    """Return the totals of a pass that is divided at some windows into passes of their own."""
    asked, windows = asked_of(event), sorted(rooms)
    edges = [0, *sorted({cut % (len(windows) + 1) for cut in cuts}), len(windows)]
    totals = Totals()
    for first, end in pairwise(edges):
        reckoner = Reckoner(event, asked, EXCLUDED, aside)
        warm = max(asked.longest_run - 1, 1) * 60
        for window in windows[:first]:
            if first < end and window >= windows[first] - warm:
                reckoner.take(window, rooms[window], counting=False)
        for window in windows[first:end]:
            reckoner.take(window, rooms[window])
        totals.add(reckoner.totals())
    return totals, asked


def counted(
    event: Event, online: Rooms, onsite: Rooms, cuts: list[int]
) -> tuple[CountedPresence, PresenceInMemory, Totals]:
    """Return the presence that passes have counted, and the same from plain sets."""
    net = without(onsite, EXCLUDED)
    plain = PresenceInMemory(event, {ONLINE: without(online, EXCLUDED), ONSITE: net})
    totals, asked = passed(event, online, plain.within(ONSITE, None, None), cuts)
    guests = BitMap([GUEST])
    within = {place: seats - EXCLUDED - guests for place, seats in totals.within.items()}
    presence = CountedPresence(event, totals, asked, within, net)
    for partition in (*asked.of_event, *asked.of_sessions):
        partition.close(presence.within(None, None, None))
    return presence, plain, totals


def groups(presence: Presence) -> list[BitMap | None]:
    """Return parts of the audience that rules ask for, of the event and of a session."""
    counted = [seats - EXCLUDED for seats in NAMESPACES]
    rest = presence.within(None, None, None) - counted[0] - counted[1]
    return [None, *NAMESPACES, NAMESPACES[0] | rest, rest, BitMap()]


def assert_same(ours: Presence, plain: PresenceInMemory, event: Event) -> None:
    assert (ours.windows, ours.days) == (plain.windows, plain.days)
    numbers = (None, *(session.number for session in event.sessions))
    for channel, number in product((None, *CHANNELS), numbers):
        for day in (None, *plain.days):
            assert ours.within(channel, number, day) == plain.within(channel, number, day)
            for length, inside in product(LENGTHS, (False, True)):
                found = ours.runs(length, channel, number, day, in_schedule=inside)
                assert found == plain.runs(length, channel, number, day, in_schedule=inside), (length, inside)
        for least, inside in product((1, 2, 4), (False, True)):
            found = ours.attended(least, number, channel, in_schedule=inside)
            assert found == plain.attended(least, number, channel, in_schedule=inside)
        assert ours.histogram(number, channel).tolist() == plain.histogram(number, channel).tolist()
        countries = [*COUNTRIES, COUNTRIES[0] & NAMESPACES[1]] if number is None else []
        for among in (*groups(plain), *countries):
            counts = [presence.counts(channel, number, among) for presence in (ours, plain)]
            assert np.array_equal(counts[0], counts[1]), (channel, number, among)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 30), max_size=3), st.booleans())
def test_a_pass_answers_as_plain_sets_do_wherever_it_is_divided(seed: int, cuts: list[int], hybrid: bool) -> None:
    rng = random.Random(seed)
    event = event_of(rng)
    online, onsite = rooms_of(rng, event, SEATS), rooms_of(rng, event, (1, 2, 9, 70_001)) if hybrid else {}
    ours, plain, totals = counted(event, online, onsite, cuts)
    assert_same(ours, plain, event)
    gross, everybody = GrossPresence(event, totals, onsite), PresenceInMemory(event, {ONLINE: online, ONSITE: onsite})
    assert (gross.windows, gross.days) == (everybody.windows, everybody.days)
    for number, day in product((None, *(session.number for session in event.sessions)), (None, *everybody.days)):
        for channel in (None, *CHANNELS):
            assert gross.within(channel, number, day) == everybody.within(channel, number, day)
    for window, session in product(gross.windows, event.sessions):
        assert gross.online(session.number, window) == len(everybody.at(ONLINE, window, session.number))


def test_what_was_not_asked_before_the_pass_is_refused() -> None:
    event = event_of(random.Random(3))
    ours, _, _ = counted(event, {START: {1: BitMap([1, 3, 9])}}, {}, [])
    with pytest.raises(ValueError, match="runs of 4"):
        ours.runs(4, None, None, None)
    with pytest.raises(ValueError, match="not parts"):
        ours.counts(None, None, BitMap([1]))


def test_minutes_of_weeks_on_end_are_counted() -> None:
    event = replace(event_of(random.Random(3)), sessions=())
    reckoner = Reckoner(event, Asked(), BitMap(), BitMap())
    for minute in range(40_000):
        reckoner.take(START + 60 * minute, {1: BitMap([7, 8] if minute % 50 == 3 else [7])})
    assert Counter(dict(minutes_of(reckoner.totals()))) == {7: 40_000, 8: 800}


def minutes_of(totals: Totals) -> list[tuple[int, int]]:
    pairs = Counter[int]()
    for seats, minutes in totals.minutes[1, False]:
        pairs.update(dict(zip(seats.tolist(), minutes.astype(np.int64).tolist(), strict=True)))
    return [(seat, minutes % 2**16) for seat, minutes in pairs.items()]
