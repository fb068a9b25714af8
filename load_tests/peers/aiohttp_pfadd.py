"""A peer: the heartbeat as an aiohttp handler on uvloop, one PFADD of the token into its ten-second bucket.

Run it with `python -m load_tests.peers.aiohttp_pfadd PORT REDIS_URL`.
"""

import asyncio
import sys
import time

import uvloop
from aiohttp import web
from redis.asyncio import Redis


def application(redis: Redis) -> web.Application:
    """Return the app with its one route."""

    async def beat(request: web.Request) -> web.Response:
        token = await request.read()
        await redis.pfadd(f"beats:{int(time.time() // 10)}", token)
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/v1/beat", beat)
    return app


async def serve(port: int, redis_url: str) -> None:
    """Listen until cancelled."""
    async with Redis.from_url(redis_url) as redis:
        runner = web.AppRunner(application(redis), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
