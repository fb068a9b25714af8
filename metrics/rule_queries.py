"""PromQL that only rules ask: whether anybody is expected, what failed through our fault, and what will be in hours.

As in metrics/queries.py nothing here compares with a threshold.
"""

from typing import Final

from metrics import catalogue as m
from metrics.catalogue import Metric, Process
from metrics.promql import Query, Scope, largest, one_of, summed_rate
from metrics.scraping import up

# Whether the event is on. Nobody is missed before the doors open and after they close.
DOORS_EARLY_S: Final = 3600
"""Before its first session: whatever is down by then is mended before the first viewer comes."""
DOORS_LATE_S: Final = 900
"""After a session's end: its last windows are handed over and sealed."""


def _told_within_a_day(of: Scope, metric: Metric) -> str:
    return f"max{of.by(metric, 'session')}(last_over_time({of.of(metric)}[1d]))"


DOORS: Final = Query(
    lambda of: (
        f"max{of.by(m.SESSION_STARTS)}(\n"
        f"  ({_told_within_a_day(of, m.SESSION_STARTS)} <= bool time() + {DOORS_EARLY_S})\n  *\n"
        f"  ({_told_within_a_day(of, m.SESSION_ENDS)} >= bool time() - {DOORS_LATE_S})\n)"
    )
)
"""1 while a session runs, is about to begin or has just ended, else 0; remembered for a day if nobody tells it."""
DOORS_OPEN: Final = "event:doors_open:bool"
"""The same as it is recorded."""

# What fails through a fault of ours.
OUR_FAULTS: Final = (
    "too_many_joins",
    "seats_exhausted",
    "disk_full",
    "disk_fails",
    "log_superseded",
    "witnesses_silent",
    "quorum_lost",
    "ledger_unavailable",
    "ledger_set_back",
    "internal",
)
"""Refusals with a status from 500 up (a test compares gateway/reasons.py)."""
HEARTBEATS_FAILED: Final = summed_rate(m.HEARTBEATS, outcome=one_of(*OUR_FAULTS))
JOINS_FAILED: Final = summed_rate(m.JOINS, outcome=one_of(*OUR_FAULTS))
LIVE_STALE_OR_NONE: Final = Query(
    lambda of: (
        f"(avg{of.by(m.LIVE_STALE)}({of.of(m.LIVE_STALE)}) or min{of.by(m.LIVE_STALE)}(1 - {up(Process.GATEWAY)}))"
    )
)
"""The share of the gateways that answer whose live numbers are old; 1 if none answers.

A gateway that is away says nothing and shows nobody anything: the others' numbers are as new as before.
"""
SEALING_LATE_OR_DOWN: Final = Query(
    lambda of: (
        f"max{of.by(m.LEDGER_WINDOWS_OVERDUE)}"
        f"(({of.of(m.LEDGER_WINDOWS_OVERDUE)} > bool 0) or on (event, instance) (1 - {up(Process.LEDGER)}))"
    )
)
"""1 while a window waits for its leaf longer than it should, or nobody can say."""


def _came(metric: Metric, by: str, **labels: str) -> Query:
    return Query(lambda of: f"sum{of.by(metric, by)}({of.increase(metric, **labels)})")


ERRORS: Final = _came(m.HTTP_REQUESTS, "route", code="500")

# Processes.
SIMULATED: Final = largest(m.EVENT_INFO, "event", simulated="true")
WORKER_STARTS: Final = Query(
    lambda of: f"max{of.by(m.WORKER_STARTS, 'instance', 'worker')}({of.increase(m.WORKER_STARTS)})"
)

# What a gateway carries.
FLUSH_FAILURES: Final = _came(m.REDIS_FLUSH_FAILURES, "instance")
REGISTRY_FAILURES: Final = _came(m.REGISTRY_FAILURES, "instance")
HANDOVERS_REFUSED: Final = _came(m.HANDOVERS, "instance", outcome="refused")
LIVE_STALE: Final = largest(m.LIVE_STALE, "instance")
SEATS_A_WORKER: Final = Query(
    lambda of: (
        f"min{of.by(m.SEATS_LEASED, 'instance')}({of.of(m.SEATS_LEASED)})"
        f" / min{of.by(m.WORKERS, 'instance')}({of.of(m.WORKERS)})"
    )
)

# Disks.
SOON_S: Final = 4 * 3600
"""Long enough to act within a working day, and no longer than what some minutes can tell."""


def _soon(metric: Metric) -> Query:
    return Query(lambda of: f"min{of.by(metric, 'instance')}(predict_linear({of.of(metric)}[10m], {SOON_S}))")


def _least(metric: Metric) -> Query:
    return Query(lambda of: f"min{of.by(metric, 'instance')}({of.of(metric)})")


SPOOL_DISK_SOON: Final = _soon(m.SPOOL_DISK_FREE)
LEDGER_DISK_SOON: Final = _soon(m.LEDGER_DISK_FREE)
LEDGER_DISK_FREE: Final = _least(m.LEDGER_DISK_FREE)

# The ledger.
WINDOWS_WITH_GAPS: Final = Query(
    lambda of: f"round(max{of.by(m.LEDGER_WINDOWS_WITH_GAPS)}({of.increase(m.LEDGER_WINDOWS_WITH_GAPS)}))"
)
"""Whole minutes, which `increase` makes fractions of as it extrapolates."""
WITNESS_ASKED: Final = _came(m.LEDGER_COSIGNINGS, "witness")
WITNESS_COSIGNED: Final = _came(m.LEDGER_COSIGNINGS, "witness", outcome="cosigned")
WITNESS_CONTRADICTS: Final = _came(m.LEDGER_COSIGNINGS, "witness", outcome="inconsistent")
WHOLE_EVENT: Final = "(whole event)"
"""Stands where a session's id would, which cannot have such characters."""
PATHS_APART: Final = Query(
    lambda of: (
        f"max{of.by(m.WINDOW_DIFFERENCE, 'session')}(abs({of.of(m.WINDOW_DIFFERENCE)}))\nor\n"
        f"label_replace(max{of.by(m.WINDOW_EVENT_DIFFERENCE)}(abs({of.of(m.WINDOW_EVENT_DIFFERENCE)})), "
        f'"session", "{WHOLE_EVENT}", "", "")'
    )
)
"""How far the two paths are apart in the newest window, in standard errors, by session."""
WINDOWS_SEEN: Final = Query(
    lambda of: f"max{of.by(m.LEDGER_SEALED_WINDOW)}(changes({of.of(m.LEDGER_SEALED_WINDOW)}[{of.window}])) + 1"
)
"""How many windows were the newest one, one after the other."""
