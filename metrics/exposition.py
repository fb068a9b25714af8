"""From a snapshot of a process to the text that Prometheus scrapes.

A snapshot is a plain frozen value: whoever knows the numbers fills it in, sums the counters over the worker processes
and keeps the sums from falling when a worker is replaced. This module adds nothing but names and order. It holds no
state, no process-global registry and no HTTP.

Counters with an outcome are exposed for every outcome from the start, at 0: a rate needs the series to exist before
its first increase. A label value outside its closed set is a fault of the caller and raises.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from metrics import catalogue
from metrics.catalogue import FLUSH_BUCKETS_S, Kind, Metric, Open

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The Prometheus text format, which every version of Prometheus reads. Written out because the name of
prometheus_client's own constant for it changes between the versions that we allow."""

WHOLE_EVENT: Final = ""
"""The key that means the event in a mapping by session, as in a window's leaf."""


class UnknownLabelError(ValueError):
    """A snapshot names a label value that is not in the metric's closed set."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The closed sets that the catalogue leaves open until a process starts.

    `sessions` are the ids of the event's sessions; `refusals` the labels of every reason for saying no; `witnesses` the
    names of the event's witnesses.
    """

    sessions: tuple[str, ...]
    refusals: tuple[str, ...]
    witnesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took, as counts per bucket of FLUSH_BUCKETS_S (the last count is above the last bound)."""

    counts: tuple[int, ...] = (0,) * (len(FLUSH_BUCKETS_S) + 1)
    sum_s: float = 0.0

    def observed(self, seconds: float) -> "Durations":
        """Return these durations and one more."""
        at = bisect_left(FLUSH_BUCKETS_S, seconds)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Durations(counts, self.sum_s + seconds)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process is: version of the software, id of the event, and whether its clock is simulated."""

    version: str
    event: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class GatewaySnapshot:
    """One gateway at one moment, summed over its workers.

    The counters (`heartbeats`, `joins`, `checkins` and `handovers` by outcome, `leaves`, what the door handed over or
    had to read, `redis_flush`, `redis_flush_failures`, `registry_failures`) never fall, not even when a worker is
    replaced. Mappings by session use the session's id, and "" for the whole event. None means not known yet; the
    metric then has no sample.
    """

    identity: Identity
    workers: int
    heartbeats: Mapping[str, int]
    joins: Mapping[str, int]
    checkins: Mapping[str, int]
    leaves: int
    handed_over_connections: int
    handed_over_heartbeats: int
    heads_read: int
    live_attendees: Mapping[str, int]
    live_views: Mapping[str, int]
    interval_s: int
    revoked: int
    live_span_s: float
    live_age_s: float | None
    live_stale: bool
    redis_flush: Durations
    redis_flush_failures: int
    registry_failures: int
    seats_leased: int
    clock_offset_s: float | None
    spool_bytes: int
    spool_oldest_s: float
    handovers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """The ledger at one moment.

    Times are unix seconds of the event's clock. `window_attendees` is what the newest window leaf publishes, by
    session id and "" for the whole event, None where the leaf suppresses it. `cosignings` are by witness and outcome.
    Other Nones: nothing sealed or signed yet.
    """

    identity: Identity
    size: int
    sealed_window_s: float | None
    seal_lag_s: float | None
    checkpoint_s: float | None
    set_back: bool
    missing_workers: int
    window_attendees: Mapping[str, int | None]
    withheld: int = 0
    witnesses: int = 0
    cosignings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    timestamps: Mapping[str, int] = field(default_factory=dict)  # by outcome


@dataclass(frozen=True, slots=True)
class WitnessSnapshot:
    """A witness at one moment; `cosigned_s` is unix seconds, None = nothing cosigned since its start."""

    version: str
    requests: Mapping[str, int]
    logs: int
    cosigned_s: float | None


Snapshot = GatewaySnapshot | LedgerSnapshot | WitnessSnapshot
_Reading = float | Mapping[str, float | None] | Mapping[tuple[str, str], int] | Durations | None
"""What a snapshot knows of one metric: a number, numbers by one or two label values, durations, or nothing yet."""


