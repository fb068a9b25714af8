"""What a real Prometheus gives that scrapes a running Turnout under load."""

import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from metrics import catalogue as m
from metrics.catalogue import Process
from metrics.dashboards.files import DASHBOARDS
from metrics.preview.__main__ import CAPTION, main
from metrics.promql import Scope, one_of
from tests.metrics.live_convention import LiveConvention
from tests.metrics.panel_queries import PanelQuery, panel_queries

EVERYTHING = Scope("1m")


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
        value(live, EVERYTHING.of(m.WINDOW_EVENT_ATTENDEES, channel=by)) for by in m.WINDOW_CHANNELS
    )
    assert max(online, onsite) <= either <= online + onsite
    assert abs(value(live, EVERYTHING.of(m.WINDOW_EVENT_DIFFERENCE))) < 5
    assert value(live, EVERYTHING.of(m.LEDGER_GATEWAYS)) == 1


# Dashboards.


def numbers(live: LiveConvention, query: PanelQuery) -> list[float]:
    """What a query gives; a ratio of two zeros is no number."""
    return [number for one in live.instant(query.expression) if math.isfinite(number := float(one["value"][1]))]


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
