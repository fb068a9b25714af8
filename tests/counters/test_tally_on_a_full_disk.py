"""The tally on a full disk: what it cannot store it refuses, and nothing that it had accepted is lost."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from counters import spool
from counters.journal import decode, encode
from counters.tally import Accepted
from tests.counters.worker_at_hand import (
    FIRST,
    NINE,
    Disk,
    HandClock,
    WorkerAtHand,
    a_join,
    a_scan,
    attendee,
    read_back,
    records_of,
    registers_of,
)

pytestmark = pytest.mark.usefixtures("small_chunks")


def test_a_full_disk_within_a_window_refuses_and_loses_nothing(worker: WorkerAtHand, disk: Disk) -> None:
    disk.fill()
    said = [worker.beat(seat) for seat in range(1, FIRST + 4)]
    assert said == [Accepted.YES] * FIRST + [Accepted.DISK_FULL] * 3
    assert not worker.tally.accepting
    worker.tally.advance()
    assert not worker.tally.accepting
    disk.free()
    worker.tally.advance()
    assert worker.tally.accepting
    assert worker.beat(100) is Accepted.YES
    expected = [(0, seat, 1, False) for seat in (*range(1, FIRST + 1), 100)]
    read = read_back(worker.folder)[NINE]
    assert read.records.tolist() == records_of(expected)
    assert np.array_equal(read.registers, registers_of(expected))


def test_a_full_disk_at_a_new_window_refuses_until_there_is_room_again(
    worker: WorkerAtHand, clock: HandClock, disk: Disk
) -> None:
    worker.beat(1)
    disk.fill()
    clock.at = NINE + 60
    for seat in (2, 3):
        assert worker.beat(seat) is Accepted.DISK_FULL
        worker.cells.add("refused.beat.disk_full")
    assert worker.tally.write_journal(encode(a_join(2))) is Accepted.DISK_FULL
    assert not worker.tally.accepting
    disk.free()
    clock.at = NINE + 75
    worker.tally.advance()
    assert worker.tally.accepting
    assert worker.beat(4) is Accepted.YES
    assert worker.tally.write_journal(encode(a_join(4))) is Accepted.YES
    worker.stop()
    windows = read_back(worker.folder)
    assert windows[NINE].records.tolist() == records_of([(0, 1, 1, False)])
    assert windows[NINE + 60].records.tolist() == records_of([(1, 4, 1, False)])
    assert windows[NINE + 60].opened_ms == (NINE + 75) * 1000
    # What was refused meanwhile is on record, although no window was open.
    assert windows[NINE + 60].counters["refused.beat.disk_full"] == 2


def test_a_full_disk_for_whole_windows_leaves_them_out_and_their_refusals_to_the_next(
    worker: WorkerAtHand, clock: HandClock, disk: Disk
) -> None:
    disk.fill()
    clock.at = NINE + 60
    assert worker.beat(1) is Accepted.DISK_FULL
    worker.cells.add("refused.beat.disk_full")
    clock.at = NINE + 120
    assert worker.beat(1) is Accepted.DISK_FULL
    worker.cells.add("refused.beat.disk_full")
    disk.free()
    clock.at = NINE + 180
    assert worker.beat(1) is Accepted.YES
    worker.stop()
    windows = read_back(worker.folder)
    assert list(windows) == [NINE, NINE + 180]
    assert [read.counters["refused.beat.disk_full"] for read in windows.values()] == [0, 2]


@pytest.mark.parametrize("step", ["open", "rename"])
def test_a_window_whose_files_cannot_be_named_is_tried_again_with_the_same_chunk(
    worker: WorkerAtHand, clock: HandClock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(path: object, *args: object, **named: object) -> object:
        if "journal" in str(path) or step == "rename":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *args, **named)

    worker.tally.prepare()
    if step == "open":
        worker.tally._spares._journal = None  # the thread was not in time
    clock.at = NINE + 60
    with monkeypatch.context() as patch:
        owner = os if step == "open" else Path
        real = getattr(owner, step)
        patch.setattr(owner, step, refuse)
        for _ in range(3):
            worker.tally.advance()
            assert worker.beat(1) is Accepted.DISK_FULL
    worker.tally.advance()
    assert worker.beat(2) is Accepted.YES
    assert read_back(worker.folder)[NINE + 60].records.tolist() == records_of([(0, 2, 1, False)])
    assert len(list(worker.folder.glob("spare-first-*"))) == 0


def test_a_journal_record_that_the_disk_took_in_part_is_taken_back(
    worker: WorkerAtHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    assert worker.tally.write_journal(encode(a_join(1))) is Accepted.YES
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:9]))
        assert worker.tally.write_journal(encode(a_join(2))) is Accepted.DISK_FULL
    assert worker.tally.write_journal(encode(a_scan("after"))) is Accepted.YES
    assert list(decode(read_back(worker.folder)[NINE].journal)) == [a_join(1), a_scan("after")]


@pytest.fixture
def small_disk(tmp_path: Path, mount_small_disk: Callable[[Path, int], Path]) -> Path:
    return mount_small_disk(tmp_path / "disk", 1536 * 1024)


def test_on_a_disk_that_is_really_full_no_accepted_heartbeat_is_lost_and_none_kills_the_worker(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "FIRST_CHUNK_RECORDS", 1000)
    monkeypatch.setattr(spool, "CHUNK_RECORDS", 20_000)
    clock = HandClock()
    with WorkerAtHand(small_disk, clock, sessions=(1,)) as worker:
        accepted = []
        for seat in range(1, 200_000):
            if worker.beat(seat) is Accepted.DISK_FULL:
                break
            accepted.append(seat)
        assert len(accepted) >= 100_000
        (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize))
        clock.at = NINE + 60
        assert worker.beat(1) is Accepted.DISK_FULL
        assert worker.tally.write_journal(encode(a_join(1))) is Accepted.DISK_FULL
        worker.tally.count_unique(1, attendee(1))
        # The courier hands the first window over and deletes it.
        read = read_back(worker.folder)[NINE]
        for path in read.paths:
            path.unlink()
        read_records = read.records.tolist()
        (small_disk / "filler").unlink()
        worker.tally.sync()  # lets go of the window that is closed
        del read
        worker.tally.advance()
        assert worker.beat(2) is Accepted.YES
    assert read_records == records_of([(0, seat, 1, False) for seat in accepted])
