"""What a real Prometheus gives that scrapes a running Turnout under load."""

from metrics import catalogue as m
from metrics.catalogue import Process
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
