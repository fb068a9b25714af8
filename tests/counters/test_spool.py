"""The spool's files: laid out as the table says, read back whole or refused by name, adopted only from the dead."""

import contextlib
import os
import re
import signal
import struct
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counters import spool
from counters.journal import Join, Scan, decode, encode
from counters.spool import HEADER, Chunk, SpoolError, open_registers, read_header
from counters.spool_lock import create_worker_folder, owner_is_dead, read_lock
from counters.spool_tail import WindowTail
from counters.spooled_window import read_window, window_chunks
from tests.counters.worker_at_hand import (
    NINE,
    WORKER,
    WorkerAtHand,
    a_join,
    a_scan,
    attendee,
    identity,
    read_back,
    view,
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "FIRST_CHUNK_RECORDS", 4)
    monkeypatch.setattr(spool, "CHUNK_RECORDS", 6)


def test_the_header_has_the_offsets_and_sizes_of_the_table_in_the_docstring() -> None:
    assert spool.__doc__ is not None
    chunk_table = spool.__doc__[spool.__doc__.index("Chunk, little-endian") :]
    rows = re.findall(r"^ {4}(\d+) +(\d+) +(\w+)", chunk_table, re.MULTILINE)
    fields = [(int(at), int(size)) for at, size, _ in rows if int(at) < 4096]
    codes = re.findall(r"\d*[a-zA-Z]", HEADER.format)
    table = []
    at = 0
    for code in codes:
        size = struct.calcsize("<" + code)
        table.append((at, size))
        at += size
    assert fields == table
    assert [(int(at), int(size)) for at, size, _ in rows if int(at) >= 4096] == [(4096, 2048), (6144, 2048)]


def test_the_fields_of_a_real_chunk_stand_where_the_table_has_them(tmp_path: Path) -> None:
    with WorkerAtHand(tmp_path) as worker:
        worker.cells.add("refused.beat.token_forged", 5)
        worker.clock.at = NINE + 1  # type: ignore[union-attr]
        worker.tally.sync()
        worker.clock.at = NINE + 60  # type: ignore[union-attr]
        worker.tally.advance()
        raw = (worker.folder / f"w{NINE}-000").read_bytes()
    assert raw[:8] == b"TURNSPL\0"
    assert struct.unpack_from("<HHI", raw, 8) == (1, 0, 3)
    assert struct.unpack_from("<qqqq", raw, 16) == (NINE, NINE * 1000, (NINE + 60) * 1000, (NINE + 1) * 1000)
    registers_bytes = 6 * 3 * 2 * 16_384
    assert struct.unpack_from("<IIII", raw, 48) == (8192, 8192 + registers_bytes, 4, 4)
    assert raw[64:104].hex() == "ab" * 32 + WORKER
    assert struct.unpack_from("<4q", raw, 4096) == (0, 0, 0, 0)
    assert struct.unpack_from("<4q", raw, 6144) == (0, 5, 0, 0)
    assert len(raw) == 8192 + registers_bytes + 4 * 8


def test_the_hand_worked_record_is_what_a_heartbeat_stores(tmp_path: Path) -> None:
    with WorkerAtHand(tmp_path) as worker:
        worker.clock.at = NINE + 25  # type: ignore[union-attr]
        worker.beat(70_000, 3, background=True)
        raw = (worker.folder / f"w{NINE}-000").read_bytes()
    assert raw[read_header(worker.folder / f"w{NINE}-000").records_at :][:9].hex() == "701101000300010200"


def test_a_sketch_register_stands_at_bucket_row_and_sketch(tmp_path: Path) -> None:
    with WorkerAtHand(tmp_path) as worker:
        worker.clock.at = NINE + 25  # type: ignore[union-attr]
        worker.beat(7, 700)
        registers = open_registers(worker.folder / f"w{NINE}-000")
        assert registers is not None
        assert registers[2, 2, 0, attendee(7) & 0x3FFF] == attendee(7) >> 24
        assert registers[2, 2, 1, view(7, 700) & 0x3FFF] == view(7, 700) >> 24
        assert np.count_nonzero(registers) == 2
    assert open_registers(tmp_path / "gone") is None


def test_a_chunk_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        Chunk(tmp_path / "spare", identity(), first=True, cells=4)
    assert list(tmp_path.iterdir()) == []


