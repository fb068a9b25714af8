"""A peer: the heartbeat with FastAPI on uvicorn, one PFADD of the token into its ten-second bucket.

uvicorn runs one process with uvloop and httptools, its fastest, and no access log.
Run it with `python -m load_tests.peers.fastapi_pfadd PORT REDIS_URL`.
"""

import sys
import time

import uvicorn
from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis


def application(redis: Redis) -> FastAPI:
    """Return the app with its one route."""
    app = FastAPI()

    @app.post("/v1/beat", status_code=204)
    async def beat(request: Request) -> Response:
        token = await request.body()
        await redis.pfadd(f"beats:{int(time.time() // 10)}", token)
        return Response(status_code=204)

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(Redis.from_url(sys.argv[2])),
        host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning", access_log=False,
    )  # fmt: skip
