"""What a real Prometheus gives that scrapes a running Turnout under load."""

import contextlib
import json
import math
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from deploy.embedded_redis import socket_path
from metrics import catalogue as m
from metrics.alerts import ALERTS
from metrics.catalogue import Process
from metrics.dashboards.collection import DASHBOARDS
from metrics.preview.__main__ import CAPTION, main
from metrics.promql import Scope, one_of
from metrics.rule import RUNBOOKS
from metrics.rules import RECORDINGS
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import until
from tests.metrics.live_convention import LiveConvention
from tests.metrics.panel_queries import PanelQuery, panel_queries

EVERYTHING = Scope("1m")
RUNBOOK = (Path(__file__).parents[2] / RUNBOOKS).read_text(encoding="utf-8")


def value(live: LiveConvention, expression: str) -> float:
    (series,) = live.instant(expression)
    return float(series["value"][1])


def test_every_process_is_scraped_by_the_configuration_that_is_deployed(live: LiveConvention) -> None:
    assert value(live, "count(up == 1)") == 3


def test_what_the_players_and_scanners_were_answered_is_what_prometheus_counts(live: LiveConvention) -> None:
    accepted = EVERYTHING.of(m.HEARTBEATS, outcome=one_of(*m.HEARTBEAT_OUTCOMES))
    assert value(live, f"sum({accepted})") == live.totals.heartbeats > 1000
    assert value(live, EVERYTHING.of(m.JOINS, outcome="accepted")) == live.totals.joins
    assert value(live, EVERYTHING.of(m.CHECKINS, outcome="accepted")) == live.totals.scans
    assert value(live, EVERYTHING.of(m.LEAVES)) == live.totals.leaves


def test_ledger_and_witness_say_everything_that_the_catalogue_declares_for_them(live: LiveConvention) -> None:
    of_theirs = [metric for metric in m.CATALOGUE if Process.GATEWAY not in metric.processes]
    assert len(of_theirs) > 30
    names = {f"{metric.name}_count" if metric.kind is m.Kind.HISTOGRAM else metric.name for metric in of_theirs}
    said = {series["metric"]["__name__"] for series in live.instant('{__name__=~"turnout_(ledger|window|witness)_.+"}')}
    # The rehearsal has no timestamp authority; all else has something to say.
    assert names - said == set()


def test_the_newest_window_is_what_the_audience_was(live: LiveConvention) -> None:
    online, onsite, either = (
        value(live, EVERYTHING.of(m.WINDOW_EVENT_ATTENDEES, channel=by)) for by in m.PEOPLE_CHANNELS
    )
    assert max(online, onsite) <= either <= online + onsite
    assert abs(value(live, EVERYTHING.of(m.WINDOW_EVENT_DIFFERENCE))) < 5
    assert value(live, EVERYTHING.of(m.LEDGER_GATEWAYS)) == 1


# Dashboards.


def numbers(live: LiveConvention, query: PanelQuery) -> list[float]:
    """What a query gives; a ratio of two zeros is no number."""
    return [number for one in live.instant(query.expression) if math.isfinite(number := float(one["value"][1]))]


def test_every_query_of_every_panel_and_variable_returns_data(live: LiveConvention) -> None:
    queries = list(panel_queries(DASHBOARDS, live.event, rate="30s", reach="5m"))
    empty = {(query.panel, query.expression) for query in queries if not query.only_when and not numbers(live, query)}
    assert empty == set()


def test_what_a_panel_says_it_needs_is_what_is_missing_here(live: LiveConvention) -> None:
    """A panel that returns data without what it needs must not claim to need it."""
    waiting = [query for query in panel_queries(DASHBOARDS, live.event) if query.only_when]
    assert len(waiting) == 1
    assert [query.panel for query in waiting if numbers(live, query)] == []


def test_a_query_that_asks_for_what_there_is_not_has_no_data(live: LiveConvention) -> None:
    unknown = PanelQuery("turnout-event", "Known to be bad?", 'max(turnout_workers{instance="nowhere"})', "")
    assert numbers(live, unknown) == []
    assert numbers(live, PanelQuery("turnout-event", "Nothing by nothing?", "vector(0) / 0", "")) == []
    with pytest.raises(AssertionError, match="unknown function"):
        live.instant("sort_by_label(turnout_workers, 'instance')")


def test_pictures_of_the_dashboards_are_drawn_and_say_that_this_event_is_simulated(
    live: LiveConvention, tmp_path: Path
) -> None:
    command = [str(tmp_path), "--prometheus", live.prometheus.url, "--event", live.event, "--minutes", "0.5"]
    drawn = CliRunner().invoke(main, [*command, "--until", str(live.at_s), "--scrape-s", "1"])
    assert drawn.exit_code == 0, drawn.output
    for dashboard in DASHBOARDS:
        picture = ET.parse(tmp_path / f"{dashboard.uid}.svg")  # noqa: S314 - our own
        said = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert {"SIMULATED", live.event, CAPTION} <= set(said)
        assert "REAL" not in said
        assert len({panel.title for panel in dashboard.panels} & set(said)) > len(dashboard.panels) * 0.8


