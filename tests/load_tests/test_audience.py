"""The audience plan: repeatable, within its budget, and true to what the scenario promises."""

from collections import Counter
from dataclasses import replace

import pytest

from load_tests.acknowledged import AcceptedScan, onsite_minutes
from load_tests.audience import Audience, Ending, Plan, steps
from load_tests.scenario import DEMO, REHEARSAL, Scenario, read_scenario


@pytest.fixture(scope="module", params=[DEMO, REHEARSAL], ids=lambda path: path.stem)
def planned(request: pytest.FixtureRequest) -> tuple[Scenario, Plan]:
    scenario = read_scenario(request.param)
    return scenario, Audience(scenario).plan()


@pytest.fixture(scope="module")
def demo() -> tuple[Scenario, Plan]:
    scenario = read_scenario(DEMO)
    return scenario, Audience(scenario).plan()


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    scenario = read_scenario(REHEARSAL)
    assert Audience(scenario).plan() == Audience(scenario).plan()
    assert Audience(replace(scenario, seed=scenario.seed + 1)).plan() != Audience(scenario).plan()


def test_the_demo_stays_within_its_budget_of_requests(demo: tuple[Scenario, Plan]) -> None:
    scenario, plan = demo
    assert 1_000_000 < plan.heartbeats(scenario.programme.interval_s) < 1_600_000
    assert 60_000 < plan.joins() < 90_000


def test_the_demo_is_the_convention_at_one_to_a_thousand(demo: tuple[Scenario, Plan]) -> None:
    scenario, plan = demo
    assert len(scenario.programme.days) == 3
    assert len(scenario.programme.sessions) >= 22
    assert len({country for country in scenario.countries if country}) == 48
    assert len({outlet for outlet in scenario.outlets if outlet}) == 40
    assert {view.outlet for view in plan.views} == set(scenario.outlets)
    starts = Counter(
        sum(other.starts_at <= session.starts_at < other.ends_at for other in scenario.programme.sessions)
        for session in scenario.programme.sessions
    )
    assert max(starts) >= 6


def test_who_comes_is_exactly_as_many_as_the_scenario_says(planned: tuple[Scenario, Plan]) -> None:
    scenario, plan = planned
    counted = {person.number for person in plan.people if person.category not in scenario.programme.excluded}
    watching = {view.person for view in plan.views} & counted
    on_site = {scan.person for scan in plan.scans} & counted
    assert len(watching) == scenario.people.online
    assert len(on_site) == scenario.people.onsite
    assert len(watching & on_site) == scenario.people.both
    assert len(plan.people) - len(counted) == scenario.people.staff


def test_the_daily_sum_of_the_demo_is_about_twice_the_number_of_people(demo: tuple[Scenario, Plan]) -> None:
    scenario, plan = demo
    days = {(view.person, scenario.programme.day(view.joins_at)) for view in plan.views}
    staff = {person.number for person in plan.people if person.category in scenario.programme.excluded}
    assert sum(person not in staff for person, _ in days) == pytest.approx(40_000, rel=0.03)


def test_nobody_watches_outside_the_schedule(planned: tuple[Scenario, Plan]) -> None:
    scenario, plan = planned
    sessions = {session.number: session for session in scenario.programme.sessions}
    for view in plan.views:
        session = sessions[view.session]
        assert session.starts_at <= view.joins_at < view.leaves_at <= session.ends_at
        assert view.joins_at % scenario.programme.interval_s == 0
        assert (view.ending is Ending.ENDED) == (view.leaves_at == session.ends_at)


def test_every_view_begins_playing_and_its_phases_lie_within_it(planned: tuple[Scenario, Plan]) -> None:
    _, plan = planned
    for view in plan.views:
        assert view.state(view.joins_at) == "p"
        for since, until in (view.paused, view.background):
            assert (since, until) == (0, 0) or view.joins_at < since < until <= view.leaves_at
        assert view.reloads_at == 0 or view.joins_at < view.reloads_at < view.leaves_at
    assert {state for view in plan.views for state in (view.state(at) for at in view.paused)} >= {"a", "p"}


def test_one_device_watches_one_thing_at_a_time(planned: tuple[Scenario, Plan]) -> None:
    _, plan = planned
    free_from: dict[tuple[int, int], int] = {}
    for view in plan.views:
        assert view.joins_at > free_from.get((view.person, view.device), 0)
        free_from[view.person, view.device] = view.leaves_at


