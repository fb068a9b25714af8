"""The tally: whatever was answered YES is in the files, whatever happens to the process or the disk."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counters import hyperloglog, spool
from counters.clock import SimulatedClock
from counters.handover import coverage
from counters.journal import decode, encode
from counters.spool import read_header
from counters.tally import Accepted
from counters.uniques import read_uniques
from tests.counters.worker_at_hand import (
    NINE,
    SESSIONS,
    Beat,
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

FIRST, MORE = 5, 7
"""Records in the chunks of these tests."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "FIRST_CHUNK_RECORDS", FIRST)
    monkeypatch.setattr(spool, "CHUNK_RECORDS", MORE)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def worker(tmp_path: Path, clock: HandClock) -> Iterator[WorkerAtHand]:
    with WorkerAtHand(tmp_path / "spool", clock) as worker:
        yield worker


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


class Syncs:
    """The names of the files that are synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, descriptor: int) -> None:
        self.names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        self._real(descriptor)


# What is accepted.

steps = st.lists(
    st.tuples(
        st.integers(0, 30_000),  # ms until it comes
        st.integers(1, 2**32 - 1),
        st.sampled_from((*SESSIONS, 4)),
        st.booleans(),
        st.sampled_from(("", "advance", "prepare", "sync")),
    ),
    max_size=40,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps)
def test_every_window_holds_exactly_what_a_plain_list_holds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int, bool, str]]
) -> None:
    clock = HandClock(NINE + 31.5)
    with WorkerAtHand(tmp_path_factory.mktemp("tally"), clock) as worker:
        expected: dict[int, list[Beat]] = defaultdict(list)
        for after_ms, seat, session, background, chore in steps:
            clock.at += after_ms / 1000
            if chore:
                getattr(worker.tally, chore)()
            accepted = worker.beat(seat, session, background=background)
            assert accepted is (Accepted.YES if session in SESSIONS else Accepted.NO_SUCH_SESSION)
            if accepted is Accepted.YES:
                window = int(clock.at) // 60 * 60
                expected[window].append(((int(clock.at) - window) // 10, seat, session, background))
        worker.stop()
        windows = read_back(worker.folder)
        assert {window for window, read in windows.items() if len(read.records)} == expected.keys()
        for window, read in windows.items():
            assert read.records.tolist() == records_of(expected[window])
            assert np.array_equal(read.registers, registers_of(expected[window]))
            assert window * 1000 <= read.opened_ms <= read.closed_ms
            assert len(read.paths) - 2 == max(-(-(len(read.records) - FIRST) // MORE), 0)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 30_000),  # ms until they come
            st.lists(
                st.tuples(st.integers(1, 9), st.sampled_from((*SESSIONS, 0, 4, 70_000)), st.booleans()), min_size=1
            ),
            st.sampled_from(("", "advance", "prepare", "sync", "fill", "free")),
        ),
        max_size=12,
    )
)
def test_many_at_once_are_what_as_many_one_by_one_are(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[int, list[tuple[int, int, bool]], str]],
) -> None:
    clock, folder = HandClock(NINE + 31.5), tmp_path_factory.mktemp("many")
    with (
        monkeypatch.context() as patch,
        WorkerAtHand(folder / "many", clock) as many,
        WorkerAtHand(folder / "single", clock) as single,
    ):
        disk = Disk(patch)
        for after_ms, beats, chore in steps:
            clock.at += after_ms / 1000
            for worker in (many, single):
                if chore:
                    getattr(disk if chore in {"fill", "free"} else worker.tally, chore)()
            assert many.beat_many(beats) == [single.beat(seat, at, background=hidden) for seat, at, hidden in beats]
        disk.free()
        many.stop()
        single.stop()
        windows, expected = read_back(many.folder), read_back(single.folder)
        assert windows.keys() == expected.keys()
        for window, read in windows.items():
            assert read.records.tolist() == expected[window].records.tolist()
            assert np.array_equal(read.registers, expected[window].registers)
            assert (read.opened_ms, read.closed_ms) == (expected[window].opened_ms, expected[window].closed_ms)


def test_all_that_a_worker_killed_among_batches_had_acknowledged_is_read_back(tmp_path: Path) -> None:
    SimulatedClock.create(tmp_path / "clock", NINE + 25, 0.0)
    program = [sys.executable, "-m", "tests.counters.worker_at_hand", str(tmp_path / "spool"), str(tmp_path / "clock")]
    many = 700
    with subprocess.Popen([*program, str(many)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        said = b""
        while said.count(b"\n") < 40:
            said += os.read(process.stdout.fileno(), 65_536)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
        process.wait()
    acknowledged = said.count(b"\n") * many
    (folder,) = (tmp_path / "spool").iterdir()
    (read,) = read_back(folder).values()
    assert acknowledged <= len(read.records) <= acknowledged + many
    beats = [(2, seat, SESSIONS[seat % 3], seat % 2 == 0) for seat in range(1, len(read.records) + 1)]
    assert read.records.tolist() == records_of(beats)
    assert np.all(registers_of(beats) <= read.registers)


def test_all_that_a_killed_worker_had_acknowledged_is_read_back(tmp_path: Path) -> None:
    SimulatedClock.create(tmp_path / "clock", NINE + 25, 0.0)
    program = [sys.executable, "-m", "tests.counters.worker_at_hand", str(tmp_path / "spool"), str(tmp_path / "clock")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        said = b""
        while said.count(b"\n") < 1500:
            said += os.read(process.stdout.fileno(), 65_536)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
        process.wait()
    acknowledged = said.count(b"\n")
    (folder,) = (tmp_path / "spool").iterdir()
    (read,) = read_back(folder).values()
    assert read.closed_ms == 0
    # At most one more than was acknowledged: killed between the record and the answer.
    beats = [(2, seat, SESSIONS[seat % 3], seat % 2 == 0) for seat in range(1, acknowledged + 2)]
    assert read.records.tolist() in (records_of(beats[:-1]), records_of(beats))
    assert len(read.paths) >= 4
    joins = list(decode(read.journal))
    assert joins == [a_join(seat) for seat in range(1, len(joins) + 1)]
    assert acknowledged <= len(joins) <= acknowledged + 1
    surely, perhaps = registers_of(beats[:-1]), registers_of(beats)
    assert np.all(surely <= read.registers)
    assert np.all(read.registers <= perhaps)
    assert 0 <= read.counters["beat.playing"] - acknowledged <= 1


def test_a_torn_record_at_the_end_of_a_dead_workers_journal_hides_nothing_before_it(worker: WorkerAtHand) -> None:
    for seat in (1, 2):
        assert worker.tally.write_journal(encode(a_join(seat))) is Accepted.YES
    with (worker.folder / f"w{NINE}.journal").open("ab") as journal:
        journal.write(encode(a_join(3))[:-1])
    assert list(decode(read_back(worker.folder)[NINE].journal)) == [a_join(1), a_join(2)]


# Windows.


def test_a_window_ends_to_the_instant_and_the_next_begins(worker: WorkerAtHand, clock: HandClock) -> None:
    clock.at = NINE + 59.999
    worker.beat(1)
    clock.at = NINE + 60.0
    worker.beat(2)
    first, second = (read_back(worker.folder)[window] for window in (NINE, NINE + 60))
    assert first.records.tolist() == records_of([(5, 1, 1, False)])
    assert second.records.tolist() == records_of([(0, 2, 1, False)])
    assert (first.opened_ms, first.closed_ms) == (NINE * 1000, (NINE + 60) * 1000)
    assert (second.opened_ms, second.closed_ms) == ((NINE + 60) * 1000, 0)


def test_a_worker_that_was_stopped_writes_nothing_into_a_window_that_its_clock_has_passed(
    worker: WorkerAtHand, clock: HandClock
) -> None:
    """After SIGSTOP and SIGCONT the first thing that a heartbeat or join does is to look at the clock."""
    worker.beat(1)
    clock.at = NINE + 3 * 60 + 7
    assert worker.tally.write_journal(encode(a_join(2))) is Accepted.YES
    worker.beat(2)
    windows = read_back(worker.folder)
    assert list(windows) == [NINE, NINE + 180]
    assert (len(windows[NINE].records), windows[NINE].journal) == (1, b"")
    assert list(decode(windows[NINE + 180].journal)) == [a_join(2)]


def test_a_clock_that_is_read_while_it_jumps_opens_no_window_of_the_past(
    worker: WorkerAtHand, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = worker.tally.window
    clock.at += 3600
    monkeypatch.setattr(worker.tally, "_now", lambda: before - 600.0)
    worker.tally.advance()
    assert worker.tally.window == before
    monkeypatch.undo()
    worker.tally.advance()
    assert worker.tally.window == before + 3600


def test_a_quiet_worker_closes_its_window_too(worker: WorkerAtHand, clock: HandClock) -> None:
    clock.at = NINE + 60
    worker.tally.advance()
    assert read_header(worker.folder / f"w{NINE}-000").closed_ms == (NINE + 60) * 1000


def test_a_worker_that_has_stopped_takes_nothing_more_and_leaves_what_it_has_as_it_is(
    worker: WorkerAtHand, clock: HandClock
) -> None:
    worker.beat(1)
    worker.stop()
    before = {path.name: path.read_bytes() for path in worker.folder.iterdir()}
    for at in (NINE + 1, NINE + 61):
        clock.at = at
        worker.tally.advance()
        assert worker.beat(2) is Accepted.DISK_FULL
        assert worker.tally.write_journal(encode(a_join(2))) is Accepted.DISK_FULL
        worker.tally.sync()
    assert not worker.tally.accepting
    assert {path.name: path.read_bytes() for path in worker.folder.iterdir()} == before


def test_the_last_window_of_a_worker_that_stops_is_closed_before_it_is_over(
    worker: WorkerAtHand, clock: HandClock
) -> None:
    """By that it is known later that it was not there any more (counters.segment)."""
    worker.beat(1)
    clock.at = NINE + 60.04  # and nothing has looked at the clock since the window's end
    worker.tally.close(int(clock.at * 1000))
    rows = {window: coverage(spool, "g") for window, spool in read_back(worker.folder).items()}
    assert {window: row.ended_within(window) for window, row in rows.items()} == {NINE: False, NINE + 60: True}
    assert (rows[NINE].records, rows[NINE + 60].records) == (1, 0)


def test_the_next_chunks_are_ready_before_they_are_needed(worker: WorkerAtHand, clock: HandClock, disk: Disk) -> None:
    worker.tally._spares.prepare()
    disk.fill()  # nothing can be allocated any more, and nothing need be
    for seat in range(1, FIRST + MORE + 1):
        assert worker.beat(seat) is Accepted.YES
    clock.at = NINE + 60
    assert worker.beat(1) is Accepted.YES


def test_no_file_is_made_at_the_edge_of_a_window(
    worker: WorkerAtHand, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creating one may take 11 ms, in which no heartbeat is answered; the journal's is prepared as the chunks are."""
    worker.tally._spares.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_: pytest.fail("a file was opened"))
        clock.at = NINE + 60
        worker.tally.advance()
        assert worker.beat(1) is Accepted.YES
        assert worker.tally.write_journal(encode(a_join(1))) is Accepted.YES
    assert list(decode(read_back(worker.folder)[NINE + 60].journal)) == [a_join(1)]


