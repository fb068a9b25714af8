"""The roll is sealed once, when nothing that comes in counts any more, whatever ends the ledger on the way."""

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from counters import issuing, kept_rolls, roll_sealing
from counters.audit_entries import RollEntry, roll_entry
from counters.beacon import Round
from counters.certificate import read_certificate
from counters.event import Audit, WitnessOfEvent
from counters.journal import Join
from counters.kept_rolls import RollError
from counters.ledger.cosignature import cosign, cosignatures, with_cosignatures, witness_key
from counters.ledger.note import Signer
from counters.ledger.proof import TlogProof
from counters.log_entries import LogEntryError, certificate_entry, read_log
from counters.sealing import event_entry
from counters.verify import Report, verify
from tests.counters.fragile_disk import CrashError, FaultyDisk
from tests.counters.ledger_at_hand import COMMITMENT, EVENT, A, LedgerAtHand, bundle, journal, presence
from tests.counters.synthetic import SIGNER, THUMBPRINT
from tests.counters.worker_at_hand import NINE
from tests.counters.worker_at_hand import a_join as join_of_any_issuer

OVER = EVENT.late_until.timestamp() + 2


def a_join(seat: int) -> Join:
    return join_of_any_issuer(seat, issuer="issuer-0", key_thumbprint=THUMBPRINT)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerAtHand]:
    ledger = held(tmp_path / "data")
    yield ledger
    ledger.sealer.close()


def held(data: Path, **values: object) -> LedgerAtHand:
    """A ledger with three attendees in its first window, everything sealed, the event not over."""
    ledger = LedgerAtHand(data, **values)  # type: ignore[arg-type]
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, NINE)
    ledger.now = NINE + 61.0
    if ledger.event == EVENT:
        joins = [a_join(seat) for seat in (1, 2, 3)]
        ledger.accept(bundle(NINE, (presence(NINE, {1, 2, 3}), journal(NINE, joins))))
    ledger.settle()
    ledger.now = OVER
    ledger.settle()
    return ledger


def rolls(ledger: LedgerAtHand) -> Path:
    return ledger.data / roll_sealing.FOLDER


def seal(ledger: LedgerAtHand, of: Round | None = None) -> int:
    entries = list(ledger.sealer.log.entries())
    tree = roll_sealing.make(entries, ledger.sealer.evidence.get, rolls(ledger) / roll_sealing.MAKING)
    return roll_sealing.enter(ledger.sealer, tree, rolls(ledger), len(entries), ledger.now, of)


def newest(ledger: LedgerAtHand) -> RollEntry:
    roll = ledger.checked().audits.roll
    assert roll is not None
    return roll


def test_it_is_due_when_late_until_has_passed_and_all_is_sealed_and_only_once(ledger: LedgerAtHand) -> None:
    for now, due in ((OVER - 2, False), (OVER - 1.5, False), (OVER, True)):
        assert roll_sealing.is_due(ledger.sealer, now) is due, now - OVER
    # Received in the very second of late_until: it counts, and so the roll waits for it.
    ledger.now = OVER - 2 + 0.9
    ledger.accept(bundle(NINE, (journal(NINE, [a_join(9)], gateway="gw-2"),), gateway="gw-2"))
    assert not roll_sealing.is_due(ledger.sealer, OVER)
    ledger.settle()
    ledger.now = OVER
    assert roll_sealing.is_due(ledger.sealer, OVER)
    index = seal(ledger)
    assert not roll_sealing.is_due(ledger.sealer, OVER)
    assert (newest(ledger).index, newest(ledger).size) == (index, 4)
    # What comes now does not count, and is not on it.
    ledger.accept(bundle(NINE, (journal(NINE, [a_join(10)], gateway="gw-3"),), gateway="gw-3"))
    ledger.settle()
    assert (newest(ledger).index, newest(ledger).size) == (index, 4)
    entries = list(ledger.sealer.log.entries())
    assert roll_sealing.make(entries, ledger.sealer.evidence.get, rolls(ledger) / "again").root == newest(ledger).root


