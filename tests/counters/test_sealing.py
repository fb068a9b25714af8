"""Sealing: every accepted hand-over is in the log once, whatever ends the ledger in between.

After each step the whole log is checked as an outsider would: hashes, entries, and the evidence behind every leaf.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from counters import evidence
from counters.expected_reports import GRACE_S
from counters.ledger.writer_folder import LogLockedError
from counters.log_entries import certificate_entry
from counters.sealing import GROUP, OtherEventError, Sealer, event_entry
from tests.counters.ledger_at_hand import (
    COMMITMENT,
    EVENT,
    A,
    B,
    LedgerAtHand,
    bundle,
    event_lasting,
    journal,
    presence,
)
from tests.counters.synthetic import SIGNER
from tests.counters.worker_at_hand import NINE, a_join


def test_leaf_0_is_the_event_locked_when_the_log_began(ledger: LedgerAtHand) -> None:
    (entry,) = ledger.entries()
    assert entry == event_entry(EVENT, COMMITMENT, EVENT.iso(NINE - 600))
    log = ledger.checked()
    assert log.event == EVENT
    assert log.locked_at == "2023-11-19T08:50:00+08:00"
    ledger.now += 3600
    ledger.restart()
    assert ledger.entries() == [entry]


def test_another_event_file_or_pseudonym_key_is_refused_and_changes_nothing(ledger: LedgerAtHand) -> None:
    before = ledger.entries()
    ledger.sealer.close()
    for event, commitment in ((event_lasting(5), COMMITMENT), (EVENT, "d0" * 32)):
        with pytest.raises(OtherEventError, match="rules are locked"):
            Sealer(ledger.data, event, commitment, SIGNER, ledger.now)
    ledger.open()  # and what was refused holds no lock
    assert ledger.entries() == before


def test_a_second_ledger_on_the_same_directory_is_refused_and_the_first_goes_on(ledger: LedgerAtHand) -> None:
    with pytest.raises(LogLockedError):
        Sealer(ledger.data, EVENT, COMMITMENT, SIGNER, ledger.now)
    ledger.now = NINE + 61
    assert ledger.settle() == 1


def test_a_window_is_not_sealed_before_its_end(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 30
    ledger.accept(bundle(NINE, (presence(NINE, {1}),)))  # its only worker has ended early
    ledger.now = NINE + 59.9
    assert ledger.settle() == 0
    ledger.now = NINE + 60
    assert ledger.seal() == 1


def test_windows_that_the_clock_jumped_over_get_leaves_and_unscheduled_ones_only_with_evidence(
    ledger: LedgerAtHand,
) -> None:
    ledger.now = NINE + 60 * 20
    ledger.accept(bundle(NINE + 60 * 5, (presence(NINE + 60 * 5, {1}),)))  # in the break
    assert ledger.settle() == 7
    assert ledger.present() == {0: 0, 1: 0, 2: 0, 3: 0, 5: 1, 7: 0, 8: 0}


def test_a_backlog_is_sealed_in_groups(tmp_path: Path) -> None:
    ledger = LedgerAtHand(tmp_path / "data", event_lasting(2 * GROUP))
    ledger.now = NINE + 60 * 1000
    assert [ledger.seal() for _ in range(4)] == [GROUP, GROUP, 2, 0]
    ledger.checked()
    ledger.sealer.close()


def test_arrived_counts_against_the_minute_before_also_across_a_restart(ledger: LedgerAtHand) -> None:
    for number, seats in enumerate(({1, 2}, {2, 3}, {3, 4, 5})):
        ledger.now = NINE + 60 * (number + 1)
        ledger.accept(bundle(NINE + 60 * number, (presence(NINE + 60 * number, seats),)))
        ledger.settle()
        ledger.restart()
    assert [leaf.totals[""]["arrived"] for leaf in ledger.checked().windows.values()] == [2, 1, 2]


def test_excluded_attendees_stay_excluded_across_a_restart(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60
    staff = journal(NINE, [a_join(1, category="staff"), a_join(2)])
    ledger.accept(bundle(NINE, (presence(NINE, {1, 2}), staff)))
    ledger.settle()
    ledger.crash()
    ledger.now = NINE + 120
    ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {1, 2, 3}),)))
    ledger.settle()
    assert ledger.present() == {0: 1, 1: 2}


def test_the_state_shows_what_waits_and_what_was_sealed_last(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 130.5
    state = ledger.sealer.state(ledger.now)
    assert (state.unsealed, state.overdue) == (2, 2)
    # The second window ended ten seconds ago.
    assert ledger.sealer.state(NINE + 129).overdue == 1
    ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {1, 2}),)))
    ledger.settle()
    state = ledger.sealer.state(ledger.now)
    assert (state.size, state.sealed_window, state.unsealed) == (3, NINE + 60, 0)
    assert (state.seal_lag_s, state.checkpoint_s) == (10.5, NINE + 130.5)
    assert state.attendees == {"": 2, "opening": 2}
    ledger.restart()
    again = ledger.sealer.state(ledger.now)
    assert (again.sealed_window, again.attendees, again.seal_lag_s) == (NINE + 60, state.attendees, None)
    assert again.overdue == 0
    assert again.counts == state.counts


def test_the_state_counts_what_is_in_the_log_and_how_much_evidence_it_stands_on(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.sealer.grant(B, "gw-2", 1, ledger.now)
    ledger.now = NINE + 125
    ledger.accept(bundle(NINE, (presence(NINE, {1, 2}), journal(NINE, [a_join(1)]))))
    ledger.accept(bundle(NINE, worker=B, gateway="gw-2"))
    ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {1, 2}),)))
    ledger.settle()
    # Of the second window a worker is missing; another was there all the time.
    state = ledger.sealer.state(ledger.now)
    assert (state.counts.windows, state.counts.with_gaps, state.counts.late) == (2, 1, 0)
    assert (state.counts.missing_workers, state.gateways) == (1, frozenset({"gw-1", "gw-2"}))
    on_disk = sum(path.stat().st_size for path in (ledger.data / "evidence").iterdir())
    assert (state.counts.evidence_bytes, state.waiting_bytes) == (on_disk, 0)
    late = presence(NINE + 60, {1}, B, "gw-2")
    ledger.accept(bundle(NINE + 60, (late,), B, ended=True, gateway="gw-2"))
    assert ledger.sealer.state(ledger.now).waiting_bytes == len(late)
    ledger.settle()
    state = ledger.sealer.state(ledger.now)
    assert (state.counts.windows, state.counts.with_gaps, state.counts.late) == (2, 1, 1)
    assert (state.waiting_bytes, state.gateways) == (0, frozenset({"gw-1"}))
    assert state.counts.evidence_bytes == sum(path.stat().st_size for path in (ledger.data / "evidence").iterdir())
    ledger.restart()
    assert ledger.sealer.state(ledger.now).counts == state.counts


@pytest.mark.parametrize(
    ("changes", "gap"),
    [
        ({}, False),
        ({"until_ms": NINE * 1000 + 30_000}, True),  # from then on nobody was there
        ({"crashed": True}, False),
        ({"crashed": True, "synced_until_ms": NINE * 1000}, True),
        ({"unreadable": True, "records": 0}, True),
    ],
)
def test_a_window_has_a_gap_where_evidence_is_wanting(ledger: LedgerAtHand, changes: dict[str, Any], gap: bool) -> None:
    segment = evidence.decode(presence(NINE, {1}))
    head = replace(segment.head, workers=(replace(segment.head.workers[0], **changes),))
    ledger.now = NINE + 60
    ledger.accept(bundle(NINE, (evidence.encode(replace(segment, head=head)),)))
    ledger.settle()
    assert ledger.sealer.state(ledger.now).counts.with_gaps == gap


def test_a_certificate_does_not_stand_in_the_way_of_opening_again(ledger: LedgerAtHand) -> None:
    ledger.sealer.append(certificate_entry("ee" * 32, EVENT.digest, EVENT.iso(ledger.now)))
    ledger.restart()
    ledger.now = NINE + 60
    assert ledger.settle() == 1
    assert GRACE_S == 8.0
