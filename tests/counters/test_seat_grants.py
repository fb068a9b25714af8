"""Seat blocks: each is granted once, whatever happens between."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters import seat_grants
from counters.attendee import HIGHEST_BLOCK
from counters.seat_grants import BLOCKS_AT_ONCE, Holder, NoSeatsLeftError, SeatGrants

asked = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 12), st.booleans(), st.integers(0, 60)), max_size=12)


@given(asked)
def test_no_block_is_granted_twice_not_after_reopening_and_not_after_a_torn_line(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[str, int, bool, int]]
) -> None:
    path = tmp_path_factory.mktemp("grants") / "grants.jsonl"
    grants, granted = SeatGrants(path), list[int]()
    first: dict[str, int] = {}
    held: dict[str, tuple[int, ...]] = {}
    for window, (worker, blocks, reopen, torn) in enumerate(requests):
        fresh = grants.grant(worker, "gw", blocks, window)
        assert len(fresh) == min(max(blocks, 1), BLOCKS_AT_ONCE)
        granted += fresh
        held[worker] = (*held.get(worker, ()), *fresh)
        first.setdefault(worker, window)
        if reopen:
            path.write_bytes(path.read_bytes() + b'{"block":99999,"worker":"never acknowledged"}'[:torn])
            grants = SeatGrants(path)
    assert len(set(granted)) == len(granted)
    assert grants.holders == {worker: Holder(worker, "gw", since, held[worker]) for worker, since in first.items()}


def test_who_asks_again_in_the_same_words_gets_the_same_blocks_and_no_more(tmp_path: Path) -> None:
    grants = SeatGrants(tmp_path / "grants.jsonl")
    first = grants.grant("a", "gw", 2, 0, -1)
    assert grants.grant("b", "gw", 1, 0, -1) == [2]
    grants = SeatGrants(tmp_path / "grants.jsonl")
    assert grants.grant("a", "gw", 2, 1, -1) == first == [0, 1]
    assert grants.grant("a", "gw", 1, 1, -1) == [0]
    assert grants.grant("a", "gw", 3, 1, 0) == [1, 3, 4], "what it may not have heard of first, then fresh ones"
    assert grants.grant("a", "gw", 3, 2, 0) == [1, 3, 4]
    assert grants.grant("a", "gw", 1, 2, 4) == [5]
    assert grants.next_block == 6


def test_a_block_that_the_disk_did_not_take_is_not_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    grants = SeatGrants(tmp_path / "grants.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output"):
            grants.grant("a", "gw", 2, 60)
    assert grants.holders == {}
    assert grants.grant("b", "gw", 1, 60) == [0]


def test_the_last_seats_are_granted_before_there_are_none_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HIGHEST_BLOCK == 32_767
    monkeypatch.setattr(seat_grants, "HIGHEST_BLOCK", 9)
    grants = SeatGrants(tmp_path / "grants.jsonl")
    assert grants.grant("a", "gw", 8, 60) == list(range(8))
    assert grants.grant("a", "gw", 8, 60) == [8, 9]
    with pytest.raises(NoSeatsLeftError):
        grants.grant("a", "gw", 1, 60)
