"""Retiring a gateway: the log says that nobody waits for it any more; what comes back later is late evidence."""

import json

import pytest

from counters import canonical_json
from counters.log_entries import LogEntryError, read_log
from counters.retirement import WORKERS_A_LEAF, retired_entries
from counters.sealing import UnknownGatewayError
from tests.counters.ledger_at_hand import EVENT, A, B, LedgerAtHand, bundle, presence
from tests.counters.worker_at_hand import NINE


def test_a_retired_gateway_stays_missing_where_it_was_and_is_waited_for_no_more(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gone", 1, ledger.now)
    ledger.sealer.grant(B, "gw-1", 1, ledger.now)
    ledger.now = NINE + 130
    ledger.accept(bundle(NINE, (), B))
    ledger.accept(bundle(NINE + 60, (), B))
    assert ledger.seal() == 0
    assert ledger.sealer.retire("gone", ledger.now) == [A]
    assert ledger.sealer.retire("gone", ledger.now) == []
    ledger.crash()
    assert ledger.seal() == 2
    for number in (2, 3):
        ledger.now = NINE + 60 * (number + 1)
        ledger.accept(bundle(NINE + 60 * number, (), B))
        assert ledger.seal() == 1, "at once"
    log = ledger.checked()
    missing = [log.windows[NINE + 60 * number].missing for number in range(4)]
    assert missing == [(A,), (A,), (A,), ()], "up to the minute in which it was retired"
    assert [(leaf.gateway, leaf.workers, leaf.window) for leaf in log.retired] == [("gone", (A,), NINE + 120)]


def test_a_retired_gateway_that_comes_back_hands_over_late_and_its_new_workers_count(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gone", 1, ledger.now)
    ledger.now = NINE + 60
    ledger.sealer.retire("gone", ledger.now)
    assert ledger.settle() == 1
    assert ledger.accept(bundle(NINE, (presence(NINE, {1, 2}, A, "gone"),), A, ended=True, gateway="gone")) == "late"
    ledger.now = NINE + 70
    ledger.sealer.grant(B, "gone", 1, ledger.now)
    ledger.now = NINE + 120
    assert ledger.seal() == 1, "the late leaf, while the window waits for the new worker"
    assert ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {3}, B, "gone"),), B, gateway="gone")) == "new"
    assert ledger.seal() == 1
    log = ledger.checked()
    assert (len(log.late), log.windows[NINE].missing, log.windows[NINE + 60].missing) == (1, (A,), ())
    assert ledger.sealer.retire("gone", ledger.now) == [B]


def test_a_worker_that_was_retired_and_lives_is_expected_again(ledger: LedgerAtHand) -> None:
    """Cut off and given up, not dead: its silence later on is a gap like any other's."""
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.sealer.retire("gw-1", ledger.now)
    ledger.now = NINE + 120
    ledger.accept(bundle(NINE, (), A))
    ledger.accept(bundle(NINE + 60, (), A))
    assert ledger.seal() == 2
    ledger.now = NINE + 180
    ledger.crash()
    assert ledger.seal() == 0
    assert ledger.settle() == 1
    assert ledger.checked().windows[NINE + 120].missing == (A,)


def test_who_never_had_seats_cannot_be_retired(ledger: LedgerAtHand) -> None:
    with pytest.raises(UnknownGatewayError, match="'nobody'"):
        ledger.sealer.retire("nobody", ledger.now)
    assert ledger.checked().retired == ()


def test_more_workers_than_an_entry_of_the_log_holds_are_retired_in_several() -> None:
    workers = [f"{number:016x}" for number in range(WORKERS_A_LEAF + 1)]
    entries = retired_entries(EVENT, "g", workers, NINE, "turnout test")
    assert [len(json.loads(entry)["workers"]) for entry in entries] == [WORKERS_A_LEAF, 1]
    assert max(map(len, entries)) < 65_535


@pytest.mark.parametrize(
    "changes",
    [
        {"gateway": 7}, {"workers": []}, {"workers": "ab"}, {"workers": [7]}, {"workers": [B, A]},
        {"workers": [A, A]}, {"at": 7}, {"at": "2023-11-19"}, {"simulated": not EVENT.simulated}, {"version": 2},
    ],
)  # fmt: skip
def test_a_retirement_that_is_malformed_is_refused_by_every_reader(
    ledger: LedgerAtHand, changes: dict[str, object]
) -> None:
    (entry,) = retired_entries(EVENT, "g", [A, B], NINE, "turnout test")
    begun = ledger.sealer.log.entry(0)
    assert read_log([begun, entry]).retired[0].workers == (A, B)
    with pytest.raises(LogEntryError, match="entry 1"):
        read_log([begun, canonical_json.encode(json.loads(entry) | changes)])