def test_a_certificate_names_the_roll_that_is_in_the_log_before_it_and_verifies(ledger: LedgerAtHand) -> None:
    directory = ledger.data / "certificates"

    def certified() -> issuing.Issued:
        ledger.now += 1
        number = issuing.enter(ledger.sealer, issuing.compute(ledger.sealer, SIGNER.verifier, ledger.now), directory)
        return issuing.issued(ledger.sealer, number, directory)

    assert read_certificate(certified().certificate)["roll"] is None
    seal(ledger)
    roll = newest(ledger)
    issued = certified()
    said = read_certificate(issued.certificate)
    assert said["roll"] == {
        "entry": roll.index, "size": 3, "root": read_log_root(ledger, roll.index), "sealed_at": EVENT.iso(OVER + 1),
    }  # fmt: skip
    assert said["audits"] == []
    report = verified(ledger, issued)
    assert report.holds, report.failed
    (line,) = [check.detail for check in report.checks if check.name == "roll"]
    assert line == f"the 3 attendees of entry {roll.index} are those of the evidence, each once"


def verified(ledger: LedgerAtHand, issued: issuing.Issued) -> Report:
    places = ledger.data / "log", ledger.data / "evidence"
    return verify(issued.certificate, issued.proof, log_dir=places[0], evidence_dir=places[1])


def test_a_roll_of_other_people_than_the_evidence_has_is_found(ledger: LedgerAtHand) -> None:
    """Sealed for the audit: three genuine attendees, of whom one is not among those that are counted."""
    other = LedgerAtHand(ledger.data.with_name("other"))
    other.now = NINE + 61.0
    other.accept(bundle(NINE, (journal(NINE, [a_join(seat) for seat in (1, 2, 4)]),)))
    other.settle()
    entries = list(other.sealer.log.entries())
    tree = roll_sealing.make(entries, other.sealer.evidence.get, rolls(ledger) / roll_sealing.MAKING)
    roll_sealing.enter(ledger.sealer, tree, rolls(ledger), ledger.sealer.log.size, ledger.now)
    directory = ledger.data / "certificates"
    number = issuing.enter(ledger.sealer, issuing.compute(ledger.sealer, SIGNER.verifier, ledger.now), directory)
    issued = issuing.issued(ledger.sealer, number, directory)
    (failed,) = verified(ledger, issued).failed
    assert failed.name == "roll"
    assert "another list than is counted" in failed.detail
    other.sealer.close()


def read_log_root(ledger: LedgerAtHand, index: int) -> str:
    return str(json.loads(ledger.entries()[index])["root"])


@pytest.mark.parametrize("only", ["* */x-*/roll*", "rename */committed", "* */x-*/log/checkpoint*"])
def test_whatever_step_ends_the_ledger_the_roll_is_sealed_once_and_proven(tmp_path: Path, only: str) -> None:
    made = held(tmp_path / "made")
    made.sealer.close()
    ended = 0
    for step, after in itertools.product(range(12), (False, True)):
        shutil.copytree(made.data, tmp_path / f"x-{step}-{after}")
        disk = FaultyDisk(-1, after, only=only)
        ledger = LedgerAtHand(tmp_path / f"x-{step}-{after}", now=OVER, disk=disk)
        disk.fail_at, disk.steps = step, 0
        try:
            seal(ledger)
        except CrashError:
            ended += 1
            ledger.disk = FaultyDisk()
            ledger.crash()
            roll_sealing.complete(ledger.sealer, rolls(ledger))
            if roll_sealing.is_due(ledger.sealer, ledger.now):
                seal(ledger)
        log = ledger.checked()
        (roll,) = log.audits.rolls
        assert kept_rolls.opened(roll, rolls(ledger)).size == 3
        proof = kept_rolls.proof_of(roll, rolls(ledger))
        assert proof is not None
        TlogProof.decode(proof).verify(ledger.entries()[roll.index], SIGNER.verifier)
        assert [path.name for path in rolls(ledger).iterdir() if path.name.isdecimal()] == [str(roll.index)]
        ledger.sealer.close()
        if disk.steps <= step:
            break  # it has no more steps of that kind
    assert ended == 2 * disk.steps > 0


def test_a_roll_of_a_history_that_was_set_back_is_not_taken_for_that_of_the_entry_with_its_number(
    tmp_path: Path,
) -> None:
    lost, restored = held(tmp_path / "lost"), held(tmp_path / "restored")
    index = seal(lost)
    restored.now += 60
    (rolls(restored)).mkdir()
    (rolls(lost) / str(index)).rename(rolls(restored) / str(index))
    restored.sealer.append(issuing_entry(restored))
    roll_sealing.complete(restored.sealer, rolls(restored))
    assert list(rolls(restored).iterdir()) == []
    assert seal(restored) == index + 1
    assert newest(restored).at == OVER + 60
    proof = kept_rolls.proof_of(newest(restored), rolls(restored))
    assert proof is not None
    TlogProof.decode(proof).verify(restored.entries()[index + 1], SIGNER.verifier)
    for ledger in (lost, restored):
        ledger.sealer.close()


