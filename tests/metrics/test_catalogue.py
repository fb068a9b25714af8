"""The catalogue keeps to Prometheus' rules of naming and says nothing about one viewer."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.reasons import Reason
from metrics import catalogue
from metrics.catalogue import CATALOGUE, OF_PROCESS, Kind, Label, Metric, Open, Process
from metrics.generate import page

ALLOWED_LABELS = {
    "outcome", "session", "channel", "version", "event", "simulated", "witness", "worker", "route", "code", "country",
}  # fmt: skip
"""Whoever adds a label here has thought about whether it can point at one person."""

BASE_UNITS = ("seconds", "bytes", "ratio", "celsius", "meters")
OTHER_UNITS = re.compile(
    r"_(ms|us|ns|millis\w*|micros\w*|minutes?|hours?|days?|kb|mb|kilobytes|megabytes|percent)(_|$)"
)


RULES: tuple[tuple[str, Callable[[Metric], object]], ...] = (
    ("the name is not lower-case words after 'turnout'", lambda m: not re.fullmatch(r"turnout(_[a-z]+)+", m.name)),
    ("exactly counters end in _total", lambda m: (m.kind is Kind.COUNTER) != m.name.endswith("_total")),
    ("the ending belongs to histograms", lambda m: re.search(r"_(count|sum|bucket|created)$", stem(m))),
    ("a unit that is not a base unit", lambda m: OTHER_UNITS.search(stem(m))),
    ("the unit that ends the name is not the declared one", lambda m: unit_in(stem(m)) != m.unit),
    ("exactly histograms have buckets, ascending", lambda m: not ascending(m)),
    ("the help is not a sentence", lambda m: not re.fullmatch(r"[A-Z0-9].*\.", m.help)),
    ("nobody exposes it", lambda m: not m.processes),
    ("a label is not known to be harmless", lambda m: {label.name for label in m.labels} - ALLOWED_LABELS),
    ("a label has no closed set of values", lambda m: any(not la.values and la.more is None for la in m.labels)),
)
"""What must not be true of a metric, after prometheus.io/docs/practices/naming."""


def stem(metric: Metric) -> str:
    return metric.name.removesuffix("_total")


def ascending(metric: Metric) -> bool:
    """Whether a metric's buckets are as its kind demands."""
    ordered = list(metric.buckets) == sorted(set(metric.buckets))
    return ordered and bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)


def unit_in(name: str) -> str:
    last = name.rpartition("_")[2]
    return last if last in BASE_UNITS else ""


def faults(metric: Metric) -> list[str]:
    return [fault for fault, is_at_fault in RULES if is_at_fault(metric)]


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_every_metric_keeps_to_the_rules_of_naming(metric: Metric) -> None:
    assert faults(metric) == []


@pytest.mark.parametrize(
    ("name", "kind", "labels", "unit"),
    [
        ("heartbeats_total", Kind.COUNTER, (), ""),
        ("turnout_heartbeats", Kind.COUNTER, (), ""),
        ("turnout_workers_total", Kind.GAUGE, (), ""),
        ("turnout_lag_ms", Kind.GAUGE, (), ""),
        ("turnout_lag", Kind.GAUGE, (), "seconds"),
        ("turnout_lag_seconds", Kind.GAUGE, (), ""),
        ("turnout_beats_count", Kind.GAUGE, (), ""),
        ("turnout_joins_total", Kind.COUNTER, (Label("seat", ("1",)),), ""),
        ("turnout_joins_total", Kind.COUNTER, (Label("outcome"),), ""),
    ],
)
def test_a_metric_against_the_rules_is_found(name: str, kind: Kind, labels: tuple[Label, ...], unit: str) -> None:
    assert faults(Metric(name, kind, "A sentence.", (Process.GATEWAY,), labels, unit))


@pytest.mark.parametrize(
    ("kind", "buckets"), [(Kind.HISTOGRAM, ()), (Kind.HISTOGRAM, (2.0, 1.0)), (Kind.GAUGE, (1.0,))]
)
def test_buckets_belong_to_histograms_and_ascend(kind: Kind, buckets: tuple[float, ...]) -> None:
    assert faults(Metric("turnout_lag", kind, "A sentence.", (Process.GATEWAY,), buckets=buckets))


def test_every_declaration_is_in_the_catalogue_and_can_be_imported_by_name() -> None:
    declared = {value for value in vars(catalogue).values() if isinstance(value, Metric)}
    assert declared == {*CATALOGUE, *OF_PROCESS}
    assert all(name in vars(catalogue) for name in catalogue.__all__)


def test_no_metric_is_declared_twice() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)


def test_no_label_value_is_repeated_within_its_set() -> None:
    for metric in CATALOGUE:
        for label in metric.labels:
            assert len(set(label.values)) == len(label.values), metric.name


def test_the_outcomes_and_the_refusals_of_the_gateway_do_not_overlap() -> None:
    refusals = {reason.label for reason in Reason}
    for metric in CATALOGUE:
        for label in metric.labels:
            if label.more is Open.REFUSALS:
                assert refusals.isdisjoint(label.values), metric.name


def test_the_page_is_what_the_catalogue_generates() -> None:
    checked_in = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert checked_in.read_text(encoding="utf-8") == page(), "run `make generate`"