# Rules and alerts.


def rules(live: LiveConvention) -> list[dict[str, Any]]:
    """Every rule as Prometheus has it, once each has been evaluated."""

    def found() -> list[dict[str, Any]]:
        return [rule for group in live.prometheus.get("rules")["groups"] for rule in group["rules"]]

    until(lambda: all(rule["health"] != "unknown" for rule in found()), "every rule has been evaluated")
    return found()


def now(live: LiveConvention, expression: str) -> list[dict[str, Any]]:
    """What is recorded a moment after it was scraped."""
    return live.prometheus.instant(expression, time.time())


def test_prometheus_takes_every_rule_and_evaluates_it_without_a_fault(live: LiveConvention) -> None:
    loaded = rules(live)
    assert {rule["name"] for rule in loaded} == {alert.name for alert in ALERTS} | {each.name for each in RECORDINGS}
    assert [(rule["name"], rule.get("lastError")) for rule in loaded if rule["health"] != "ok"] == []


def test_every_recording_rule_has_data(live: LiveConvention) -> None:
    for recording in RECORDINGS:
        labels = ",".join(f'{name}="{of}"' for name, of in recording.labels.items())
        until(lambda: now(live, f"{recording.name}{{{labels}}} >= 0") != [], recording.name)  # noqa: B023 - called here


def test_every_metric_that_an_alert_looks_at_is_there(live: LiveConvention) -> None:
    names = {name for alert in ALERTS for name in re.findall(r"turnout_[a-z_]+", alert.expression)}
    # No clock is measured on a simulated one.
    assert {name for name in names if not live.instant(name)} == {m.CLOCK_OFFSET.name}


def test_where_nothing_is_wrong_no_alert_fires_but_that_the_clock_is_simulated(live: LiveConvention) -> None:
    """On a busy machine what the load left behind is worked off first: a slow flush is seen for a minute."""
    seen: dict[str, list[str]] = {}

    def only_simulated() -> bool:
        seen["firing"] = [each["metric"]["alertname"] for each in now(live, 'ALERTS{alertstate="firing"}')]
        seen["true"] = [alert.name for alert in ALERTS if now(live, alert.expression)]
        return all(names == ["TurnoutSimulated"] for names in seen.values())

    with contextlib.suppress(AssertionError):
        until(only_simulated, "nothing else", CERTAIN_S)
    assert seen == {"firing": ["TurnoutSimulated"], "true": ["TurnoutSimulated"]}


def test_a_redis_that_takes_nothing_is_an_alert_which_is_over_when_it_does(live: LiveConvention) -> None:
    def alerts() -> dict[str, str]:
        found = live.prometheus.get("alerts")["alerts"]
        return {each["annotations"]["description"]: each["state"] for each in found if "Stale" in str(each["labels"])}

    redis = socket_path(live.data / "redis")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(redis))
        connection.sendall(b"CLIENT PAUSE 60000 WRITE\r\n")
        try:
            until(lambda: "firing" in alerts().values(), "an alert fires")
            assert all("has shown the same live numbers" in said for said in alerts())
        finally:
            connection.sendall(b"CLIENT UNPAUSE\r\n")
    until(lambda: not alerts(), "the alert is over")


def test_every_query_of_the_runbooks_is_understood(live: LiveConvention) -> None:
    queries = re.findall(r"^ *```promql\n(.+?)\n *```", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    assert len(queries) > 20
    for query in queries:
        live.instant(query.strip())
    assert live.instant("slo:budget_spent:ratio3d")


def test_every_call_of_curl_in_the_runbooks_is_answered(live: LiveConvention, needed: Callable[[str], str]) -> None:
    up = json.loads((live.data / "up.json").read_text())
    stand_ins = {
        "http://gateway-1:9464": up["metrics"].removesuffix("/metrics"),
        "http://ledger:9465": up["ledger_metrics"].removesuffix("/metrics"),
        "http://ledger:8081": up["ledger"],
        "https://events.example": up["gateway"],
    }
    calls = set(re.findall(r"`curl ([^`]+)`", RUNBOOK))
    assert len(calls) >= 5
    for call in calls:
        for written, stand_in in stand_ins.items():
            call = call.replace(written, stand_in)  # noqa: PLW2901 - the same call with an address that there is
        done = subprocess.run(
            [needed("curl"), *shlex.split(call)], capture_output=True, text=True, check=False, timeout=CERTAIN_S
        )
        assert (done.returncode, done.stdout in ("ok\n", "ready\n", "200\n")) == (0, True), (call, done)
