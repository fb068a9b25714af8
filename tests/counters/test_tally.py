"""The tally: whatever was answered YES is in the files, whatever happens to the process or the disk."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counters import hyperloglog
from counters.clock import SimulatedClock
from counters.handover import coverage
from counters.journal import decode, encode
from counters.spool import read_header
from counters.tally import Accepted
from counters.uniques import read_uniques
from tests.counters.worker_at_hand import (
    FIRST,
    MORE,
    NINE,
    SESSIONS,
    Beat,
    Disk,
    HandClock,
    WorkerAtHand,
    a_join,
    attendee,
    read_back,
    records_of,
    registers_of,
)

pytestmark = pytest.mark.usefixtures("small_chunks")


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
    worker.tally.prepare()
    disk.fill()  # nothing can be allocated any more, and nothing need be
    for seat in range(1, FIRST + MORE + 1):
        assert worker.beat(seat) is Accepted.YES
    clock.at = NINE + 60
    assert worker.beat(1) is Accepted.YES


def test_no_file_is_made_at_the_edge_of_a_window(
    worker: WorkerAtHand, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creating one may take 11 ms, in which no heartbeat is answered; the journal's is prepared as the chunks are."""
    worker.tally.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_: pytest.fail("a file was opened"))
        clock.at = NINE + 60
        worker.tally.advance()
        assert worker.beat(1) is Accepted.YES
        assert worker.tally.write_journal(encode(a_join(1))) is Accepted.YES
    assert list(decode(read_back(worker.folder)[NINE + 60].journal)) == [a_join(1)]


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
