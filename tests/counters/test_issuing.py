"""Issuing: what stands beside the log is of this log."""

from pathlib import Path

from counters import issuing
from counters.verify import verify
from tests.counters.ledger_at_hand import A, LedgerAtHand, bundle, presence
from tests.counters.synthetic import SIGNER
from tests.counters.worker_at_hand import NINE


def certified(ledger: LedgerAtHand) -> issuing.Issued:
    directory = ledger.data / "certificates"
    issuing.complete(ledger.sealer, directory)  # as every ledger does that starts
    number = issuing.enter(ledger.sealer, issuing.compute(ledger.sealer, SIGNER.verifier, ledger.now), directory)
    return issuing.issued(ledger.sealer, number, directory)


def minute(ledger: LedgerAtHand, number: int) -> None:
    window = NINE + 60 * number
    ledger.now = window + 61.0
    ledger.accept(bundle(window, (presence(window, {1, 2, 3}),)))
    ledger.settle()


def test_certificates_of_what_came_after_a_backup_are_not_taken_for_those_of_the_log_that_goes_on_from_it(
    tmp_path: Path,
) -> None:
    lost, restored = LedgerAtHand(tmp_path / "lost"), LedgerAtHand(tmp_path / "restored")
    for ledger in (lost, restored):
        ledger.sealer.grant(A, "gw-1", 1, NINE)
        minute(ledger, 0)
    minute(lost, 1)
    before = certified(lost)
    directory = restored.data / "certificates"
    directory.mkdir()
    for path in (lost.data / "certificates").iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
    issuing.complete(restored.sealer, directory)
    assert issuing.issued_numbers(directory) == []
    minute(restored, 1)
    restored.now += 1
    after = certified(restored)
    assert (after.id, after.certificate) != (before.id, before.certificate)
    assert verify(after.certificate, after.proof, log_dir=restored.data / "log").holds
    for ledger in (lost, restored):
        ledger.sealer.close()
