"""The link to a Redis: pipelines out, replies in, and one exception for everything that can go wrong.

redis-py makes the connection (URL, TLS, log-in) and reads the replies. A pipeline is packed in one go here and awaited
under one time-out: beside redis-py's own pipeline that costs a third of the CPU (docs/performance.md, joins).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis.exceptions
from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError, ResponseError

Command = tuple[str | bytes | int, ...]
"""A command's words, each of its own: ("CONFIG", "GET", "save")."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reply to a command that Redis refused: its error text."""

    text: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Which server was found."""

    product: str  # "Redis" or "Valkey"
    version: str
    run_id: str  # changes with every start

    def __str__(self) -> str:
        return f"{self.product} {self.version}"


def read_facts(info: bytes) -> ServerFacts:
    """Return what the answer to `INFO server` says."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    facts = {name: value for name, _, value in lines}
    if "valkey_version" in facts:  # its redis_version is the one it is compatible with
        return ServerFacts("Valkey", facts["valkey_version"], facts.get("run_id", ""))
    return ServerFacts("Redis", facts.get("redis_version", "unknown"), facts.get("run_id", ""))


class RedisLink:
    """One Redis and our one connection to it, on which pipelines take turns."""

    def __init__(self, url: str, timeout_s: float, unavailable: type[Exception]) -> None:
        """Prepare a link; it connects when first used, and again by itself.

        Args:
            url: redis://, rediss:// or unix://.
            timeout_s: for one pipeline, connecting and waiting for the one before it included.
            unavailable: what a failure is raised as.

        Raises:
            ValueError: the URL is none of these.
        """
        self._connection = ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
        self._turn = asyncio.Lock()
        self._timeout_s = timeout_s
        self._unavailable = unavailable

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline; return their replies as Redis sent them, a `Refusal` where it refused one.

        Raises:
            the `unavailable` exception: Redis cannot be reached or does not answer in time.
        """
        # hiredis' stub means a tuple of any length.
        packed = b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                try:
                    return await self._exchange(packed, len(commands))
                except (redis.exceptions.ConnectionError, OSError):
                    # The connection may have died with the previous server: one more try at once, on a new one.
                    return await self._exchange(packed, len(commands))
        except TimeoutError as error:
            raise self._unavailable(f"Redis does not answer within {self._timeout_s:g} s") from error
        except (RedisError, OSError) as error:
            raise self._unavailable(f"Redis: {error}") from error

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        # redis-py closes a connection whose reply was not waited for: the next pipeline cannot take it for its own.
        if not self._connection.is_connected:
            await self._connection.connect()
        await self._connection.send_packed_command(packed, check_health=False)
        return [await self._reply() for _ in range(count)]

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return Refusal(str(error))

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline and return their replies.

        Raises:
            the `unavailable` exception: as `run`, or Redis refused any of them.
        """
        replies = await self.run(commands)
        for reply in replies:
            if isinstance(reply, Refusal):
                raise self._unavailable(f"Redis: {reply.text}")
        return replies

    async def server_facts(self) -> ServerFacts:
        """Return which server answers.

        Raises:
            the `unavailable` exception.
        """
        (info,) = await self.send([("INFO", "server")])
        return read_facts(info)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect()
