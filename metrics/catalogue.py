"""Every metric of Turnout, declared once: name, type, help, unit and labels whose values form closed sets.

The exposition renders from these declarations, docs/metrics.md is generated from them, and a test holds the rules of
naming (Prometheus' "Metric and label naming", https://prometheus.io/docs/practices/naming/). A label never says
anything about one viewer: no seat, pseudonym, view, token or address, and no attribute of an attendee.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """A Prometheus metric type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Process(StrEnum):
    """Which process exposes a metric on its ops port."""

    GATEWAY = "gateway"
    LEDGER = "ledger"
    WITNESS = "witness"


class Open(StrEnum):
    """A closed set of label values that is known when a process starts, and then never grows."""

    REFUSALS = "refusals"  # the labels of every reason for which a gateway says no
    SESSIONS = "sessions"  # the ids of the event's sessions
    IDENTITY = "identity"  # one value: what this process is
    WITNESSES = "witnesses"  # the names of the event's witnesses


@dataclass(frozen=True, slots=True)
class Label:
    """One label: its name, the values that the catalogue fixes, and the set that joins them at start, if any."""

    name: str
    values: tuple[str, ...] = ()
    more: Open | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family as Prometheus sees it. `unit` is a base unit ("seconds", "bytes") or "" for plain numbers."""

    name: str
    kind: Kind
    help: str
    processes: tuple[Process, ...]
    labels: tuple[Label, ...] = ()
    unit: str = ""


HEARTBEAT_OUTCOMES: Final = ("playing", "background", "paused", "ended")
"""States of accepted heartbeats. Only `playing` and `background` make an attendee present."""
ACCEPTED: Final = ("accepted",)
"""The outcome of a join or badge scan that is not refused. Whether a scan is a repetition is known only in counting."""
HANDOVER_OUTCOMES: Final = ("accepted", "repeated", "refused", "unreachable")
"""What the ledger said to a segment; `repeated` is a digest it already held, `unreachable` is no answer at all."""

WITNESS_VERDICTS: Final = ("cosigned", "malformed", "untrusted", "unknown_log", "conflict", "inconsistent")
"""What a witness says to a log (counters.ledger.witness_protocol). `conflict` is no harm: it tells the log a size."""
COSIGNING_OUTCOMES: Final = (*WITNESS_VERDICTS, "unreachable", "not_understood")
"""The same as the ledger sees it; `not_understood` is an answer that is none of them, or no cosignature."""
TIMESTAMP_OUTCOMES: Final = ("kept", "unreachable", "refused", "disk")
"""What came of a question to a timestamp authority; `refused` is also an answer to another question, or none."""

FLUSH_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds in seconds: one SET and PFMERGE takes 81 µs, and a flush that takes over 1 s misses the next one."""

_GATEWAY: Final = (Process.GATEWAY,)
_LEDGER: Final = (Process.LEDGER,)
_WITNESS: Final = (Process.WITNESS,)
_OF_EVENT: Final = (Process.GATEWAY, Process.LEDGER)
_EVERYWHERE: Final = (*_OF_EVENT, Process.WITNESS)
_SESSION: Final = (Label("session", more=Open.SESSIONS),)


def _outcome(values: tuple[str, ...], more: Open | None = None) -> tuple[Label, ...]:
    return (Label("outcome", values, more),)


BUILD_INFO: Final = Metric(
    "turnout_build_info",
    Kind.GAUGE,
    "Always 1; the labels name the running software.",
    _EVERYWHERE,
    (Label("version", more=Open.IDENTITY),),
)
EVENT_INFO: Final = Metric(
    "turnout_event_info",
    Kind.GAUGE,
    "Always 1; the labels name the event and say whether its clock, and so every number here, is SIMULATED.",
    _OF_EVENT,
    (Label("event", more=Open.IDENTITY), Label("simulated", ("false", "true"))),
)

WORKERS: Final = Metric("turnout_workers", Kind.GAUGE, "Worker processes that serve requests now.", _GATEWAY)
HEARTBEATS: Final = Metric(
    "turnout_heartbeats_total",
    Kind.COUNTER,
    "Heartbeats answered: the player's state if accepted, else the reason for the refusal.",
    _GATEWAY,
    _outcome(HEARTBEAT_OUTCOMES, Open.REFUSALS),
)
JOINS: Final = Metric(
    "turnout_joins_total",
    Kind.COUNTER,
    "Joins answered: accepted, or the reason for the refusal.",
    _GATEWAY,
    _outcome(ACCEPTED, Open.REFUSALS),
)
CHECKINS: Final = Metric(
    "turnout_checkins_total",
    Kind.COUNTER,
    "Badge scans answered: accepted (repetitions included), or the reason for the refusal.",
    _GATEWAY,
    _outcome(ACCEPTED, Open.REFUSALS),
)
LEAVES: Final = Metric("turnout_leaves_total", Kind.COUNTER, "Views that their player ended by a leave.", _GATEWAY)

