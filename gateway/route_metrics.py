"""Requests by route and status, and how long they took: one middleware, the same for a gateway's worker and the ledger.

A route is called by the first part of its name in aiohttp's table: `web.get("/log/{path:.+}", …, name="log")`, and
`certificates.one` is counted with `certificates`. Whatever has no name, or is not to be found, is `other`, as is a
status that none of our routes should give: both sets are closed (metrics.catalogue).

    log.200               the cell of a route and a status
    log<0.005 …           the cells of a route's histogram (gateway.timed_cells)

Heartbeats, leaves and joins are counted by outcome, whichever way they came: the middleware leaves them out, and
`by_status` says which status each outcome had.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from gateway.reasons import Reason
from gateway.timed_cells import NamedCells, PlainCells, TimedCells, cell_names, durations
from metrics.catalogue import HTTP_BUCKETS_S, HTTP_CODES
from metrics.readings import Durations

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Requests = dict[tuple[str, str], float]
"""Counts by route and status."""

OTHER: Final = "other"
PREFLIGHT: Final = "preflight"
BY_OUTCOME: Final = frozenset({"beat", "leave", "join"})
"""Routes that are counted where their outcome is."""
ALWAYS_THERE: Final = ("200", "500", "503")
"""What a route has counted from the start, at 0: a rate of faults needs the series to exist before the first."""


def request_cells(routes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the cells for these routes."""
    return tuple(
        name
        for route in routes
        for name in (
            *(f"{route}.{code}" for code in HTTP_CODES),
            *cell_names(route, HTTP_BUCKETS_S),
        )
    )


class RouteMetrics:
    """Counts and times requests. Owned by one event loop."""

    def __init__(self, cells: NamedCells, routes: Sequence[str]) -> None:
        """Count into `cells`, which have what `request_cells` names for these routes; `other` must be one of them."""
        self._values = cells.values
        self._codes = {route: {code: cells.index(f"{route}.{code}") for code in HTTP_CODES} for route in routes}
        self._times = {route: TimedCells(cells, route, HTTP_BUCKETS_S) for route in routes}

    def count(self, route: str, status: int) -> None:
        """Count an answer."""
        codes = self._codes.get(route) or self._codes[OTHER]
        self._values[codes.get(str(status), codes[OTHER])] += 1

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer, and the time from the request to it."""
        self.count(route, status)
        (self._times.get(route) or self._times[OTHER]).observe(seconds)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count and time whatever is answered; the outermost, so that it sees what the client does."""
        route = PREFLIGHT if request.method == "OPTIONS" else route_of(request)
        if route in BY_OUTCOME:
            return await handler(request)
        began = time.perf_counter()
        try:
            answer = await handler(request)
        except web.HTTPException as redirected:
            self.answered(route, redirected.status, time.perf_counter() - began)
            raise
        self.answered(route, answer.status, time.perf_counter() - began)
        return answer


class OwnRequests:
    """The requests of a process that has no workers: what its middleware counts, it shows itself."""

    def __init__(self, routes: Sequence[str]) -> None:
        """Begin at zero; `other` must be one of the routes."""
        self._routes = routes
        self._cells = PlainCells(request_cells(routes))
        self.middleware = RouteMetrics(self._cells, routes).middleware

    def by_route(self) -> Requests:
        """Return how many there were, by route and status."""
        return requests(self._cells.read(), self._routes)

    def durations(self) -> dict[str, Durations]:
        """Return how long they took, by route."""
        return request_durations(self._cells.read(), self._routes)


def route_of(request: web.Request) -> str:
    """Return what a request's route is called; `other`: it has no name, or there is none."""
    return (request.match_info.route.name or OTHER).partition(".")[0]


def requests(totals: Mapping[str, int], routes: Sequence[str]) -> Requests:
    """Return the requests by route and status out of the counters by name."""
    return {
        (route, code): count
        for route in routes
        for code in HTTP_CODES
        if (count := totals.get(f"{route}.{code}", 0)) or code in ALWAYS_THERE
    }


def request_durations(totals: Mapping[str, int], routes: Sequence[str]) -> dict[str, Durations]:
    """Return how long requests took, by route; routes that nobody has asked for are left out."""
    of_routes = {route: durations(totals, route, HTTP_BUCKETS_S) for route in routes}
    return {route: took for route, took in of_routes.items() if any(took.counts)}


def by_status(route: str, outcomes: Mapping[str, int], accepted: int) -> Requests:
    """Return requests that were counted by outcome, by route and status: `accepted` unless it is a refusal's label."""
    counted: Requests = {(route, str(accepted)): 0, (route, "500"): 0, (route, "503"): 0}
    for outcome, count in outcomes.items():
        key = (route, str(_STATUS.get(outcome, accepted)))
        if count or key in counted:
            counted[key] = counted.get(key, 0) + count
    return counted


_STATUS: Final = {reason.label: reason.status for reason in Reason}
