"""The token courier: carries sealed tokens to the ledger, after the evidence that they came with and out of its way.

When the ledger has a window's evidence, the courier links the window's journals into this folder before it deletes
them (`take_in`), so that a minute of many joins is not sealed late because of their tokens. From here the tokens
go as tokens files (counters.tokens_file), and a journal is deleted when the ledger has said that they are on its disk.

    SPOOL/tokens-<first 16 hex digits of the event's digest>/<worker>-w<window>.journal

A token handed over twice is kept once: whatever crashes, the same is done again.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counters import journal
from counters.durable_file import make_folder, sync_folder
from counters.event import Event
from counters.tokens_file import pack
from gateway.ledger_client import LedgerClient, LedgerRefusedError, LedgerUnavailableError

PART_BYTES: Final = 8 * 1024 * 1024
"""Of sealed tokens in one request: twenty thousand joins."""
LOOK_EVERY_S: Final = 1.0
RETRY_S: Final = (1.0, 30.0)
_log = logging.getLogger("turnout.tokens")


@dataclass(frozen=True, slots=True)
class _Load:
    """What is carried in one go."""

    journals: Sequence[Path]
    parts: Sequence[bytes]  # tokens files


class TokenCourier:
    """Carries the tokens of one gateway. Owned by the supervisor's event loop; `take_in` is called in a thread."""

    def __init__(self, spool: Path, event: Event, ledger: LedgerClient) -> None:
        """Carry from `spool`; an event that keeps no tokens leaves nothing to carry."""
        self._event = event
        self._ledger = ledger
        self._folder = spool / f"tokens-{event.digest[:16]}"
        self._thread = ThreadPoolExecutor(1, "tokens")

    def take_in(self, journals: Sequence[Path]) -> None:
        """Keep journals whose evidence the ledger has; when this returns they may be deleted where they are. Blocks.

        Raises:
            OSError: the disk refuses.
        """
        if self._event.tokens_until is None or not journals:
            return
        make_folder(self._folder, mode=0o700)
        for path in journals:
            # Gone, or here already: this is done again after a crash.
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                (self._folder / f"{path.parent.name}-{path.name}").hardlink_to(path)
        sync_folder(self._folder)

    async def carry(self) -> int:
        """Hand over all that waits; return how many tokens files that were.

        Raises:
            LedgerUnavailableError: nothing is lost; call again.
            LedgerRefusedError: nothing is lost, but the ledger does not take this.
            OSError: the disk refused; nothing is lost.
        """
        carried = 0
        loop = asyncio.get_running_loop()
        while (load := await loop.run_in_executor(self._thread, self._next)) is not None:
            for part in load.parts:
                await self._ledger.hand_over_tokens(part)
                carried += 1
            # Acknowledged: the ledger has them on disk. A crash before the journals are gone sends the same again.
            await loop.run_in_executor(self._thread, _forget, load.journals)
        return carried

    async def keep_carrying(self) -> None:
        """Carry for as long as the gateway runs."""
        retry_s = 0.0
        while True:
            try:
                await self.carry()
                wait_s, retry_s = LOOK_EVERY_S, 0.0
            except (LedgerUnavailableError, LedgerRefusedError, OSError) as error:
                _log.warning("tokens stay in the spool for now: %s", error)
                retry_s = min(max(retry_s * 2, RETRY_S[0]), RETRY_S[1])
                wait_s = retry_s * random.uniform(0.5, 1)  # noqa: S311 - jitter
            await asyncio.sleep(wait_s)

    def close(self) -> None:
        """Wait until the thread has done what it is at, and end it."""
        self._thread.shutdown()

    def waiting_bytes(self) -> int:
        """Return how many bytes of journals wait here. From any thread."""
        size = 0
        for path in self._waiting():
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def _waiting(self) -> list[Path]:
        try:
            return sorted(self._folder.iterdir())
        except FileNotFoundError:
            return []

    def _next(self) -> _Load | None:
        """Read as many journals as fill a part; None if none waits."""
        journals: list[Path] = []
        tokens: dict[bytes, bytes] = {}
        size = 0
        for path in self._waiting():
            found = dict(journal.tokens(path.read_bytes()))
            tokens |= found
            journals.append(path)
            size += sum(map(len, found.values()))
            if size >= PART_BYTES:
                break
        return _Load(journals, tuple(self._parts(tokens))) if journals else None

    def _parts(self, tokens: dict[bytes, bytes]) -> Iterator[bytes]:
        part: dict[bytes, bytes] = {}
        size = 0
        for digest, sealed in tokens.items():
            part[digest] = sealed
            size += len(sealed)
            if size >= PART_BYTES:
                yield pack(self._event.digest, part)
                part, size = {}, 0
        if part:
            yield pack(self._event.digest, part)


def _forget(journals: Sequence[Path]) -> None:
    for path in journals:
        path.unlink(missing_ok=True)
