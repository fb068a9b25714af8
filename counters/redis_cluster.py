"""A link to a Redis Cluster: each command goes to the server that holds its key, and follows when the key moves.

A key's slot is CRC-16 (XMODEM) of its hash tag modulo 16,384: `{expo:1}` of `turnout:{expo:1}:b:0:views`. Which server
holds a slot is learnt from `CLUSTER SLOTS` of the known node with the highest epoch (a node on the wrong side of a cut
still tells an old story), and again after anything that says that it has changed: MOVED, CLUSTERDOWN, READONLY, or a
server that does not answer. MOVED and ASK are followed at once.

A pipeline is cut up by server, and its parts run side by side. Where one server fails, only its commands do: their
replies are a `Refusal`, and the others' stand. Commands name their key second (`SET key …`), as all of Turnout's do.

redis-py's own cluster client is not used: a time-out in one of its pipelines can leave it with a map of slots that it
does not learn anew, and after MOVED it may try again with the old one (docs/decisions/0018).
"""

import asyncio
import contextlib
from binascii import crc_hqx
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from counters.redis_link import CANARY_TAG, Command, Link, Refusal, Shard
from counters.redis_sentinel import ServerUrl

SLOTS: Final = 1 << 14
HOPS_LIMIT: Final = 4
"""MOVED and ASK followed for one command: a move in progress needs two."""
LEARN_PAUSE_S: Final = 0.1
"""Between two times that the map of slots is learnt, however many commands ask for it."""
_STALE: Final = ("MOVED", "CLUSTERDOWN", "READONLY", "MASTERDOWN", "TRYAGAIN")


def slot_of(key: str) -> int:
    """Return the slot of a key."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return crc_hqx((tag if opened and closed and tag else key).encode(), 0) % SLOTS


@cache
def tag_in(slot: int) -> str:
    """Return a hash tag of that slot."""
    number = 0
    while slot_of(tag := f"{CANARY_TAG}:{number}") != slot:
        number += 1
    return tag


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Which server holds which slot."""

    servers: Sequence[str | None]  # URL by slot; None = no server holds it
    names: Mapping[str, str]  # node id by URL

    @classmethod
    def read(cls, answer: Iterable[Any], asked: str, server_url: ServerUrl) -> "SlotMap":
        """Return the map in an answer to `CLUSTER SLOTS`, given by the server with the URL `asked`."""
        servers: list[str | None] = [None] * SLOTS
        names = {}
        for first, last, master, *_ in answer:
            host, port, name = master[0], master[1], master[2]
            # A node that does not know its own name says nothing: it is the one that was asked.
            url = server_url(host.decode(), port) if host else asked
            servers[first : last + 1] = [url] * (last + 1 - first)
            names[url] = name.decode()
        return cls(servers, names)


class _Node(Link):
    """A link to one node; whoever finds it away is told to the cluster."""

    def __init__(self, inner: Link, away: Callable[[], None], unavailable: type[Exception]) -> None:
        """Go through `inner`; call `away` when that fails."""
        super().__init__(unavailable)
        self._inner = inner
        self._tell = away

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """As `inner`."""
        try:
            return await self._inner.run(commands)
        except self._unavailable:
            self._tell()
            raise

    async def close(self) -> None:
        """Close the connection."""
        await self._inner.close()


