"""What a gateway says of what it carries: sketches to Redis, live numbers back, seats and evidence to the ledger."""

from typing import Final

from metrics.catalogue.vocabulary import SESSION, Kind, Label, Metric, Process, metrics_in, outcome

CHANNELS: Final = ("online", "onsite")
"""How an attendee was there."""
PEOPLE_CHANNELS: Final = (*CHANNELS, "either")
"""`either` is who was there on one channel or both, once."""
HANDOVER_OUTCOMES: Final = ("accepted", "repeated", "refused", "unreachable")
"""What the ledger said to a segment; `repeated` is a digest it already held, `unreachable` is no answer at all."""
FLUSH_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""One SET and PFMERGE takes 81 µs, and a flush that takes over 1 s misses the next one."""
HANDOVER_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""A small window takes some milliseconds; the ledger seals 8 s after a window's end without those who are late."""

_GATEWAY: Final = (Process.GATEWAY,)
_BY_CHANNEL: Final = Label("channel", PEOPLE_CHANNELS)

LIVE_ATTENDEES: Final = Metric(
    "turnout_live_attendees",
    Kind.GAUGE,
    "Estimate of the attendees in the session now (HyperLogLog): online, whose players were heard within "
    "turnout_live_span_seconds; on site, who entered and has not left (sessions with gates); either, each once.",
    _GATEWAY,
    (SESSION, _BY_CHANNEL),
)
LIVE_VIEWS: Final = Metric(
    "turnout_live_views",
    Kind.GAUGE,
    "Estimate of the views seen in the session within turnout_live_span_seconds (HyperLogLog). Views are online.",
    _GATEWAY,
    (SESSION, Label("channel", CHANNELS)),
)
LIVE_UNIQUE_ATTENDEES: Final = Metric(
    "turnout_live_unique_attendees",
    Kind.GAUGE,
    "Estimate of the attendees who joined the session on the event's present day (HyperLogLog).",
    _GATEWAY,
    (SESSION,),
)
LIVE_EVENT_ATTENDEES: Final = Metric(
    "turnout_live_event_attendees",
    Kind.GAUGE,
    "The same estimates of attendees for the whole event, each once however many sessions they are in.",
    _GATEWAY,
    (_BY_CHANNEL,),
)
LIVE_EVENT_VIEWS: Final = Metric(
    "turnout_live_event_views", Kind.GAUGE, "The same estimate of views for the whole event.", _GATEWAY
)
LIVE_EVENT_UNIQUE_ATTENDEES: Final = Metric(
    "turnout_live_event_unique_attendees",
    Kind.GAUGE,
    "The same estimate of those who joined on the present day for the whole event, each once.",
    _GATEWAY,
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
    buckets=FLUSH_BUCKETS_S,
)
REDIS_FLUSH_BYTES: Final = Metric(
    "turnout_redis_flush_bytes_total",
    Kind.COUNTER,
    "Bytes of sketches that were sent to Redis.",
    _GATEWAY,
    unit="bytes",
)
SKETCHES_SENT: Final = Metric(
    "turnout_sketches_sent_total", Kind.COUNTER, "Sketches that were sent to Redis.", _GATEWAY
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
SEATS_USED: Final = Metric(
    "turnout_seats_used_total", Kind.COUNTER, "Seats that were given to attendees who had none.", _GATEWAY
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
SPOOL_DISK_FREE: Final = Metric(
    "turnout_spool_disk_free_bytes",
    Kind.GAUGE,
    "Room that is left on the disk of the spool.",
    _GATEWAY,
    unit="bytes",
)
HANDOVERS: Final = Metric(
    "turnout_handovers_total",
    Kind.COUNTER,
    "Attempts to hand a segment to the ledger, by what became of them.",
    _GATEWAY,
    outcome(HANDOVER_OUTCOMES),
)
HANDOVER_DURATION: Final = Metric(
    "turnout_handover_duration_seconds",
    Kind.HISTOGRAM,
    "Time from sending a bundle to the ledger's answer, whatever it was.",
    _GATEWAY,
    unit="seconds",
    buckets=HANDOVER_BUCKETS_S,
)

METRICS: Final = metrics_in(vars())
