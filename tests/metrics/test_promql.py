"""Expressions name only what the catalogue knows; everything else is refused when it is declared."""

import re
from collections.abc import Callable

import pytest

from metrics import catalogue as m
from metrics import queries
from metrics.promql import Like, PromqlError, Query, Scope, largest, none_of, one_of, summed_rate

RULE = Scope("5m")
PANEL = Scope("$__rate_interval", "$instance")


def test_the_same_expression_serves_a_rule_and_a_panel() -> None:
    refused = summed_rate(m.JOINS, "outcome", outcome=none_of(*m.ACCEPTED))
    assert refused(RULE) == 'sum by (outcome) (rate(turnout_joins_total{outcome!="accepted"}[5m]))'
    assert refused(PANEL) == (
        'sum by (outcome) (rate(turnout_joins_total{instance=~"$instance",outcome!="accepted"}[$__rate_interval]))'
    )


def test_a_histogram_is_asked_for_its_count_its_buckets_and_its_quantiles() -> None:
    assert RULE.rate(m.REDIS_FLUSH) == "rate(turnout_redis_flush_seconds_count[5m])"
    assert RULE.buckets(m.REDIS_FLUSH) == "sum by (le) (rate(turnout_redis_flush_seconds_bucket[5m]))"
    assert RULE.within("0.1", m.REDIS_FLUSH) == (
        'sum(rate(turnout_redis_flush_seconds_bucket{le="0.1"}[5m])) / sum(rate(turnout_redis_flush_seconds_count[5m]))'
    )
    assert RULE.quantile(0.99, m.REDIS_FLUSH) == (
        "histogram_quantile(0.99, sum by (le) (rate(turnout_redis_flush_seconds_bucket[5m])))"
    )


def test_matchers_say_one_several_none_or_a_pattern() -> None:
    assert RULE.of(m.HEARTBEATS, outcome="playing") == 'turnout_heartbeats_total{outcome="playing"}'
    assert RULE.of(m.HEARTBEATS, outcome=one_of("a", "b")) == 'turnout_heartbeats_total{outcome=~"a|b"}'
    assert RULE.of(m.HEARTBEATS, outcome=none_of("a", "b")) == 'turnout_heartbeats_total{outcome!~"a|b"}'
    assert RULE.of(m.HEARTBEATS, outcome=Like("ticket_.*")) == 'turnout_heartbeats_total{outcome=~"ticket_.*"}'


@pytest.mark.parametrize(
    ("faulty", "words"),
    [
        (lambda: largest(m.SPOOL, "session"), "has no label session"),
        (lambda: largest(m.SPOOL, session="opening"), "has no label session"),
        (lambda: summed_rate(m.HANDOVERS, outcome="accpeted"), "has no outcome accpeted"),
        (lambda: summed_rate(m.SPOOL), "is a gauge"),
        (lambda: largest(m.REDIS_FLUSH), "is a histogram"),
        (lambda: Query(lambda of: of.quantile(0.5, m.SPOOL)), "is no histogram"),
        (lambda: Query(lambda of: of.buckets(m.JOINS)), "is no histogram"),
    ],
)
def test_what_the_catalogue_does_not_know_is_refused_where_it_is_declared(
    faulty: Callable[[], Query], words: str
) -> None:
    with pytest.raises(PromqlError, match=words):
        faulty()


def test_every_named_expression_keeps_to_the_instances_that_it_is_asked_about() -> None:
    named = {name: value for name, value in vars(queries).items() if isinstance(value, Query)}
    assert len(named) > 30
    for name, query in named.items():
        expression = query(PANEL)
        assert len(re.findall(r"\b(?:turnout|process)_", expression)) == expression.count('{instance=~"$instance"'), (
            f"{name}: {expression}"
        )
