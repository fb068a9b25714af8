"""Passing requests on to the ledger, so that viewers, organisers and auditors find everything at one address."""

from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from gateway.problems import CORS, Refused, reading
from gateway.reasons import Reason
from gateway.request_ids import HEADER, REQUEST_ID
from gateway.tracing import OFF, Tracing

TIMEOUT: Final = aiohttp.ClientTimeout(total=600, sock_connect=2)
"""A certificate of a large event takes minutes."""
_ASKED: Final = ("Authorization", "Content-Type", "Accept")
_ANSWERED: Final = (
    "Content-Type",
    "Cache-Control",
    "Retry-After",
    "Allow",
    "Content-Disposition",
    "Content-Security-Policy",
    "Referrer-Policy",
    "X-Content-Type-Options",
    "Turnout-Superseded-By",
)


class LedgerRelay:
    """Passes requests on to one ledger. Owned by the worker; opened on its loop."""

    def __init__(self, ledger_url: str, tracing: Tracing = OFF) -> None:
        """Pass requests on to `ledger_url`."""
        self._tracing = tracing
        self._url = ledger_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Answer with what the ledger answers to the same request.

        Raises:
            Refused: the ledger does not answer.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT, auto_decompress=False)
        asked = {
            # What is not ASCII is nothing that the ledger knows, and aiohttp's client could not send it.
            name: request.headers[name].encode("ascii", errors="replace").decode()
            for name in _ASKED
            if name in request.headers
        } | {HEADER: request[REQUEST_ID], **self._tracing.carried()}
        # The path alone: a request line may hold a whole URL. Its spelling is kept, since the ledger judges it.
        url = URL(self._url + request.rel_url.raw_path_qs, encoded=True)
        async with reading():
            body = await request.read()
        try:
            async with self._session.request(request.method, url, data=body, headers=asked) as answer:
                answered = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
                return web.Response(body=await answer.read(), status=answer.status, headers=CORS | answered)
        except (aiohttp.ClientError, TimeoutError):
            raise Refused(Reason.LEDGER_UNAVAILABLE) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