DOOR_HANDED_OVER_CONNECTIONS: Final = Metric(
    "turnout_door_handed_over_connections_total",
    Kind.COUNTER,
    "Connections that the door gave to aiohttp, for a request that it does not answer itself.",
    _GATEWAY,
)
DOOR_HANDED_OVER_HEARTBEATS: Final = Metric(
    "turnout_door_handed_over_heartbeats_total",
    Kind.COUNTER,
    "Heartbeats that aiohttp took, at several times the door's cost: all others took the door.",
    _GATEWAY,
)
DOOR_HEADS_READ: Final = Metric(
    "turnout_door_heads_read_total",
    Kind.COUNTER,
    "Requests whose head no memory of the door knew, so that it was read.",
    _GATEWAY,
)

LIVE_ATTENDEES: Final = Metric(
    "turnout_live_attendees",
    Kind.GAUGE,
    "Estimate of the attendees seen in the session within turnout_live_span_seconds (HyperLogLog, online channel).",
    _GATEWAY,
    _SESSION,
)
LIVE_VIEWS: Final = Metric(
    "turnout_live_views",
    Kind.GAUGE,
    "Estimate of the views seen in the session within turnout_live_span_seconds (HyperLogLog).",
    _GATEWAY,
    _SESSION,
)
LIVE_EVENT_ATTENDEES: Final = Metric(
    "turnout_live_event_attendees",
    Kind.GAUGE,
    "The same estimate of attendees for the whole event, each once however many sessions they watch.",
    _GATEWAY,
)
LIVE_EVENT_VIEWS: Final = Metric(
    "turnout_live_event_views", Kind.GAUGE, "The same estimate of views for the whole event.", _GATEWAY
)
LIVE_SPAN: Final = Metric(
    "turnout_live_span_seconds",
    Kind.GAUGE,
    "How far back the live estimates look: they mean seen in the last so many seconds.",
    _GATEWAY,
    unit="seconds",
)
HEARTBEAT_INTERVAL: Final = Metric(
    "turnout_heartbeat_interval_seconds",
    Kind.GAUGE,
    "Heartbeat interval that players are asked for; steering changes it.",
    _GATEWAY,
    unit="seconds",
)
REVOKED: Final = Metric(
    "turnout_revoked",
    Kind.GAUGE,
    "Seats and views that are revoked.",
    _GATEWAY,
)
LIVE_AGE: Final = Metric(
    "turnout_live_age_seconds",
    Kind.GAUGE,
    "Seconds since the live estimates were read from Redis.",
    _GATEWAY,
    unit="seconds",
)
LIVE_STALE: Final = Metric(
    "turnout_live_stale",
    Kind.GAUGE,
    "1 while Redis cannot be reached and the live estimates are old, else 0.",
    _GATEWAY,
)

REDIS_FLUSH: Final = Metric(
    "turnout_redis_flush_seconds",
    Kind.HISTOGRAM,
    "Time to merge the changed sketches into Redis, once a second.",
    _GATEWAY,
    unit="seconds",
)
REDIS_FLUSH_FAILURES: Final = Metric(
    "turnout_redis_flush_failures_total",
    Kind.COUNTER,
    "Flushes that Redis did not take; the next one carries their sketches again.",
    _GATEWAY,
)
REGISTRY_FAILURES: Final = Metric(
    "turnout_registry_failures_total",
    Kind.COUNTER,
    "Joins and scans whose attendee could not be looked up in the registry and got a new seat.",
    _GATEWAY,
)
SEATS_LEASED: Final = Metric(
    "turnout_seats_leased", Kind.GAUGE, "Seats that the ledger granted and no attendee holds yet.", _GATEWAY
)
CLOCK_OFFSET: Final = Metric(
    "turnout_clock_offset_seconds",
    Kind.GAUGE,
    "Clock of the worker that is off the most minus the ledger's; absent on a simulated clock and until measured.",
    _GATEWAY,
    unit="seconds",
)
SPOOL: Final = Metric(
    "turnout_spool_bytes",
    Kind.GAUGE,
    "Disk taken by evidence that the ledger has not acknowledged yet.",
    _GATEWAY,
    unit="bytes",
)
SPOOL_OLDEST: Final = Metric(
    "turnout_spool_oldest_seconds",
    Kind.GAUGE,
    "Seconds since the end of the oldest closed window that is not handed over yet; 0 if there is none.",
    _GATEWAY,
    unit="seconds",
)
HANDOVERS: Final = Metric(
    "turnout_handovers_total",
    Kind.COUNTER,
    "Attempts to hand a segment to the ledger, by what became of them.",
    _GATEWAY,
    _outcome(HANDOVER_OUTCOMES),
)

