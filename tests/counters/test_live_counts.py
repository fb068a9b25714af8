"""Live counts as values: which buckets are now, what is stale, how a number is printed."""

import math
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.event import Counting, Event, Session
from counters.live_counts import (
    LiveCounts,
    LiveRow,
    buckets_before,
    live_buckets,
    live_document,
    seen_within_s,
)

NINE = 1_700_355_600  # 2023-11-19T09:00:00+08:00
EVENT = Event(
    id="wiotc2023",
    name="World Internet of Things Convention 2023",
    organiser="WIOTC",
    time_zone="Asia/Shanghai",
    late_until=datetime(2023, 11, 23, tzinfo=UTC),
    sessions=(
        Session(
            1, "opening", "Opening", datetime.fromtimestamp(NINE, UTC), datetime.fromtimestamp(NINE + 3600, UTC), ()
        ),
    ),
    issuers=(),
    counting=Counting((), ()),
)


def test_thirty_seconds_look_at_the_current_bucket_and_four_before_it() -> None:
    assert list(live_buckets(NINE + 7.9, 30)) == [NINE - 40, NINE - 30, NINE - 20, NINE - 10, NINE]
    assert seen_within_s(30) == 50


@given(st.integers(1, 3600))
def test_the_number_of_buckets_is_the_ceiling_of_the_exact_fraction(interval_s: int) -> None:
    assert buckets_before(interval_s) == math.ceil(Fraction(11, 10) * interval_s / 10)


@given(st.integers(1, 600), st.integers(0, 10**9), st.floats(0, 0.999), st.floats(0, 1))
def test_a_player_whose_heartbeat_came_at_most_ten_percent_late_is_always_seen(
    interval_s: int, second: int, part: float, how_late: float
) -> None:
    now = second + part
    last_heartbeat = int(now - how_late * interval_s * 1.1)
    assert last_heartbeat // 10 * 10 in live_buckets(now, interval_s)


COUNTS = LiveCounts(
    NINE + 0.25,
    "2023-11-19",
    50,
    (LiveRow(0, 20_000, 25_000, (500,) * 16, onsite=1_000, either=20_400), LiveRow(1, 0, 0, (0, 0, 0, 0))),
)


def test_the_document_has_the_shape_of_every_number() -> None:
    document = live_document(EVENT, COUNTS, NINE + 1.5)
    as_of = "2023-11-19T09:00:00+08:00"
    assert document | {"numbers": None} == {
        "event": "wiotc2023", "as_of": as_of, "stale": False, "age_s": 1.25, "seen_within_s": 50, "numbers": None,
    }  # fmt: skip
    common = {"rule_version": 1, "kind": "estimate", "checkable_by": "asserted", "as_of": as_of}
    assert document["numbers"][:5] == [
        {"rule": "live-attendees", "scope": {}, "value": 20_400, "unit": "people",
         "standard_error": 0.008125, "interval95": [20_075, 20_725], **common},
        {"rule": "live-attendees", "scope": {"channel": "online"}, "value": 20_000, "unit": "people",
         "standard_error": 0.008125, "interval95": [19_682, 20_318], **common},
        {"rule": "live-attendees", "scope": {"channel": "onsite"}, "value": 1_000, "unit": "people",
         "standard_error": 0.008125, "interval95": [984, 1_016], **common},
        {"rule": "live-views", "scope": {}, "value": 25_000, "unit": "views",
         "standard_error": 0.008125, "interval95": [24_602, 25_398], **common},
        {"rule": "joined-attendees", "scope": {"day": "2023-11-19"}, "value": 8_000, "unit": "people",
         "standard_error": 0.002031, "interval95": [7_968, 8_032], **common},
    ]  # fmt: skip


def test_a_session_without_gates_has_no_number_on_site_and_an_empty_room_is_a_number_too() -> None:
    opening = [number for number in live_document(EVENT, COUNTS, NINE)["numbers"] if "session" in number["scope"]]
    assert [number["scope"] for number in opening] == [
        {"session": "opening"}, {"session": "opening", "channel": "online"}, {"session": "opening"},
        {"session": "opening", "day": "2023-11-19"},
    ]  # fmt: skip
    assert all((n["value"], n["standard_error"], n["interval95"]) == (0, 0.0, [0, 0]) for n in opening)


@pytest.mark.parametrize(("age_s", "stale"), [(0.0, False), (5.0, False), (5.1, True)])
def test_an_answer_is_stale_when_it_is_older_than_five_seconds(age_s: float, stale: bool) -> None:
    counts = LiveCounts(NINE, "2023-11-19", 50, ())
    assert counts.stale(NINE + age_s) is stale
    assert LiveCounts(NINE, "2023-11-19", 50, (), failure="Redis is away").stale(NINE)


def test_without_any_answer_the_document_is_stale_empty_and_of_no_age() -> None:
    document = live_document(EVENT, LiveCounts(None, "", 50, (), "not polled yet"), NINE)
    assert (document["stale"], document["as_of"], document["age_s"], document["numbers"]) == (True, None, None, [])
