"""Every PromQL expression of the dashboards, the recording rules and the alerts, each under one name.

They are made from the catalogue's metrics, so that a renamed metric or label breaks this import instead of a panel. A
query is called with a `Scope` (metrics/promql.py): `JOINS_ACCEPTED(in_rules("5m"))` in a rule, with Grafana's
variables in a panel. What several gateways tell of the same thing (live numbers are read from one Redis) is never added
up, and neither are sessions: who watches two of them is one attendee.

Nothing here compares with a threshold: those are in metrics/thresholds.py.
"""

from typing import Final

from metrics import catalogue as m
from metrics.promql import (
    Like,
    Query,
    at_work,
    largest,
    none_of,
    one_of,
    smallest,
    summed,
    summed_increase,
    summed_rate,
)

_SERVER_ERRORS: Final = Like("5..")

# What and which.
SIMULATED: Final = Query(
    lambda of: f"max by (event) ({of.of(m.EVENT_INFO, simulated='true')}) or 0 * max by (event) ({of.of(m.EVENT_INFO)})"
)
"""By event: 1 if a process of it runs on a simulated clock, so that no number is real; else 0."""
VERSIONS: Final = Query(lambda of: f"count by (version) ({of.of(m.BUILD_INFO)})")
STARTED: Final = Query(lambda of: f"time() - max by (job, instance) ({of.of(m.PROCESS_START_TIME)})")

ALERTS_FIRING: Final = Query(lambda _: 'count(ALERTS{alertstate="firing",event=~"$event|"}) or vector(0)')
"""Those of the event that is chosen, and those that are of none: most alerts are about no single process."""

# The audience, as the live path sees it.
LIVE_ATTENDEES: Final = largest(m.LIVE_EVENT_ATTENDEES, channel="online")
LIVE_ATTENDEES_BY_CHANNEL: Final = largest(m.LIVE_EVENT_ATTENDEES, "channel")
LIVE_ATTENDEES_PEAK: Final = Query(lambda of: f"max({of.peak(m.LIVE_EVENT_ATTENDEES, channel='either')})")
LIVE_VIEWS: Final = largest(m.LIVE_EVENT_VIEWS)
LIVE_ATTENDEES_BY_SESSION: Final = largest(m.LIVE_ATTENDEES, "session", channel="online")
LIVE_ONSITE_BY_SESSION: Final = largest(m.LIVE_ATTENDEES, "session", channel="onsite")
LIVE_VIEWS_BY_SESSION: Final = largest(m.LIVE_VIEWS, "session", channel="online")
LIVE_UNIQUE: Final = largest(m.LIVE_EVENT_UNIQUE_ATTENDEES)
LIVE_UNIQUE_BY_SESSION: Final = largest(m.LIVE_UNIQUE_ATTENDEES, "session")
LIVE_AGE: Final = largest(m.LIVE_AGE)
LIVE_STALE: Final = largest(m.LIVE_STALE)
LIVE_SPAN: Final = largest(m.LIVE_SPAN)
HEARTBEAT_INTERVAL: Final = largest(m.HEARTBEAT_INTERVAL)
REVOKED: Final = largest(m.REVOKED)

# The audience, as it was sealed: the newest window.
WINDOW_ATTENDEES: Final = largest(m.WINDOW_EVENT_ATTENDEES, channel="either")
WINDOW_ATTENDEES_PEAK: Final = Query(lambda of: f"max({of.peak(m.WINDOW_EVENT_ATTENDEES, channel='either')})")
WINDOW_ATTENDEES_BY_CHANNEL: Final = largest(m.WINDOW_EVENT_ATTENDEES, "channel")
WINDOW_ATTENDEES_BY_SESSION: Final = largest(m.WINDOW_ATTENDEES, "session", channel="either")
WINDOW_ONLINE_BY_SESSION: Final = largest(m.WINDOW_ATTENDEES, "session", channel="online")
COUNTRIES: Final = Query(lambda of: f"topk(12, max by (country) ({of.of(m.WINDOW_COUNTRY_ATTENDEES)}))")
"""The twelve largest."""

# The two paths beside each other, over the identical window.
DIFFERENCE: Final = largest(m.WINDOW_EVENT_DIFFERENCE)
DIFFERENCE_BY_SESSION: Final = largest(m.WINDOW_DIFFERENCE, "session")
WINDOWS_COMPARED: Final = summed_increase(m.WINDOWS_COMPARED)

