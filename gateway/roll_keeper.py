"""The roll in a running ledger: made beside the ledger's thread once the event is over, and entered in it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from counters import kept_rolls, roll_sealing
from counters.beacon import Round
from counters.evidence_store import EvidenceError
from counters.kept_rolls import RollError
from counters.roll_tree import RollTree
from gateway.ledger_parts import LedgerParts
from gateway.problems import Refused

LOOK_EVERY_S: Final = 5.0
"""How often it is looked whether the event is over: the roll is audited hours later."""
TRY_AGAIN_S: Final = 60.0
_log = logging.getLogger("turnout.ledger")


class RollKeeper:
    """Makes the roll, one at a time. Owned by the ledger's event loop; owns `DIR/roll`, which its thread writes."""

    def __init__(self, parts: LedgerParts, sealed: Callable[[RollTree], None]) -> None:
        """Prepare, without what a killed process was making; `sealed` is told of each roll that is in the log."""
        self._folder = parts.data / roll_sealing.FOLDER
        self._sealer = parts.sealer
        self._thread = parts.thread
        self._clock = parts.clock
        self._before_writing = parts.lookout.before_writing
        self._one_at_a_time = asyncio.Lock()
        self._sealed = sealed
        roll_sealing.abandon(self._sealer, self._folder)

    async def run(self) -> None:
        """Seal the roll when the event is over, for as long as the ledger runs."""
        while True:
            try:
                await self.seal_if_due()
                await self._remake_if_lost()
            except Refused as refused:
                _log.info("the roll is not sealed yet: %s", refused)
            except (EvidenceError, RollError) as error:
                # The log goes on without it, and so does whoever reads the log.
                _log.error("the roll cannot be made, tried again in a minute: %s", error)
                await asyncio.sleep(TRY_AGAIN_S)
            await asyncio.sleep(LOOK_EVERY_S)

    async def seal_if_due(self) -> None:
        """Seal the roll if the event is over and has none.

        Raises:
            Refused: nothing may change the ledger now, or the disk does not take it.
        """
        async with self._one_at_a_time:
            if await self._thread.do(lambda: roll_sealing.is_due(self._sealer, self._clock.now())):
                await self._seal(None)

    async def _remake_if_lost(self) -> None:
        async with self._one_at_a_time:
            roll = await self._thread.do(lambda: kept_rolls.lost(self._sealer.audits.rolls, self._folder))
            if roll is not None:
                entries = await self._thread.do(lambda: list(self._sealer.log.entries()))
                read, disk = self._sealer.evidence.get, self._sealer.disk
                making = asyncio.to_thread(kept_rolls.opened_or_remade, roll, entries, read, self._folder, disk)
                await self._thread.noting(making)
                _log.info("the roll of entry %d is made again from the evidence", roll.index)

    async def correct(self, of: Round | None) -> int:
        """Seal a roll of all evidence that there is now, whether or not there is one; return its entry.

        Args:
            of: the beacon round that decides what is opened of it.

        Raises:
            Refused: nothing may change the ledger now, or the disk does not take it.
        """
        async with self._one_at_a_time:
            return await self._seal(of)

    async def _seal(self, of: Round | None) -> int:
        await self._before_writing()
        entries = await self._thread.do(lambda: list(self._sealer.log.entries()))
        making = self._folder / roll_sealing.MAKING
        made = asyncio.to_thread(roll_sealing.make, entries, self._sealer.evidence.get, making)
        tree = await self._thread.noting(made)
        await self._before_writing()

        def enter() -> int:
            now = self._clock.now()
            return roll_sealing.enter(self._sealer, tree, self._folder, len(entries), now, of)

        index = await self._thread.write(enter)
        _log.info("the roll is sealed: %d attendees, entry %d", tree.size, index)
        self._sealed(tree)
        return index

    def complete(self) -> None:
        """Finish what was left half-sealed. Only in the ledger's thread."""
        roll_sealing.complete(self._sealer, self._folder)
