"""Scenarios on the wall clock: each that comes with Turnout is sound, and so is the event written for it."""

from pathlib import Path

import pytest

from counters.event_file import read
from counters.event_problems import MissingDevelopmentKeys
from load_tests.crowd_scenario import STEADY, event_file, noon_zone, read_crowd_scenario
from load_tests.scenario import SCENARIOS, read_programme

CROWDS = ("steady", "keynote_rush", "reconnect_storm", "restart_herd")
NOW = 1_763_728_000


@pytest.mark.parametrize("name", CROWDS)
def test_the_event_that_is_written_for_a_scenario_lacks_only_the_keys_that_turnout_up_makes(
    name: str, tmp_path: Path
) -> None:
    scenario = read_crowd_scenario(SCENARIOS / f"{name}.toml")
    path = tmp_path / "event.toml"
    path.write_text(event_file(scenario, NOW))
    with pytest.raises(MissingDevelopmentKeys):
        read(path)
    programme = read_programme(path)
    assert [session.id for session in programme.sessions] == [session.id for session in scenario.sessions]
    assert programme.interval_s == scenario.interval_s
    assert len(programme.days) == 1


@pytest.mark.parametrize("hour", range(24))
def test_no_run_crosses_a_midnight_of_its_event(hour: int, tmp_path: Path) -> None:
    starts_at = NOW // 86_400 * 86_400 + hour * 3600 + 1800
    path = tmp_path / "event.toml"
    path.write_text(event_file(read_crowd_scenario(STEADY), starts_at))
    local = read_programme(path).iso(starts_at)
    assert local[11:13] == "12", (noon_zone(starts_at), local)


def test_a_disturbance_that_does_not_exist_is_said(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(STEADY.read_text() + '\n[[disturbance]]\nat_s = 1.0\nkind = "flood"\nback_within_s = 1.0\n')
    with pytest.raises(ValueError, match=r"flood.*cut, kill-workers"):
        read_crowd_scenario(path)


def test_a_scaled_crowd_keeps_at_least_one_of_each_kind() -> None:
    scenario = read_crowd_scenario(STEADY)
    assert scenario.scaled(0.5).people == scenario.people // 2
    tiny = scenario.scaled(0.0001)
    assert tiny.staff == 1
    assert tiny.people > tiny.staff