LEDGER_SIZE: Final = Metric("turnout_ledger_size", Kind.GAUGE, "Leaves in the published log.", _LEDGER)
LEDGER_SEALED_WINDOW: Final = Metric(
    "turnout_ledger_sealed_window_timestamp_seconds",
    Kind.GAUGE,
    "Start of the newest sealed window, unix time on the event's clock.",
    _LEDGER,
    unit="seconds",
)
LEDGER_SEAL_LAG: Final = Metric(
    "turnout_ledger_seal_lag_seconds",
    Kind.GAUGE,
    "Seconds from the end of the newest sealed window to its leaf.",
    _LEDGER,
    unit="seconds",
)
LEDGER_CHECKPOINT: Final = Metric(
    "turnout_ledger_checkpoint_timestamp_seconds",
    Kind.GAUGE,
    "When the newest checkpoint was signed, unix time on the event's clock.",
    _LEDGER,
    unit="seconds",
)
LEDGER_SET_BACK: Final = Metric(
    "turnout_ledger_set_back",
    Kind.GAUGE,
    "1 while the ledger stands still because gateways have seen more of it than its data hold.",
    _LEDGER,
)
LEDGER_MISSING_WORKERS: Final = Metric(
    "turnout_ledger_missing_workers_total",
    Kind.COUNTER,
    "Workers that had not reported when a window was sealed, added up over all windows.",
    _LEDGER,
)
LEDGER_WITHHELD: Final = Metric(
    "turnout_ledger_withheld",
    Kind.GAUGE,
    "Leaves that are in the log and not published yet, because too few witnesses have cosigned them.",
    _LEDGER,
)
LEDGER_WITNESSES: Final = Metric(
    "turnout_ledger_witnesses",
    Kind.GAUGE,
    "Witnesses in the event file. With none, a log restored from an old backup cannot be told from the newest.",
    _LEDGER,
)
LEDGER_COSIGNINGS: Final = Metric(
    "turnout_ledger_cosignings_total",
    Kind.COUNTER,
    "Requests for a cosignature since the ledger started, by witness and by what it said.",
    _LEDGER,
    (Label("witness", more=Open.WITNESSES), Label("outcome", COSIGNING_OUTCOMES)),
)
LEDGER_TIMESTAMPS: Final = Metric(
    "turnout_ledger_timestamps_total",
    Kind.COUNTER,
    "Questions to the timestamp authority since the ledger started, by what came of them.",
    _LEDGER,
    _outcome(TIMESTAMP_OUTCOMES),
)
WINDOW_ATTENDEES: Final = Metric(
    "turnout_window_attendees_exact",
    Kind.GAUGE,
    "Attendees present online in the session in the newest sealed window, exact; absent where the leaf suppresses it.",
    _LEDGER,
    _SESSION,
)
WINDOW_EVENT_ATTENDEES: Final = Metric(
    "turnout_window_event_attendees_exact",
    Kind.GAUGE,
    "The same exact number for the whole event, each attendee once; absent where the leaf suppresses it.",
    _LEDGER,
)

WITNESS_REQUESTS: Final = Metric(
    "turnout_witness_requests_total",
    Kind.COUNTER,
    "Requests to cosign, by what the witness said; `failed` where its disk refused.",
    _WITNESS,
    _outcome((*WITNESS_VERDICTS, "failed")),
)
WITNESS_LOGS: Final = Metric(
    "turnout_witness_logs", Kind.GAUGE, "Logs of which this witness has cosigned a checkpoint.", _WITNESS
)
WITNESS_COSIGNED: Final = Metric(
    "turnout_witness_cosigned_timestamp_seconds",
    Kind.GAUGE,
    "When this witness last cosigned, unix time.",
    _WITNESS,
    unit="seconds",
)

CATALOGUE: Final = (
    BUILD_INFO,
    EVENT_INFO,
    WORKERS,
    HEARTBEATS,
    JOINS,
    CHECKINS,
    LEAVES,
    DOOR_HANDED_OVER_CONNECTIONS,
    DOOR_HANDED_OVER_HEARTBEATS,
    DOOR_HEADS_READ,
    LIVE_ATTENDEES,
    LIVE_VIEWS,
    LIVE_EVENT_ATTENDEES,
    LIVE_EVENT_VIEWS,
    HEARTBEAT_INTERVAL,
    REVOKED,
    LIVE_SPAN,
    LIVE_AGE,
    LIVE_STALE,
    REDIS_FLUSH,
    REDIS_FLUSH_FAILURES,
    REGISTRY_FAILURES,
    SEATS_LEASED,
    CLOCK_OFFSET,
    SPOOL,
    SPOOL_OLDEST,
    HANDOVERS,
    LEDGER_SIZE,
    LEDGER_SEALED_WINDOW,
    LEDGER_SEAL_LAG,
    LEDGER_CHECKPOINT,
    LEDGER_SET_BACK,
    LEDGER_MISSING_WORKERS,
    LEDGER_WITHHELD,
    LEDGER_WITNESSES,
    LEDGER_COSIGNINGS,
    LEDGER_TIMESTAMPS,
    WINDOW_ATTENDEES,
    WINDOW_EVENT_ATTENDEES,
    WITNESS_REQUESTS,
    WITNESS_LOGS,
    WITNESS_COSIGNED,
)
"""Every metric there is, in the order of the page and of the exposition."""
