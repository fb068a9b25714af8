"""The tail of a spool: the rows that changed since the last look, exactly as plain sets would have them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import spool, spool_tail
from counters.spool import SpoolError, open_registers
from counters.spool_tail import WindowTail, rows_of
from counters.spooled_window import window_chunks
from tests.counters.worker_at_hand import NINE, SESSIONS, HandClock, WorkerAtHand, registers_of

ACTION = st.one_of(
    st.just("look"),
    st.tuples(st.sampled_from(SESSIONS), st.integers(1, 40)),  # a session, and how many heartbeats of it
    st.integers(1, 9).map(float),  # seconds pass
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that are full soon, and strides that do not divide them."""
    monkeypatch.setattr(spool, "FIRST_CHUNK_RECORDS", 24)
    monkeypatch.setattr(spool, "CHUNK_RECORDS", 20)
    monkeypatch.setattr(spool_tail, "STRIDE_RECORDS", 7)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTION, max_size=40))
def test_each_look_finds_the_rows_of_the_heartbeats_since_the_last(
    tmp_path_factory: pytest.TempPathFactory, actions: list[str | tuple[int, int] | float]
) -> None:
    clock, tail, seat = HandClock(), WindowTail(), 0
    since: set[tuple[int, int]] = set()
    beats: list[tuple[int, int, int, bool]] = []
    gathered = np.zeros_like(registers_of([]))
    with WorkerAtHand(tmp_path_factory.mktemp("spool"), clock) as worker:
        for action in [*actions, "look"]:
            if isinstance(action, float):
                clock.at = min(clock.at + action, NINE + 59)
            elif isinstance(action, tuple):
                session, count = action
                for _ in range(count):
                    seat += 1
                    worker.beat(seat, session)
                    beats.append((int(clock.at - NINE) // 10, seat, session, False))
                    since.add((int(clock.at - NINE) // 10, session))
            else:
                paths = window_chunks(worker.folder)[NINE]
                rows = tail.fresh_rows(paths)
                assert rows == since
                registers = open_registers(paths[0])
                assert registers is not None
                for bucket, session in rows:
                    row = SESSIONS.index(session)
                    gathered[bucket, row] = np.maximum(gathered[bucket, row], registers[bucket, row])
                since = set()
    assert np.array_equal(gathered, registers_of(beats))


def test_a_window_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    with WorkerAtHand(tmp_path) as worker:
        paths = window_chunks(worker.folder)[NINE]
        paths[0].unlink()
        with pytest.raises(FileNotFoundError):
            WindowTail().fresh_rows(paths)


def test_a_record_of_no_bucket_is_refused() -> None:
    with pytest.raises(SpoolError, match="bucket 6"):
        rows_of(np.array([6 << 56 | 1 << 32 | 70_000], np.uint64))
    assert rows_of(np.array([], np.uint64)) == []
    assert rows_of(np.array([5 << 56 | 65535 << 32 | 70_000], np.uint64)) == [(5, 65535)]
