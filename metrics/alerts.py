"""All alerts, and the two files that are made of them: the alerting rules, and promtool's tests of each."""

from collections.abc import Iterator
from typing import Any, Final

from metrics.alerts_carrying import OF_CARRYING
from metrics.alerts_ledger import OF_LEDGER
from metrics.alerts_objectives import OF_OBJECTIVES
from metrics.alerts_processes import OF_PROCESSES
from metrics.rule import Alert, Case
from metrics.rules import RULES_GROUP
from metrics.scraping import INTERVAL_S, RULE_FILES
from metrics.two_events import case_of, needed

GROUPS: Final = {
    "turnout-objectives": OF_OBJECTIVES,
    "turnout-processes": OF_PROCESSES,
    "turnout-carrying": OF_CARRYING,
    "turnout-ledger": OF_LEDGER,
}
ALERTS: Final = tuple(alert for group in GROUPS.values() for alert in group)


def alerts_yml() -> dict[str, Any]:
    """Return the alerting rules as Prometheus reads them."""
    return {"groups": [{"name": name, "rules": list(map(_rule, alerts))} for name, alerts in GROUPS.items()]}


def cases_yml() -> dict[str, Any]:
    """Return the tests as `promtool test rules` reads them."""
    every = f"{INTERVAL_S}s"
    tests = [
        {
            "name": f"{alert.name} {case.sentence}",
            "interval": every,
            "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        }
        | _expected(alert, case)
        for alert in ALERTS
        for case in (*alert.cases, *([case_of(alert)] if needed(alert) else []))
    ]
    order = [RULES_GROUP]  # what is recorded is asked in the same moment: promtool works groups off in any order else
    return {"rule_files": list(RULE_FILES), "evaluation_interval": every, "group_eval_order": order, "tests": tests}


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {"severity": str(alert.severity)},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": alert.runbook_url,
        },
    }


def _expected(alert: Alert, case: Case) -> dict[str, Any]:
    if not case.fires:
        # Not at its end only: it must never have fired up to then.
        fired = f'max_over_time(ALERTS{{alertname="{alert.name}",alertstate="firing"}}[1d])'
        return {"promql_expr_test": [{"expr": fired, "eval_time": case.at, "exp_samples": []}]}
    times = [{"alertname": alert.name, "eval_time": case.at, "exp_alerts": list(_fired(alert, case))}]
    if case.over_at:
        times.append({"alertname": alert.name, "eval_time": case.over_at, "exp_alerts": []})
    return {"alert_rule_test": times}


def _fired(alert: Alert, case: Case) -> Iterator[dict[str, Any]]:
    for one in case.fires:
        annotations = {"summary": alert.summary, "description": alert.said(one), "runbook_url": alert.runbook}
        yield {"exp_labels": {"severity": str(alert.severity), **one.labels}, "exp_annotations": annotations}
