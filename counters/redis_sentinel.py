"""A link to the master of a service that Redis Sentinels watch.

Sentinels are asked where the master is (`SENTINEL GET-MASTER-ADDR-BY-NAME`) when there is no connection to one, and
while there is one every second beside everything else: an old master that lives takes writes for some ten seconds after
another was made master, and forgets them. All are asked at once, and what most of them say is taken. A server that says
on connecting that it is a replica is no master. redis-py's own Sentinel client is not used: it asks one Sentinel after
the other, each with a time-out of its own, and takes the first word (docs/decisions/0018).

After a fail-over the master is another server, with another run id: whoever sends sketches sends all of them again.
What the old master had not passed on is lost to the registry, and found in the journals.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from counters.redis_link import Link, RedisLink, Refusal

FOLLOW_S: Final = 1.0
"""How often Sentinels are asked while all is well."""

ServerUrl = Callable[[str, int], str]
"""From host and port to the URL of a server."""


class SentinelLink(Link):
    """The master of one service. Owns the connections to it and to the Sentinels."""

    def __init__(
        self,
        sentinels: Sequence[str],
        service: str,
        server_url: ServerUrl,
        timeout_s: float,
        unavailable: type[Exception],
    ) -> None:
        """Prepare a link; it looks for the master when first used, and again whenever that one fails.

        Args:
            sentinels: their URLs.
            service: the Sentinels' name of the master.
            server_url: how a server is reached.
            timeout_s: for one pipeline; looking for the master takes half of it at most, besides.
            unavailable: what a failure is raised as.
        """
        super().__init__(unavailable)
        self._sentinels = [RedisLink(url, timeout_s / 2, unavailable) for url in sentinels]
        self._service = service
        self._server_url = server_url
        self._timeout_s = timeout_s
        self._place = ("", 0)
        self._master: RedisLink | None = None
        self._looking = asyncio.Lock()
        self._asked_at = 0.0
        self._following: asyncio.Task[None] | None = None

    async def run(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        """As `Link.run`, at the master."""
        began = time.monotonic()
        try:
            return await self._run(commands)
        except self._unavailable:
            if time.monotonic() - began >= self._timeout_s / 2:
                raise
        # It is gone, and said so at once: there may be another since long.
        return await self._run(commands)

    async def _run(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        master = await self._find()
        self._follow_on()
        try:
            replies = await master.run(commands)
        except self._unavailable:
            await self._leave(master)
            raise
        if any(isinstance(reply, Refusal) and reply.text.startswith("READONLY") for reply in replies):
            await self._leave(master)  # it has just been made a replica
        return replies

    async def close(self) -> None:
        """Close the connections."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for link in (*self._sentinels, *([] if self._master is None else [self._master])):
            await link.close()

    async def _find(self) -> RedisLink:
        async with self._looking:
            if self._master is None:
                self._place = await self._ask()
                self._master = RedisLink(
                    self._server_url(*self._place), self._timeout_s, self._unavailable, only_master=True
                )
            return self._master

    def _follow_on(self) -> None:
        """See to it that Sentinels are asked every second."""
        due = time.monotonic() - self._asked_at >= FOLLOW_S
        if due and (self._following is None or self._following.done()):
            self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        """Leave the master if there is another one; nobody waits for this."""
        master, place = self._master, self._place
        with contextlib.suppress(self._unavailable):
            if await self._ask() != place and master is not None and self._master is master:
                self._master = None
                # What is under way there, or has its turn before this, is still answered.
                await master.run([])
                await master.close()

    async def _leave(self, master: RedisLink) -> None:
        if self._master is master:
            self._master = None
            await master.close()

    async def _ask(self) -> tuple[str, int]:
        """Return host and port of the master by what most Sentinels say; one that is slow is not waited for long."""
        self._asked_at = time.monotonic()
        question = [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)]
        asked = [asyncio.create_task(sentinel.run(question)) for sentinel in self._sentinels]
        said: Counter[tuple[str, int]] = Counter()
        why = "none of them answers"
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    (place,) = await answer
                except self._unavailable as unavailable:
                    why = str(unavailable)
                    continue
                if isinstance(place, list):
                    said[place[0].decode(), int(place[1])] += 1
                    if said.most_common(1)[0][1] > len(asked) // 2:
                        break
                else:
                    why = place.text if isinstance(place, Refusal) else f"they watch no {self._service!r}"
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not said:
            raise self._unavailable(f"the Sentinels name no master: {why}")
        return said.most_common(1)[0][0]