# What players and scanners ask, and what they are told.
REQUESTS: Final = at_work(summed_rate(m.HTTP_REQUESTS, "route"), "route")
REQUESTS_BY_CODE: Final = at_work(summed_rate(m.HTTP_REQUESTS, "code"), "code")
REQUESTS_FAILED_SHARE: Final = Query(
    lambda of: f"(sum({of.rate(m.HTTP_REQUESTS, code=_SERVER_ERRORS)}) or vector(0)) / sum({of.rate(m.HTTP_REQUESTS)})"
)
REQUEST_P99: Final = Query(lambda of: of.quantile(0.99, m.HTTP_DURATION, ("route",)))
HEARTBEATS: Final = summed_rate(m.HEARTBEATS)
HEARTBEATS_REFUSED: Final = summed_rate(m.HEARTBEATS, "outcome", outcome=none_of(*m.HEARTBEAT_OUTCOMES))
HEARTBEATS_REFUSED_WHY: Final = at_work(HEARTBEATS_REFUSED, "outcome")
HEARTBEATS_BY_STATE: Final = summed_rate(m.HEARTBEATS, "outcome", outcome=one_of(*m.HEARTBEAT_OUTCOMES))
HEARTBEAT_P50: Final = Query(lambda of: of.quantile(0.5, m.HEARTBEAT_DURATION))
HEARTBEAT_P99: Final = Query(lambda of: of.quantile(0.99, m.HEARTBEAT_DURATION))
HEARTBEATS_BESIDE_THE_DOOR: Final = Query(
    lambda of: f"sum({of.rate(m.DOOR_HANDED_OVER_HEARTBEATS)}) / sum({of.rate(m.HEARTBEATS)})"
)
"""The share of heartbeats that took aiohttp, at several times the door's cost."""
CONNECTIONS_BESIDE_THE_DOOR: Final = summed_rate(m.DOOR_HANDED_OVER_CONNECTIONS)
HEADS_READ: Final = summed_rate(m.DOOR_HEADS_READ)
JOINS: Final = summed_rate(m.JOINS)
JOINS_ACCEPTED: Final = summed_rate(m.JOINS, outcome="accepted")
JOINS_REFUSED: Final = summed_rate(m.JOINS, "outcome", outcome=none_of(*m.ACCEPTED))
JOINS_REFUSED_WHY: Final = at_work(JOINS_REFUSED, "outcome")
JOINS_WAITING: Final = summed(m.JOINS_WAITING)
JOIN_P50: Final = Query(lambda of: of.quantile(0.5, m.JOIN_DURATION))
JOIN_P99: Final = Query(lambda of: of.quantile(0.99, m.JOIN_DURATION))
JOIN_DURATIONS: Final = Query(lambda of: of.buckets(m.JOIN_DURATION))
CHECKINS_ACCEPTED: Final = summed_rate(m.CHECKINS, outcome="accepted")
CHECKINS_REFUSED: Final = summed_rate(m.CHECKINS, "outcome", outcome=none_of(*m.ACCEPTED))
CHECKINS_REFUSED_WHY: Final = at_work(CHECKINS_REFUSED, "outcome")
LEAVES: Final = summed_rate(m.LEAVES)

# Workers, and the processes beside them.
WORKERS: Final = summed(m.WORKERS, "instance")
WORKERS_MISSING: Final = Query(lambda of: f"sum({of.of(m.WORKERS_WANTED)}) - sum({of.of(m.WORKERS)})")
WORKER_STARTS: Final = summed_increase(m.WORKER_STARTS, "instance", "worker")
WORKER_SILENCE: Final = largest(m.WORKER_SILENCE, "instance", "worker")
WORKER_LAG: Final = largest(m.WORKER_LAG, "instance", "worker")
WORKER_CPU: Final = summed_rate(m.WORKER_CPU, "instance", "worker")
WORKER_MEMORY: Final = summed(m.WORKER_MEMORY, "instance", "worker")
WORKER_CONNECTIONS: Final = summed(m.WORKER_CONNECTIONS, "instance", "worker")
PROCESS_CPU: Final = summed_rate(m.PROCESS_CPU, "job", "instance")
PROCESS_MEMORY: Final = summed(m.PROCESS_RESIDENT_MEMORY, "job", "instance")
PROCESS_FILES: Final = Query(
    lambda of: f"max by (instance) ({of.of(m.PROCESS_OPEN_FDS)}) / max by (instance) ({of.of(m.PROCESS_MAX_FDS)})"
)

