"""What leaves leave out of their views: in steps of which nobody learns of few, and which bound what is certified."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import canonical_json, evidence, left_out, window_leaf
from counters.evidence_store import EvidenceError
from counters.handover import HandOver, WorkerReport
from counters.journal_segment import journal_segments
from counters.log_entries import LogEntryError, read_log
from counters.reckoning import reckon
from counters.segment import SegmentHead
from tests.counters.ledger_at_hand import EVENT, A, LedgerAtHand
from tests.counters.synthetic import fixed_world, seal, world_of
from tests.counters.test_window_leaf import excluded_so_far
from tests.counters.worker_at_hand import NINE, a_join

FEW = 3
VECTORS: Final = Path(__file__).parents[1] / "vectors"


def test_steps_begin_at_nothing_and_end_at_multiples_of_the_threshold() -> None:
    assert [left_out.at_most(views, 10) for views in (0, 1, 10, 11, 20, 21)] == [10, 10, 10, 20, 20, 30]
    assert [left_out.at_least(said, 10) for said in (10, 20, 30)] == [0, 11, 21]
    assert [left_out.at_most(views, 1) for views in range(4)] == [0, 1, 2, 3], "nothing is withheld"
    assert [left_out.at_least(said, 1) for said in range(4)] == [0, 1, 2, 3]


@given(st.integers(0, 10**6), st.integers(1, 50))
def test_a_step_holds_what_was_left_out(views: int, below: int) -> None:
    said = left_out.at_most(views, below)
    assert left_out.at_least(said, below) <= views <= said


def _histories(cells: int, total: int) -> Iterator[tuple[int, ...]]:
    """Yield every way in which so many views can be left out in some minutes of some sessions."""
    if cells == 1:
        yield (total,)
        return
    for first in range(total + 1):
        yield from ((first, *others) for others in _histories(cells - 1, total - first))


@pytest.mark.parametrize(("sessions", "windows"), [(1, 2), (1, 4), (2, 1), (2, 2), (3, 1)])
def test_no_minute_of_few_follows_from_the_leaves_and_the_exact_total(sessions: int, windows: int) -> None:
    """All histories of a small event: what each can have been, for somebody who knows all that is published."""
    possible: dict[tuple[object, ...], dict[tuple[int, int], set[int]]] = defaultdict(lambda: defaultdict(set))
    for total in range(4 * FEW):
        for history in _histories(sessions * windows, total):
            by_session = [history[number * windows : (number + 1) * windows] for number in range(sessions)]
            so_far = [list(accumulate(views)) for views in by_session]
            public = (total, *(left_out.at_most(views, FEW) for sums in so_far for views in sums))
            for cell, views in enumerate(history):
                possible[public][0, cell].add(views)
            for cell, views in enumerate(views for sums in so_far for views in sums):
                possible[public][1, cell].add(views)
    told = {
        (public, views)
        for public, cells in possible.items()
        for (kind, cell), found in cells.items()
        for views in found
        if len(found) == 1
        and 0 < views < FEW
        # Of one session the last sum is the total itself, which the certificate prints anyway.
        and not (kind == 1 and sessions == 1 and cell == windows - 1)
        and not (kind == 1 and views == public[0])
    }
    assert told == set()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((1, 3)))
def test_a_leaf_says_how_many_views_were_left_out_so_far(seed: int, below: int) -> None:
    world = world_of(random.Random(seed), 12)
    counting = replace(world.event.counting, exclude_categories=("staff",), suppress_below=below)
    world.event = replace(world.event, counting=counting)
    out, excluded = set[int](), excluded_so_far(world)
    so_far: dict[str, int] = dict.fromkeys((one.id for one in world.event.sessions), 0)
    numbers = {one.number: one.id for one in world.event.sessions}
    log = read_log(seal(world).entries)
    for window, leaf in sorted(log.windows.items()):
        out = excluded.get(window, out)
        opened = {(join.session, join.view) for join in world.joins
                  if join.view and join.seat in out and join.joined_at_ms // 60_000 * 60 == window}  # fmt: skip
        for session, _ in opened:
            so_far[numbers[session]] += 1
        assert leaf.left_out == {session: left_out.at_most(views, below) for session, views in so_far.items()}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], "a session that there is not"),
        ({"s9": 6}, "a session that there is not"),
        ({"s1": 7}, "steps"),
        ({"s1": FEW}, "steps"),
        ({"s1": "6"}, "steps"),
        ({"s1": True}, "steps"),
    ],
)
def test_what_is_not_told_in_steps_is_no_leaf(said: object, words: str) -> None:
    world = fixed_world()
    world.event = replace(world.event, counting=replace(world.event.counting, suppress_below=FEW))
    entries = seal(world).entries
    leaf = json.loads(entries[1])
    assert (leaf["version"], leaf["left_out"]) == (2, {})
    read_log(entries[:2])
    with pytest.raises(LogEntryError, match=words):
        read_log([entries[0], canonical_json.encode(leaf | {"left_out": said})])


def test_leaves_of_version_1_are_read_and_say_nothing_of_it() -> None:
    world = fixed_world()
    old = read_log(seal(world, leaves_of_version_2_from=2**40).entries)
    assert {leaf.left_out for leaf in old.windows.values()} == {None}
    assert all(json.loads(leaf.raw)["version"] == 1 and b"left_out" not in leaf.raw for leaf in old.windows.values())
    leaf = json.loads(seal(world).entries[1])
    for wrong in (leaf | {"version": 3}, leaf | {"version": True}, leaf | {"version": 0}):
        with pytest.raises(LogEntryError, match="version"):
            read_log([seal(world).entries[0], canonical_json.encode(wrong)])


def test_a_ledger_that_begins_again_goes_on_with_what_it_left_out(tmp_path: Path) -> None:
    """Late journals make staff known, and are no part of what windows leave out."""
    event = replace(EVENT, counting=replace(EVENT.counting, exclude_categories=("staff",), suppress_below=1))
    ledger = LedgerAtHand(tmp_path / "data", event)

    def hand_over(window: int, now: int, *seats: int) -> None:
        joins = [a_join(seat, category="staff", joined_at_ms=window * 1000, view=window + seat) for seat in seats]
        (segment,) = journal_segments(SegmentHead(event.digest, "gw-1", window, 30, ()), joins)
        reports = (WorkerReport(A, window + 60, ended=False),)
        ledger.now = now
        ledger.accept(HandOver(event.digest, "gw-1", window, reports, (evidence.encode(segment),)))
        ledger.settle()

    hand_over(NINE, NINE + 61, 1, 2)
    ledger.restart()
    hand_over(NINE + 60, NINE + 121, 1)
    hand_over(NINE, NINE + 130, 1, 2, 3)
    ledger.crash()
    hand_over(NINE + 120, NINE + 181, 3)
    log = ledger.checked()
    leaves = sorted(log.windows.items())
    assert [leaf.left_out and leaf.left_out["opening"] for _, leaf in leaves] == [2, 3, 4]
    assert len(log.late) == 1
    reckon(log, ledger.sealer.evidence.get, rebuild=True)
    ledger.sealer.close()


def test_a_leaf_that_would_be_too_long_with_it_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be no leaf otherwise, and no window after it had one: what it says grows as long as the event lasts."""
    event = replace(EVENT, counting=replace(EVENT.counting, exclude_categories=("staff",), suppress_below=1))
    ledger = LedgerAtHand(tmp_path / "data", event)
    for window in range(NINE, NINE + 240, 60):
        joins = [a_join(1, category="staff", joined_at_ms=window * 1000, view=window)]
        (segment,) = journal_segments(SegmentHead(event.digest, "gw-1", window, 30, ()), joins)
        reports = (WorkerReport(A, window + 60, ended=False),)
        ledger.now = window + 61
        ledger.accept(HandOver(event.digest, "gw-1", window, reports, (evidence.encode(segment),)))
        ledger.settle()
        if window == NINE:
            monkeypatch.setattr(window_leaf, "ENTRY_LIMIT_BYTES", len(ledger.entries()[-1]) - 1)
        if window == NINE + 120:
            monkeypatch.undo()
    log = ledger.checked()
    assert [leaf.left_out and leaf.left_out["opening"] for _, leaf in sorted(log.windows.items())] == [1, None, None, 4]
    reckon(log, ledger.sealer.evidence.get, rebuild=True)
    ledger.sealer.close()


@pytest.fixture(scope="module")
def kept() -> tuple[list[bytes], dict[str, bytes]]:
    """A log whose leaves are of version 1 for four minutes, then of version 2, with its evidence: as it was written."""
    said = json.loads((VECTORS / "leaf-v2" / "log.json").read_text(encoding="utf-8"))
    return [entry.encode() for entry in said["entries"]], {
        digest: bytes.fromhex(data) for digest, data in said["evidence"].items()
    }


def test_leaves_that_were_written_once_come_out_of_their_evidence_again(
    kept: tuple[list[bytes], dict[str, bytes]],
) -> None:
    entries, files = kept
    log = read_log(entries)
    reckon(log, files.__getitem__, rebuild=True)
    told = [leaf.left_out and leaf.left_out["s2"] for _, leaf in sorted(log.windows.items())]
    assert told == [None] * 4 + [4] * 4 + [6] * 7
    lower = entries[-1].replace(b'"left_out":{"s2":6}', b'"left_out":{"s2":8}')
    assert lower != entries[-1]
    with pytest.raises(EvidenceError, match="its evidence gives another leaf"):
        reckon(read_log([*entries[:-1], lower]), files.__getitem__, rebuild=True)
