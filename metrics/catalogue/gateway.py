"""What a gateway says of its requests and of the workers that answer them."""

from typing import Final

from metrics.catalogue.vocabulary import Kind, Label, Metric, Open, Process, metrics_in, outcome

HEARTBEAT_OUTCOMES: Final = ("playing", "background", "paused", "ended")
"""States of accepted heartbeats. Only `playing` and `background` make an attendee present."""
ACCEPTED: Final = ("accepted",)
"""The outcome of a join or badge scan that is not refused. Whether a scan is a repetition is known only in counting."""
HEARTBEATS_A_SAMPLE: Final = 64
"""A heartbeat costs a few microseconds, and timing it one more: one in so many is timed."""
HEARTBEAT_BUCKETS_S: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
"""From one that comes alone to a loop that stands still."""
JOIN_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a viewing token's to one whose issuer or registry does not answer."""

_GATEWAY: Final = (Process.GATEWAY,)
_WORKER: Final = (Label("worker", more=Open.WORKERS),)

WORKERS: Final = Metric("turnout_workers", Kind.GAUGE, "Worker processes that serve requests now.", _GATEWAY)
WORKERS_WANTED: Final = Metric(
    "turnout_workers_wanted", Kind.GAUGE, "Worker processes that the gateway was told to keep.", _GATEWAY
)
WORKER_STARTS: Final = Metric(
    "turnout_worker_starts_total",
    Kind.COUNTER,
    "Workers started at this place since the gateway started: the first, and each that replaced one.",
    _GATEWAY,
    _WORKER,
)
WORKER_SILENCE: Final = Metric(
    "turnout_worker_silence_seconds",
    Kind.GAUGE,
    "Seconds since the worker's loop last said that it turns, which it does each second.",
    _GATEWAY,
    _WORKER,
    unit="seconds",
)
WORKER_LAG: Final = Metric(
    "turnout_worker_event_loop_lag_seconds",
    Kind.GAUGE,
    "Longest that a timer of the worker's loop came late in the last fifteen seconds.",
    _GATEWAY,
    _WORKER,
    unit="seconds",
)
WORKER_CONNECTIONS: Final = Metric(
    "turnout_worker_connections",
    Kind.GAUGE,
    "Connections that the worker has open, the door's and aiohttp's.",
    _GATEWAY,
    _WORKER,
)
WORKER_MEMORY: Final = Metric(
    "turnout_worker_resident_memory_bytes",
    Kind.GAUGE,
    "Memory of the worker, the parts of its spool that are mapped included.",
    _GATEWAY,
    _WORKER,
    unit="bytes",
)
WORKER_CPU: Final = Metric(
    "turnout_worker_cpu_seconds_total",
    Kind.COUNTER,
    "CPU time, user and system, of the workers at this place since the gateway started.",
    _GATEWAY,
    _WORKER,
    unit="seconds",
)
HEARTBEATS: Final = Metric(
    "turnout_heartbeats_total",
    Kind.COUNTER,
    "Heartbeats answered: the player's state if accepted, else the reason for the refusal.",
    _GATEWAY,
    outcome(HEARTBEAT_OUTCOMES, Open.REFUSALS),
)
HEARTBEAT_DURATION: Final = Metric(
    "turnout_heartbeat_duration_seconds",
    Kind.HISTOGRAM,
    f"Time from taking a heartbeat at the door to sending its answer; one in {HEARTBEATS_A_SAMPLE} is timed.",
    _GATEWAY,
    unit="seconds",
    buckets=HEARTBEAT_BUCKETS_S,
)
JOINS: Final = Metric(
    "turnout_joins_total",
    Kind.COUNTER,
    "Joins answered: accepted, or the reason for the refusal.",
    _GATEWAY,
    outcome(ACCEPTED, Open.REFUSALS),
)
JOIN_DURATION: Final = Metric(
    "turnout_join_duration_seconds",
    Kind.HISTOGRAM,
    "Time from a whole join request to its answer, waiting for its turn included, refusals as well.",
    _GATEWAY,
    unit="seconds",
    buckets=JOIN_BUCKETS_S,
)
JOINS_WAITING: Final = Metric(
    "turnout_joins_waiting", Kind.GAUGE, "Joins that wait for their turn or are under way.", _GATEWAY
)
CHECKINS: Final = Metric(
    "turnout_checkins_total",
    Kind.COUNTER,
    "Badge scans answered: accepted (repetitions included), or the reason for the refusal.",
    _GATEWAY,
    outcome(ACCEPTED, Open.REFUSALS),
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

METRICS: Final = metrics_in(vars())