# Towards Redis.
FLUSH_P99: Final = Query(lambda of: of.quantile(0.99, m.REDIS_FLUSH))
FLUSH_P50: Final = Query(lambda of: of.quantile(0.5, m.REDIS_FLUSH))
FLUSH_FAILURES: Final = summed_rate(m.REDIS_FLUSH_FAILURES)
FLUSH_BYTES: Final = summed_rate(m.REDIS_FLUSH_BYTES)
SKETCHES_SENT: Final = summed_rate(m.SKETCHES_SENT)
REGISTRY_FAILURES: Final = summed_rate(m.REGISTRY_FAILURES)

# From the spool to the ledger.
SPOOL: Final = summed(m.SPOOL, "instance")
SPOOL_OLDEST: Final = largest(m.SPOOL_OLDEST, "instance")
SPOOL_DISK_FREE: Final = smallest(m.SPOOL_DISK_FREE, "instance")
HANDOVERS: Final = summed_increase(m.HANDOVERS, "outcome")
HANDOVER_P99: Final = Query(lambda of: of.quantile(0.99, m.HANDOVER_DURATION))
SEATS_USED: Final = summed_rate(m.SEATS_USED)
CLOCK_OFFSET: Final = Query(lambda of: f"max{of.by(m.CLOCK_OFFSET, 'instance')}(abs({of.of(m.CLOCK_OFFSET)}))")

# The ledger.
LEAVES_OF_THE_LOG: Final = largest(m.LEDGER_SIZE)
# Times on the event's clock, in milliseconds, as Grafana wants to have them.
NEWEST_WINDOW_MS: Final = Query(lambda of: f"1000 * max({of.of(m.LEDGER_SEALED_WINDOW)})")
NEWEST_CHECKPOINT_MS: Final = Query(lambda of: f"1000 * max({of.of(m.LEDGER_CHECKPOINT)})")
WINDOWS_SEALED: Final = summed_increase(m.LEDGER_WINDOWS_SEALED)
WINDOWS_OVERDUE: Final = largest(m.LEDGER_WINDOWS_OVERDUE)
WINDOWS_WITH_GAPS: Final = largest(m.LEDGER_WINDOWS_WITH_GAPS)
LATE_LEAVES: Final = largest(m.LEDGER_LATE_LEAVES)
MISSING_WORKERS: Final = summed_increase(m.LEDGER_MISSING_WORKERS)
SEAL_LAG: Final = largest(m.LEDGER_SEAL_LAG)
SEAL_P50: Final = Query(lambda of: of.quantile(0.5, m.LEDGER_SEAL_DURATION))
SEAL_P99: Final = Query(lambda of: of.quantile(0.99, m.LEDGER_SEAL_DURATION))
GATEWAYS_HEARD: Final = largest(m.LEDGER_GATEWAYS)
GATEWAYS_SILENT: Final = largest(m.LEDGER_GATEWAYS_SILENT)
SET_BACK: Final = largest(m.LEDGER_SET_BACK)
WITHHELD: Final = largest(m.LEDGER_WITHHELD)
EVIDENCE: Final = largest(m.LEDGER_EVIDENCE)
LEDGER_DISK_FREE: Final = smallest(m.LEDGER_DISK_FREE)
LEDGER_DISK_REFUSES: Final = largest(m.LEDGER_DISK_REFUSES)

# Witnesses, as the ledger sees them. Cosignatures carry the witness's own time, so that their age is real even where
# the event's clock is simulated.
QUORUM: Final = largest(m.LEDGER_QUORUM)
QUORUM_HELD: Final = smallest(m.LEDGER_QUORUM_HELD)
WITNESSES: Final = largest(m.LEDGER_WITNESSES)
COSIGNED_AGE: Final = Query(lambda of: f"time() - max({of.of(m.LEDGER_COSIGNED)})")
COSIGNED_AGE_BY_WITNESS: Final = Query(lambda of: f"time() - max by (witness) ({of.of(m.LEDGER_WITNESS_COSIGNED)})")
COSIGNINGS: Final = at_work(summed_increase(m.LEDGER_COSIGNINGS, "witness", "outcome"), "outcome")
TIMESTAMPS: Final = summed_increase(m.LEDGER_TIMESTAMPS, "outcome")

# Witnesses, as they see themselves: they belong to no event.
WITNESS_REQUESTS: Final = at_work(summed_increase(m.WITNESS_REQUESTS, "instance", "outcome"), "outcome")
WITNESS_LOGS: Final = largest(m.WITNESS_LOGS, "instance")
WITNESS_COSIGNED_AGE: Final = Query(lambda of: f"time() - max by (instance) ({of.of(m.WITNESS_COSIGNED)})")