def test_every_scheduled_minute_of_every_session_is_above_the_suppression_limit(planned: tuple[Scenario, Plan]) -> None:
    scenario, plan = planned
    present: dict[tuple[int, int], set[int]] = {}
    for view in plan.views:
        if plan.people[view.person].category not in scenario.programme.excluded:
            for at in range(view.joins_at, view.leaves_at, scenario.programme.interval_s):
                if view.state(at) != "a":
                    present.setdefault((view.session, at // 60), set()).add(view.person)
    for session in scenario.programme.sessions:
        for minute in range(session.starts_at // 60, session.ends_at // 60):
            assert len(present[session.number, minute]) >= 12


def test_badges_are_scanned_when_the_gate_is_open_for_that_session(planned: tuple[Scenario, Plan]) -> None:
    scenario, plan = planned
    sessions = {session.number: session for session in scenario.programme.sessions}
    for scan in plan.scans:
        session = sessions[scan.session]
        assert scan.gate in session.gates
        assert session.starts_at - 900 <= scan.scanned_at < session.ends_at + 600
        if scan.direction == "in":
            assert scan.scanned_at < session.ends_at
        others = [
            other for other in sessions.values() if other is not session and set(other.gates) & set(session.gates)
        ]
        assert not any(other.starts_at <= scan.scanned_at < other.ends_at for other in others)
        assert scan.scanned_at <= scan.uploaded_at
        assert scan.forced or scan.uploaded_at - scan.scanned_at < scenario.programme.interval_s


def test_scans_are_retried_forced_and_sometimes_never_followed_by_an_out_scan(planned: tuple[Scenario, Plan]) -> None:
    scenario, plan = planned
    assert len({(scan.gate, scan.nonce) for scan in plan.scans}) == len(plan.scans)
    assert any(scan.again_at for scan in plan.scans)
    assert any(scan.forced for scan in plan.scans)
    ways = Counter(scan.direction for scan in plan.scans)
    assert 0 < ways["out"] < ways["in"]
    accepted = [
        AcceptedScan(scan.person, scan.session, scan.gate, scan.nonce, scan.direction, scan.scanned_at)
        for scan in plan.scans
    ]
    assert {person for person, _, _ in onsite_minutes(accepted, scenario.programme)} == {
        scan.person for scan in plan.scans
    }


def test_some_people_give_up_before_their_session_begins_also_right_after_another_one(
    planned: tuple[Scenario, Plan],
) -> None:
    scenario, plan = planned
    sessions = {session.number: session for session in scenario.programme.sessions}
    gave_up = [
        scan for scan in plan.scans if scan.direction == "out" and scan.scanned_at < sessions[scan.session].starts_at
    ]
    into_a_break = [
        scan
        for scan in gave_up
        if any(
            scan.gate in other.gates and other.ends_at <= scan.scanned_at <= other.ends_at + 3600
            for other in sessions.values()
        )
    ]
    assert len(gave_up) > len(into_a_break) > 1
    assert len(gave_up) < len(plan.scans) / 10
    entries = {(scan.person, scan.session): scan.scanned_at for scan in plan.scans if scan.direction == "in"}
    assert all(entries[scan.person, scan.session] < scan.scanned_at for scan in gave_up)


def test_the_steps_are_the_times_at_which_something_happens(planned: tuple[Scenario, Plan]) -> None:
    scenario, plan = planned
    times = list(steps(plan, scenario.programme.interval_s))
    assert times == sorted(set(times))
    assert scenario.programme.starts_at < times[0]
    assert {view.joins_at for view in plan.views} | {scan.uploaded_at for scan in plan.scans} <= set(times)
    assert len(times) < 2_400


def test_a_scaled_scenario_keeps_its_proportions_and_its_loyal_audience() -> None:
    half = read_scenario(DEMO, scale=0.5).people
    assert (half.online, half.onsite, half.both, half.staff, half.loyal_per_session) == (10_000, 1_000, 150, 60, 14)
    tiny = read_scenario(DEMO, scale=0.0001).people
    assert tiny.online >= 2 * tiny.loyal_per_session
    assert tiny.both <= tiny.onsite
