"""Seat blocks: granted by the ledger, each once, on disk before the answer goes out.

A worker that holds a block may seat people, so from that window on the ledger expects its reports. The file
`grants.jsonl` has one line a block: {"block", "worker", "gateway", "since"}. A line {"block"} alone says that this one
and those before it without a line are never granted: a ledger that was restored does not know who holds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from counters.attendee import HIGHEST_BLOCK
from counters.disk import DISK, Disk
from counters.durable_lines import DurableLines

BLOCKS_AT_ONCE: Final = 8
"""More than a worker ever asks for; a bound on what one request can waste."""


class NoSeatsLeftError(Exception):
    """All 32,768 blocks are granted."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A worker that holds seats."""

    worker: str
    gateway: str
    since: int  # the window of its first grant, unix seconds
    blocks: tuple[int, ...] = ()  # ascending


class SeatGrants:
    """Who holds which block. The ledger is its only owner."""

    def __init__(self, path: Path, disk: Disk = DISK) -> None:
        """Read what was granted before."""
        self._lines = DurableLines(path, disk)
        self._holders: dict[str, Holder] = {}
        for row in self._lines.records:
            if "worker" in row:
                self._note(Holder(row["worker"], row["gateway"], row["since"], (row["block"],)))

    def _note(self, holder: Holder) -> None:
        before = self._holders.get(holder.worker)
        if before is not None:
            holder = replace(before, blocks=before.blocks + holder.blocks)
        self._holders[holder.worker] = holder

    @property
    def holders(self) -> Mapping[str, Holder]:
        """Every worker that ever got a block, by id."""
        return self._holders

    @property
    def next_block(self) -> int:
        """The block that is granted next; those below it are granted or passed over."""
        return int(self._lines.records[-1]["block"]) + 1 if self._lines.records else 0

    def skip_to(self, next_block: int) -> None:
        """Pass over the blocks below this one; when this returns, no crash can grant them.

        Raises:
            OSError: the disk refused.
        """
        if next_block > self.next_block:
            self._lines.add({"block": next_block - 1})

    def grant(self, worker: str, gateway: str, blocks: int, window: int, after: int | None = None) -> list[int]:
        """Grant as many blocks, or what is left; when this returns, no crash can grant them to another worker.

        Args:
            worker: who gets them.
            gateway: its gateway.
            blocks: how many are wanted.
            window: unix seconds of the window from which on its reports are expected.
            after: the last block that it knows it has, −1 = none: what it was granted above that is its answer first,
                so that asking again in the same words grants nothing more. None: it knows of all.

        Raises:
            NoSeatsLeftError: 2^31 seats are granted.
            OSError: the disk refused; nothing is granted.
        """
        wanted = min(max(blocks, 1), BLOCKS_AT_ONCE)
        holder = self._holders.get(worker)
        known = [block for block in holder.blocks if block > after] if holder and after is not None else []
        first = self.next_block
        fresh = list(range(first, min(first + wanted - len(known), HIGHEST_BLOCK + 1)))
        if not known and not fresh:
            raise NoSeatsLeftError("all seats of this event are granted")
        if fresh:
            rows = ({"block": block, "worker": worker, "gateway": gateway, "since": window} for block in fresh)
            self._lines.add(*rows)
            self._note(Holder(worker, gateway, window, tuple(fresh)))
        return [*known, *fresh][:wanted]