def render(snapshot: Snapshot, vocabulary: Vocabulary) -> tuple[bytes, str]:
    """Return the exposition of a snapshot and its content type.

    Raises:
        UnknownLabelError: the snapshot names an outcome or a session outside the closed sets.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(snapshot, vocabulary))
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
        snapshot = self._snapshot
        if isinstance(snapshot, WitnessSnapshot):
            yield _build(snapshot.version)
            readings = _witness(snapshot)
        else:
            yield from (_build(snapshot.identity.version), _event(snapshot.identity))
            readings = _gateway(snapshot) if isinstance(snapshot, GatewaySnapshot) else _ledger(snapshot)
        for metric, reading in readings:
            yield self._family(metric, reading)

    def _family(self, metric: Metric, reading: _Reading) -> Family:
        family = _open_family(metric)
        if isinstance(reading, Durations):
            _add_histogram(family, reading)
        elif isinstance(reading, Mapping):
            names = [label.name for label in metric.labels]
            for values, number in self._by_labels(metric, reading).items():
                family.add_sample(metric.name, dict(zip(names, values, strict=True)), number)
        elif reading is not None:
            family.add_sample(metric.name, {}, reading)
        return family

    def _by_labels(
        self, metric: Metric, reading: Mapping[str, float | None] | Mapping[tuple[str, str], int]
    ) -> dict[tuple[str, ...], float]:
        closed = [label.values + self._more(label.more) for label in metric.labels]
        known = {(key,) if isinstance(key, str) else key: number for key, number in reading.items()}
        for values in sorted(known):
            for label, value, allowed in zip(metric.labels, values, closed, strict=True):
                if value not in allowed:
                    raise UnknownLabelError(f"{metric.name}: {label.name}={value!r} is not in the closed set")
        numbers = dict.fromkeys(product(*closed), 0.0) if metric.kind is Kind.COUNTER else {}
        return numbers | {values: number for values, number in known.items() if number is not None}

    def _more(self, more: Open | None) -> tuple[str, ...]:
        match more:
            case Open.SESSIONS:
                return self._vocabulary.sessions
            case Open.REFUSALS:
                return self._vocabulary.refusals
            case Open.WITNESSES:
                return self._vocabulary.witnesses
            case _:
                return ()


def _build(version: str) -> Family:
    family = _open_family(catalogue.BUILD_INFO)
    family.add_sample(family.name, {"version": version}, 1)
    return family


def _event(identity: Identity) -> Family:
    family = _open_family(catalogue.EVENT_INFO)
    family.add_sample(family.name, {"event": identity.event, "simulated": str(identity.simulated).lower()}, 1)
    return family


def _gateway(snapshot: GatewaySnapshot) -> Iterator[tuple[Metric, _Reading]]:
    yield catalogue.WORKERS, snapshot.workers
    yield catalogue.HEARTBEATS, snapshot.heartbeats
    yield catalogue.JOINS, snapshot.joins
    yield catalogue.CHECKINS, snapshot.checkins
    yield catalogue.LEAVES, snapshot.leaves
    yield catalogue.DOOR_HANDED_OVER_CONNECTIONS, snapshot.handed_over_connections
    yield catalogue.DOOR_HANDED_OVER_HEARTBEATS, snapshot.handed_over_heartbeats
    yield catalogue.DOOR_HEADS_READ, snapshot.heads_read
    yield catalogue.LIVE_ATTENDEES, _sessions(snapshot.live_attendees)
    yield catalogue.LIVE_VIEWS, _sessions(snapshot.live_views)
    yield catalogue.LIVE_EVENT_ATTENDEES, snapshot.live_attendees.get(WHOLE_EVENT)
    yield catalogue.LIVE_EVENT_VIEWS, snapshot.live_views.get(WHOLE_EVENT)
    yield catalogue.HEARTBEAT_INTERVAL, snapshot.interval_s
    yield catalogue.REVOKED, snapshot.revoked
    yield catalogue.LIVE_SPAN, snapshot.live_span_s
    yield catalogue.LIVE_AGE, snapshot.live_age_s
    yield catalogue.LIVE_STALE, int(snapshot.live_stale)
    yield catalogue.REDIS_FLUSH, snapshot.redis_flush
    yield catalogue.REDIS_FLUSH_FAILURES, snapshot.redis_flush_failures
    yield catalogue.REGISTRY_FAILURES, snapshot.registry_failures
    yield catalogue.SEATS_LEASED, snapshot.seats_leased
    yield catalogue.CLOCK_OFFSET, snapshot.clock_offset_s
    yield catalogue.SPOOL, snapshot.spool_bytes
    yield catalogue.SPOOL_OLDEST, snapshot.spool_oldest_s
    yield catalogue.HANDOVERS, snapshot.handovers


def _ledger(snapshot: LedgerSnapshot) -> Iterator[tuple[Metric, _Reading]]:
    yield catalogue.LEDGER_SIZE, snapshot.size
    yield catalogue.LEDGER_SEALED_WINDOW, snapshot.sealed_window_s
    yield catalogue.LEDGER_SEAL_LAG, snapshot.seal_lag_s
    yield catalogue.LEDGER_CHECKPOINT, snapshot.checkpoint_s
    yield catalogue.LEDGER_SET_BACK, int(snapshot.set_back)
    yield catalogue.LEDGER_MISSING_WORKERS, snapshot.missing_workers
    yield catalogue.LEDGER_WITHHELD, snapshot.withheld
    yield catalogue.LEDGER_WITNESSES, snapshot.witnesses
    yield catalogue.LEDGER_COSIGNINGS, snapshot.cosignings
    yield catalogue.LEDGER_TIMESTAMPS, snapshot.timestamps
    yield catalogue.WINDOW_ATTENDEES, _sessions(snapshot.window_attendees)
    yield catalogue.WINDOW_EVENT_ATTENDEES, snapshot.window_attendees.get(WHOLE_EVENT)


def _witness(snapshot: WitnessSnapshot) -> Iterator[tuple[Metric, _Reading]]:
    yield catalogue.WITNESS_REQUESTS, snapshot.requests
    yield catalogue.WITNESS_LOGS, snapshot.logs
    yield catalogue.WITNESS_COSIGNED, snapshot.cosigned_s


def _sessions(by_session: Mapping[str, float | None]) -> dict[str, float | None]:
    return {session: number for session, number in by_session.items() if session != WHOLE_EVENT}


def _open_family(metric: Metric) -> Family:
    # prometheus_client names a counter's family without "_total" and its samples with it.
    name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
    return Family(name, metric.help, metric.kind.value)


def _add_histogram(family: Family, durations: Durations) -> None:
    bounds = (*(str(bound) for bound in FLUSH_BUCKETS_S), "+Inf")
    up_to = list(accumulate(durations.counts))
    for bound, count in zip(bounds, up_to, strict=True):
        family.add_sample(f"{family.name}_bucket", {"le": bound}, count)
    family.add_sample(f"{family.name}_count", {}, up_to[-1])
    family.add_sample(f"{family.name}_sum", {}, durations.sum_s)