class ClusterLink(Link):
    """One Redis Cluster. Owns a link to each of its masters, and the map of slots."""

    def __init__(
        self,
        seeds: Sequence[str],
        server_url: ServerUrl,
        open_node: Callable[[str], Link],
        timeout_s: float,
        unavailable: type[Exception],
    ) -> None:
        """Prepare a link; it learns the map of slots when first used.

        Args:
            seeds: URLs of some nodes.
            server_url: how a node is reached.
            open_node: makes the link to one node.
            timeout_s: for the part of a pipeline that goes to one node.
            unavailable: what a failure is raised as.
        """
        super().__init__(unavailable)
        self._seeds = tuple(seeds)
        self._server_url = server_url
        self._open_node = open_node
        self._timeout_s = timeout_s
        self._nodes: dict[str, Link] = {}
        self._map = SlotMap([None] * SLOTS, {})
        self._learning: asyncio.Task[None] | None = None

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """As `Link.run`; each command's own server may fail, and only when all do is that raised."""
        if not self._map.names:
            await self._learn()
        replies: list[Any] = [Refusal("not sent")] * len(commands)
        where = {place: self._server_of(command) for place, command in enumerate(commands)}
        answered = not commands
        for _ in range(HOPS_LIMIT):
            moved: dict[int, tuple[str | None, bool]] = {}
            parts = self._parts(where)
            for places, of_part in zip(parts, await self._run_parts(parts, commands, where), strict=True):
                if isinstance(of_part, Refusal):
                    replies_of = [of_part] * len(places)
                else:
                    answered = True
                    replies_of = of_part
                for place, reply in zip(places, replies_of, strict=True):
                    replies[place] = reply
                    if isinstance(reply, Refusal) and (url := self._redirected(reply)):
                        moved[place] = (url, reply.text.startswith("ASK "))
            if not moved:
                break
            where = moved
        if not answered:
            raise self._unavailable(replies[0].text)
        return replies

    async def shards(self) -> Sequence[Shard]:
        """Return the masters that hold slots."""
        if not self._map.names:
            await self._learn()
        owned: dict[str, int] = {}
        for slot, url in enumerate(self._map.servers):
            if url is not None:
                owned.setdefault(url, slot)
        return [Shard(self._map.names[url], tag_in(slot), self._node(url)) for url, slot in owned.items()]

    def shard_of(self, key: str) -> str:
        """Return the node id of the master that holds a key; "" if none does."""
        url = self._map.servers[slot_of(key)]
        return "" if url is None else self._map.names[url]

    async def close(self) -> None:
        """Close the connections."""
        if self._learning is not None:
            self._learning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._learning
        for node in self._nodes.values():
            await node.close()

    # Commands.

    def _server_of(self, command: Command) -> tuple[str | None, bool]:
        return self._map.servers[slot_of(str(command[1]))], False

    @staticmethod
    def _parts(where: Mapping[int, tuple[str | None, bool]]) -> list[list[int]]:
        """Return the places of the commands by server, each in order."""
        parts: dict[tuple[str | None, bool], list[int]] = {}
        for place, target in where.items():
            parts.setdefault(target, []).append(place)
        return list(parts.values())

    async def _run_parts(
        self, parts: list[list[int]], commands: Sequence[Command], where: Mapping[int, tuple[str | None, bool]]
    ) -> list[list[Any] | Refusal]:
        return await asyncio.gather(
            *(self._run_part([commands[place] for place in places], *where[places[0]]) for places in parts)
        )

    async def _run_part(self, commands: list[Command], url: str | None, asking: bool) -> list[Any] | Refusal:
        if url is None:
            self._learn_soon()
            return Refusal("CLUSTERDOWN no server holds the slot")
        asked = [word for command in commands for word in ((("ASKING",), command) if asking else (command,))]
        try:
            replies = await self._node(url).run(asked)
        except self._unavailable as unavailable:
            return Refusal(str(unavailable))
        return replies[1::2] if asking else replies

    def _redirected(self, refusal: Refusal) -> str | None:
        """Return the URL that a refused command is to be sent to instead, None if it is not."""
        if refusal.text.startswith(_STALE):
            self._learn_soon()
        if not refusal.text.startswith(("MOVED ", "ASK ")):
            return None
        host, _, port = refusal.text.split()[2].rpartition(":")
        return self._server_url(host, int(port)) if host else None

    def _node(self, url: str) -> Link:
        if url not in self._nodes:
            self._nodes[url] = _Node(self._open_node(url), self._learn_soon, self._unavailable)
        return self._nodes[url]

    # The map of slots.

    def _learn_soon(self) -> None:
        """Learn the map anew beside everything else: nobody waits for it."""
        if self._learning is None or self._learning.done():
            self._learning = asyncio.create_task(self._learn_again())

    async def _learn_again(self) -> None:
        with contextlib.suppress(self._unavailable):
            await self._learn()
        await asyncio.sleep(LEARN_PAUSE_S)

    async def _learn(self) -> None:
        """Ask all known nodes, and believe the one with the highest epoch."""
        known = list(dict.fromkeys([*self._map.names, *self._seeds]))
        asked = {asyncio.create_task(self._ask(url)): url for url in known}
        try:
            # Half the time of a pipeline: one that hangs holds nobody up for longer.
            await asyncio.wait(asked, timeout=self._timeout_s / 2)
        finally:
            for task in asked:
                task.cancel()
            answers = await asyncio.gather(*asked, return_exceptions=True)
        told = [answer for answer in answers if isinstance(answer, tuple)]
        if not told:
            why = next((str(answer) for answer in answers if isinstance(answer, self._unavailable)), "no answer")
            raise self._unavailable(f"no node of the cluster tells who holds what: {why}")
        self._map = max(told, key=lambda answer: answer[0])[1]
        await self._close_all_but({*self._map.names, *self._seeds})

    async def _ask(self, url: str) -> tuple[int, SlotMap]:
        """Return a node's epoch and the map that it tells."""
        info, slots = await self._node(url).send([("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")])
        epochs = [line.partition(":")[2] for line in info.decode().split() if line.startswith("cluster_current_epoch:")]
        return int(epochs[0]), SlotMap.read(slots, url, self._server_url)

    async def _close_all_but(self, urls: set[str]) -> None:
        for url in self._nodes.keys() - urls:
            await self._nodes.pop(url).close()
