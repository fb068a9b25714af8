"""Heartbeats on the wire: as many a second from one core as it takes.

Heartbeats of a thousand players share a few keep-alive connections: `BeatLine` writes tens of requests at once and
counts the status lines that come back, in order, as HTTP/1.1 pipelining promises. Any answer but 204 stops the replay
and is shown with its body.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Self, cast

from load_tests.http_client import ANSWER_S, HEAD_END, NO_CONTENT, Address, UnexpectedAnswerError, parse_answer

BURST: Final = 64
"""Requests in one write of one connection: some 16 KB, which a server reads in one go."""
CONNECTIONS: Final = 16
"""Enough for the kernel to give several workers their share, few enough for bursts to be worth it."""


class BeatLine(asyncio.Protocol):
    """One keep-alive connection that carries many players' heartbeats. Owns the answers still owed on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[None] | None = None
        self._burst: Sequence[bytes] = ()

    @property
    def open(self) -> bool:
        """Whether a burst can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # TCP: uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """Count answers; look closer at the first that is not a 204."""
        received = self._received
        received += data
        if not received.endswith(HEAD_END) or received.count(HEAD_END) < len(self._burst):
            if received.count(NO_CONTENT) < received.count(HEAD_END):
                self._look_closer()
            return
        if received.count(NO_CONTENT) != len(self._burst) or received.count(HEAD_END) != len(self._burst):
            self._look_closer()
            return
        received.clear()
        self._settle(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the burst that is still owed answers."""
        self._transport = None
        if self._waiting is not None:
            self._look_closer(ended=True)
            self._settle(exc or ConnectionError(f"closed with {len(self._burst)} heartbeats in flight"))

    async def deliver(self, requests: Sequence[bytes]) -> None:
        """Send requests and wait until each has been answered 204.

        Raises UnexpectedAnswerError for any other answer, OSError for a lost connection, TimeoutError after ANSWER_S.
        """
        loop = asyncio.get_running_loop()
        for start in range(0, len(requests), BURST):
            if self._transport is None:
                raise ConnectionError("the connection is closed")
            self._burst = requests[start : start + BURST]
            self._waiting = loop.create_future()
            self._transport.write(b"".join(self._burst))
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._waiting
            except BaseException:
                self.close()  # answers may still be under way that nobody is waiting for
                raise

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _settle(self, problem: Exception | None) -> None:
        waiting, self._waiting, self._burst = self._waiting, None, ()
        if waiting is None or waiting.done():
            return
        if problem is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(problem)

    def _look_closer(self, *, ended: bool = False) -> None:
        """Find the first answer that is not a 204, and fail the burst with it."""
        rest = bytes(self._received)
        for request in self._burst:
            try:
                parsed = parse_answer(rest, ended=ended)
            except ValueError as error:
                self._settle(error)
                return
            if parsed is None:
                return
            answer, length = parsed
            if answer.status != 204:
                self._settle(UnexpectedAnswerError(request, answer.status, answer.body))
                return
            rest = rest[length:]
        if rest:
            self._settle(ValueError(f"{len(rest)} bytes more than were asked for: {rest[:80]!r}"))


class BeatLines:
    """A set of keep-alive connections to one gateway, opened again when the server has closed an idle one.

    An asynchronous context manager: at its end every connection is closed.
    """

    def __init__(self, address: Address, connections: int = CONNECTIONS) -> None:
        self._address = address
        self._lines: list[BeatLine | None] = [None] * connections

    async def _line(self, index: int) -> BeatLine:
        line = self._lines[index]
        if line is None or not line.open:
            loop = asyncio.get_running_loop()
            _, line = await loop.create_connection(BeatLine, self._address.host, self._address.port)
            self._lines[index] = line
        return line

    async def _deliver(self, index: int, requests: Sequence[bytes]) -> None:
        await (await self._line(index)).deliver(requests)

    async def deliver(self, requests: Sequence[bytes]) -> None:
        """Spread requests over the connections and wait for a 204 to each. Raises as BeatLine.deliver."""
        count = min(len(self._lines), -(-len(requests) // BURST))
        shares = [requests[index::count] for index in range(count)]
        await asyncio.gather(*(self._deliver(index, share) for index, share in enumerate(shares)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for line in self._lines:
            if line is not None:
                line.close()
        await asyncio.sleep(0)  # uvloop's loop.close() hangs on connections that it has not yet closed
