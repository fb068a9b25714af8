"""The door's answers: an interval that varies a little, and a date."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.event_keys import LONGEST_INTERVAL_S
from gateway.announcement import Announcement
from gateway.answers import Answers, announced
from metrics.catalogue import HEARTBEATS_A_SAMPLE

HEADER = re.compile(rb"Turnout-Interval: (\d+)\r\n")


@pytest.mark.parametrize(("interval_s", "intervals"), [(30, range(27, 34)), (5, range(4, 7)), (54, range(49, 60))])
def test_what_is_announced_lies_within_a_tenth_or_a_second(interval_s: int, intervals: range) -> None:
    assert announced(interval_s) == intervals


@given(st.integers(5, LONGEST_INTERVAL_S))
def test_announced_intervals_are_centred_and_no_minute_can_pass_without_a_heartbeat(interval_s: int) -> None:
    intervals = announced(interval_s)
    assert sum(intervals) / len(intervals) == interval_s
    assert max(abs(one - interval_s) for one in intervals) <= max(1, interval_s / 10)
    assert max(intervals) < 60


def test_answers_take_turns_and_follow_the_announcement() -> None:
    announcement = Announcement(30)
    answers = Answers(announcement)

    def told() -> list[int]:
        found = [HEADER.search(next(answers.accepted)) for _ in range(14)]
        return sorted(int(match[1]) for match in found if match)

    assert told() == sorted(2 * list(announced(30)))
    assert len(list(answers.accepted)) == HEARTBEATS_A_SAMPLE - 14, "a round ends"
    assert answers.another_round().startswith(b"HTTP/1.1 204 ")
    assert len(list(answers.accepted)) == HEARTBEATS_A_SAMPLE - 1
    answers.another_round()
    announcement.interval_s = 45
    answers.refresh(1_700_355_600)
    assert set(told()) <= set(announced(45))
    assert b"Date: Sun, 19 Nov 2023 01:00:00 GMT\r\n" in next(answers.accepted)
