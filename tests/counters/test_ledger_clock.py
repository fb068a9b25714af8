"""The ledger's clock: known to within half a round trip, shared with the workers, void after a reboot."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.ledger_clock import (
    DRIFT_S,
    LEDGER_CLOCK_FILE,
    RECENT_S,
    TOLERATED_S,
    ClockWatch,
    LedgerClock,
    LedgerClockEstimate,
    read_ledger_clock,
)

EPOCH = 1_700_000_000.0
"""The true one: what the ledger's clock says when nothing has elapsed here."""


def answer(estimate: LedgerClockEstimate, at: float, there_s: float, back_s: float, epoch: float = EPOCH) -> None:
    """An answer that was asked for at `at`, and how long the question and the answer took."""
    estimate.heard(at, at + there_s + back_s, epoch + at + there_s)


legs = st.floats(0, 5)


@given(st.lists(st.tuples(legs, legs), min_size=1, max_size=8))
def test_the_estimate_is_never_further_off_than_it_says(
    tmp_path_factory: pytest.TempPathFactory, ways: list[tuple[float, float]]
) -> None:
    estimate = LedgerClockEstimate(tmp_path_factory.mktemp("spool"))
    for number, (there_s, back_s) in enumerate(ways):
        answer(estimate, 100 + 11.0 * number, there_s, back_s)
    assert estimate.best is not None
    assert estimate.best.within_s == pytest.approx(min(sum(way) for way in ways) / 2, abs=1e-6)
    assert abs(estimate.best.offset_s(EPOCH)) <= estimate.best.within_s + 1e-6
    assert estimate.best.surely_off_s(EPOCH) <= 1e-6


def test_the_shortest_recent_round_trip_wins_and_is_forgotten_in_time(tmp_path: Path) -> None:
    estimate = LedgerClockEstimate(tmp_path)
    answer(estimate, 100, 0.0005, 0.0005)
    answer(estimate, 101, 0.5, 0.02)
    assert estimate.best is not None
    assert estimate.best.within_s == pytest.approx(0.0005)
    answer(estimate, 101 + RECENT_S, 0.02, 0.02)
    assert estimate.best.within_s == pytest.approx(0.02)


def test_a_clock_of_the_ledger_that_was_set_is_believed_at_once(tmp_path: Path) -> None:
    estimate = LedgerClockEstimate(tmp_path)
    answer(estimate, 100, 0.001, 0.001)
    answer(estimate, 101, 0.02, 0.02, EPOCH + 45)
    assert estimate.best is not None
    assert estimate.best.epoch == pytest.approx(EPOCH + 45)
    answer(estimate, 102, 0.001, 0.001, EPOCH + 45 + DRIFT_S / 2)
    assert estimate.best.epoch == pytest.approx(EPOCH + 45 + DRIFT_S / 2)


def test_the_next_supervisor_begins_with_what_was_measured_and_one_of_another_boot_does_not(tmp_path: Path) -> None:
    answer(LedgerClockEstimate(tmp_path), 100, 0.001, 0.001)
    known = LedgerClockEstimate(tmp_path).best
    assert known is not None
    assert known.epoch == pytest.approx(EPOCH)
    path = tmp_path / LEDGER_CLOCK_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))
    assert LedgerClockEstimate(tmp_path).best is None
    for junk in ("", "{}", "null", "7", '{"version": 1}', "\xff"):
        path.write_text(junk)
        assert read_ledger_clock(tmp_path) is None


def test_the_file_is_not_written_for_every_answer(tmp_path: Path) -> None:
    estimate = LedgerClockEstimate(tmp_path)
    answer(estimate, 100, 0.001, 0.001)
    before = (tmp_path / LEDGER_CLOCK_FILE).stat().st_ino
    for at in range(101, 140):
        answer(estimate, at, 0.001, 0.0011)
    assert (tmp_path / LEDGER_CLOCK_FILE).stat().st_ino == before


def test_a_worker_is_not_ready_while_its_clock_is_surely_off_by_more_than_half_a_minute(tmp_path: Path) -> None:
    right, ahead, behind = (ClockWatch(tmp_path, epoch) for epoch in (EPOCH + 1, EPOCH + 45, EPOCH - 45))
    simulated = ClockWatch(tmp_path, None)
    assert not any(watch.too_far_off for watch in (right, ahead, behind, simulated)), "nobody has measured"
    answer(LedgerClockEstimate(tmp_path), 100, 0.001, 0.001)
    for watch in (right, ahead, behind, simulated):
        watch.look()
    assert (right.too_far_off, simulated.too_far_off) == ("", "")
    assert ahead.too_far_off.startswith("the clock is 45 s ahead of the ledger")
    assert behind.too_far_off.startswith("the clock is 45 s behind the ledger")


def test_what_the_round_trip_may_hide_is_not_held_against_a_clock() -> None:
    assert LedgerClock(EPOCH, 20.0).surely_off_s(EPOCH + TOLERATED_S + 15) == 25
    assert LedgerClock(EPOCH, 20.0).surely_off_s(EPOCH - 3) == 0
