"""Seats for newcomers: taken from blocks that the ledger granted, agreed on through the registry.

Because a worker holds spare blocks, joins go on while the ledger or Redis is away. Without the registry two workers may
give one person two seats; the journal shows both, and the alias table of the evidence joins them before any count.

What a worker gave away meanwhile it remembers, so that a person who asks it again gets the same seat, and claims in the
registry as soon as that takes claims: from then on every worker gives it. A crash before that leaves those seats to the
journals, from which `turnout recover` claims them.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol

from counters.attendee import block_seats
from counters.live import RegistryUnavailableError
from gateway.ledger_client import LedgerClient, LedgerRefusedError, LedgerUnavailableError, WorkerName
from gateway.problems import Refused
from gateway.reasons import Reason

SPARE_BLOCKS: Final = 2
"""Blocks held beyond the one in use."""
RETRY_S: Final = (0.2, 5.0)
"""First and longest wait between two tries to reach the ledger."""
UNCLAIMED_LIMIT: Final = 1 << 17
"""Seats remembered to be claimed later: as many as two blocks, 20 MB. Whoever comes after them is seated all the same,
and found by the alias table."""
CLAIM_PAUSE_S: Final = 0.25
"""Between two tries to claim while the registry takes nothing: as often as it is asked whether it is back."""
CLAIMS_AT_ONCE: Final = 64
"""Claims made up for at a time: a quarter of a pipeline, so that those who join meanwhile go along in the same one."""
FAREWELL_S: Final = 1.0
"""How long a worker that stops goes on making up for claims."""
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
        self._last = -1  # the last block that was granted
        self._wanted = asyncio.Event()
        self._wanted.set()
        self.leased = asyncio.Event()
        """Set once the first block is here."""

    def add(self, block: int) -> None:
        """Take in a granted block."""
        self._blocks.append(block)
        self._last = max(block, self._last)
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
        """Keep one block in use and two spare ones, for as long as the worker runs.

        Raises:
            LedgerRefusedError: the ledger grants nothing to this gateway; what is held stays.
        """
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            missing = SPARE_BLOCKS + (not self._open) - len(self._blocks)
            if missing > 0:
                try:
                    blocks = await self._grant(ledger, name, missing)
                except LedgerRefusedError:
                    self._wanted.set()  # who asks again still wants them
                    raise
                for block in blocks:
                    self.add(block)

    async def _grant(self, ledger: LedgerClient, name: WorkerName, blocks: int) -> list[int]:
        pause_s = RETRY_S[0]
        while True:
            try:
                return await ledger.grant(name, blocks, self._last)
            except LedgerUnavailableError as error:
                _log.warning("no seats from the ledger, asking again in %.1f s: %s", pause_s, error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S[1])


class Seats:
    """Gives every attendee its seat. Owns the claims that are to be made up for."""

    def __init__(self, registry: Registry, lease: SeatLease, count: Callable[[str], None]) -> None:
        """Agree through `registry`, take from `lease`, and tell `count` of seats used and a registry away."""
        self._registry = registry
        self._lease = lease
        self._count = count
        self._unclaimed: dict[bytes, int] = {}  # the longest waiting first
        self._some = asyncio.Event()

    async def seat_of(self, pseudonym: bytes) -> int:
        """Return the attendee's seat: the one it has, or a new one.

        Raises:
            Refused: it has none and no seat is left.
        """
        if pseudonym in self._unclaimed:
            self._count("registry.away")
            return self._unclaimed[pseudonym]
        candidate = self._lease.take()
        try:
            seat = await self._registry.claim(pseudonym, candidate)
        except RegistryUnavailableError:
            self._count("registry.away")
            seat = self._claim_later(pseudonym, candidate)
        if seat == candidate:
            self._count("seats.used")
        else:
            self._lease.give_back(candidate)
        return seat

    @property
    def unclaimed(self) -> int:
        """How many seats were given without the registry and are to be claimed in it."""
        return len(self._unclaimed)

    async def keep_claiming(self) -> None:
        """Make up for claims whenever there are any, for as long as the worker runs."""
        while True:
            await self._some.wait()
            if not await self._claim_some():
                await asyncio.sleep(CLAIM_PAUSE_S)

    async def farewell(self) -> None:
        """Make up for what can be made up for at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                while self._unclaimed and await self._claim_some():
                    pass

    def _claim_later(self, pseudonym: bytes, seat: int) -> int:
        """Remember a seat given without the registry; return the one that the attendee has here."""
        if len(self._unclaimed) >= UNCLAIMED_LIMIT:
            return self._unclaimed.get(pseudonym, seat)
        self._some.set()
        return self._unclaimed.setdefault(pseudonym, seat)

    async def _claim_some(self) -> bool:
        """Claim what has waited longest; return whether the registry took any of it."""
        tried = list(islice(self._unclaimed.items(), CLAIMS_AT_ONCE))
        answers = await asyncio.gather(
            *(self._registry.claim(pseudonym, seat) for pseudonym, seat in tried), return_exceptions=True
        )
        taken = False
        for (pseudonym, seat), answer in zip(tried, answers, strict=True):
            del self._unclaimed[pseudonym]
            if isinstance(answer, int):
                # Another seat: it was claimed through another worker meanwhile. The journals have both.
                taken = True
            elif isinstance(answer, RegistryUnavailableError):
                self._unclaimed[pseudonym] = seat  # behind the others: it may be one shard that is away
            else:
                raise answer
        if not self._unclaimed:
            self._some.clear()
        return taken
