"""Passing requests on to the ledger, so that viewers, organisers and auditors find everything at one address."""

from typing import Final

import aiohttp
from aiohttp import web

from gateway.problems import CORS, Refused
from gateway.reasons import Reason

TIMEOUT: Final = aiohttp.ClientTimeout(total=600, sock_connect=2)
"""A certificate of a large event takes minutes."""
_PASSED: Final = ("Authorization", "Content-Type", "Accept")


class LedgerRelay:
    """Passes requests on to one ledger. Owned by the worker; opened on its loop."""

    def __init__(self, ledger_url: str) -> None:
        """Pass requests on to `ledger_url`."""
        self._url = ledger_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Answer with what the ledger answers to the same request.

        Raises:
            Refused: the ledger does not answer.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT, auto_decompress=False)
        headers = {name: request.headers[name] for name in _PASSED if name in request.headers}
        try:
            async with self._session.request(
                request.method, self._url + request.raw_path, data=await request.read(), headers=headers
            ) as answer:
                kind = answer.headers.get("Content-Type", "application/octet-stream")
                return web.Response(
                    body=await answer.read(), status=answer.status, headers=CORS | {"Content-Type": kind}
                )
        except (aiohttp.ClientError, TimeoutError):
            raise Refused(Reason.LEDGER_UNAVAILABLE) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
