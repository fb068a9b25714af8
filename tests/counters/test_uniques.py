"""The day's uniques: the shards of sessions and event, exactly as plain loops would fill them."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import hyperloglog
from counters.uniques import EVENT_SHARDS, SESSION_SHARDS, Uniques, UniquesTail, read_uniques

ROWS = 3


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, ROWS - 1), st.binary(min_size=16, max_size=16)), max_size=60))
def test_shards_hold_what_plain_sketches_hold(
    tmp_path_factory: pytest.TempPathFactory, joins: list[tuple[int, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("uniques")
    uniques = Uniques(folder, "2023-11-19", ROWS)
    sessions = [[hyperloglog.empty() for _ in range(SESSION_SHARDS)] for _ in range(ROWS)]
    event = [hyperloglog.empty() for _ in range(EVENT_SHARDS)]
    for row, pseudonym in joins:
        selector = int.from_bytes(pseudonym[:2], "little") & 1023
        uniques.add(row, hyperloglog.position(pseudonym, selector))
        hyperloglog.add(sessions[row][selector % SESSION_SHARDS], pseudonym)
        hyperloglog.add(event[selector % EVENT_SHARDS], pseudonym)
    read_sessions, read_event = read_uniques(folder / "uniques-2023-11-19")
    assert np.array_equal(read_sessions, sessions)
    assert np.array_equal(read_event, event)


def test_the_file_has_its_name_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flusher reads every second whatever is called uniques-…, also while a worker is being started."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        Uniques(tmp_path, "2023-11-19", ROWS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 7, 12, 4096, 100_000])
def test_a_file_cut_short_is_no_uniques_file(tmp_path: Path, length: int) -> None:
    Uniques(tmp_path, "2023-11-19", ROWS)
    path = tmp_path / "uniques-2023-11-19"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="no uniques file"):
        read_uniques(path)


def test_the_tail_gives_each_shard_again_only_when_it_rose(tmp_path: Path) -> None:
    uniques = Uniques(tmp_path, "2023-11-19", ROWS)
    tail = UniquesTail(tmp_path / "uniques-2023-11-19")
    assert tail.risen() == []
    uniques.add(1, 3 << 24 | 6 << 14 | 77)
    of_session, of_event = SESSION_SHARDS + 6 % SESSION_SHARDS, ROWS * SESSION_SHARDS + 6
    assert tail.risen() == [of_session, of_event]
    assert tail.take(of_session)[77] == 3
    assert tail.risen() == [of_event]
    uniques.add(1, 3 << 24 | 6 << 14 | 77)  # the same person on another device
    uniques.add(1, 2 << 24 | 6 << 14 | 77)  # somebody of lower rank
    assert tail.risen() == [of_event]
    uniques.add(1, 4 << 24 | 6 << 14 | 77)
    assert tail.risen() == [of_session, of_event]
    assert (tail.take(of_session)[77], tail.take(of_event)[77]) == (4, 4)
    assert tail.risen() == []
    assert UniquesTail(tmp_path / "uniques-2023-11-19").risen() == [of_session, of_event]


def test_a_file_of_the_first_version_is_not_taken_for_one_of_this(tmp_path: Path) -> None:
    path = tmp_path / "uniques-2023-11-19"
    path.write_bytes(b"TURNUNI\0" + ROWS.to_bytes(4, "little") + bytes(4096 - 12 + 28 * 16_384))
    with pytest.raises(ValueError, match="version 2"):
        UniquesTail(path)
