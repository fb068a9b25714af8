"""The schedule of a crowd: drawn from the seed alone, and possible for people to carry out."""

from dataclasses import replace
from itertools import pairwise

import pytest

from load_tests.audience import Ending
from load_tests.crowd_scenario import STEADY, CrowdScenario, read_crowd_scenario
from load_tests.itineraries import Schedule, draw


@pytest.fixture(scope="module")
def scenario() -> CrowdScenario:
    return read_crowd_scenario(STEADY)


@pytest.fixture(scope="module")
def schedule(scenario: CrowdScenario) -> Schedule:
    return draw(scenario)


def test_the_same_seed_gives_the_same_schedule_and_another_seed_another(
    scenario: CrowdScenario, schedule: Schedule
) -> None:
    assert draw(scenario) == schedule
    assert draw(replace(scenario, seed=scenario.seed + 1)) != schedule


def test_a_batch_brings_other_people_who_do_the_same(scenario: CrowdScenario, schedule: Schedule) -> None:
    again = draw(scenario, batch="b-")
    assert again.itineraries == schedule.itineraries
    assert {person.subject for person in again.people}.isdisjoint(person.subject for person in schedule.people)


def test_nobody_watches_what_is_not_on_or_two_things_on_one_device(scenario: CrowdScenario, schedule: Schedule) -> None:
    for itinerary in schedule.itineraries:
        for stretch in itinerary.stretches:
            session = scenario.sessions[stretch.place]
            assert session.from_s <= stretch.joins_at < stretch.leaves_at <= min(session.until_s, scenario.lasts_s)
            assert (stretch.ending is Ending.ENDED) == (stretch.leaves_at == session.until_s)
            for since, until in (stretch.paused, stretch.background):
                assert since == until == 0 or stretch.joins_at < since < until <= stretch.leaves_at
        for before, after in pairwise(itinerary.stretches):
            assert before.leaves_at < after.joins_at
        assert itinerary.stretches[0].with_ticket


def test_everything_that_players_do_occurs(schedule: Schedule) -> None:
    stretches = [stretch for itinerary in schedule.itineraries for stretch in itinerary.stretches]
    pairs = [pair for itinerary in schedule.itineraries for pair in pairwise(itinerary.stretches)]
    assert {stretch.ending for stretch in stretches} == set(Ending)
    assert {stretch.state(at) for stretch in stretches for at in range(200)} == {"p", "a", "b"}
    assert {before.place == after.place for before, after in pairs} == {True, False}
    assert {after.with_ticket for _, after in pairs} == {True, False}
    assert {itinerary.device for itinerary in schedule.itineraries} == {0, 1}
    assert {person.category for person in schedule.people} == {"staff", "visitor"}
    assert any(not person.country for person in schedule.people)


def test_the_first_heartbeat_of_a_stretch_is_playing(schedule: Schedule) -> None:
    for itinerary in schedule.itineraries:
        assert all(stretch.state(stretch.joins_at) == "p" for stretch in itinerary.stretches)
