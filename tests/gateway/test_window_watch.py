"""The watch on the newest window: beside the ledger, from the beginning of its log, and never in its way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from counters.newest_window import EITHER, EVENT, NewestWindow
from gateway import window_watch
from gateway.window_watch import WindowWatch
from tests.counters.ledger_at_hand import LedgerAtHand, bundle, journal, presence
from tests.counters.worker_at_hand import NINE, a_join

PATIENCE_S = 180.0


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerAtHand]:
    monkeypatch.setattr(window_watch, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(window_watch, "TRY_AGAIN_S", 0.001)
    at_hand = LedgerAtHand(tmp_path / "data")
    yield at_hand
    at_hand.sealer.close()


def seal(ledger: LedgerAtHand, window: int, seats: set[int]) -> None:
    joins = [a_join(seat, joined_at_ms=window * 1000) for seat in sorted(seats)]
    ledger.now = window + 60
    ledger.accept(bundle(window, (presence(window, seats), journal(window, joins))))
    ledger.settle()


@asynccontextmanager
async def watching(ledger: LedgerAtHand) -> AsyncIterator[WindowWatch]:
    watch = WindowWatch(ledger.sealer)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - what it waits for happens in a thread
            await asyncio.sleep(0.001)


def test_what_is_sealed_is_seen_and_what_was_sealed_before_the_start_is_taken_in(ledger: LedgerAtHand) -> None:
    async def watch() -> None:
        seal(ledger, NINE, {1, 2, 3})
        async with watching(ledger) as watch:
            await until(lambda: watch.seen(NINE).window == NINE)
            assert watch.seen(NINE).differences == {EVENT: 0.0, "opening": 0.0}
            seal(ledger, NINE + 60, {3, 4})
            await until(lambda: watch.seen(NINE + 60).window == NINE + 60)
            assert watch.seen(NINE + 60).attendees[EVENT, EITHER] == 2
            assert watch.compared == 2
        # Who started later knows as much: all journals are read from the first leaf on.
        async with watching(ledger) as other:
            await until(lambda: other.seen(NINE + 60).window == NINE + 60)
            assert (other.seen(NINE + 60), other.compared) == (watch.seen(NINE + 60), 1)
            assert other.seen(NINE + 60).countries == {"FR": 2}

    asyncio.run(watch())


def test_what_is_older_than_two_windows_is_not_shown_for_the_newest(ledger: LedgerAtHand) -> None:
    async def watch() -> None:
        seal(ledger, NINE, {1})
        async with watching(ledger) as watch:
            await until(lambda: watch.seen(NINE).window == NINE)
            assert watch.seen(NINE + 120).window == NINE
            assert watch.seen(NINE + 180) == NewestWindow()

    asyncio.run(watch())


def test_evidence_that_is_gone_costs_the_metrics_alone_and_they_come_back_with_it(ledger: LedgerAtHand) -> None:
    async def watch() -> None:
        seal(ledger, NINE, {1, 2})
        kept = {path: path.read_bytes() for path in (ledger.data / "evidence").iterdir()}
        for path in kept:
            path.write_bytes(b"changed")
        async with watching(ledger) as watch:
            await until(lambda: bool(watch.trouble))
            assert watch.seen(NINE) == NewestWindow()
            for path, data in kept.items():
                path.write_bytes(data)
            await until(lambda: watch.seen(NINE).window == NINE)
            assert not watch.trouble

    asyncio.run(watch())


def test_a_ledger_that_stops_does_not_wait_for_a_backlog(ledger: LedgerAtHand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_watch, "BACKLOG", 0)
    seal(ledger, NINE, {1})

    async def watch() -> int:
        watch = WindowWatch(ledger.sealer)
        task = asyncio.create_task(watch.run())
        # It rests for as long as it has worked: for ever, by this clock.
        ticks = iter((0.0, 1e9))
        monkeypatch.setattr(window_watch, "tick", lambda: next(ticks))
        await until(lambda: watch.taken == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return watch.taken

    # `run` also waits for the threads of its loop.
    assert asyncio.run(watch()) == 1
