"""Every alert fires when it should, says what it should, and stays quiet when it should: promtool says so.

The cases stand beside the alerts; here they are run, counted, and seen to fail. `promtool test rules
deploy/prometheus/turnout.tests.yml` runs the same against the files that are deployed. Here each group of alerts has a
Prometheus without the other groups' rules, which takes a sixth of the time.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.reasons import Reason
from metrics.alerts import ALERTS, GROUPS, alerts_yml, cases_yml
from metrics.objectives import BURNS, EVENT_OPEN_H, OBJECTIVES
from metrics.rule import RUNBOOKS, RUNBOOKS_LABEL, Alert, Recording
from metrics.rule_queries import DOORS_OPEN, OUR_FAULTS
from metrics.rules import RECORDINGS, RULES_GROUP, rules_yml
from metrics.scraping import RULE_FILES
from metrics.yaml_text import to_yaml

Needed = Callable[[str], str]
Rules = list[dict[str, Any]]

SUBJECTS = {
    **{name: alerts for name, alerts in GROUPS.items() if name != "turnout-objectives"},
    **{
        each.name: tuple(alert for alert in GROUPS["turnout-objectives"] if each.name in alert.expression)
        for each in OBJECTIVES
    },
}
"""The alerts in parts that need only some of the recording rules."""


def part(alerts: tuple[Alert, ...]) -> tuple[Rules, Rules, Rules]:
    """The recording rules, alerting rules and tests of some alerts."""
    names = {alert.name for alert in alerts}
    text = " ".join(alert.expression for alert in alerts)
    recordings = [
        rule
        for rule in rules_yml()["groups"][0]["rules"]
        if rule["record"] == DOORS_OPEN or rule.get("labels", {}).get("slo", "no objective") in text
    ]
    rules = [rule for group in alerts_yml()["groups"] for rule in group["rules"] if rule["alert"] in names]
    return recordings, rules, [test for test in cases_yml()["tests"] if test["name"].split()[0] in names]


def promtool_test(program: str, folder: Path, recordings: Rules, rules: Rules, tests: Rules) -> str:
    """What promtool says of tests that fail; "" if none does."""
    for name, group, some in zip(RULE_FILES, (RULES_GROUP, "part"), (recordings, rules), strict=True):
        (folder / name).write_text(to_yaml({"groups": [{"name": group, "rules": some}]}))
    (folder / "part.tests.yml").write_text(to_yaml(cases_yml() | {"tests": tests}))
    done = subprocess.run(
        [program, "test", "rules", "part.tests.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_alert_fires_and_stays_quiet_as_its_cases_say(needed: Needed, tmp_path: Path, subject: str) -> None:
    assert promtool_test(needed("promtool"), tmp_path, *part(SUBJECTS[subject])) == ""


def test_no_case_is_left_out() -> None:
    run = [test["name"] for alerts in SUBJECTS.values() for test in part(alerts)[2]]
    assert sorted(run) == sorted(test["name"] for test in cases_yml()["tests"])
    assert len(set(run)) == len(run) >= 2 * len(ALERTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_a_case_of_firing_and_one_of_staying_quiet(alert: Alert) -> None:
    assert list(unproven(alert)) == []


def unproven(alert: Alert) -> Iterator[str]:
    for words, fires in (("fires when ", True), ("stays quiet ", False)):
        if not any(case.sentence.startswith(words) for case in alert.cases):
            yield f"no case {words!r}"
        for case in alert.cases:
            if case.sentence.startswith(words) and bool(case.fires) is not fires:
                yield f"{case.sentence!r} does not"


def test_an_alert_without_a_case_is_found() -> None:
    some = ALERTS[0]
    for cases in ((), some.cases[:1], some.cases[-1:]):
        changed = Alert(some.name, some.expression, "0s", some.severity, some.summary, some.description, cases)
        assert list(unproven(changed))


@pytest.mark.parametrize("fires", [True, False])
def test_a_case_can_fail(needed: Needed, tmp_path: Path, fires: bool) -> None:
    _, rules, tests = part(SUBJECTS["live_fresh"])
    wrong = [rule | {"expr": "vector(1)" if fires else "vector(1) == 2", "for": "0s"} for rule in rules]
    at_fault = [test for test in tests if ("promql_expr_test" in test) is fires]
    said = promtool_test(needed("promtool"), tmp_path, [], wrong, at_fault)
    assert said.count('expr: "max_over_time(ALERTS' if fires else "alertname: Turnout") == len(at_fault) > 2, said


def test_an_alerts_link_leads_to_the_page_that_prometheus_was_told_of(needed: Needed, tmp_path: Path) -> None:
    """Without it, as in all other cases, to the page in this repository."""
    (alert,) = (alert for alert in ALERTS if alert.name == "TurnoutSimulated")
    recordings, rules, (test, *_) = part((alert,))
    page = "https://wiki.example/runbooks"
    told = json.loads(json.dumps(test).replace(RUNBOOKS, page)) | {"external_labels": {RUNBOOKS_LABEL: page}}
    assert f"{page}#turnoutsimulated" in json.dumps(told)
    assert promtool_test(needed("promtool"), tmp_path, recordings, rules, [told]) == ""


AGGREGATIONS = re.compile(r"\b(?:sum|min|max|avg|count|group|topk|quantile)\b(?! by \((?:le, )?event[,)])")
MATCHES = re.compile(r"\b(?:on|ignoring) \((?!event[,)])[^)]*\)|\babsent")


@pytest.mark.parametrize("rule", [*ALERTS, *RECORDINGS], ids=lambda rule: rule.name)
def test_no_rule_mixes_the_events_that_one_prometheus_watches(rule: Alert | Recording) -> None:
    mixed = [*AGGREGATIONS.findall(rule.expression), *MATCHES.findall(rule.expression)]
    # Witnesses belong to no event: one of ours is missed while anybody's doors are open.
    assert mixed == (["on ()"] if rule.name == "TurnoutWitnessDown" else [])


def test_a_rule_that_mixes_events_is_found() -> None:
    for faulty in ("sum(a)", "max by (instance) (a)", "histogram_quantile(0.9, sum by (le) (a))"):
        assert AGGREGATIONS.search(faulty), faulty
    for faulty in ("a and on () b", "a or on (instance) b", "absent(a)"):
        assert MATCHES.search(faulty), faulty


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_is_named_and_worded_as_a_person_needs_it(alert: Alert) -> None:
    assert re.fullmatch(r"Turnout([A-Z][a-z]+)+", alert.name)
    assert "{{" not in alert.summary
    assert not alert.summary.endswith(".")
    assert alert.description.endswith(".")
    assert len(alert.summary) <= 70


def test_a_value_that_is_not_a_whole_number_is_humanised() -> None:
    bare = {alert.name for alert in ALERTS if re.search(r"\{\{ \$value \}\}", alert.description)}
    assert bare == {"TurnoutLedgerNotSealing", "TurnoutGatewaySilent", "TurnoutWindowsWithGaps"}


def test_no_two_alerts_have_one_name() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def test_recorded_names_are_level_metric_operations() -> None:
    for rule in RECORDINGS:
        assert re.fullmatch(r"(event|slo):[a-z_]+:[a-z0-9_]+", rule.name), rule


def test_what_counts_as_our_fault_is_every_refusal_of_a_heartbeat_or_join_from_500_up() -> None:
    assert set(OUR_FAULTS) == {reason.label for reason in Reason if reason.status >= 500} - {"report_unavailable"}


def test_a_burn_rate_spends_its_share_of_the_event_in_its_window() -> None:
    assert [burn.rate for burn in BURNS] == [18, 6, 3]
    for burn in BURNS:
        assert burn.rate * burn.long_m / (EVENT_OPEN_H * 60) == pytest.approx(float(burn.share))


WRONG_RULES: dict[str, dict[str, Any]] = {
    "an expression that is no PromQL": {"alert": "A", "expr": "sum(up"},
    "a function that there is not": {"alert": "A", "expr": "twice(up)"},
    "a label that cannot be": {"record": "a:b:c", "expr": "up", "labels": {"a-b": "c"}},
    "a template that cannot be read": {"alert": "A", "expr": "up", "annotations": {"description": "{{ $value"}},
    "a template function that there is not": {"alert": "A", "expr": "up", "annotations": {"d": "{{ $value | human }}"}},
    "a time that is none": {"alert": "A", "expr": "up", "for": "soon"},
    "a rule that is neither": {"expr": "up"},
    "a word that it does not know": {"alert": "A", "expr": "up", "fore": "1m"},
}


@pytest.mark.parametrize("what", WRONG_RULES)
def test_promtool_refuses_wrong_rules(needed: Needed, tmp_path: Path, what: str) -> None:
    program = needed("promtool")

    def refused(rule: dict[str, Any]) -> bool:
        file = tmp_path / "rules.yml"
        file.write_text(to_yaml({"groups": [{"name": "g", "rules": [rule]}]}))
        return subprocess.run([program, "check", "rules", file], capture_output=True, check=False).returncode != 0

    assert refused(WRONG_RULES[what])
    assert not refused({"alert": "A", "expr": "up == 0"})
