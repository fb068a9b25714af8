"""Seats for newcomers: taken from blocks that the ledger granted, agreed on through the registry.

Because a worker holds spare blocks, joins go on while the ledger or Redis is away. Without the registry two workers may
give one person two seats; the journal shows both, and the alias table of the evidence joins them before any count.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from counters.attendee import block_seats
from counters.live import RegistryUnavailableError
from gateway.ledger_client import LedgerClient, LedgerUnavailableError, WorkerName
from gateway.problems import Refused
from gateway.reasons import Reason

SPARE_BLOCKS: Final = 2
"""Blocks held beyond the one in use."""
RETRY_S: Final = (0.2, 5.0)
"""First and longest wait between two tries to reach the ledger."""
REGISTRY_REST_S: Final = 1.0
"""After the registry failed, joins do without it for this long, and do not each wait for its time-out."""
_log = logging.getLogger("turnout.seats")


class Registry(Protocol):
    """Where a pseudonym's seat is agreed on (counters.live.SeatRegistry)."""

    async def claim(self, pseudonym: bytes, seat: int) -> int:
        """Set the seat if the pseudonym has none; return the seat it has now."""
        ...


class SeatLease:
    """The blocks of seats that one worker holds."""

    def __init__(self, leased: Callable[[int], None]) -> None:
        """Hold nothing yet; tell `leased` how many seats every grant brings."""
        self._tell = leased
        self._open: deque[int] = deque()
        self._blocks: deque[int] = deque()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self.leased = asyncio.Event()
        """Set once the first block is here."""

    def add(self, block: int) -> None:
        """Take in a granted block."""
        self._blocks.append(block)
        self._tell(len(block_seats(block)))
        self.leased.set()

    @property
    def ready(self) -> bool:
        """Whether a newcomer could be seated now."""
        return bool(self._open or self._blocks)

    def take(self) -> int:
        """Return a seat that nobody has.

        Raises:
            Refused: no seat is left.
        """
        if not self._open:
            self._wanted.set()
            if not self._blocks:
                raise Refused(Reason.SEATS_EXHAUSTED)
            self._open.extend(block_seats(self._blocks.popleft()))
        return self._open.popleft()

    def give_back(self, seat: int) -> None:
        """Return a seat that was taken and given to nobody."""
        self._open.appendleft(seat)

    async def keep(self, ledger: LedgerClient, name: WorkerName) -> None:
        """Keep one block in use and two spare ones, for as long as the worker runs."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            missing = SPARE_BLOCKS + (not self._open) - len(self._blocks)
            if missing > 0:
                for block in await self._grant(ledger, name, missing):
                    self.add(block)

    @staticmethod
    async def _grant(ledger: LedgerClient, name: WorkerName, blocks: int) -> list[int]:
        pause_s = RETRY_S[0]
        while True:
            try:
                return await ledger.grant(name, blocks)
            except LedgerUnavailableError as error:
                _log.warning("no seats from the ledger, asking again in %.1f s: %s", pause_s, error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S[1])


class Seats:
    """Gives every attendee its seat."""

    def __init__(self, registry: Registry, lease: SeatLease, count: Callable[[str], None]) -> None:
        """Agree through `registry`, take from `lease`, and tell `count` when the registry was away."""
        self._registry = registry
        self._lease = lease
        self._count = count
        self._rest_until = 0.0

    async def seat_of(self, pseudonym: bytes) -> int:
        """Return the attendee's seat: the one it has, or a new one.

        Raises:
            Refused: it has none and no seat is left.
        """
        candidate = self._lease.take()
        if time.monotonic() < self._rest_until:
            self._count("registry.away")
            return candidate
        try:
            seat = await self._registry.claim(pseudonym, candidate)
        except RegistryUnavailableError:
            self._rest_until = time.monotonic() + REGISTRY_REST_S
            self._count("registry.away")
            return candidate
        if seat != candidate:
            self._lease.give_back(candidate)
        return seat
