"""A number for each request that aiohttp answers, so that a client, a load balancer and our log speak of the same one.

A load balancer's own number (`X-Request-Id`) is kept if it looks like one. The answer carries the number back; every
line logged meanwhile has it (`request`) and the route's pattern (never the path, which may hold a token); and so does
the error that a client sees when something broke here. Heartbeats have none: nothing is ever logged or traced of one.
"""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.contextvars import bound_contextvars

from gateway.tracing import OFF, Tracing

HEADER: Final = "X-Request-Id"
REQUEST_ID: Final = web.RequestKey("request_id", str)
_LOOKS_LIKE_ONE: Final = re.compile(r"[A-Za-z0-9._:-]{8,64}")
"""UUIDs and what nginx, HAProxy and Envoy make; nothing that could forge a line of a log."""
NEVER_TRACED: Final = frozenset({"beat", "beats", "leave"})
"""Names of the routes on which aiohttp takes heartbeats that did not come through the door."""
_log = logging.getLogger("turnout.requests")


def new_request_id() -> str:
    """Return a number that no other request has: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def request_ids(tracing: Tracing = OFF) -> Middleware:
    """Return the middleware that numbers requests, traces them, and logs them at level debug."""

    @web.middleware
    async def number_and_trace(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get(HEADER, "")
        number = given if _LOOKS_LIKE_ONE.fullmatch(given) else new_request_id()
        request[REQUEST_ID] = number
        route = request.match_info.route
        pattern = route.resource.canonical if route.resource else "unknown"
        traced = OFF if route.name in NEVER_TRACED else tracing
        with (
            bound_contextvars(request=number, route=f"{request.method} {pattern}"),
            traced.request(request.method, pattern, request.headers) as span,
        ):
            began = time.perf_counter()
            answer = await handler(request)
            span.answered(answer.status)
            if not answer.prepared:
                answer.headers[HEADER] = number
            if _log.isEnabledFor(logging.DEBUG):
                _log.debug("answered %d in %.1f ms", answer.status, (time.perf_counter() - began) * 1000)
        return answer

    return number_and_trace


def broken(number: str, sentence: str) -> str:
    """Return what a client is told of a request that broke here."""
    return f"{sentence} Its number is {number}."
