"""Refusals on the aiohttp side: one exception, one middleware, one shape of answer (RFC 9457 problem details)."""

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web

from gateway.reasons import Reason

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PREFLIGHT_MAX_AGE_S: Final = 7200
"""Chromium's cap for how long a CORS preflight may be remembered."""
RETRY_AFTER_S: Final = (2, 8)
"""Overload answers send the herd back spread over these seconds."""
CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Turnout-Interval, Retry-After",
}
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
}
_BY_STATUS: Final = {404: Reason.NOT_FOUND, 405: Reason.METHOD_NOT_ALLOWED, 413: Reason.BODY_TOO_LARGE}
_log = logging.getLogger("turnout.http")


class Refused(Exception):  # noqa: N818 - named for what happened
    """The request is refused, and why."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        """Refuse for `reason`; `detail` replaces its general sentence where more is known."""
        super().__init__(detail or reason.detail)
        self.reason = reason
        self.detail = detail


def json_response(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON answer that any origin may read."""
    return web.Response(
        body=orjson.dumps(document), status=status, content_type="application/json", headers=CORS | (headers or {})
    )


def problem_response(reason: Reason, detail: str = "") -> web.Response:
    """Return the problem details of a refusal."""
    headers = dict(CORS)
    if reason.status == 503:
        headers["Retry-After"] = str(random.randint(*RETRY_AFTER_S))  # noqa: S311 - jitter
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
        return web.Response(status=204, headers=CORS | _PREFLIGHT)
    try:
        return await handler(request)
    except Refused as refused:
        return problem_response(refused.reason, refused.detail)
    except web.HTTPException as answer:
        if answer.status < 400:
            raise
        return problem_response(_BY_STATUS.get(answer.status, Reason.BODY_MALFORMED))
    except Exception:  # noqa: BLE001 - whatever broke, the client gets an answer and the log the traceback
        _log.exception("%s %s failed", request.method, request.path)
        return problem_response(Reason.INTERNAL)


async def read_json(request: web.Request) -> Any:
    """Return the request's JSON body.

    Raises:
        Refused: it is no JSON.
    """
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Refused(Reason.BODY_MALFORMED, f"The body is not JSON: {error}.") from None


def bearer(request: web.Request) -> str:
    """Return the credential after `Authorization: Bearer`, or "" if there is none."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""
