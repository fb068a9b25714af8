"""Herds dissolve: with exactly what the server announces, and players that add nothing of their own. Seeded."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from gateway.announcement import Announcement
from gateway.answers import Answers
from load_tests import herd
from load_tests.herd import (
    FixedRetry,
    SpreadRetry,
    announced,
    beats_until,
    fullest,
    heartbeats,
    keynote,
    restart,
    rush,
    theory,
)


@pytest.mark.parametrize("interval_s", range(5, 55))
def test_the_simulated_server_announces_what_the_real_one_does(interval_s: int) -> None:
    answers = Answers(Announcement(interval_s))
    given: Counter[int] = Counter()
    for second in range(4):
        answers.refresh(second)
        for _ in announced(interval_s):
            head = next(answers.accepted).decode()
            given[int(head.partition("Turnout-Interval: ")[2].partition("\r\n")[0])] += 1
    assert given == dict.fromkeys(announced(interval_s), 4), "each in turn, equally often"
    assert max(given) * 1.0 < 60, "a player is heard in every clock minute"


def test_a_keynotes_herd_is_a_tenth_of_itself_in_minutes() -> None:
    ratios = fullest(heartbeats(30, keynote, 61), 30)
    assert ratios[0] == 30, "all in one second"
    assert ratios[1] < 5
    assert ratios[10] < 2
    assert max(ratios[16:]) < 1.5
    assert max(ratios[40:]) < 1.15


@pytest.mark.parametrize(("interval_s", "minutes"), [(5, 1), (10, 2), (20, 5), (30, 9), (45, 17), (54, 20)])
def test_no_second_is_half_again_as_full_as_the_mean_after_minutes(interval_s: int, minutes: int) -> None:
    assert beats_until(interval_s, keynote, 1.5) * interval_s <= minutes * 60


def test_a_herd_that_comes_back_after_a_restart_dissolves_as_well() -> None:
    ratios = fullest(heartbeats(30, restart, 61), 30)
    assert 4 < ratios[0] < 5, "spread over seven seconds by Retry-After"
    assert ratios[5] < 2.5
    assert max(ratios[16:]) < 1.5


def test_without_jitter_the_herd_would_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herd, "announced", lambda interval_s: range(interval_s, interval_s + 1))
    assert set(fullest(heartbeats(30, keynote, 61), 30)) == {30}


@pytest.mark.parametrize("interval_s", [10, 30, 54])
def test_it_dissolves_as_fast_as_theory_says(interval_s: int) -> None:
    ratios = fullest(heartbeats(interval_s, keynote, 41), interval_s)
    for beats in (12, 20, 40):
        assert abs(ratios[beats] - theory(interval_s, beats)) < 0.1


def test_no_heartbeat_is_lost_or_made_up() -> None:
    counts = heartbeats(30, keynote, 41, players=1_000)
    assert counts[:27].sum() == 1_000
    assert abs(counts.sum() - 41_000) < 500


# Joins.


def test_a_fixed_retry_after_lets_a_rush_never_end() -> None:
    assert rush(FixedRetry(), 10, 30).all_in_s is None
    assert rush(FixedRetry(), 10, 30).refusals > 100


@pytest.mark.parametrize(("times", "lasts_s"), herd.RUSHES)
def test_a_retry_after_that_follows_the_rush_ends_it(times: float, lasts_s: int) -> None:
    outcome = rush(SpreadRetry(300), times, lasts_s)
    assert outcome.all_in_s is not None
    assert outcome.all_in_s <= 2.3 * times * lasts_s
    assert outcome.refusals < 3
    assert max(outcome.asked[lasts_s:]) < max(4, times) * herd.CAPACITY, "those who come back are no second rush"


def test_nobody_is_sent_away_longer_than_the_longest() -> None:
    retry = SpreadRetry(120)
    for _ in range(100):
        retry.account(10, 10_000)
        assert 1 <= retry.least_s <= retry.most_s <= 120
    for _ in range(2_000):
        retry.account(10, 0)
    assert retry.most_s == herd.RETRY_S[1], "and after the rush as briefly as before it"


def test_the_tables_and_the_chart_are_drawn(tmp_path: Path) -> None:
    chart = tmp_path / "herd.svg"
    result = CliRunner().invoke(herd.main, ["--save", str(chart)])
    assert result.exit_code == 0, result.output
    assert result.output.count("\n|---") == 2
    assert "| 30 s | 30.00 | 4.29 |" in result.output
    svg = ET.fromstring(chart.read_text())  # noqa: S314 - our own
    assert len(svg.findall("{http://www.w3.org/2000/svg}polyline")) == 3
    assert chart.read_text() == (Path(__file__).parents[2] / "docs" / "herd.svg").read_text(), "as in docs/"
