"""Sealing waits: for whom a window is kept open, for how long, and who is named as missing."""

from pathlib import Path

import pytest

from counters.expected_reports import AT_WORK_S, GRACE_S
from counters.handover import HandOver
from counters.manifest import Granted, Manifest
from tests.counters.fragile_disk import FaultyDisk, full
from tests.counters.ledger_at_hand import EVENT, A, B, LedgerAtHand, bundle, presence
from tests.counters.worker_at_hand import NINE


def test_a_window_waits_for_every_worker_that_holds_seats_and_then_seals_at_once(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 5
    for worker in (A, B):
        ledger.sealer.grant(worker, f"gw-{worker[-1]}", 2, ledger.now)
    ledger.now = NINE + 60.1
    assert ledger.seal() == 0
    assert ledger.accept(bundle(NINE, (presence(NINE, {1, 2}),), A)) == "new"
    assert ledger.seal() == 0
    assert ledger.accept(bundle(NINE, (presence(NINE, {2, 3}, B, "gw-b"),), B, gateway="gw-b")) == "new"
    assert ledger.seal() == 1
    leaf = ledger.checked().windows[NINE]
    assert (leaf.missing, leaf.totals[""]["present"]) == ((), 3)
    assert ledger.seal() == 0


def test_after_the_grace_a_window_is_sealed_and_names_who_is_missing(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    for worker in (B, A):
        ledger.sealer.grant(worker, f"gw-{worker}", 1, ledger.now)
    ledger.now = NINE + 60
    assert ledger.seal() == 0
    ledger.tick += GRACE_S - 0.01
    assert ledger.seal() == 0
    ledger.tick += 0.02
    assert ledger.seal() == 1
    assert ledger.checked().windows[NINE].missing == (A, B)
    assert ledger.sealer.state(ledger.now).counts.missing_workers == 2
    ledger.restart()
    assert ledger.sealer.state(ledger.now).counts.missing_workers == 2


def test_the_manifest_of_a_window_names_the_seats_of_whoever_is_missing_and_of_nobody_else(
    ledger: LedgerAtHand,
) -> None:
    ledger.now = NINE
    for worker, blocks in ((A, 2), (B, 1), (A, 1)):
        ledger.sealer.grant(worker, f"gw-{worker}", blocks, ledger.now)
    ledger.restart()
    ledger.accept(bundle(NINE, (presence(NINE, {1}, B),), B))
    ledger.now = NINE + 60
    ledger.settle()
    leaf = ledger.checked().windows[NINE]
    assert leaf.missing == (A,)
    manifest = Manifest.decode(ledger.sealer.evidence.get(leaf.manifest_sha256))
    assert manifest.granted == (Granted(A, NINE, (0, 1, 3)),)


def test_a_gateway_whose_hand_over_the_disk_refused_is_waited_for(tmp_path: Path) -> None:
    opening_the_reports = 1
    disk = FaultyDisk(opening_the_reports, fault=full, only="append */reports.jsonl")
    ledger = LedgerAtHand(tmp_path / "data", disk=disk)
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 60
    assert ledger.seal() == 0
    ledger.tick += GRACE_S - 0.01
    with pytest.raises(OSError, match="No space"):
        ledger.accept(bundle(NINE, (presence(NINE, {1}),)))
    ledger.tick += GRACE_S - 0.01
    assert ledger.seal() == 0
    assert ledger.accept(bundle(NINE, (presence(NINE, {1}),))) == "new"
    assert ledger.seal() == 1
    leaf = ledger.checked().windows[NINE]
    assert (leaf.missing, leaf.totals[""]["present"]) == ((), 1)


def test_a_gateway_that_works_off_a_backlog_is_waited_for(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    for worker in (A, B):
        ledger.sealer.grant(worker, "gw-1", 1, ledger.now)
    ledger.now = NINE + 180
    ledger.seal()
    for number in range(3):  # each hand-over takes it seven seconds
        ledger.tick += 7
        ledger.accept(bundle(NINE + 60 * number, (presence(NINE + 60 * number, {number + 1}),), A))
        ledger.accept(bundle(NINE + 60 * number, (), B))
        assert ledger.seal() == 1
    assert all(leaf.missing == () for leaf in ledger.checked().windows.values())


def test_a_window_is_not_late_while_its_gateway_says_that_it_is_at_work_on_it(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 60
    ledger.seal()
    sign = HandOver(EVENT.digest, "gw-1", NINE, (), ())
    for _ in range(10):
        ledger.tick += 5
        assert ledger.accept(sign) == "promise"
        assert ledger.seal() == 0
    reports = ledger.data / "ledger" / "reports.jsonl"
    assert reports.read_bytes() == b"", "a sign of life is nothing to keep"
    assert ledger.accept(bundle(NINE, (presence(NINE, {1, 2}),), A)) == "new"
    assert ledger.seal() == 1
    assert ledger.checked().windows[NINE].missing == ()


def test_a_gateway_that_never_gets_done_with_a_window_holds_up_the_log_for_a_minute_and_no_longer(
    ledger: LedgerAtHand,
) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 60
    ledger.seal()
    began = ledger.tick
    while not ledger.seal():
        ledger.tick += 1
        ledger.accept(HandOver(EVENT.digest, "gw-1", NINE, (), ()))
        assert ledger.tick < began + 100
    assert ledger.tick - began == pytest.approx(1 + AT_WORK_S + GRACE_S, abs=1.01)
    assert ledger.checked().windows[NINE].missing == (A,)


def test_signs_of_life_over_a_later_window_do_not_keep_an_older_one_waiting(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 120
    ledger.seal()
    ledger.tick += GRACE_S + 1
    ledger.accept(HandOver(EVENT.digest, "gw-1", NINE + 60, (), ()))
    assert ledger.seal() == 1
    assert ledger.checked().windows[NINE].missing == (A,)


def test_a_gateway_that_goes_on_without_one_of_its_workers_does_not_hold_up_the_log(ledger: LedgerAtHand) -> None:
    """On a fast clock a gateway is heard of all the time; of this window it has no more once it reports a later one."""
    ledger.now = NINE
    for worker in (A, B):
        ledger.sealer.grant(worker, "gw-1", 1, ledger.now)
    sealed = 0
    for number in range(4):
        ledger.now = NINE + 60 * (number + 1)
        ledger.accept(bundle(NINE + 60 * number, (), A))
        sealed += ledger.seal()
        ledger.tick += 3
    assert sealed >= 1
    assert ledger.checked().windows[NINE].missing == (B,)


def test_a_worker_is_expected_from_the_window_of_its_first_seats_until_it_has_ended(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 70
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    assert ledger.seal() == 1  # nine o'clock was before its time
    ledger.now = NINE + 120
    assert ledger.seal() == 0
    ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {1}),), ended=True))
    ledger.now = NINE + 240
    assert ledger.seal() == 3
    assert all(leaf.missing == () for leaf in ledger.checked().windows.values())


def test_a_worker_that_was_said_to_have_ended_and_reports_on_lives(tmp_path: Path) -> None:
    """A copy of its spool, started elsewhere, takes it for dead."""
    ledger = LedgerAtHand(tmp_path / "data")
    ledger.sealer.grant(A, "gw-1", 1, NINE)
    expected = ledger.sealer._expected
    said = {"worker": A, "through": NINE + 60}
    ended, again, lives = said | {"ended": True}, said | {"ended": False}, {"worker": A, "through": NINE + 120}
    expected.notice(NINE + 120, 0.0)
    expected.take([ended])
    assert expected.missing(NINE + 120, 100.0) == []
    expected.take([again])  # the network repeats what was sent before
    assert expected.missing(NINE + 120, 100.0) == []
    expected.take([lives | {"ended": False}])
    assert expected.missing(NINE + 120, 100.0) == [A]
    ledger.sealer.close()
