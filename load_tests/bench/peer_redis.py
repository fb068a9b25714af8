"""The Redis that peers count in: one server without persistence, on the client's core.

It listens on loopback, as a Redis that several web servers share is reached over TCP, and on a unix socket.

It also says how often it was asked to count, so that no peer can be fast by forgetting to.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import RedisError

from load_tests.bench import processes
from load_tests.ports import free_port

START_S: Final = 10.0
PROGRAMS: Final = ("redis-server", "valkey-server")


@dataclass(frozen=True, slots=True)
class PeerRedis:
    """A Redis that is up."""

    address: str  # a URL: redis://… or unix://…
    pid: int
    version: str
    client: Redis

    def forget(self) -> None:
        """Empty it, and let its command counts begin at zero."""
        self.client.flushall()
        self.client.config_resetstat()

    def counted(self) -> tuple[int, int]:
        """Return how many PFADDs it did since `forget`, and how many different tokens are in all buckets together."""
        stats = cast("dict[str, dict[str, Any]]", self.client.info("commandstats"))
        keys = cast("list[bytes]", self.client.keys("beats:*"))
        calls = int(stats.get("cmdstat_pfadd", {}).get("calls", 0))
        return calls, int(cast("int", self.client.pfcount(*keys))) if keys else 0


def program() -> str | None:
    """Return the path of a Redis-compatible server, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def running(server: str, scratch: Path, *, unix: bool = False) -> Iterator[PeerRedis]:
    """Run it; its address is the unix socket's if `unix`. Raises RuntimeError if it does not start."""
    socket, port = scratch / "peers.sock", free_port()
    address = f"unix://{socket}" if unix else f"redis://127.0.0.1:{port}"
    options = {
        "bind": "127.0.0.1", "port": str(port), "unixsocket": str(socket), "save": "", "appendonly": "no",
        "dir": str(scratch),
    }  # fmt: skip
    command = [server, *(text for name, value in options.items() for text in (f"--{name}", value))]
    child = subprocess.Popen(
        processes.on_core(processes.CLIENT_CORE, command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        with Redis(unix_socket_path=str(socket)) as client:
            deadline = time.monotonic() + START_S
            while True:
                try:
                    version = str(cast("dict[str, Any]", client.info("server"))["redis_version"])
                    break
                except RedisError:
                    if child.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"{server} does not answer on its socket.") from None
                    time.sleep(0.05)
            yield PeerRedis(address, child.pid, version, client)
    finally:
        child.terminate()
        child.wait()
