"""What a real Prometheus gives that scrapes a running Turnout under load."""

from metrics import catalogue as m
from metrics.promql import Scope, one_of
from tests.metrics.live_convention import LiveConvention

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
