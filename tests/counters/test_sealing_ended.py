"""Sealing, ended at any step: whatever it was, the next life comes to the same log."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from counters import canonical_json
from counters.durable_lines import DurableLines
from counters.evidence_store import EvidenceStore
from counters.journal import Join
from counters.ledger.log import Log
from counters.log_entries import certificate_entry
from tests.counters.ledger_at_hand import EVENT, A, B, LedgerAtHand, bundle, journal, presence
from tests.counters.worker_at_hand import NINE, a_join

Step = Callable[[LedgerAtHand], object]


def _at(minute: float) -> Step:
    return lambda ledger: setattr(ledger, "now", NINE + 60 * minute)


def _accept(minute: int, seats: set[int], worker: str, joins: tuple[Join, ...] = (), *, ended: bool = False) -> Step:
    window, gateway = NINE + 60 * minute, f"gw-{worker[-1]}"
    segments = [presence(window, seats, worker, gateway)]
    if joins:
        segments.append(journal(window, list(joins), gateway))
    return lambda ledger: ledger.accept(bundle(window, tuple(segments), worker, ended=ended, gateway=gateway))


STEPS: tuple[Step, ...] = (
    _at(0),
    lambda ledger: ledger.sealer.grant(A, "gw-a", 2, ledger.now),
    lambda ledger: ledger.sealer.grant(B, "gw-b", 2, ledger.now),
    _at(1.1),
    _accept(0, {1, 2, 3}, A, (a_join(1), a_join(2, category="staff"), a_join(3))),
    LedgerAtHand.seal,
    _accept(0, {3, 4}, B, (a_join(4),)),
    LedgerAtHand.seal,
    _at(2.5),
    _accept(1, {1, 2}, A),
    LedgerAtHand.settle,
    lambda ledger: ledger.sealer.append(certificate_entry("ee" * 32, EVENT.digest, EVENT.iso(ledger.now))),
    _accept(1, {5}, B, (a_join(5, category="staff"),)),  # late
    _accept(2, {1, 5}, A, ended=True),
    LedgerAtHand.seal,
    _at(30),
    _accept(5, {1}, B),
    _accept(3, {2, 4}, B),
    LedgerAtHand.settle,
    _accept(4, {4}, B, ended=True),  # passed over
    LedgerAtHand.settle,
)


def run(ledger: LedgerAtHand, steps: tuple[Step, ...] = STEPS) -> None:
    for step in steps:
        step(ledger)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The log of all steps in one life."""
    ledger = LedgerAtHand(tmp_path_factory.mktemp("undisturbed") / "data")
    run(ledger)
    ledger.sealer.close()
    entries = ledger.entries()
    assert [canonical_json.decode(entry)["type"] for entry in entries].count("late") == 2
    assert ledger.present() == {0: 3, 1: 1, 2: 1, 3: 1, 5: 1, 7: 0, 8: 0}
    return entries


@pytest.mark.parametrize("end", [LedgerAtHand.restart, LedgerAtHand.crash])
@pytest.mark.parametrize("after", range(1, len(STEPS), 2))
def test_ended_at_any_point_the_ledger_comes_to_the_same_log(
    tmp_path: Path, undisturbed: list[bytes], end: Step, after: int
) -> None:
    ledger = LedgerAtHand(tmp_path / "data")
    run(ledger, STEPS[:after])
    end(ledger)
    ledger.checked()
    run(ledger, STEPS[after:])
    ledger.sealer.close()
    assert ledger.entries() == undisturbed


class PowerCutError(OSError):
    """What ends the process in these tests."""


def failing(owner: type, name: str, at: int, *, before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the call number `at` of a method fail before it begins or after it is done."""
    real, calls = getattr(owner, name), iter(range(10_000))

    def call(*args: Any, **named: Any) -> Any:
        fails = next(calls) == at
        if fails and before:
            raise PowerCutError(5, "before")
        done = real(*args, **named)
        if fails:
            raise PowerCutError(5, "after")
        return done

    monkeypatch.setattr(owner, name, call)


def _without_manifest(entry: bytes) -> bytes:
    return re.sub(rb'"manifest_sha256":"[0-9a-f]+"', b"", entry)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [(EvidenceStore, "put", range(0, 18, 3)), (DurableLines, "add", range(9)), (Log, "append", range(1, 7))],
)
def test_a_failure_at_any_write_loses_nothing_and_enters_nothing_twice(
    tmp_path: Path,
    undisturbed: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    calls: range,
    *,
    before: bool,
) -> None:
    """Who got no answer asks again: a step that failed is done once more by the next life."""
    for at in calls:
        ledger = LedgerAtHand(tmp_path / f"data-{at}")
        failures = 0
        with monkeypatch.context() as patch:
            failing(owner, name, at - (owner is Log), before=before, monkeypatch=patch)
            for step in STEPS:
                try:
                    step(ledger)
                except PowerCutError:
                    failures += 1
                    ledger.sealer.close()
                    ledger.open()
                    ledger.checked()
                    step(ledger)
        ledger.sealer.close()
        entries = ledger.entries()
        assert failures == 1
        kinds = [canonical_json.decode(entry)["type"] for entry in entries]
        # Who appends a certificate and hears nothing enters another; and a grant without an answer wastes a block,
        # which the manifest of a window that misses its worker names as well.
        repeated = kinds.count("certificate") - 1
        assert repeated in {0, int(owner is Log and not before)}
        wasted = sum(len(one.blocks) for one in ledger.sealer.grants.holders.values()) - 4
        assert wasted in {0, 2 * int(owner is DurableLines and not before)}
        shown = _without_manifest if wasted else bytes
        assert sorted(set(map(shown, entries))) == sorted(map(shown, undisturbed))
        assert len(entries) == len(undisturbed) + repeated


def test_seats_are_never_granted_twice_whatever_ends_the_ledger(ledger: LedgerAtHand) -> None:
    granted = list[int]()
    for end in (LedgerAtHand.restart, LedgerAtHand.crash, LedgerAtHand.restart):
        for worker in (A, B):
            granted += ledger.sealer.grant(worker, "gw-1", 3, ledger.now)
        end(ledger)
    assert granted == list(range(18))