# Who owns a spool.

_OWNER = (
    "import sys, pathlib; from counters.spool_lock import *; from tests.counters.worker_at_hand import identity;"
    "f, _ = create_worker_folder(pathlib.Path(sys.argv[1]), identity()); print(f, flush=True); sys.stdin.read()"
)


def test_a_spool_is_adopted_when_its_owner_is_gone_and_never_before(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert not owner_is_dead(folder)
        assert read_lock(folder)["pid"] == owner.pid
        owner.send_signal(signal.SIGSTOP)
        assert not owner_is_dead(folder)  # stopped is not dead: it may go on writing
        owner.kill()
        owner.wait()
        assert owner_is_dead(folder)
        assert owner_is_dead(folder)  # looking takes nothing away
    assert read_lock(folder)["worker"] == WORKER


def test_a_worker_that_is_being_born_has_no_lock_that_anyone_could_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the courier looks at while the folder is made, it sees a folder of nobody or a live worker's."""
    seen = []

    def look() -> None:
        folder = tmp_path / WORKER
        seen.append((bool(read_lock(folder)), owner_is_dead(folder)))

    def around(step: str) -> None:
        real = getattr(os, step)

        def looked_at(*args: object) -> object:
            look()
            done = real(*args)
            look()
            return done

        monkeypatch.setattr(os, step, looked_at)

    around("fsync")
    around("write")
    _, lock = create_worker_folder(tmp_path, identity())
    os.close(lock)
    assert set(seen) == {(False, False), (True, False)}


def test_two_workers_cannot_have_one_name(tmp_path: Path) -> None:
    with WorkerAtHand(tmp_path), pytest.raises(FileExistsError):
        create_worker_folder(tmp_path, identity())


def test_a_lock_file_that_is_no_object_is_nobodys(tmp_path: Path) -> None:
    for content in (b"", b"{", b"[1]", b"\xff"):
        (tmp_path / "lock").write_bytes(content)
        assert read_lock(tmp_path) == {}


# Reading back.


def test_a_window_that_was_being_deleted_is_no_window(tmp_path: Path) -> None:
    """The first chunk goes first; a crash after that leaves files without which nothing is missing."""
    with WorkerAtHand(tmp_path) as worker:
        for seat in range(1, 10):
            worker.beat(seat)
        worker.clock.at = NINE + 60  # type: ignore[union-attr]
        worker.beat(1)
        paths = read_back(worker.folder)[NINE].paths
        assert [path.name for path in paths] == [f"w{NINE}-000", f"w{NINE}-001", f"w{NINE}.journal"]
        for path in paths:
            path.unlink()
            assert list(window_chunks(worker.folder)) == [NINE + 60]


def test_without_its_first_chunk_a_window_is_refused(tmp_path: Path) -> None:
    with WorkerAtHand(tmp_path) as worker:
        for seat in range(1, 12):
            worker.beat(seat)
        with pytest.raises(SpoolError):
            read_window(window_chunks(worker.folder)[NINE][1:])


def test_of_a_window_that_lacks_a_chunk_what_is_before_it_is_kept_and_the_rest_is_put_aside(tmp_path: Path) -> None:
    """A chunk that is missing, another worker's, named twice, or came back from a power cut as zeros or not at all."""
    with WorkerAtHand(tmp_path) as worker, WorkerAtHand(tmp_path, worker="00000000000000a2") as other:
        for seat in range(1, 12):
            worker.clock.at = NINE + seat  # type: ignore[union-attr]
            worker.beat(seat)
            other.beat(seat)
        worker.tally.sync()
        mine, theirs = window_chunks(worker.folder)[NINE], window_chunks(other.folder)[NINE]
        zeros, empty = tmp_path / "zeros", tmp_path / "empty"
        zeros.write_bytes(bytes(mine[1].stat().st_size))
        empty.touch()
        whole = read_window(mine)
        assert (len(whole.records), whole.torn, whole.synced_until_ms) == (11, (), (NINE + 11) * 1000)
        for lost in (mine[2], theirs[1], mine[0], zeros, empty):
            read = read_window([mine[0], lost, mine[2]])
            assert read.records.tolist() == whole.records[:4].tolist()
            assert read.torn == (lost, mine[2])
            assert read.paths == (mine[0], mine[0].with_name(f"w{NINE}.journal")) or lost == mine[0]
            # It said that it was synced, and was not: nothing is certain since the first chunk was begun.
            assert read.synced_until_ms == NINE * 1000


def test_records_behind_a_hole_of_zeros_are_kept(tmp_path: Path) -> None:
    """Pages come back from a power cut in any order; a record is eight bytes that were stored at once."""
    with WorkerAtHand(tmp_path) as worker:
        for seat in range(1, 11):
            worker.beat(seat)
        chunks = window_chunks(worker.folder)[NINE]
        for path, hole in zip(chunks, (range(1, 3), range(2)), strict=True):
            raw = bytearray(path.read_bytes())
            at = read_header(path).records_at
            raw[at + 8 * hole.start : at + 8 * hole.stop] = bytes(8 * len(hole))
            path.write_bytes(raw)
        assert [int(word) & 0xFFFF_FFFF for word in read_window(chunks).records] == [1, 4, 7, 8, 9, 10]


@pytest.mark.parametrize("left_bytes", [0, 1, 8, 17, 31, 32])
def test_of_a_chunk_cut_short_the_whole_records_before_the_cut_are_kept(tmp_path: Path, left_bytes: int) -> None:
    with WorkerAtHand(tmp_path) as worker:
        for seat in range(1, 4):
            worker.beat(seat)
        (path,) = window_chunks(worker.folder)[NINE]
        os.truncate(path, read_header(path).records_at + left_bytes)
        read = read_window([path])
        assert [int(word) & 0xFFFF_FFFF for word in read.records] == [1, 2, 3][: left_bytes // 8]
        assert read.torn == ((path,) if left_bytes < 32 else ())
        assert WindowTail().fresh_rows([path]) == ({(0, 1)} if left_bytes >= 8 else set())


@pytest.mark.parametrize("zeroed", [False, True], ids=["cut", "zeroed"])
def test_of_a_journal_whose_end_a_power_cut_took_every_whole_record_is_read(tmp_path: Path, zeroed: bool) -> None:
    records: list[Join | Scan] = [a_join(1), a_scan("n1"), a_join(2)]
    with WorkerAtHand(tmp_path) as worker:
        for record in records:
            worker.tally.write_journal(encode(record))
        path = worker.folder / f"w{NINE}.journal"
        written = path.read_bytes()
        ends = list(accumulate(len(encode(record)) for record in records))
        for left in range(len(written)):
            path.write_bytes(written[:left] + bytes(len(written) - left) * zeroed)
            kept = sum(end <= left for end in ends)
            if zeroed and kept < len(ends) and not any(written[left : ends[kept]]):
                kept += 1  # what was taken were zeros
            assert list(decode(read_back(worker.folder)[NINE].journal)) == records[:kept], left


def test_counters_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with WorkerAtHand(tmp_path) as worker:
        (worker.folder / "cells").write_bytes(b"")
        with pytest.raises(SpoolError, match="counters"):
            read_back(worker.folder)


def test_a_first_chunk_that_says_it_is_another_is_refused(tmp_path: Path) -> None:
    with WorkerAtHand(tmp_path, sessions=(1,)) as worker:
        worker.beat(1)
        path = worker.folder / f"w{NINE}-000"
    raw = bytearray(path.read_bytes())
    raw[10] = 1  # the chunk's number
    path.write_bytes(raw)
    with pytest.raises(SpoolError, match="not the first chunk"):
        read_back(worker.folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_or_shortened_chunk_is_read_or_refused_by_a_spool_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with WorkerAtHand(tmp_path_factory.mktemp("damage"), sessions=(1,)) as worker:
        for seat in range(1, 8):
            worker.beat(seat)
        path = worker.folder / f"w{NINE}-00{data.draw(st.sampled_from('01'))}"
    raw = bytearray(path.read_bytes())
    raw[data.draw(st.integers(0, 103))] ^= data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.sampled_from((0, 50, 104, 8192, len(raw) - 8, len(raw))))])
    with contextlib.suppress(SpoolError):
        for read in read_back(worker.folder).values():
            assert len(read.records) <= 7
