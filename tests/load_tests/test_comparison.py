"""Certificate against truth: what passes, and that every kind of difference is found."""

from typing import Any

import pytest

from load_tests.acknowledged import AcceptedScan, Acknowledged
from load_tests.audience import Audience
from load_tests.comparison import TIME_RULES, cells, compare
from load_tests.ground_truth import Recount
from load_tests.scenario import REHEARSAL, Scenario, read_scenario


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return read_scenario(REHEARSAL)


@pytest.fixture(scope="module")
def recount(scenario: Scenario) -> Recount:
    """The truth of a replay in which everything that was planned was acknowledged."""
    plan, acknowledged = Audience(scenario).plan(), Acknowledged()
    for view in plan.views:
        acknowledged.views.append((view.joins_at, view.person, view.session))
        for at in range(view.joins_at, view.leaves_at, scenario.programme.interval_s):
            if view.state(at) != "a":
                acknowledged.beat(at, [view.person], [view.session])
    acknowledged.scans += [
        AcceptedScan(scan.person, scan.session, scan.gate, scan.nonce, scan.direction, scan.scanned_at)
        for scan in plan.scans
    ]
    return Recount(acknowledged, plan.people, scenario.programme)


def certificate_of(recount: Recount, scenario: Scenario) -> dict[str, Any]:
    """A certificate as it should be."""
    numbers = []
    for rule, scope in cells(scenario.programme, recount.attributes()):
        truth = recount.value(rule, scope)
        people = {key: value for key, value in scope.items() if key != "channel"}
        size = recount.value("unique-attendees-online", people).value if rule in TIME_RULES else truth.value
        number: dict[str, Any] = {"rule": rule, "scope": scope, "kind": "exact", "value": truth.value}
        if truth.at:
            number["at"] = truth.at
        if 0 < size < 10 and people:
            number |= {"value": None, "suppressed": True}
        numbers.append(number)
    return {"numbers": numbers}


def test_a_right_certificate_has_no_problem_and_some_cells_are_withheld(recount: Recount, scenario: Scenario) -> None:
    compared = compare(certificate_of(recount, scenario), recount, scenario.programme)
    assert [str(line) for line in compared if line.problem] == []
    assert any(line.suppressed for line in compared)
    assert len(compared) > 500


@pytest.mark.parametrize("rule", ["unique-attendees", "views", "hours-viewed", "peak-concurrent-attendees"])
def test_one_person_more_is_found(rule: str, recount: Recount, scenario: Scenario) -> None:
    certificate = certificate_of(recount, scenario)
    number = next(number for number in certificate["numbers"] if number["rule"] == rule)
    number["value"] += 1
    wrong = [line for line in compare(certificate, recount, scenario.programme) if line.problem]
    assert [(line.rule, line.scope) for line in wrong] == [(rule, number["scope"])]
    assert "but the truth is" in str(wrong[0])


def test_a_peak_at_another_time_a_missing_cell_and_a_cell_twice_are_found(recount: Recount, scenario: Scenario) -> None:
    certificate = certificate_of(recount, scenario)
    peak = next(number for number in certificate["numbers"] if number["rule"] == "peak-concurrent-attendees")
    peak["at"] = "2023-11-19T03:00:00+08:00"
    missing = next(number for number in certificate["numbers"] if number["rule"] == "daily-attendance-sum")
    certificate["numbers"].remove(missing)
    twice = next(number for number in certificate["numbers"] if number["rule"] == "views")
    certificate["numbers"].append(dict(twice))
    wrong = {line.rule: line.problem for line in compare(certificate, recount, scenario.programme) if line.problem}
    assert wrong.keys() == {"peak-concurrent-attendees", "daily-attendance-sum", "views"}
    assert wrong["daily-attendance-sum"].startswith("missing")
    assert wrong["views"] == "printed twice"


def test_withholding_a_cell_of_many_is_a_difference(recount: Recount, scenario: Scenario) -> None:
    certificate = certificate_of(recount, scenario)
    number = next(number for number in certificate["numbers"] if number["scope"] == {"country": "CN"})
    number |= {"value": None, "suppressed": True}
    (wrong,) = [line for line in compare(certificate, recount, scenario.programme) if line.problem]
    assert wrong.problem.startswith("suppressed, but the truth is")


def test_a_rule_or_a_session_that_the_truth_does_not_know_is_a_difference(recount: Recount, scenario: Scenario) -> None:
    certificate = certificate_of(recount, scenario)
    certificate["numbers"] += [
        {"rule": "crowd", "scope": {}, "kind": "exact", "value": 1},
        {"rule": "views", "scope": {"session": "nowhere"}, "kind": "exact", "value": 1},
        {"rule": "live-attendees", "scope": {}, "kind": "estimate", "value": 1},
    ]
    wrong = [line for line in compare(certificate, recount, scenario.programme) if line.problem]
    assert [line.rule for line in wrong] == ["crowd", "views"]
