"""deploy/prometheus/alertmanager.yml names severities and alerts that there are, and has a way for each of them.

That Alertmanager itself takes it is not shown: neither it nor amtool was at hand.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from metrics.alerts import ALERTS
from metrics.rule import Severity

FILE = Path(__file__).parents[2] / "deploy" / "prometheus" / "alertmanager.yml"
TEXT = FILE.read_text(encoding="utf-8")
MATCHER = re.compile(r'(severity|alertname)(=~|=)"([^"]+)"')


def matched(matchers: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (label, value) of everything that matchers name; fails on one that is none."""
    for matcher in matchers:
        found = MATCHER.fullmatch(matcher)
        assert found, matcher
        for value in found[3].split("|") if found[2] == "=~" else [found[3]]:
            yield found[1], value


def faults(text: str) -> Iterator[str]:
    file: dict[str, Any] = yaml.safe_load(text)
    known = {"alertname": {alert.name for alert in ALERTS}, "severity": {str(each) for each in Severity}}
    routes = file["route"]["routes"]
    lists = [route["matchers"] for route in routes]
    lists += [rule[end] for rule in file["inhibit_rules"] for end in ("source_matchers", "target_matchers")]
    named = [one for matchers in lists for one in matched(matchers)]
    yield from (f"no {label} {value}" for label, value in named if value not in known[label])
    routed = {value for route in routes for label, value in matched(route["matchers"]) if label == "severity"}
    yield from (f"{severity} goes nowhere" for severity in sorted(known["severity"] - routed))
    receivers = {receiver["name"] for receiver in file["receivers"]}
    yield from (f"no receiver {r['receiver']}" for r in (file["route"], *routes) if r["receiver"] not in receivers)


def test_every_severity_has_a_way_and_every_name_is_an_alert() -> None:
    assert list(faults(TEXT)) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("TurnoutSpoolWaits", "TurnoutSpoolStays"),
        ('"TurnoutLedgerDown"', '"TurnoutLedgerAway"'),
        ('severity="ticket"', 'severity="tickets"'),
        ("name: page", "name: phone"),
    ],
)
def test_a_name_that_there_is_not_is_found(right: str, wrong: str) -> None:
    assert right in TEXT
    assert list(faults(TEXT.replace(right, wrong)))


def test_nobody_is_told_until_somebody_says_whom() -> None:
    addresses = [each["url"] for one in yaml.safe_load(TEXT)["receivers"] for each in one["webhook_configs"]]
    assert addresses == ["FILL IN"] * 2  # no URL, which is what Alertmanager refuses
