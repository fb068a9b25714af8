"""What a worker measures for /metrics alone: how long heartbeats and joins take, and the requests that aiohttp takes.

It is in named cells beside those of the outcomes, in a file of their own: a window's leaf has no use for it.
"""

from collections.abc import Mapping
from typing import Final

from gateway.route_metrics import RouteMetrics, request_cells
from gateway.timed_cells import NamedCells, TimedCells, cell_names, durations
from metrics.catalogue import HEARTBEAT_BUCKETS_S, JOIN_BUCKETS_S
from metrics.readings import Durations

ROUTES: Final = (
    "beats", "preflight", "checkins", "live", "openapi", "healthz", "readyz", "log", "verify", "attendance", "receipt",
    "certificates", "steering", "issuer_keys", "other",
)  # fmt: skip
"""What a worker counts by route and status; heartbeats, leaves and joins have their outcomes."""
HEARTBEATS: Final = "beat"
JOINS: Final = "join"
NAMES: Final = (
    *cell_names(HEARTBEATS, HEARTBEAT_BUCKETS_S),
    *cell_names(JOINS, JOIN_BUCKETS_S),
    *request_cells(ROUTES),
)
"""The cells, in the order of the file."""


class WorkerMeasures:
    """Measures for one worker. Owned by its event loop."""

    def __init__(self, cells: NamedCells) -> None:
        """Count into `cells`, which have NAMES."""
        self.heartbeats = TimedCells(cells, HEARTBEATS, HEARTBEAT_BUCKETS_S)
        self.joins = TimedCells(cells, JOINS, JOIN_BUCKETS_S)
        self.routes = RouteMetrics(cells, ROUTES)


def heartbeat_durations(totals: Mapping[str, int]) -> Durations:
    """Return how long heartbeats took, out of the counters by name."""
    return durations(totals, HEARTBEATS, HEARTBEAT_BUCKETS_S)


def join_durations(totals: Mapping[str, int]) -> Durations:
    """Return how long joins took, out of the counters by name."""
    return durations(totals, JOINS, JOIN_BUCKETS_S)
