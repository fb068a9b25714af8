"""The ledger lives on when the roll cannot be made, and makes it when it can."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from counters import roll_sealing
from counters.ledger.note import Signer
from counters.minutes_files import has_minutes
from counters.secrets import Secrets
from gateway import receipts_api, roll_keeper
from gateway.ledger_thread import LedgerThread
from gateway.receipts_api import Receipts
from gateway.roll_keeper import RollKeeper
from tests.counters.ledger_at_hand import EVENT, LedgerAtHand
from tests.counters.synthetic import SIGNER
from tests.counters.test_roll_sealing import OVER, held, rolls

if TYPE_CHECKING:
    from counters.roll_tree import RollTree

PATIENCE_S = 180.0


@pytest.fixture
def over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerAtHand]:
    """An event that is over and has no roll yet, and nobody who waits long."""
    for module in (roll_keeper, receipts_api):
        monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
        monkeypatch.setattr(module, "TRY_AGAIN_S", 0.01)
    ledger = held(tmp_path / "data")
    yield ledger
    ledger.sealer.close()


class Running:
    """What of a ledger makes rolls and receipts, on its event loop."""

    def __init__(self, ledger: LedgerAtHand, signer: Signer = SIGNER) -> None:
        clock: Any = SimpleNamespace(now=lambda: OVER)

        async def at_once() -> None:
            """Nothing speaks against writing."""

        self.ledger = ledger
        self.thread = LedgerThread(ledger.sealer, clock, simulated=False)
        self.sealed: list[RollTree] = []
        parts: Any = SimpleNamespace(
            data=ledger.data, event=EVENT, secrets=Secrets(bytes(32), bytes(32)), clock=clock, sealer=ledger.sealer,
            thread=self.thread, lookout=SimpleNamespace(before_writing=at_once),
        )  # fmt: skip
        self.keeper = RollKeeper(parts, self.sealed.append)
        self.receipts = Receipts(parts, signer, rolls(ledger))

    async def until(self, done: Callable[[], bool]) -> None:
        """Run until something is so.

        Raises:
            BaseException: whatever ends the ledger.
        """
        entries = self.ledger.sealer.log.entries

        async def log() -> list[bytes]:
            return await self.thread.do(lambda: list(entries()))

        async def look() -> None:
            while not done():  # noqa: ASYNC110 - what is waited for is on the disk
                await asyncio.sleep(0.01)

        tasks = [self.keeper.run(), self.receipts.keep_ready(log, self.ledger.sealer.evidence.get)]
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            running = [group.create_task(task) for task in tasks]
            await look()
            for task in running:
                task.cancel()


def said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return any(words in record.getMessage() for record in caplog.records)


def test_a_disk_that_does_not_take_the_roll_ends_nothing_and_the_roll_is_sealed_when_it_does(
    over: LedgerAtHand, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def run() -> None:
        running = Running(over)
        rolls(over).write_bytes(b"")  # no folder can be made here
        await running.until(lambda: said(caplog, "the roll is not sealed yet"))
        assert running.thread.refused.startswith("its disk fails")
        rolls(over).unlink()
        await running.until(lambda: has_minutes(rolls(over) / str(over.sealer.log.size - 1)))
        assert [tree.size for tree in running.sealed] == [3]

    asyncio.run(run())
    assert len(over.checked().audits.rolls) == 1


def test_evidence_that_is_missing_ends_nothing_and_the_roll_is_sealed_when_it_is_back(
    over: LedgerAtHand, caplog: pytest.LogCaptureFixture
) -> None:
    evidence, away = over.data / "evidence", over.data / "away"
    caplog.set_level("INFO")

    async def run() -> None:
        running = Running(over)
        evidence.rename(away)
        await running.until(lambda: said(caplog, "the roll cannot be made"))
        away.rename(evidence)
        await running.until(lambda: bool(running.sealed))

    asyncio.run(run())
    assert len(over.checked().audits.rolls) == 1


def test_what_is_lost_of_a_roll_is_made_again_and_what_is_damaged_ends_nothing(
    over: LedgerAtHand, caplog: pytest.LogCaptureFixture
) -> None:
    folder = rolls(over) / str(over.sealer.log.size)
    roll_sealing.seal(over.sealer, rolls(over), OVER)
    raw = (folder / "seats.bin").read_bytes()
    (folder / "seats.bin").write_bytes(raw[:-1])

    async def run() -> None:
        running = Running(over)
        await running.until(lambda: said(caplog, "no receipts yet"))
        (folder / "seats.bin").unlink()
        await running.until(lambda: has_minutes(folder))

    asyncio.run(run())
    assert (folder / "seats.bin").read_bytes() == raw


def test_what_a_killed_ledger_was_making_goes_when_it_begins_again(over: LedgerAtHand) -> None:
    making = rolls(over) / roll_sealing.MAKING
    making.mkdir(parents=True)
    (making / "leaves.bin").write_bytes(bytes(88))
    Running(over)
    assert not making.exists()
