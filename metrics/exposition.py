"""From a snapshot of a process to the text that Prometheus scrapes.

A snapshot is a plain frozen value (metrics.gateway_snapshot, metrics.ledger_snapshot, metrics.witness_snapshot):
whoever knows the numbers fills it in, sums the counters over the worker processes and keeps the sums from falling when
a worker is replaced. This module adds nothing but names and order. It holds no state, no process-global registry and
no HTTP.

Counters with an outcome are exposed for every outcome from the start, at 0: a rate needs the series to exist before
its first increase. A label value outside its closed set is a fault of the caller and raises.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from metrics.catalogue import CATALOGUE, Kind, Label, Metric, Open
from metrics.readings import Durations, Reading, Snapshot

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The Prometheus text format, which every version of Prometheus reads. Written out because the name of
prometheus_client's own constant for it changes between the versions that we allow."""


class UnknownLabelError(ValueError):
    """A snapshot names a label value that is not in the metric's closed set."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The closed sets that the catalogue leaves open until a process starts.

    `sessions` are the ids of the event's sessions; `refusals` the labels of every reason for saying no; `witnesses` the
    names of the event's witnesses; `workers` the places of the gateway's workers; `countries` those that attendees are
    counted by.
    """

    sessions: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()

    def values(self, label: Label) -> tuple[str, ...] | None:
        """Return every value that a label may have; None: the one that says what the process is."""
        match label.more:
            case Open.IDENTITY:
                return None
            case Open.SESSIONS:
                more = self.sessions
            case Open.REFUSALS:
                more = self.refusals
            case Open.WITNESSES:
                more = self.witnesses
            case Open.WORKERS:
                more = self.workers
            case Open.COUNTRIES:
                more = self.countries
            case None:
                more = ()
        return (*label.values, *more)


def render(snapshot: Snapshot, vocabulary: Vocabulary, *, process: bool = False) -> tuple[bytes, str]:
    """Return the exposition of a snapshot and its content type.

    Args:
        snapshot: what is known.
        vocabulary: the closed sets of the labels.
        process: whether to add what the system says of this process (metrics.catalogue.OF_PROCESS).

    Raises:
        UnknownLabelError: the snapshot names an outcome or a session outside the closed sets.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(snapshot, vocabulary))
    if process:
        ProcessCollector(registry=registry)
    return generate_latest(registry), CONTENT_TYPE


class SnapshotCollector(Collector):
    """Yields the metric families of one snapshot, in the catalogue's order."""

    def __init__(self, snapshot: Snapshot, vocabulary: Vocabulary) -> None:
        self._snapshot = snapshot
        self._vocabulary = vocabulary

    def collect(self) -> Iterator[Family]:
        """Yield every family that the catalogue declares for this process.

        Raises:
            UnknownLabelError: the snapshot names an outcome or a session outside the closed sets.
        """
        readings = {metric.name: reading for metric, reading in self._snapshot.readings()}
        for metric in CATALOGUE:
            if self._snapshot.process in metric.processes:
                yield self._family(metric, readings[metric.name])

    def _family(self, metric: Metric, reading: Reading) -> Family:
        # prometheus_client names a counter's family without "_total" and its samples with it.
        name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
        family = Family(name, metric.help, metric.kind.value)
        for values, known in self._by_labels(metric, reading).items():
            labels = dict(zip((label.name for label in metric.labels), values, strict=True))
            if isinstance(known, Durations):
                _add_histogram(family, metric, labels, known)
            else:
                family.add_sample(metric.name, labels, known)
        return family

    def _by_labels(self, metric: Metric, reading: Reading) -> dict[tuple[str, ...], float | Durations]:
        """Return the samples by the values of the metric's labels."""
        if reading is None:
            return {}
        if not isinstance(reading, Mapping):
            return {(): reading}
        closed = [self._vocabulary.values(label) for label in metric.labels]
        known = {(key,) if isinstance(key, str) else key: number for key, number in reading.items()}
        for values in sorted(known):
            for label, value, allowed in zip(metric.labels, values, closed, strict=True):
                if allowed is not None and value not in allowed:
                    raise UnknownLabelError(f"{metric.name}: {label.name}={value!r} is not in the closed set")
        from_the_start = metric.kind is Kind.COUNTER and not metric.sparse
        numbers = dict.fromkeys(product(*(values or () for values in closed)), 0.0) if from_the_start else {}
        return numbers | {values: number for values, number in known.items() if number is not None}


def _add_histogram(family: Family, metric: Metric, labels: dict[str, str], durations: Durations) -> None:
    if durations.bounds != metric.buckets:
        raise ValueError(f"{metric.name}: these durations were counted by other buckets")
    up_to = list(accumulate(durations.counts))
    for bound, count in zip((*map(str, durations.bounds), "+Inf"), up_to, strict=True):
        family.add_sample(f"{metric.name}_bucket", labels | {"le": bound}, count)
    family.add_sample(f"{metric.name}_count", labels, up_to[-1])
    family.add_sample(f"{metric.name}_sum", labels, durations.sum_s)
