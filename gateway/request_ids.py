"""A number for each request that aiohttp answers, so that a client, a load balancer and our log speak of the same one.

A load balancer's own number (`X-Request-Id`) is kept if it looks like one. The answer carries the number back; every
line logged meanwhile has it (`request`) and the route's pattern (never the path, which may hold a token); and so does
the error that a client sees when something broke here. Heartbeats have none: nothing is ever logged about one.
"""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from structlog.contextvars import bound_contextvars

HEADER: Final = "X-Request-Id"
REQUEST_ID: Final = web.RequestKey("request_id", str)
_LOOKS_LIKE_ONE: Final = re.compile(r"[A-Za-z0-9._:-]{8,64}")
"""UUIDs and what nginx, HAProxy and Envoy make; nothing that could forge a line of a log."""
_log = logging.getLogger("turnout.requests")


def new_request_id() -> str:
    """Return a number that no other request has: 16 hexadecimal digits."""
    return secrets.token_hex(8)


@web.middleware
async def request_ids(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Number a request, and log it at level debug."""
    given = request.headers.get(HEADER, "")
    number = given if _LOOKS_LIKE_ONE.fullmatch(given) else new_request_id()
    request[REQUEST_ID] = number
    resource = request.match_info.route.resource
    with bound_contextvars(request=number, route=f"{request.method} {resource.canonical if resource else 'unknown'}"):
        began = time.perf_counter()
        answer = await handler(request)
        if not answer.prepared:
            answer.headers[HEADER] = number
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("answered %d in %.1f ms", answer.status, (time.perf_counter() - began) * 1000)
    return answer


def broken(number: str, sentence: str) -> str:
    """Return what a client is told of a request that broke here."""
    return f"{sentence} Its number is {number}."
