"""Announcements: the longest interval that a player of a span of time may still have in mind is never missed."""

import json

from hypothesis import given
from hypothesis import strategies as st

from counters.announcements import KEPT, Announced, Announcements

NINE = 1_700_355_600.0


def test_a_longer_interval_counts_until_twice_its_length_after_nobody_announced_it_any_more() -> None:
    told = Announcements.of(30)
    assert told.longest_s(NINE) == 30
    told = told.announce(54, NINE)
    assert (told.current_s, told.longest_s(NINE)) == (54, 54)
    told = told.announce(30, NINE + 500)
    assert told.longest_s(NINE + 10_000) == 54, "some worker may announce it yet"
    told = told.settle(NINE + 505)
    assert told.longest_s(NINE + 505 + 108) == 54
    assert told.longest_s(NINE + 505 + 109) == 30


def test_a_window_has_the_longest_interval_of_its_own_time_and_of_twice_that_before_it() -> None:
    told = Announcements.of(30).announce(45, NINE + 90).settle(NINE + 95).announce(20, NINE + 150).settle(NINE + 155)
    windows = [told.longest_s(NINE + start, NINE + start + 60) for start in range(-60, 360, 60)]
    assert windows == [30, 30, 45, 45, 45, 45, 20], "45 s until 155, and for 90 s more"


def test_an_interval_announced_when_a_window_is_just_over_is_not_that_windows() -> None:
    told = Announcements.of(30).announce(45, NINE + 60)
    assert told.longest_s(NINE, NINE + 60) == 30
    assert told.longest_s(NINE + 60, NINE + 120) == 45


def test_an_interval_announced_again_and_again_changes_nothing() -> None:
    told = Announcements.of(30)
    assert told.announce(30, NINE) is told
    assert told.settled
    assert not told.announce(45, NINE).settled
    assert told.announce(45, NINE).settle(NINE + 5).settled


def test_what_is_written_is_read_back() -> None:
    told = Announcements.of(30).announce(45, NINE).settle(NINE + 5).announce(20, NINE + 60)
    assert Announcements.from_json(json.loads(json.dumps(told.as_json()))) == told


steps = st.lists(st.tuples(st.integers(5, 54), st.floats(0.5, 400), st.booleans()), max_size=30)


@given(steps, st.integers(0, 100))
def test_no_player_is_silent_longer_than_the_interval_of_the_window_says(
    changes: list[tuple[int, float, bool]], window: int
) -> None:
    told, now, spans = Announcements.of(30), NINE, [Announced(30, 0.0, None)]
    for interval_s, wait_s, settles in changes:
        now += wait_s
        if interval_s != told.current_s:
            spans[-1] = Announced(spans[-1].interval_s, spans[-1].since, now)  # the true one, which lingers nowhere
            spans.append(Announced(interval_s, now, None))
        told = told.announce(interval_s, now)
        told = told.settle(now + 5) if settles else told
        now += 5
    start = NINE + 60 * window
    in_mind = [
        span.interval_s
        for span in spans
        if span.since < start + 60 and (span.until is None or span.until + 2 * span.interval_s >= start)
    ]
    assert told.longest_s(start, start + 60) >= max(in_mind)
    assert told.longest_s(start, start + 60) in {interval_s for interval_s, _, _ in changes} | {30}


def test_however_often_it_changes_little_is_kept_and_nothing_long_is_forgotten() -> None:
    told = Announcements.of(30).announce(54, NINE).settle(NINE + 5)
    for turn in range(3 * KEPT):
        told = told.announce(5 + turn % 2, NINE + 10 + turn).settle(NINE + 10.5 + turn)
    assert len(told.rows) == KEPT
    assert told.longest_s(NINE, NINE + 60) == 54
    assert told.longest_s(NINE + 10 + 3 * KEPT + 200) == 6
