"""Every PromQL expression of the dashboards, the recording rules and the alerts, each under one name.

They are made from the catalogue's metrics, so that a renamed metric or label breaks this import instead of a panel. A
query is called with a `Scope` (metrics/promql.py): `JOINS_ACCEPTED(Scope("5m"))` in a rule, with Grafana's variables in
a panel. What several gateways tell of the same thing (live numbers are read from one Redis) is never added up, and
neither are sessions: who watches two of them is one attendee.

Nothing here compares with a threshold: those are in metrics/thresholds.py.
"""

from typing import Final

from metrics import catalogue as m
from metrics.promql import Query, largest, none_of, one_of, smallest, summed, summed_rate

# What and which.
SIMULATED: Final = Query(lambda of: f"count({of.of(m.EVENT_INFO, simulated='true')}) or vector(0)")
"""How many processes run on a simulated clock: more than none means that no number is real."""
VERSIONS: Final = Query(lambda of: f"count by (version) ({of.of(m.BUILD_INFO)})")

# The audience, as the live path sees it.
LIVE_ATTENDEES: Final = largest(m.LIVE_EVENT_ATTENDEES)
LIVE_VIEWS: Final = largest(m.LIVE_EVENT_VIEWS)
LIVE_ATTENDEES_BY_SESSION: Final = largest(m.LIVE_ATTENDEES, "session")
LIVE_VIEWS_BY_SESSION: Final = largest(m.LIVE_VIEWS, "session")
LIVE_AGE: Final = largest(m.LIVE_AGE)
LIVE_STALE: Final = largest(m.LIVE_STALE)

# The audience, as it was sealed.
WINDOW_ATTENDEES: Final = largest(m.WINDOW_EVENT_ATTENDEES, channel="online")
WINDOW_ATTENDEES_BY_SESSION: Final = largest(m.WINDOW_ATTENDEES, "session", channel="online")

# What players and scanners ask, and what they are told.
HEARTBEATS: Final = summed_rate(m.HEARTBEATS)
HEARTBEATS_ACCEPTED: Final = summed_rate(m.HEARTBEATS, outcome=one_of(*m.HEARTBEAT_OUTCOMES))
HEARTBEATS_REFUSED: Final = summed_rate(m.HEARTBEATS, "outcome", outcome=none_of(*m.HEARTBEAT_OUTCOMES))
HEARTBEATS_BY_STATE: Final = summed_rate(m.HEARTBEATS, "outcome", outcome=one_of(*m.HEARTBEAT_OUTCOMES))
JOINS: Final = summed_rate(m.JOINS)
JOINS_ACCEPTED: Final = summed_rate(m.JOINS, outcome="accepted")
JOINS_REFUSED: Final = summed_rate(m.JOINS, "outcome", outcome=none_of(*m.ACCEPTED))
CHECKINS_ACCEPTED: Final = summed_rate(m.CHECKINS, outcome="accepted")
CHECKINS_REFUSED: Final = summed_rate(m.CHECKINS, "outcome", outcome=none_of(*m.ACCEPTED))
LEAVES: Final = summed_rate(m.LEAVES)
HEARTBEATS_BESIDE_THE_DOOR: Final = Query(
    lambda of: f"sum({of.rate(m.DOOR_HANDED_OVER_HEARTBEATS)}) / sum({of.rate(m.HEARTBEATS)})"
)
"""The share of heartbeats that took aiohttp, at several times the door's cost."""

# Workers.
WORKERS: Final = summed(m.WORKERS)

# Towards Redis.
FLUSH_P99: Final = Query(lambda of: of.quantile(0.99, m.REDIS_FLUSH))
FLUSH_FAILURES: Final = summed_rate(m.REDIS_FLUSH_FAILURES)
REGISTRY_FAILURES: Final = summed_rate(m.REGISTRY_FAILURES)

# From the spool to the ledger.
SPOOL: Final = summed(m.SPOOL, "instance")
SPOOL_OLDEST: Final = largest(m.SPOOL_OLDEST, "instance")
HANDOVERS: Final = summed_rate(m.HANDOVERS, "outcome")
SEATS_LEASED: Final = smallest(m.SEATS_LEASED, "instance")
CLOCK_OFFSET: Final = Query(lambda of: f"max by (instance) (abs({of.of(m.CLOCK_OFFSET)}))")

# The ledger.
LEAVES_OF_THE_LOG: Final = largest(m.LEDGER_SIZE)
SEAL_LAG: Final = largest(m.LEDGER_SEAL_LAG)
MISSING_WORKERS: Final = Query(lambda of: f"sum({of.increase(m.LEDGER_MISSING_WORKERS)})")
SET_BACK: Final = largest(m.LEDGER_SET_BACK)
WITHHELD: Final = largest(m.LEDGER_WITHHELD)

# Witnesses.
COSIGNINGS: Final = summed_rate(m.LEDGER_COSIGNINGS, "witness", "outcome")
TIMESTAMPS: Final = summed_rate(m.LEDGER_TIMESTAMPS, "outcome")
WITNESS_REQUESTS: Final = summed_rate(m.WITNESS_REQUESTS, "outcome")
WITNESS_LOGS: Final = largest(m.WITNESS_LOGS, "instance")
