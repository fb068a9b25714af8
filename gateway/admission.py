"""Admission: how many joins a worker takes on at once, so that a rush at the doors never costs those who are in.

A join with a ticket costs a worker as much as twenty heartbeats. Joins therefore wait in a bounded queue, and a few are
begun in each turn of the loop; between two turns every heartbeat that has arrived is answered. A join that finds the
queue full is refused at once, which costs next to nothing, with a `Retry-After` that spreads those who were refused
over the time that taking all of them in will need.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from gateway.problems import Refused
from gateway.reasons import Reason

AT_ONCE_LIMIT: Final = 512
"""Joins that are begun or wait for their turn: about a tenth of a second of a worker's time."""
TURN_JOINS: Final = (8, 32)
"""Fewest and most joins begun in one turn of the loop, while any wait: a heartbeat may have to wait for them, which is
one to two milliseconds on a quiet worker and six in a rush."""
JOIN_S: Final = 0.0002
"""About what a join by ticket costs a worker."""
RETRY_MEAN_S: Final = (5.0, 60.0)
"""Least and longest mean of `Retry-After`: nobody waits long for a hiccup, nobody longer than a minute in a rush."""
RETRY_SPREAD: Final = 0.6
"""`Retry-After` is spread evenly over this part of its mean, to both sides."""
ACCOUNT_S: Final = 1.0
"""How often the mean is set anew."""

T = TypeVar("T")


class Admission:
    """Lets joins in. Owned by one worker's loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with nobody waiting."""
        self._monotonic = monotonic
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._present = 0
        self._let_in_at = 0.0
        self._asked = self._refused = 0
        self._account_at = monotonic() + ACCOUNT_S
        self._retry_mean_s = RETRY_MEAN_S[0]

    async def admit(self, join: Callable[[], Awaitable[T]]) -> T:
        """Run a join when its turn has come.

        Raises:
            Refused: too many are waiting; or what `join` raises.
        """
        self.refuse_if_full()
        self._asked += 1
        self._present += 1
        try:
            await self._turn()
            return await join()
        finally:
            self._present -= 1

    def refuse_if_full(self) -> None:
        """Say no at once where `admit` would.

        Raises:
            Refused: too many are waiting.
        """
        self._account()
        if self._present >= AT_ONCE_LIMIT:
            self._asked += 1
            self._refused += 1
            raise Refused(Reason.TOO_MANY_JOINS, retry_after_s=self._retry_after_s())

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        if not self._waiting:
            self._let_in_at = self._monotonic()
            loop.call_soon(self._let_in)
        self._waiting.append(turn)
        await turn

    def _let_in(self) -> None:
        # Joins get half of the loop's time: as much as everything else took since the last turn, within limits.
        now = self._monotonic()
        fewest, most = TURN_JOINS
        joins = min(max(round((now - self._let_in_at) / 2 / JOIN_S), fewest), most)
        self._let_in_at = now
        for _ in range(min(joins, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():  # the player has gone
                turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._let_in)

    def _account(self) -> None:
        """Once a second, set the mean of `Retry-After` so that what comes back is about what can be taken.

        Of N players who try again every R seconds, N/R ask each second. If that was `asked` and `taken` could be let
        in, then R · asked/taken is the R at which as many ask as can be let in.
        """
        now = self._monotonic()
        if now < self._account_at:
            return
        self._account_at = now + ACCOUNT_S
        change = self._asked / max(1, self._asked - self._refused) if self._refused else 0.5
        least, most = RETRY_MEAN_S
        self._retry_mean_s = min(max(self._retry_mean_s * change, least), most)
        self._asked = self._refused = 0

    def _retry_after_s(self) -> int:
        reach_s = RETRY_SPREAD * self._retry_mean_s
        return round(random.uniform(self._retry_mean_s - reach_s, self._retry_mean_s + reach_s))  # noqa: S311 - jitter
