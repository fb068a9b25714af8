"""Refusals on the aiohttp side: one exception, one middleware, one shape of answer (RFC 9457 problem details)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.reasons import Reason, retry_after_s
from gateway.request_ids import REQUEST_ID, broken

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_S: Final = 60.0
"""A body that takes longer than this to arrive is not a scanner's full batch over a slow network."""
PREFLIGHT_MAX_AGE_S: Final = 7200
"""Chromium's cap for how long a CORS preflight may be remembered."""
CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Turnout-Interval, Retry-After, Turnout-Superseded-By",
}
PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
}
_BY_STATUS: Final = {404: Reason.NOT_FOUND, 405: Reason.METHOD_NOT_ALLOWED, 413: Reason.BODY_TOO_LARGE}
_log = logging.getLogger("turnout.http")


class Refused(Exception):  # noqa: N818 - named for what happened
    """The request is refused, and why."""

    def __init__(self, reason: Reason, detail: str = "", *, retry_after_s: int = 0) -> None:
        """Refuse for `reason`; `detail` replaces its general sentence, `retry_after_s` its usual time."""
        super().__init__(detail or reason.detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s


def json_response(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON answer that any origin may read."""
    return web.Response(
        body=orjson.dumps(document), status=status, content_type="application/json", headers=CORS | (headers or {})
    )


def problem_response(reason: Reason, detail: str = "", retry_s: int = 0) -> web.Response:
    """Return the problem details of a refusal."""
    headers = dict(CORS)
    if reason.status == 503:
        headers["Retry-After"] = str(retry_s or retry_after_s())
    return web.Response(
        body=orjson.dumps(reason.problem(detail)),
        status=reason.status,
        content_type="application/problem+json",
        headers=headers,
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every refusal into problem details, and every accident into one that says only that it was logged."""
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=CORS | PREFLIGHT)
    try:
        return await handler(request)
    except Refused as refused:
        return problem_response(refused.reason, refused.detail, refused.retry_after_s)
    except web.HTTPException as answer:
        if answer.status < 400:
            raise
        refusal = problem_response(_BY_STATUS.get(answer.status, Reason.BODY_MALFORMED))
        if isinstance(answer, web.HTTPMethodNotAllowed):
            refusal.headers["Allow"] = answer.headers["Allow"]  # RFC 9110 §15.5.6
        return refusal
    except Exception:  # noqa: BLE001 - whatever broke, the client gets an answer and the log the traceback
        _log.exception("a request failed")
        return problem_response(Reason.INTERNAL, broken(request[REQUEST_ID], Reason.INTERNAL.detail))


@asynccontextmanager
async def reading(limit_s: float = BODY_S) -> AsyncIterator[None]:
    """Read a request's body within `limit_s` seconds.

    Raises:
        Refused: it takes longer, breaks off, is too large, or is not encoded as the head says.
    """
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise Refused(Reason.REQUEST_TIMEOUT) from None
    except web.HTTPRequestEntityTooLarge:
        raise Refused(Reason.BODY_TOO_LARGE) from None
    except (web.RequestPayloadError, ConnectionError, ClientError, HttpProcessingError):
        raise Refused(Reason.BODY_MALFORMED, "The body breaks off or is not encoded as its head says.") from None


async def read_json(request: web.Request) -> Any:
    """Return the request's JSON body.

    Raises:
        Refused: it is no JSON, or does not come (see `reading`).
    """
    async with reading():
        body = await request.read()
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(Reason.BODY_MALFORMED, f"The body is not JSON: {error}.") from None


def bearer(request: web.Request) -> str:
    """Return the credential after `Authorization: Bearer`, or "" if there is none.

    It is ASCII: no credential here has other characters, and what stands in their place fits none.
    """
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    ascii_only = credential.strip().encode("ascii", errors="replace").decode()
    return ascii_only if scheme.lower() == "bearer" else ""