def test_a_roll_that_was_lost_is_made_again_from_the_evidence_and_a_changed_one_is_refused(
    ledger: LedgerAtHand,
) -> None:
    seal(ledger)
    roll = newest(ledger)
    folder = rolls(ledger) / str(roll.index)
    raw = bytearray((folder / "leaves.bin").read_bytes())
    raw[20] ^= 1
    (folder / "leaves.bin").write_bytes(raw)
    with pytest.raises(RollError, match="is not that of entry"):
        kept_rolls.opened(roll, rolls(ledger))
    (folder / "leaves.bin").unlink()
    with pytest.raises(RollError, match="make it again"):
        kept_rolls.opened(roll, rolls(ledger))
    read = ledger.sealer.evidence.get
    again = kept_rolls.opened_or_remade(roll, ledger.entries(), read, rolls(ledger))
    assert again.root == roll.root
    assert kept_rolls.opened(roll, rolls(ledger)).root == roll.root
    with pytest.raises(RollError, match="does not give"):
        kept_rolls.opened_or_remade(replace(roll, root=bytes(32)), ledger.entries(), read, rolls(ledger))


def test_the_first_proof_with_the_cosignatures_that_there_must_be_is_kept(tmp_path: Path) -> None:
    witness = Signer("witness.example/w", bytes(range(1, 33)))
    named = WitnessOfEvent("w", witness_key(witness).encode(), "A newspaper")
    ledger = held(tmp_path / "data", event=replace(EVENT, witnesses=(named,)))
    seal(ledger)
    roll = newest(ledger)

    def cosigners() -> list[int]:
        proof = kept_rolls.proof_of(roll, rolls(ledger))
        assert proof is not None
        found = cosignatures(TlogProof.decode(proof).checkpoint_note, [witness_key(witness)])
        return [int.from_bytes(line.signature[:8], "big") for line in found.values()]

    assert cosigners() == []
    for time_s in (1700, 1800):
        checkpoint, note = ledger.sealer.log.signed
        ledger.sealer.log.publish(with_cosignatures(note, [cosign(checkpoint.encode(), witness, time_s)]))
        roll_sealing.complete(ledger.sealer, rolls(ledger))
        assert cosigners() == [1700]
        ledger.sealer.append(issuing_entry(ledger))
    ledger.sealer.close()


def issuing_entry(ledger: LedgerAtHand) -> bytes:
    return certificate_entry("ab" * 32, ledger.event.digest, ledger.event.iso(ledger.now))


# The entries.


LATER = Round("newspaper-lottery", 7, int(OVER) + 3600)
AUDITED = replace(EVENT, audit=Audit("newspaper-lottery", 7, 5, EVENT.late_until + timedelta(hours=2)))


def log_of(*entries: bytes) -> list[RollEntry]:
    return read_log([event_entry(AUDITED, COMMITMENT, AUDITED.iso(NINE)), *entries]).audits.rolls


def an_entry(of: Round | None, through: int = 1, size: int = 3) -> bytes:
    return roll_entry(AUDITED, size, bytes(32), through, of, OVER, "test")


def test_the_first_roll_names_the_round_of_the_event_file_and_a_corrected_one_a_later_one() -> None:
    named = Round("newspaper-lottery", 7, int(AUDITED.late_until.timestamp()) + 7200)
    later = replace(named, number=8, at=named.at + 60)
    assert [roll.round for roll in log_of(an_entry(named), an_entry(later))] == [named, later]
    for wrong, words in (
        ([None], "another beacon round than the event file"),
        ([later], "another beacon round than the event file"),
        ([named, named], "names a later round"),
        ([named, None], "names a later round"),
        ([replace(named, beacon="drand-quicknet")], "happens at another time"),
    ):
        with pytest.raises(LogEntryError, match=words):
            log_of(*map(an_entry, wrong))
    with pytest.raises(LogEntryError, match="from which entries"):
        log_of(an_entry(named, through=2))
    with pytest.raises(LogEntryError, match="no whole number"):
        log_of(an_entry(named, size=-1))
