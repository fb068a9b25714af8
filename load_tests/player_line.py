"""A player's connection: one request at a time, kept alive, and its end told to the player."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast

from load_tests.http_client import Address, Answer, parse_answer

CONNECT_S: Final = 30.0
ANSWER_S: Final = 30.0
"""A player gives up on an answer after so long; every answer of a gateway that works comes far earlier."""


class PlayerLine(asyncio.Protocol):
    """One connection to the gateway. Owned by one player."""

    def __init__(self, lost: Callable[[], None]) -> None:
        """Tell the player by `lost` when the connection ends, unless an answer or the player had said so."""
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None
        self._over = False
        self.answered_at = 0.0
        """When the last answer was complete, unix s on the host's monotonic clock as `now` reads it."""

    @classmethod
    async def open(cls, address: Address, lost: Callable[[], None]) -> "PlayerLine":
        """Connect. Raises OSError or TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_S):
            _, line = await loop.create_connection(lambda: cls(lost), address.host, address.port)
        return line

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._over and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return the answer.

        Raises ConnectionError if the connection ends first, TimeoutError after ANSWER_S, ValueError for no HTTP answer.
        """
        if self._transport is None or not self.usable:
            raise ConnectionError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer
        except BaseException:
            self.close()  # an answer that nobody waits for may still come
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        """Hang up; the player knows."""
        self._over = True
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """Break the connection as a dying router does: at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    # The protocol's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """Hand the answer over once it is whole."""
        self._received += data
        self._look(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that has no answer; tell the player if it did not know."""
        self._transport = None
        if self._received:
            self._look(ended=True)
        expected, self._over = self._over, True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed without an answer"))
        elif not expected:
            self._lost()

    def _look(self, *, ended: bool) -> None:
        if self._answer is None or self._answer.done():
            self._over = True  # nobody asked for this, for example a 408 before the server hangs up
            return
        try:
            parsed = parse_answer(self._received, ended=ended)
        except ValueError as error:
            self._answer.set_exception(error)
            return
        if parsed is None:
            return
        self.answered_at = now()
        answer, length = parsed
        self._received = self._received[length:]
        if answer.headers.get("connection", "").lower() == "close":
            self._over = True
        self._answer.set_result(answer)


_STARTED: Final = time.time() - time.monotonic()


def now() -> float:
    """Return unix s: the wall clock as read once, carried on by the monotonic clock, as a gateway reads it."""
    return _STARTED + time.monotonic()
