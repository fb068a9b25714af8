"""What the players know: exact where sending and answer are in one minute, bounds where they are not."""

from pathlib import Path
from typing import Any

import pytest

from load_tests.acknowledgements import LINGER_S, Acknowledgements
from load_tests.audience import Person
from load_tests.comparison import cells, compare
from load_tests.crowd_scenario import STEADY, event_file, read_crowd_scenario
from load_tests.ground_truth import Bounds, Recount, Truth
from load_tests.itineraries import Schedule
from load_tests.scenario import Programme, read_programme

EDGE = 1_763_728_020  # a minute's edge
SLACK_S = 0.05
PEOPLE = Schedule(tuple(Person(number, f"p{number}", "CN", "visitor") for number in range(40)), ())


@pytest.fixture
def programme(tmp_path: Path) -> Programme:
    path = tmp_path / "event.toml"
    path.write_text(event_file(read_crowd_scenario(STEADY), EDGE))
    return read_programme(path)


@pytest.fixture
def acknowledged() -> Acknowledgements:
    """Twenty people in the first two minutes of session 1, everything certain."""
    known = Acknowledgements(SLACK_S)
    for person in range(20):
        known.view(person, 1, EDGE + 1)
        for minute in range(2):
            known.heartbeat(person, 1, EDGE + 60 * minute + 5, EDGE + 60 * minute + 5.2)
    return known


def value(truth: Recount | Bounds, rule: str, **scope: str) -> tuple[float, float | None]:
    found = truth.value(rule, scope)
    return found.value, found.highest


def certificate_of(truth: Recount | Bounds, programme: Programme) -> dict[str, Any]:
    """The certificate of the least that can be true."""
    numbers = []
    for rule, scope in cells(programme, truth.attributes()):
        found = truth.value(rule, scope)
        number: dict[str, Any] = {"rule": rule, "scope": scope, "kind": "exact", "value": found.value}
        numbers.append(number | ({"at": found.at} if found.at else {}))
    return {"numbers": numbers}


def problems(certificate: dict[str, Any], truth: Recount | Bounds, programme: Programme) -> list[str]:
    return [str(line) for line in compare(certificate, truth, programme) if line.problem]


def test_with_everything_certain_the_truth_is_exact(acknowledged: Acknowledgements, programme: Programme) -> None:
    truth = acknowledged.truth(PEOPLE, programme)
    assert isinstance(truth, Recount)
    assert value(truth, "unique-attendees") == (20, None)
    assert value(truth, "views") == (20, None)
    assert problems(certificate_of(truth, programme), truth, programme) == []


def test_one_person_that_the_certificate_does_not_know_is_found(
    acknowledged: Acknowledgements, programme: Programme
) -> None:
    certificate = certificate_of(acknowledged.truth(PEOPLE, programme), programme)
    acknowledged.heartbeat(20, 1, EDGE + 5, EDGE + 5.2)
    wrong = problems(certificate, acknowledged.truth(PEOPLE, programme), programme)
    assert "unique-attendees [whole event]: 20, but the truth is 21" in wrong


@pytest.mark.parametrize(
    ("sent", "answered", "ambiguous"),
    [
        (-2.0, -0.1, False),
        (-2.0, -0.04, True),  # the gateway's clock may be ahead by SLACK_S
        (-0.5, 0.5, True),
        (0.04, 0.5, True),
        (0.1, 0.5, False),
    ],
)
def test_a_heartbeat_is_ambiguous_if_a_minutes_edge_can_lie_between_sending_and_answer(
    sent: float, answered: float, ambiguous: bool
) -> None:
    known = Acknowledgements(SLACK_S)
    known.heartbeat(1, 1, EDGE + sent, EDGE + answered)
    assert known.ambiguous == ambiguous


def test_an_ambiguous_heartbeat_widens_the_bounds_of_what_it_can_change_and_of_nothing_else(
    acknowledged: Acknowledgements, programme: Programme
) -> None:
    acknowledged.heartbeat(20, 1, EDGE + 59.9, EDGE + 60.1)
    truth = acknowledged.truth(PEOPLE, programme)
    assert isinstance(truth, Bounds)
    assert value(truth, "unique-attendees") == (20, 21)
    assert value(truth, "peak-concurrent-attendees") == (20, 21)
    assert value(truth, "unique-attendees", session="forum-1") == (0, None)
    assert value(truth, "views") == (20, None)
    least, most = value(truth, "hours-viewed", channel="online")
    assert most is not None
    assert least < most


def test_an_ambiguous_heartbeat_of_somebody_who_was_there_in_both_minutes_changes_nothing(
    acknowledged: Acknowledgements, programme: Programme
) -> None:
    acknowledged.heartbeat(3, 1, EDGE + 59.9, EDGE + 60.1)
    assert acknowledged.ambiguous == 1
    assert isinstance(acknowledged.truth(PEOPLE, programme), Recount)


def test_within_the_bounds_passes_and_outside_fails(acknowledged: Acknowledgements, programme: Programme) -> None:
    acknowledged.heartbeat(20, 1, EDGE + 59.9, EDGE + 60.1)
    truth = acknowledged.truth(PEOPLE, programme)
    certificate = certificate_of(truth, programme)
    assert problems(certificate, truth, programme) == []
    unique = next(number for number in certificate["numbers"] if number["rule"] == "unique-attendees")
    for certified, right in ((19, False), (20, True), (21, True), (22, False)):
        unique["value"] = certified
        wrong = problems(certificate, truth, programme)
        assert wrong == ([] if right else [f"unique-attendees [whole event]: {certified}, but the truth is 20 to 21"])


def test_a_peak_may_be_in_any_minute_that_can_have_it(acknowledged: Acknowledgements, programme: Programme) -> None:
    acknowledged.heartbeat(20, 1, EDGE + 59.9, EDGE + 60.1)
    truth = acknowledged.truth(PEOPLE, programme)
    first, second, third = (programme.iso(EDGE + 60 * minute) for minute in range(3))
    assert truth.can_peak({}, 21, first)
    assert truth.can_peak({}, 21, second)
    assert truth.can_peak({}, 20, first)
    assert not truth.can_peak({}, 20, second)  # the first of several
    assert not truth.can_peak({}, 22, second)
    assert not truth.can_peak({}, 21, third)
    assert not truth.can_peak({}, 21, "")


def test_a_heartbeat_without_an_answer_may_have_counted_until_a_while_after_the_break(
    acknowledged: Acknowledgements, programme: Programme
) -> None:
    acknowledged.unanswered_heartbeat(20, 1, EDGE + 50, EDGE + 60 - LINGER_S + 0.5)
    truth = acknowledged.truth(PEOPLE, programme)
    assert acknowledged.unanswered == 1
    assert value(truth, "unique-attendees") == (20, 21)
    assert truth.can_peak({}, 21, programme.iso(EDGE + 60))


def test_a_join_without_an_answer_may_have_opened_a_view(acknowledged: Acknowledgements, programme: Programme) -> None:
    acknowledged.unanswered_view(20, 1, EDGE + 50)
    truth = acknowledged.truth(PEOPLE, programme)
    assert value(truth, "views") == (20, 21)
    assert value(truth, "unique-attendees") == (20, None)


def test_a_truth_says_its_bounds() -> None:
    assert str(Truth(20)) == "20"
    assert str(Truth(20, highest=21)) == "20 to 21"
    assert [Truth(20, highest=22).admits(each) for each in (19, 20, 22, 23, None)] == [False, True, True, False, False]
