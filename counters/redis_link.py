"""The link to a Redis: pipelines out, replies in, and one exception for everything that can go wrong.

redis-py makes the connection (URL, TLS, log-in) and reads the replies. A pipeline is packed in one go here and awaited
under one time-out: beside redis-py's own pipeline that costs a third of the CPU (docs/performance.md, joins).

`RedisLink` is one server. Several of them, behind Sentinels (counters.redis_sentinel) or in a Redis Cluster
(counters.redis_cluster), are links with the same methods; counters.redis_address says which one a URL means.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis.exceptions
from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError, ResponseError

PROBE_S: Final = 0.25
"""How often a server that is away is asked whether it is back."""
CANARY_TAG: Final = "canary"

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


class Link(ABC):
    """Where commands go. Whoever makes a link says what its failures are raised as: `unavailable`."""

    def __init__(self, unavailable: type[Exception]) -> None:
        """Raise failures as `unavailable`."""
        self._unavailable = unavailable

    @abstractmethod
    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline; return their replies as Redis sent them, a `Refusal` where one has failed.

        Raises:
            the `unavailable` exception: no server can be reached, or none answers in time.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""

    async def shards(self) -> Sequence["Shard"]:
        """Return the servers that hold keys now: one, except in a Redis Cluster.

        Raises:
            the `unavailable` exception: none can be told.
        """
        return [Shard("", CANARY_TAG, self)]

    def shard_of(self, key: str) -> str:  # noqa: ARG002 - of one server it is always the same
        """Return the name of the shard that holds a key."""
        return ""

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline and return their replies.

        Raises:
            the `unavailable` exception: as `run`, or any of them was refused.
        """
        replies = await self.run(commands)
        for reply in replies:
            if isinstance(reply, Refusal):
                raise self._unavailable(f"Redis: {reply.text}")
        return replies

    async def server_facts(self) -> ServerFacts:
        """Return which server answers; in a cluster, one of them.

        Raises:
            the `unavailable` exception.
        """
        first = (await self.shards())[0]
        (info,) = await first.link.send([("INFO", "server")])
        return read_facts(info)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of the servers that hold keys."""

    name: str  # another server that takes over has another name, or another run id
    tag: str  # hash tag of keys that this server holds
    link: Link


class RedisLink(Link):
    """One Redis and our one connection to it, on which pipelines take turns."""

    def __init__(self, url: str, timeout_s: float, unavailable: type[Exception], *, only_master: bool = False) -> None:
        """Prepare a link; it connects when first used, and again by itself.

        Args:
            url: redis://, rediss:// or unix://.
            timeout_s: for one pipeline, connecting and waiting for the one before it included.
            unavailable: what a failure is raised as.
            only_master: whether a server that says on connecting that it is a replica counts as a failure.

        Raises:
            ValueError: the URL is none of these.
        """
        super().__init__(unavailable)
        self._connection = ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
        self._turn = asyncio.Lock()
        self._timeout_s = timeout_s
        self._only_master = only_master

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
            if self._only_master:
                await self._refuse_a_replica()
        await self._connection.send_packed_command(packed, check_health=False)
        return [await self._reply() for _ in range(count)]

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            # redis-py keeps the codes that it knows ("MOVED", "OOM") apart from the text.
            return Refusal(f"{error.status_code} {error}" if error.status_code else str(error))

    async def _refuse_a_replica(self) -> None:
        await self._connection.send_packed_command(pack_command(("ROLE",)), check_health=False)
        role = await self._reply()
        if isinstance(role, list) and role[0] != b"master":
            await self._connection.disconnect()
            raise redis.exceptions.ConnectionError("this server is a replica")

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect()


class RestingLink(Link):
    """A link that is left in peace while its server is away: callers are told at once, and one probe asks for all.

    Without it everybody who comes during an outage would wait for a time-out of their own.
    """

    def __init__(self, inner: Link, unavailable: type[Exception]) -> None:
        """Go through `inner`."""
        super().__init__(unavailable)
        self._inner = inner
        self._away = ""  # why; "" = it is not
        self._probing: asyncio.Task[None] | None = None

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """As `inner`; at once, while it is away."""
        if self._away:
            raise self._unavailable(self._away)
        try:
            return await self._inner.run(commands)
        except self._unavailable as unavailable:
            if not self._away:
                self._away = str(unavailable)
                self._probing = asyncio.create_task(self._probe())
            raise

    async def close(self) -> None:
        """Stop asking, and close the connections."""
        if self._probing is not None:
            self._probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probing
        await self._inner.close()

    async def _probe(self) -> None:
        while self._away:
            await asyncio.sleep(PROBE_S)
            with contextlib.suppress(self._unavailable):
                # Any answer will do, a refusal too: who is refused is told at once, and waits for nothing.
                await self._inner.run([("PING",)])
                self._away = ""
