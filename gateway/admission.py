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
SPREAD_S: Final = (8, 300)
"""Least and longest time over which those who were refused are told to come back, from 1 s on: a hiccup is over in
seconds, and nobody is sent away for more than five minutes."""
HEADROOM: Final = 1.2
"""Asked to come back are a fifth more than can be taken: capacity is not left idle when some do not."""
ACCOUNT_S: Final = 1.0
"""How often the spread is set anew."""
QUIET_S: Final = 60.0
"""Longer silences are accounted for as this long."""

T = TypeVar("T")


class ComeBack:
    """Says when to try again: evenly over the time in which as many come back as can be taken, and a fifth more.

    How many are out there is counted: those refused, less those who have come back since. Of N players who come back
    evenly over the next U seconds, N/U ask in each; so U = N / (1.2 · taken a second) keeps the worker busy without
    asking it for much more than it can do. `python -m load_tests.herd` plays rushes of many sizes against this rule.
    """

    def __init__(self) -> None:
        """Begin with nobody out there."""
        self._out = 0.0
        self._capacity = 1.0
        self.spread_s = SPREAD_S[0]

    def account(self, taken: int, refused: int) -> None:
        """Look back on a second."""
        self._out += refused - self._out * min(1.0, 2 / self.spread_s)
        # Less than before was taken: a sign of a slower worker only if there were more to take.
        self._capacity = max(taken, (0.9 if refused else 1.0) * self._capacity, 1.0)
        least, longest = SPREAD_S
        self.spread_s = round(min(max(self._out / (HEADROOM * self._capacity), least), longest))

    def retry_after_s(self) -> int:
        """Return the seconds that one answer names."""
        return random.randint(1, self.spread_s)  # noqa: S311 - jitter


class Admission:
    """Lets joins in. Owned by one worker's loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with nobody waiting."""
        self._monotonic = monotonic
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._present = 0
        self._let_in_at = 0.0
        self._taken = self._refused = 0
        self._account_at = monotonic() + ACCOUNT_S
        self._come_back = ComeBack()

    @property
    def present(self) -> int:
        """How many joins wait for their turn or are under way."""
        return self._present

    async def admit(self, join: Callable[[], Awaitable[T]]) -> T:
        """Run a join when its turn has come.

        Raises:
            Refused: too many are waiting; or what `join` raises.
        """
        self.refuse_if_full()
        self._present += 1
        self._taken += 1
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
            self._refused += 1
            raise Refused(Reason.TOO_MANY_JOINS, retry_after_s=self._come_back.retry_after_s())

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
        now = self._monotonic()
        while now >= self._account_at:
            self._come_back.account(self._taken, self._refused)
            self._taken = self._refused = 0
            # After a minute in which nobody came nothing is left to account for.
            self._account_at = max(self._account_at + ACCOUNT_S, now - QUIET_S)
