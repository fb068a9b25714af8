"""The ground truth, on cases small enough to be counted by hand."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.acknowledged import AcceptedScan, Acknowledged, onsite_minutes
from load_tests.audience import Person
from load_tests.ground_truth import Recount, Truth
from load_tests.scenario import Programme, ProgrammeItem

DAY_1 = 1_700_355_600  # 2023-11-19T09:00:00+08:00
DAY_2 = DAY_1 + 86_400

PROGRAMME = Programme(
    event="two-days",
    name="Two days",
    zone=ZoneInfo("Asia/Shanghai"),
    interval_s=30,
    starts_at=DAY_1 - 1800,
    sessions=(
        ProgrammeItem(1, "opening", "Opening", DAY_1, DAY_1 + 600, ("hall-a",), "2023-11-19"),
        ProgrammeItem(2, "forum", "Forum", DAY_1, DAY_1 + 300, ("hall-b",), "2023-11-19"),
        ProgrammeItem(3, "closing", "Closing", DAY_2, DAY_2 + 600, ("hall-a",), "2023-11-20"),
    ),
    issuer_id="tickets",
    issuer="https://tickets.example",
    audience="two-days",
    excluded=frozenset({"staff"}),
)
PEOPLE = (
    Person(0, "a", "CN", "visitor"),
    Person(1, "b", "CN", "visitor"),
    Person(2, "c", "FR", "press"),
    Person(3, "d", "", "visitor"),
    Person(4, "e", "CN", "staff"),
)


def recount(acknowledged: Acknowledged) -> Recount:
    return Recount(acknowledged, PEOPLE, PROGRAMME)


def minutes(person: int, session: int, start: int, count: int) -> Acknowledged:
    acknowledged = Acknowledged()
    for at in range(start, start + 60 * count, 30):
        acknowledged.beat(at, [person], [session])
    return acknowledged


def scan(person: int, direction: str, at: int, session: int = 1, nonce: str = "") -> AcceptedScan:
    return AcceptedScan(person, session, "hall-a", nonce or f"{person}{direction}{at}", direction, at)


def test_one_person_is_one_person_on_two_days_two_person_days_and_three_person_sessions() -> None:
    acknowledged = Acknowledged()
    acknowledged.beat(DAY_1, [0, 0], [1, 2])
    acknowledged.beat(DAY_2, [0], [3])
    truth = recount(acknowledged)
    assert truth.value("unique-attendees", {}) == Truth(1)
    assert truth.value("daily-attendance-sum", {}) == Truth(2)
    assert truth.value("daily-attendance-sum", {"session": "opening"}) == Truth(1)
    assert truth.value("session-attendance-sum", {}) == Truth(3)
    assert truth.value("session-attendance-sum", {"day": "2023-11-19"}) == Truth(2)
    assert truth.value("session-attendance-sum", {"day": "2023-11-19", "channel": "onsite"}) == Truth(0)


def test_a_person_on_both_channels_is_counted_once_together_and_in_each() -> None:
    acknowledged = minutes(0, 1, DAY_1, 1)
    acknowledged.beat(DAY_1, [2], [1])
    acknowledged.scans += [scan(0, "in", DAY_1), scan(3, "in", DAY_1)]
    truth = recount(acknowledged)
    assert truth.value("unique-attendees", {}) == Truth(3)
    assert truth.value("unique-attendees-online", {}) == Truth(2)
    assert truth.value("unique-attendees-onsite", {}) == Truth(2)
    assert truth.value("unique-attendees-both", {}) == Truth(1)
    assert truth.value("unique-attendees-both", {"country": "CN"}) == Truth(1)
    assert truth.value("unique-attendees-both", {"country": "FR"}) == Truth(0)
    assert truth.value("unique-attendees", {"country": "unknown"}) == Truth(1)
    assert truth.attributes() == {"country": ["CN", "FR", "unknown"], "category": ["press", "visitor"]}


def test_staff_are_in_no_number_not_even_in_views() -> None:
    acknowledged = minutes(4, 1, DAY_1, 3)
    acknowledged.views += [(DAY_1, 4, 1), (DAY_1, 0, 1)]
    acknowledged.scans.append(scan(4, "in", DAY_1))
    truth = recount(acknowledged)
    assert truth.value("unique-attendees", {}) == Truth(0)
    assert truth.value("views", {}) == Truth(1)
    assert truth.value("hours-viewed", {"channel": "online"}) == Truth(0.0)
    assert truth.value("peak-concurrent-attendees", {}) == Truth(0)


def test_person_time_is_sixty_seconds_a_minute_and_fifteen_for_each_arrival() -> None:
    acknowledged = minutes(0, 1, DAY_1, 3)  # minutes 0, 1, 2
    acknowledged.beat(DAY_1 + 300, [0], [1])  # back in minute 5
    truth = recount(acknowledged)
    seconds = (15 + 60 + 60) + 15
    assert truth.value("hours-viewed", {"channel": "online"}) == Truth(round(seconds / 3600, 6))
    assert truth.value("average-minute-audience", {"session": "opening", "channel": "online"}) == Truth(seconds / 600)
    assert truth.value("average-minute-audience", {"channel": "online"}) == Truth(seconds / 1200)
    assert truth.value("average-minute-audience", {"day": "2023-11-19", "channel": "online"}) == Truth(seconds / 600)
    assert truth.value("average-minute-audience", {"day": "2023-11-20", "channel": "online"}) == Truth(0.0)


def test_person_time_does_not_count_two_sessions_at_once_twice() -> None:
    acknowledged = Acknowledged()
    acknowledged.beat(DAY_1, [0, 0], [1, 2])
    truth = recount(acknowledged)
    assert truth.value("hours-viewed", {"channel": "online"}) == Truth(round(15 / 3600, 6))
    assert truth.value("hours-viewed", {"channel": "online", "session": "forum"}) == Truth(round(15 / 3600, 6))


def test_person_time_outside_the_schedule_of_the_scope_is_left_out() -> None:
    acknowledged = minutes(0, 2, DAY_1 + 240, 2)  # the forum's last minute and one after it
    truth = recount(acknowledged)
    assert truth.value("hours-viewed", {"channel": "online", "session": "forum"}) == Truth(round(15 / 3600, 6))
    assert truth.value("hours-viewed", {"channel": "online"}) == Truth(round(75 / 3600, 6))
    assert truth.value("unique-attendees-online", {"session": "forum"}) == Truth(1)


def test_the_peak_is_the_earliest_of_equal_minutes_and_counts_people_not_channels() -> None:
    acknowledged = Acknowledged()
    acknowledged.beat(DAY_1, [0, 1], [1, 2])
    acknowledged.beat(DAY_1 + 120, [0, 1], [1, 1])
    acknowledged.scans += [scan(0, "in", DAY_1 + 120), scan(0, "out", DAY_1 + 130)]
    truth = recount(acknowledged)
    assert truth.value("peak-concurrent-attendees", {}) == Truth(2, "2023-11-19T09:00:00+08:00")
    assert truth.value("peak-concurrent-attendees", {"session": "opening"}) == Truth(2, "2023-11-19T09:02:00+08:00")
    assert truth.value("peak-concurrent-attendees", {"channel": "onsite"}) == Truth(1, "2023-11-19T09:02:00+08:00")


def test_reach_asks_for_minutes_in_a_row_and_goes_from_session_to_session() -> None:
    acknowledged = Acknowledged()
    for minute, session in ((0, 1), (1, 1), (2, 2), (4, 2)):
        acknowledged.beat(DAY_1 + 60 * minute, [0], [session])
    truth = recount(acknowledged)
    assert truth.value("reach-3min", {"channel": "online"}) == Truth(1)
    assert truth.value("reach-3min", {"channel": "online", "session": "opening"}) == Truth(0)
    assert truth.value("reach-2min", {"channel": "online", "session": "opening"}) == Truth(1)
    assert truth.value("reach-2min", {"channel": "online", "session": "forum"}) == Truth(0)
    assert truth.value("reach-2min", {"channel": "online", "day": "2023-11-20"}) == Truth(0)


def test_a_percentage_is_of_one_sessions_scheduled_minutes() -> None:
    acknowledged = minutes(0, 2, DAY_1, 4)  # 4 of 5 minutes
    acknowledged.beat(DAY_1 + 300, [2, 2], [2, 1])  # after the forum's end
    for minute in (0, 1, 2):
        acknowledged.beat(DAY_1 + 60 * minute, [2], [2])
    truth = recount(acknowledged)
    assert truth.value("attended-80-percent", {}) == Truth(1)
    assert truth.value("attended-80-percent", {"session": "forum", "channel": "online"}) == Truth(1)
    assert truth.value("attended-80-percent", {"session": "opening"}) == Truth(0)
    assert truth.value("attended-60-percent", {"country": "FR"}) == Truth(1)
    assert truth.value("attended-80-percent", {"country": "FR"}) == Truth(0)
    assert truth.value("credit-50min", {}) == Truth(0)


def test_views_are_counted_per_session_day_and_country() -> None:
    acknowledged = Acknowledged(views=[(DAY_1, 0, 1), (DAY_1, 0, 1), (DAY_2, 2, 3)])
    truth = recount(acknowledged)
    assert truth.value("views", {}) == Truth(3)
    assert truth.value("views", {"session": "opening"}) == Truth(2)
    assert truth.value("views", {"day": "2023-11-20"}) == Truth(1)
    assert truth.value("views", {"country": "FR"}) == Truth(1)
    assert truth.value("views", {"country": "unknown"}) == Truth(0)


@pytest.mark.parametrize(
    ("scans", "expected"),
    [
        ([scan(0, "in", DAY_1 + 30), scan(0, "out", DAY_1 + 130)], [0, 1, 2]),
        ([scan(0, "in", DAY_1 + 30)], [0]),
        ([scan(0, "out", DAY_1 + 130)], [2]),
        ([scan(0, "out", DAY_1 + 130), scan(0, "in", DAY_1 + 30)], [0, 1, 2]),
        ([scan(0, "in", DAY_1 - 60), scan(0, "out", DAY_1 + 30)], [-1, 0]),
        ([scan(0, "in", DAY_1 + 480), scan(0, "out", DAY_1 + 900)], [8, 9]),
        ([scan(0, "in", DAY_1), scan(0, "in", DAY_1 + 60), scan(0, "out", DAY_1 + 120)], [0, 1, 2]),
        ([scan(0, "in", DAY_1, nonce="n"), scan(0, "in", DAY_1 + 300, nonce="n")], [0]),
    ],
    ids=[
        "in-out",
        "never out",
        "never in",
        "out arrives first",
        "early",
        "capped at the end",
        "in twice",
        "same nonce",
    ],
)
def test_on_site_presence_runs_from_in_to_out(scans: Sequence[AcceptedScan], expected: Sequence[int]) -> None:
    present = {minute for _, _, minute in onsite_minutes(scans, PROGRAMME)}
    assert present == {DAY_1 // 60 + minute for minute in expected}


def test_who_gives_up_before_a_session_begins_was_there_for_that_session_and_no_other() -> None:
    early = [scan(0, "in", DAY_2 - 540, session=3), scan(0, "out", DAY_2 - 420, session=3)]
    present = onsite_minutes(early, PROGRAMME)
    assert {session for _, session, _ in present} == {3}
    assert {minute for _, _, minute in present} == {DAY_2 // 60 + minute for minute in (-9, -8, -7)}


beats = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2), st.integers(0, 12)), min_size=1, max_size=60)


@given(beats)
def test_the_recount_equals_counting_with_sets(sent: list[tuple[int, int, int]]) -> None:
    acknowledged = Acknowledged()
    for person, session, minute in sent:
        acknowledged.beat(DAY_1 + 60 * minute, [person], [session])
    present = {minute: {p for p, _, m in sent if m == minute} for minute in range(-1, 13)}
    seconds = sum(60 * len(present[m]) - 45 * len(present[m] - present[m - 1]) for m in range(10))
    truth = recount(acknowledged)
    assert truth.value("unique-attendees", {}).value == len({person for person, _, _ in sent})
    assert truth.value("session-attendance-sum", {}).value == len({(person, session) for person, session, _ in sent})
    assert truth.value("peak-concurrent-attendees", {}).value == max(map(len, present.values()))
    assert truth.value("hours-viewed", {"channel": "online"}).value == round(seconds / 3600, 6)


def test_an_unknown_rule_or_scope_is_an_error() -> None:
    truth = recount(minutes(0, 1, DAY_1, 1))
    for rule, scope in (("attendance", {}), ("views", {"session": "nowhere"}), ("unique-attendees", {"planet": "x"})):
        with pytest.raises(KeyError):
            truth.value(rule, scope)


def test_the_live_truth_is_who_sent_a_heartbeat_lately_staff_included() -> None:
    acknowledged = Acknowledged()
    acknowledged.beat(DAY_1, [0, 1], [1, 1])
    acknowledged.beat(DAY_1 + 30, [1, 4], [1, 1])
    assert acknowledged.watching(DAY_1, DAY_1 + 30) == 3
    assert acknowledged.watching(DAY_1 + 30, DAY_1 + 30) == 2
    assert acknowledged.watching(DAY_1 + 60, DAY_1 + 90) == 0
