"""What is handed over: it is in the log once, late where its window is sealed, and not at all if it is unsound."""

import pytest

from counters.evidence_store import EvidenceStore
from counters.handover import HandOver
from counters.sealed_evidence import read_evidence_of
from counters.sealing import EvidenceRefusedError
from tests.counters.ledger_at_hand import EVENT, A, B, LedgerAtHand, bundle, event_lasting, presence
from tests.counters.worker_at_hand import NINE


@pytest.mark.parametrize(
    "ahead", [bundle(NINE, through=NINE + 3600), HandOver(EVENT.digest, "gw-1", NINE + 120, (), ())]
)
def test_what_is_of_a_time_that_has_not_come_is_refused_a_promise_too(ledger: LedgerAtHand, ahead: HandOver) -> None:
    """Believed, a gateway whose clock is an hour ahead would not be missing for an hour."""
    ledger.now = NINE
    with pytest.raises(EvidenceRefusedError, match="has not begun"):
        ledger.accept(ahead)


def test_a_hand_over_is_accepted_once_however_often_it_comes(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60
    same = bundle(NINE, (presence(NINE, {1}),))
    assert ledger.accept(same) == "new"
    reports = (ledger.data / "ledger" / "reports.jsonl").read_bytes()
    assert ledger.accept(same) == "known"
    ledger.crash()
    assert ledger.accept(same) == "known"
    ledger.settle()
    assert ledger.accept(same) == "known"
    ledger.restart()
    assert ledger.accept(same) == "known"
    assert (ledger.data / "ledger" / "reports.jsonl").read_bytes() == reports
    assert ledger.settle() == 0
    assert ledger.present() == {0: 1}


def test_a_segment_twice_in_one_bundle_counts_once(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60
    assert ledger.accept(bundle(NINE, (presence(NINE, {1}),) * 2)) == "new"
    ledger.crash()
    ledger.settle()
    (leaf,) = read_evidence_of(ledger.checked(), EvidenceStore(ledger.data / "evidence").get)
    assert len(leaf.manifest.evidence) == 1


def test_a_promise_is_remembered_and_written_once(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 60
    for _ in range(3):
        assert ledger.accept(bundle(NINE)) == "promise"
    assert len((ledger.data / "ledger" / "reports.jsonl").read_bytes().splitlines()) == 1
    ledger.crash()
    assert ledger.seal() == 1
    assert ledger.checked().windows[NINE].missing == ()


def test_evidence_for_a_sealed_window_becomes_a_late_leaf_and_the_sealed_one_stays(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 120
    ledger.accept(bundle(NINE, (presence(NINE, {1}),)))
    ledger.settle()
    before = ledger.entries()
    ledger.now = NINE + 200
    late = bundle(NINE, (presence(NINE, {1, 2}, B, "gw-b"),), B, gateway="gw-b")
    assert ledger.accept(late) == "late"
    assert ledger.accept(late) == "known"
    assert ledger.sealer.unsealed(ledger.now) == 2  # it, and the third minute
    ledger.crash()
    assert ledger.accept(late) == "known"
    ledger.settle()
    after = ledger.entries()
    assert after[: len(before)] == before
    (leaf,) = ledger.checked().late
    assert (leaf.window, leaf.received_at, leaf.counted) == (NINE, NINE + 200, True)
    assert ledger.settle() == 0


def test_what_comes_for_a_window_that_was_passed_over_without_a_leaf_is_late(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60 * 20
    ledger.settle()
    assert ledger.accept(bundle(NINE + 300, (presence(NINE + 300, {1}),))) == "late"
    ledger.restart()
    assert ledger.settle() == 1
    assert [leaf.window for leaf in ledger.checked().late] == [NINE + 300]


def test_late_evidence_after_late_until_is_entered_and_not_counted(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60
    ledger.settle()
    ledger.now = EVENT.late_until.timestamp() + 1
    ledger.accept(bundle(NINE, (presence(NINE, {1}),)))
    ledger.settle()
    assert [leaf.counted for leaf in ledger.checked().late] == [False]


OTHER = presence(NINE, {1}, event=event_lasting(5))


@pytest.mark.parametrize(
    "segments",
    [(b"",), (b"TURNSEG\0",), (presence(NINE, {1})[:-1],), (presence(NINE, {1}) + b"x",), (presence(NINE + 60, {1}),),
     (OTHER,), (presence(NINE, {1}), OTHER)],
)  # fmt: skip
def test_unsound_or_foreign_evidence_is_refused_and_nothing_of_its_bundle_is_taken(
    ledger: LedgerAtHand, segments: tuple[bytes, ...]
) -> None:
    ledger.now = NINE + 60
    with pytest.raises(EvidenceRefusedError):
        ledger.accept(bundle(NINE, segments))
    assert not (ledger.data / "evidence").exists()
    assert ledger.accept(bundle(NINE, (presence(NINE, {1}),))) == "new"


def test_evidence_of_a_window_that_has_not_begun_is_refused(ledger: LedgerAtHand) -> None:
    """It would be sealed only then, or, dated beyond the calendar, stop the ledger for good."""
    ledger.now = NINE
    for window in (NINE + 120, 9_000_000_000_000 // 60 * 60):
        with pytest.raises(EvidenceRefusedError, match="clock"):
            ledger.accept(bundle(window, (presence(window, {1}),)))
    ledger.restart()
    assert ledger.settle() == 0
