"""Kills and full disks around the roll: made again, its minutes, draws and results; each is there once, and whole."""

import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from counters import issuing, kept_rolls, minutes_files, roll_sealing, roll_tree
from counters.audit_publishing import publish_draw, publish_result
from counters.audit_result import AuditResult, sign_result
from counters.beacon import Round
from counters.kept_rolls import newest_sealed
from counters.minutes_files import MINUTES, has_minutes, make_minutes, minutes_of
from counters.roll_leaf import LEAF_BYTES
from counters.roll_tree import SealedRoll
from counters.verify import verify
from tests.counters.fragile_disk import CrashError, FaultyDisk, crash, full, listing
from tests.counters.ledger_at_hand import EVENT, LedgerAtHand
from tests.counters.synthetic import SIGNER
from tests.counters.test_audit_order import AUDITOR, ROUND_AT, VALUE
from tests.counters.test_roll_sealing import OVER, held, rolls, seal

Fault = Callable[[], NoReturn]
ALL_WAYS = tuple(itertools.product((False, True), (crash, full)))
WHOLE = {"entry.json", "entry.tlog-proof", "leaves.bin", "nodes.bin", "seats.bin"}


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of an event that is over, its roll sealed."""
    ledger = held(tmp_path_factory.mktemp("over") / "data")
    seal(ledger, Round("newspaper-lottery", 7, ROUND_AT))
    ledger.sealer.close()
    return ledger.data


def opened(data: Path, disk: FaultyDisk | None = None) -> LedgerAtHand:
    return LedgerAtHand(data, now=OVER + 1, disk=disk or FaultyDisk())


@dataclass
class FailsOnce(FaultyDisk):
    """Fails in what it is `armed` for, if that has as many steps."""

    next_step: int = 0
    failed: bool = False

    def armed(self, work: Callable[[], object]) -> bool:
        """Do something; return whether the disk failed in it."""
        self.fail_at, self.steps = self.next_step, 0
        try:
            work()
        except (CrashError, OSError):
            self.failed = True
        self.fail_at = -1
        return self.failed


def failures(over: Path, folder: Path, *ways: tuple[bool, Fault]) -> Iterator[tuple[Path, FailsOnce]]:
    """Yield the data with a disk that fails once, for each step that there is: (after it?, how)."""
    for after, fault in ways:
        for step in itertools.count():
            data = shutil.copytree(over, folder / f"{step}-{after}-{fault.__name__}")
            yield data, (disk := FailsOnce(-1, after, fault, next_step=step))
            if not disk.failed:
                break


def test_a_draw_and_its_result_are_published_once_at_whatever_step_the_ledger_ends(tmp_path: Path, over: Path) -> None:
    failed = 0
    for data, disk in failures(over, tmp_path, (True, crash), (False, full)):
        ledger = opened(data, disk)

        def publish(ledger: LedgerAtHand = ledger) -> None:
            told = publish_draw(ledger.sealer, SIGNER.verifier, VALUE, ledger.now, rolls(ledger))
            draw = ledger.sealer.audits.draws[0]
            result = AuditResult(EVENT.digest, told["entry"], draw.roll.root, 3, 3, 0, order_witnessed=False)
            note = sign_result(result, AUDITOR).decode()
            publish_result(ledger.sealer, told["entry"], AUDITOR.verifier.encode(), note, ledger.now)

        if disk.armed(publish):
            failed += 1
            if disk.fault is crash:
                ledger.crash()
            ledger.now += 1
            publish(ledger)
        log = ledger.checked()
        assert (len(log.audits.rolls), len(log.audits.draws), len(log.audits.results)) == (1, 1, 1)
        if disk.next_step % 8 == 3 or not disk.failed:
            assert_certified(ledger)
        ledger.sealer.close()
    assert failed > 20


def assert_certified(ledger: LedgerAtHand) -> None:
    directory = ledger.data / "certificates"
    number = issuing.enter(ledger.sealer, issuing.compute(ledger.sealer, SIGNER.verifier, ledger.now + 1), directory)
    issued = issuing.issued(ledger.sealer, number, directory)
    report = verify(
        issued.certificate, issued.proof, log_dir=ledger.data / "log", evidence_dir=ledger.data / "evidence"
    )
    assert report.holds, report.failed


def test_a_roll_that_is_made_again_is_whole_and_keeps_its_proof_at_whatever_step_that_ends(
    tmp_path: Path, over: Path
) -> None:
    failed = 0
    for data, disk in failures(over, tmp_path, *ALL_WAYS):
        ledger = opened(data)
        roll = ledger.sealer.audits.rolls[0]
        folder = rolls(ledger) / str(roll.index)
        for name in WHOLE - {"entry.tlog-proof"}:
            (folder / name).unlink()
        proof = (folder / "entry.tlog-proof").read_bytes()

        def remake(ledger: LedgerAtHand = ledger, disk: FailsOnce = disk) -> None:
            (entry,) = ledger.sealer.audits.rolls
            kept_rolls.opened_or_remade(entry, ledger.entries(), ledger.sealer.evidence.get, rolls(ledger), disk)

        if disk.armed(remake):
            failed += 1
            assert_whole_or_lost(ledger)
            if (folder / "entry.json").exists():  # without it, nothing but the log speaks of the roll, and it goes
                roll_sealing.complete(ledger.sealer, rolls(ledger))
            remake()
        assert set(listing(folder)) == WHOLE
        assert (folder / "entry.tlog-proof").read_bytes() == proof
        assert list(listing(rolls(ledger))) == [str(roll.index)]
        assert kept_rolls.opened(roll, rolls(ledger)).root == roll.root
        ledger.sealer.close()
    assert failed > 20


def assert_whole_or_lost(ledger: LedgerAtHand) -> None:
    sealed = newest_sealed(rolls(ledger))
    missing = kept_rolls.lost(ledger.sealer.audits.rolls, rolls(ledger))
    assert (sealed is None) == (missing is not None)
    assert sealed is None or sealed.tree.root == ledger.sealer.audits.rolls[0].root


def test_a_disk_that_is_full_in_the_middle_of_the_roll_gets_its_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = held(tmp_path / "data")

    def hash_leaves(path: Path, size: int) -> None:
        assert path.stat().st_size == size * LEAF_BYTES
        full()

    monkeypatch.setattr(roll_tree, "hash_leaves", hash_leaves)
    with pytest.raises(OSError, match="No space left"):
        seal(ledger)
    assert listing(rolls(ledger)) == {}
    ledger.sealer.close()


def test_of_two_rolls_the_one_that_the_log_shows_is_made_again_while_the_other_waits_for_its_witnesses(
    over: Path, tmp_path: Path
) -> None:
    ledger = opened(shutil.copytree(over, tmp_path / "data"))
    corrected = seal(ledger, Round("newspaper-lottery", 8, ROUND_AT + 60))
    shown, waiting = ledger.sealer.audits.rolls
    assert waiting.index == corrected
    (rolls(ledger) / str(waiting.index) / "entry.tlog-proof").unlink()  # as it is before witnesses have cosigned it
    assert kept_rolls.lost(ledger.sealer.audits.rolls, rolls(ledger)) is None
    (rolls(ledger) / str(shown.index) / "leaves.bin").unlink()
    assert kept_rolls.lost(ledger.sealer.audits.rolls, rolls(ledger)) == shown
    ledger.sealer.close()


# Minutes.


def sealed(ledger: LedgerAtHand) -> SealedRoll:
    roll = newest_sealed(rolls(ledger))
    assert roll is not None
    return roll


def minutes(roll: SealedRoll) -> list[int]:
    return [sum(row.minutes for row in minutes_of(EVENT, roll.folder / MINUTES, seat)) for seat in (1, 2, 3)]


def test_minutes_are_all_there_or_not_at_all_at_whatever_step_their_making_ends(tmp_path: Path, over: Path) -> None:
    failed = 0
    for data, disk in failures(over, tmp_path, *ALL_WAYS):
        ledger = opened(data)
        roll = sealed(ledger)

        def make(ledger: LedgerAtHand = ledger, roll: SealedRoll = roll, disk: FailsOnce = disk) -> None:
            make_minutes(ledger.entries(), ledger.sealer.evidence.get, roll, disk=disk)

        if disk.armed(make):
            failed += 1
            assert not has_minutes(roll.folder) or minutes(roll) == [1, 1, 1]
            make()
        assert minutes(roll) == [1, 1, 1]
        assert set(listing(roll.folder)) == WHOLE | {MINUTES}
        ledger.sealer.close()
    assert failed > 5


def test_minutes_are_on_the_disk_before_their_folder_is_named(
    tmp_path: Path, over: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut leaves files without bytes, and receipts that deny attendance."""
    synced = set[int]()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    ledger = opened(shutil.copytree(over, tmp_path / "data"))
    roll = sealed(ledger)
    disk = FaultyDisk(0, only=f"rename *{MINUTES}")
    with pytest.raises(CrashError):
        make_minutes(ledger.entries(), ledger.sealer.evidence.get, roll, disk=disk)
    making = roll.folder / f"{MINUTES}.making"
    files = [making, *making.iterdir()]
    assert len(files) > 1
    assert {path.stat().st_ino for path in files} <= synced
    (making / "9-online.bin").write_bytes(b"")
    make_minutes(ledger.entries(), ledger.sealer.evidence.get, roll)
    assert set(listing(roll.folder / MINUTES)) == {path.name for path in files[1:]}
    ledger.sealer.close()


def test_of_two_processes_that_make_the_minutes_at_once_neither_takes_the_others_files_away(
    tmp_path: Path, over: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger and `turnout receipt` both make them as soon as they are missing."""
    ledger = opened(shutil.copytree(over, tmp_path / "data"))
    roll, entries = sealed(ledger), ledger.entries()
    real, begun, others = minutes_files.write_minutes, threading.Event(), list[threading.Thread]()
    makers: list[str] = []

    def make() -> None:
        make_minutes(entries, ledger.sealer.evidence.get, roll)

    def write(folder: Path, parts: object) -> None:
        makers.append(threading.current_thread().name)
        if len(makers) == 1:
            others.append(threading.Thread(target=make, name="other"))
            others[0].start()
            others[0].join(0.2)  # it waits for us, and where it does not it has been and gone
        real(folder, parts)  # type: ignore[arg-type]
        begun.set()

    monkeypatch.setattr(minutes_files, "write_minutes", write)
    make()
    others[0].join()
    assert makers == [threading.current_thread().name]
    assert minutes(roll) == [1, 1, 1]
    ledger.sealer.close()
