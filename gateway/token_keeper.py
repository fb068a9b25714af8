"""The token keeper: the ledger's side of retained tokens. It takes them in, merges their files, deletes them in time.

It has a thread of its own and touches nothing but `DIR/tokens/`: neither sealing nor gateways wait for it.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from counters.clock import Clock
from counters.disk import DISK, Disk
from counters.event import Event
from counters.retained_tokens import FOLDER, RetainedTokens
from counters.roll_tree import RollTree
from counters.secrets import Secrets
from counters.tokens_file import TokensFileError

LOOK_EVERY_S: Final = 1.0
_log = logging.getLogger("turnout.tokens")

T = TypeVar("T")


class TokenKeeper:
    """Keeps the tokens of one ledger. Owned by its event loop."""

    def __init__(self, data: Path, event: Event, secrets: Secrets, clock: Clock, disk: Disk = DISK) -> None:
        """Keep them in a data directory."""
        self._event = event
        self._clock = clock
        self._tokens = RetainedTokens(data / FOLDER, secrets.audit_key, disk)
        self._thread = ThreadPoolExecutor(1, "tokens")
        self._roll: RollTree | None = None

    async def take(self, data: bytes) -> str:
        """Take a tokens file; when this returns it survives a power cut.

        Returns:
            "new", "known", or "expired": the event keeps none, or none any more.

        Raises:
            TokensFileError: it is none of this event.
            OSError: the disk refuses; it may be handed over again.
        """
        if self._expired():
            return "expired"
        return "new" if await self._do(lambda: self._tokens.add(data, self._event.digest)) else "known"

    def note_roll(self, roll: RollTree) -> None:
        """Say that a roll is sealed: what it does not name is deleted.

        Nothing that counts comes after it, so that a corrected roll names no token that this one does not. A crash
        before they are deleted costs room until the date.
        """
        self._roll = roll

    async def keep(self) -> None:
        """Merge files, and delete all when their time has come, for as long as the ledger runs."""
        while True:
            try:
                if self._expired():
                    await self._do(self._forget_all)
                else:
                    while await self._do(self._tokens.merge):
                        pass
                    await self._do(self._forget_unnamed)
            except (OSError, TokensFileError) as error:
                # Nothing is lost by it, and what should be gone is looked for again.
                _log.warning("the files of tokens are left as they are for now: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    def _expired(self) -> bool:
        return expired(self._event, self._clock.now())

    def _forget_all(self) -> None:
        if number := self._tokens.forget_all():
            _log.info("%d tokens are deleted: the event keeps them no longer", number)

    def _forget_unnamed(self) -> None:
        roll, self._roll = self._roll, None
        if roll is not None and (number := self._tokens.forget_all_but(roll.token_digests)):
            _log.info("%d tokens are deleted: the roll does not name them", number)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Wait until the thread has done what it is at, and end it."""
        self._thread.shutdown()


def expired(event: Event, now: float) -> bool:
    """Whether no token of an event is to be kept, or none any more (`now`: unix seconds on its clock)."""
    return event.tokens_until is None or now >= event.tokens_until.timestamp()
