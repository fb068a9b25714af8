"""The tally's thread: what it says is on the disk is there, and it lets go of windows that are closed."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from counters.tally import Accepted
from tests.counters.worker_at_hand import FIRST, MORE, NINE, HandClock, WorkerAtHand, read_back

pytestmark = pytest.mark.usefixtures("small_chunks")


class Syncs:
    """The names of the files that are synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, descriptor: int) -> None:
        self.names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        self._real(descriptor)


def test_a_sync_says_until_when_all_chunks_of_the_window_are_on_the_disk(
    worker: WorkerAtHand, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch)
    for seat in range(1, FIRST + MORE + 2):
        worker.beat(seat)
    clock.at = NINE + 7.25
    worker.tally.sync()
    assert set(syncs.names) == {f"w{NINE}{end}" for end in ("-000", "-001", "-002", ".journal")}
    assert read_back(worker.folder)[NINE].synced_until_ms == NINE * 1000 + 7250


def test_a_closed_window_is_synced_once_more_and_does_not_change(
    worker: WorkerAtHand, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed over twice must be the same evidence, byte for byte."""
    worker.beat(1)
    clock.at = NINE + 5
    worker.tally.sync()
    clock.at = NINE + 61
    worker.tally.advance()
    before = (worker.folder / f"w{NINE}-000").read_bytes()
    syncs = Syncs(monkeypatch)
    for _ in range(2):
        worker.tally.sync()
    assert syncs.names.count(f"w{NINE}-000") == 1
    assert syncs.names.count(f"w{NINE + 60}-000") == 2
    assert (worker.folder / f"w{NINE}-000").read_bytes() == before
    assert read_back(worker.folder)[NINE].synced_until_ms == (NINE + 5) * 1000


def test_after_a_failed_sync_nothing_of_the_window_is_vouched_for_any_more(
    worker: WorkerAtHand, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel forgets what it could not write: a later sync that succeeds proves nothing."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    clock.at = NINE + 3
    worker.tally.sync()
    clock.at = NINE + 4
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        worker.tally.sync()
    clock.at = NINE + 5
    worker.tally.sync()
    assert read_back(worker.folder)[NINE].synced_until_ms == (NINE + 3) * 1000
    clock.at = NINE + 62
    worker.tally.advance()
    worker.tally.sync()
    assert read_back(worker.folder)[NINE + 60].synced_until_ms == (NINE + 62) * 1000


def test_windows_may_roll_while_the_thread_keeps_preparing_and_syncing(worker: WorkerAtHand, clock: HandClock) -> None:
    stop = threading.Event()
    failures: list[object] = []
    keeper = threading.Thread(target=worker.tally.keep, args=(stop,))
    hook, threading.excepthook = threading.excepthook, failures.append
    try:
        keeper.start()
        for number in range(60):
            clock.at = NINE + 60 * number
            for seat in range(1, FIRST + 3):
                assert worker.beat(seat) is Accepted.YES
            if number % 7 == 0:
                worker.tally.sync()
        stop.set()
        worker.tally._wanted.set()
        keeper.join()
    finally:
        threading.excepthook = hook
    assert failures == []
    worker.stop()
    windows = read_back(worker.folder)
    assert [len(read.records) for read in windows.values()] == [FIRST + 2] * 60
    assert sorted(windows) == [NINE + 60 * number for number in range(60)]


def test_a_closed_window_is_let_go_of_chunk_by_chunk(
    worker: WorkerAtHand, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unmapping holds up heartbeats: never several chunks at once."""

    def mapped() -> set[str]:
        return {line.rpartition("/")[2] for line in Path("/proc/self/maps").read_text().splitlines()
                if str(worker.folder) in line}  # fmt: skip

    for seat in range(1, FIRST + 2 * MORE):
        assert worker.beat(seat) is Accepted.YES
    worker.tally.sync()
    clock.at += 60
    worker.tally.advance()
    first, following = f"w{NINE}", f"w{NINE + 60}-000"
    assert {name for name in mapped() if name.startswith(first)} == {f"{first}-{number:03d}" for number in range(3)}
    left: list[int] = []
    monkeypatch.setattr(time, "sleep", lambda _: left.append(sum(n.startswith(first) for n in mapped())))
    worker.tally.sync()
    assert left == [2, 1, 0]
    assert following in mapped()
    assert len(read_back(worker.folder)[NINE].records) == FIRST + 2 * MORE - 1
