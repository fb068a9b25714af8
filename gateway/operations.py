"""What a gateway tells those who run it: /metrics, /healthz and /readyz on a port of their own."""

import asyncio
import socket
from collections.abc import Callable

from aiohttp import web

from counters.event import Event
from gateway.reasons import Reason
from metrics import exposition


class Operations:
    """Serves the operations port of one gateway. Owned by the supervisor's event loop."""

    def __init__(
        self, event: Event, snapshot: Callable[[], exposition.GatewaySnapshot], missing: Callable[[], str]
    ) -> None:
        """Answer with `snapshot` (called in a thread), and with `missing`: why no joins are taken, "" if they are."""
        self._vocabulary = exposition.Vocabulary(
            tuple(session.id for session in event.sessions), tuple(reason.label for reason in Reason)
        )
        self._snapshot = snapshot
        self._missing = missing

    async def serve(self, listener: socket.socket) -> None:
        """Answer from now on."""
        app = web.Application()
        app.add_routes(
            [web.get("/metrics", self._metrics), web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Answer no more."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's handler
        body, content_type = exposition.render(await asyncio.to_thread(self._snapshot), self._vocabulary)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _healthz(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:  # noqa: ARG002
        missing = self._missing()
        return web.Response(text=(missing or "ready") + "\n", status=503 if missing else 200)
