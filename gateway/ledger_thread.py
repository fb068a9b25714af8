"""The ledger's thread: everything that changes the ledger is done in it, one after the other.

So the sealer needs no locks, and HTTP never waits for a disk. Between what others ask for it seals what is due. A disk
that refuses, a full one above all, ends nothing: who wanted to write is told to come again, and the thread goes on by
itself once the disk takes evidence again.
"""

import asyncio
import errno
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from counters.clock import Clock
from counters.sealing import Sealer
from gateway.problems import Refused
from gateway.reasons import Reason
from gateway.tracing import OFF, SEAL, Tracing
from metrics.catalogue import SEAL_BUCKETS_S
from metrics.readings import Durations

SEAL_EVERY_S: Final = 0.2
SIMULATED_SEAL_EVERY_S: Final = 0.1
"""On a simulated clock windows pass in milliseconds of real time; several are sealed as one group."""
DISK_RETRY_S: Final = 1.0
"""How often a disk that refused is tried again: a try on a full one costs next to nothing."""
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says of a full disk, of a quota, and of a limit on the length of files."""
_log = logging.getLogger("turnout.ledger")

T = TypeVar("T")


class LedgerThread:
    """Owns the thread, and the sealer while it runs. Called from the event loop."""

    def __init__(self, sealer: Sealer, clock: Clock, *, simulated: bool, tracing: Tracing = OFF) -> None:
        """Start the thread; `simulated` events are sealed more often."""
        self._tracing = tracing
        self._sealer = sealer
        self._clock = clock
        self._pause_s = SIMULATED_SEAL_EVERY_S if simulated else SEAL_EVERY_S
        self._thread = ThreadPoolExecutor(1, "ledger")
        self.held: Callable[[], Refused | None] = lambda: None
        """Why nothing may change the ledger, whatever its disk says; None if it may."""
        self.seal_durations = Durations.none(SEAL_BUCKETS_S)
        """How long sealing took each time that something was sealed; replaced whole."""
        self.refused = ""
        """Why the disk was not written when it last should have been; "" = it was."""

    async def do(self, work: Callable[[], T]) -> T:
        """Do something that writes nothing."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def write(self, work: Callable[[], T]) -> T:
        """Do something that changes the ledger.

        Raises:
            Refused: nothing may, or the disk does not take it; nothing of it was promised to anybody.
        """
        if held := self.held():
            raise held
        return await self.keep(work)

    async def keep(self, work: Callable[[], T]) -> T:
        """Do something that writes to the disk and changes nothing of the ledger: publish it, note who has seen it.

        Raises:
            Refused: the disk does not take it.
        """
        return await self.noting(self.do(work))

    async def noting(self, work: Awaitable[T]) -> T:
        """Await what another thread writes to the same disk.

        Raises:
            Refused: the disk does not take it.
        """
        try:
            return await work
        except OSError as error:
            self._note(error)
            raise Refused(Reason.DISK_FULL if error.errno in NO_ROOM else Reason.DISK_FAILS) from error

    async def keep_sealing(self, may_seal: Callable[[], bool]) -> None:
        """Seal what is due, for as long as the ledger runs and while it may.

        Raises:
            LogError: the log is not what this ledger wrote, or another writes it.
            EvidenceError: evidence that was accepted is gone.
        """
        while True:
            refused = self.refused
            try:
                if refused:
                    await self.do(self._sealer.check_disk)
                if may_seal():
                    await self.do(self._seal)
            except OSError as error:
                self._note(error)
                await asyncio.sleep(DISK_RETRY_S)
                continue
            if refused:
                _log.warning("the ledger's disk takes evidence again")
                self.refused = ""
            await asyncio.sleep(self._pause_s)

    def _seal(self) -> None:
        begun, began_ns = time.monotonic(), time.time_ns()
        if sealed := self._sealer.seal(self._clock.now(), begun):
            self._tracing.done(SEAL, began_ns, leaves=sealed)
            self.seal_durations = self.seal_durations.observed(time.monotonic() - begun)

    def _note(self, error: OSError) -> None:
        cause = "its disk is full" if error.errno in NO_ROOM else f"its disk fails: {error.strerror or error}"
        if cause != self.refused:
            _log.error("the ledger takes nothing more because %s (%s)", cause, error)
        self.refused = cause

    async def close(self) -> None:
        """Let go of the data directory and end the thread."""
        await self.do(self._sealer.close)
        self._thread.shutdown()
