"""The ceiling: the heartbeat as a plain aiohttp handler on uvloop, which reads the body and counts nothing.

Run it with `python -m load_tests.peers.aiohttp_plain PORT`.
"""

import asyncio
import sys

import uvloop
from aiohttp import web


async def beat(request: web.Request) -> web.Response:
    """Read the token and answer 204."""
    await request.read()
    return web.Response(status=204)


async def serve(port: int) -> None:
    """Listen until cancelled."""
    app = web.Application()
    app.router.add_post("/v1/beat", beat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