# A full disk.


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

    worker.tally._spares.prepare()
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


# Power.


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


# Uniques.


def test_a_join_raises_the_days_uniques(worker: WorkerAtHand) -> None:
    worker.tally.count_unique(3, attendee(9))
    place = hyperloglog.split_position(attendee(9))
    sessions, event = read_uniques(worker.folder / "uniques-2023-11-19")
    assert sessions[1, place.selector % 4, place.register] == place.rank
    assert event[place.selector % 16, place.register] == place.rank
    assert np.count_nonzero(sessions) == np.count_nonzero(event) == 1


def test_uniques_begin_anew_at_local_midnight(worker: WorkerAtHand, clock: HandClock) -> None:
    midnight = NINE + 15 * 3600
    for now, who in ((midnight - 1, 9), (midnight, 10)):
        clock.at = now
        worker.tally.advance()
        worker.tally.count_unique(1, attendee(who))
    for day, who in (("2023-11-19", 9), ("2023-11-20", 10)):
        sessions, _ = read_uniques(worker.folder / f"uniques-{day}")
        place = hyperloglog.split_position(attendee(who))
        assert np.count_nonzero(sessions) == sessions[0, place.selector % 4, place.register] / place.rank == 1


def test_a_join_goes_on_without_uniques_on_a_full_disk_and_with_them_afterwards(
    worker: WorkerAtHand, disk: Disk
) -> None:
    disk.fill()
    worker.tally.count_unique(1, attendee(9))
    disk.free()
    worker.tally.count_unique(1, attendee(10))
    sessions, _ = read_uniques(worker.folder / "uniques-2023-11-19")
    assert np.count_nonzero(sessions) == 1
