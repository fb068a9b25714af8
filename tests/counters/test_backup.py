"""Backups: whatever breaks off or goes on meanwhile, the copy opens, and has all that it names."""

import hashlib
import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from counters import kept_rolls, roll_sealing
from counters.backup import NOTE_FILE, Backup, BackupError, read_committed
from counters.ledger.note import Signer
from counters.log_entries import certificate_entry
from counters.retained_tokens import RetainedTokens
from counters.tokens_file import pack
from tests.counters.fragile_disk import CrashError, FaultyDisk
from tests.counters.ledger_at_hand import EVENT, A, LedgerAtHand, bundle, presence
from tests.counters.synthetic import SIGNER
from tests.counters.worker_at_hand import NINE


class KeptLedger(LedgerAtHand):
    """A ledger with its key and secrets beside it, as the ledger's process keeps them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for path, text in (("ledger/log.key", SIGNER.encode()), ("secrets.json", "{}")):
            (self.data / path).write_text(text)
            (self.data / path).chmod(0o600)

    def minute(self, number: int, seats: set[int], *, sealed: bool = True) -> None:
        """Accept the evidence of a minute after nine, and seal it."""
        window = NINE + 60 * number
        self.now = max(self.now, window + 61.0)
        self.accept(bundle(window, (presence(window, seats),)))
        if sealed:
            self.settle()

    def of(self, copy: Path) -> LedgerAtHand:
        """A ledger on the copy, at the same time."""
        return LedgerAtHand(copy, now=self.now, tick=self.tick)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[KeptLedger]:
    ledger = KeptLedger(tmp_path / "data")
    ledger.sealer.grant(A, "gw-1", 2, NINE)
    yield ledger
    ledger.sealer.close()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def test_a_ledger_on_the_copy_is_where_the_original_is_and_goes_on_like_it(ledger: KeptLedger, copy: Path) -> None:
    for number in range(2):
        ledger.minute(number, {1, 2, 3 + number})
    ledger.minute(2, {1, 9}, sealed=False)
    done = Backup(ledger.data, copy).run()
    assert (done.size, done.wrong) == (ledger.sealer.log.size, [])
    other = ledger.of(copy)
    assert other.sealer.sighting() == ledger.sealer.sighting()
    assert other.settle() == ledger.settle() == 1
    assert other.entries() == ledger.entries()
    assert other.sealer.grant("b" * 16, "gw-2", 1, NINE) == ledger.sealer.grant("b" * 16, "gw-2", 1, NINE)
    other.sealer.close()


def test_a_second_run_copies_only_what_is_new(ledger: KeptLedger, copy: Path) -> None:
    ledger.minute(0, {1, 2})
    first = Backup(ledger.data, copy).run()
    again = Backup(ledger.data, copy).run()
    assert (again.files, again.bytes, again.there) == (0, 0, first.files)
    before = {path: path.stat().st_ino for path in (copy / "evidence").iterdir()}
    ledger.minute(1, {1, 2})
    assert Backup(ledger.data, copy).run().files > 0
    assert {path: path.stat().st_ino for path in before} == before


def test_what_others_have_signed_of_its_states_is_copied_and_of_later_ones_not(ledger: KeptLedger, copy: Path) -> None:
    ledger.minute(0, {1, 2})
    here = ledger.sealer.log.size
    for name in ("cosigned/{}", "timestamps/{}.tsr"):
        for size in (1, here, here + 1):
            path = ledger.data / "log" / name.format(size)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"signed")
    Backup(ledger.data, copy).run()
    assert {path.name for path in (copy / "log" / "cosigned").iterdir()} == {"1", f"{here}"}
    assert {path.name for path in (copy / "log" / "timestamps").iterdir()} == {"1.tsr", f"{here}.tsr"}


def test_a_roll_is_copied_as_its_entry_and_its_first_proof_and_made_again_where_it_is_needed(
    ledger: KeptLedger, copy: Path
) -> None:
    ledger.minute(0, {1, 2})
    folder = ledger.data / roll_sealing.FOLDER
    entries = list(ledger.sealer.log.entries())
    tree = roll_sealing.make(entries, ledger.sealer.evidence.get, folder / roll_sealing.MAKING)
    index = roll_sealing.enter(ledger.sealer, tree, folder, len(entries), ledger.now)
    Backup(ledger.data, copy).run()
    kept = copy / roll_sealing.FOLDER / str(index)
    assert {path.name for path in kept.iterdir()} == {"entry.json", "entry.tlog-proof"}
    other = ledger.of(copy)
    roll_sealing.complete(other.sealer, kept.parent)
    roll = other.sealer.audits.roll
    assert roll is not None
    kept_rolls.opened_or_remade(roll, other.entries(), other.sealer.evidence.get, kept.parent)
    assert kept_rolls.opened(roll, kept.parent).root == tree.root
    assert kept_rolls.proof_of(roll, kept.parent) == kept_rolls.proof_of(roll, folder)
    other.sealer.close()


def tokens_in(folder: Path) -> RetainedTokens:
    return RetainedTokens(folder / "tokens", bytes(32))


def a_token(number: int) -> bytes:
    return pack(EVENT.digest, {hashlib.sha256(b"%d" % number).digest(): bytes(40)})


def test_the_copy_has_the_tokens_of_the_data_and_none_that_are_forgotten(ledger: KeptLedger, copy: Path) -> None:
    kept = tokens_in(ledger.data)
    assert Backup(ledger.data, copy).run().tokens == 0
    for number in range(4):
        kept.add(a_token(number), EVENT.digest)
    done = Backup(ledger.data, copy).run()
    assert (done.tokens, done.wrong) == (4, [])
    assert json.loads((copy / NOTE_FILE).read_bytes())["tokens"] == 4
    assert stat.S_IMODE((copy / "tokens").stat().st_mode) == 0o700
    again = Backup(ledger.data, copy).run()
    assert (again.files, again.tokens) == (0, 4)
    kept.forget([hashlib.sha256(b"2").digest()])
    assert Backup(ledger.data, copy).run().tokens == 3
    assert {path.name for path in (copy / "tokens").iterdir()} == {
        path.name for path in (ledger.data / "tokens").iterdir()
    }
    assert Backup(ledger.data, copy, tokens=False).run().tokens == 0
    assert json.loads((copy / NOTE_FILE).read_bytes())["tokens"] == 0
    assert not list((copy / "tokens").iterdir())
    kept.forget_all()
    assert Backup(ledger.data, copy).run().tokens == 0


def test_damaged_tokens_are_named_and_the_others_copied(ledger: KeptLedger, copy: Path) -> None:
    for number in range(2):
        tokens_in(ledger.data).add(a_token(number), EVENT.digest)
    damaged = min((ledger.data / "tokens").iterdir())
    damaged.write_bytes(b"?")
    done = Backup(ledger.data, copy).run()
    assert (done.tokens, done.wrong) == (1, [f"{damaged} is damaged: its bytes have another digest"])


def test_secrets_keep_their_modes_and_nobody_else_looks_in(ledger: KeptLedger, copy: Path) -> None:
    Backup(ledger.data, copy).run()
    modes = {name: stat.S_IMODE((copy / name).stat().st_mode) for name in (".", "secrets.json", "ledger/log.key")}
    assert modes == {".": 0o700, "secrets.json": 0o600, "ledger/log.key": 0o600}


@pytest.mark.parametrize("after", [False, True], ids=["before the step", "after it"])
def test_broken_off_at_any_step_the_copy_opens_as_it_was_or_newer(
    ledger: KeptLedger, tmp_path: Path, after: bool
) -> None:
    ledger.minute(0, {1, 2})
    tokens_in(ledger.data).add(a_token(1), EVENT.digest)
    older = tmp_path / "older"
    Backup(ledger.data, older).run()
    sizes = {read_committed(older).size}
    ledger.minute(1, {1, 2, 3})
    ledger.minute(2, {4}, sealed=False)
    tokens_in(ledger.data).add(a_token(2), EVENT.digest)
    tokens_in(ledger.data).forget([hashlib.sha256(b"1").digest()])
    counted = FaultyDisk()
    Backup(ledger.data, shutil.copytree(older, tmp_path / "counted"), disk=counted).run()
    assert counted.steps > 10
    for fail_at in range(counted.steps):
        copy = shutil.copytree(older, tmp_path / f"copy-{fail_at}")
        with pytest.raises(CrashError):
            Backup(ledger.data, copy, disk=FaultyDisk(fail_at, after)).run()
        opened = shutil.copytree(copy, tmp_path / f"opened-{fail_at}")
        other = ledger.of(opened)
        other.settle()
        sizes.add(read_committed(copy).size)
        assert other.present()[0] == ledger.present()[0]
        other.sealer.close()
        again = Backup(ledger.data, copy).run()
        assert (again.size, again.tokens) == (ledger.sealer.log.size, 1)
    assert sizes == {read_committed(older).size, ledger.sealer.log.size}


def test_a_log_that_grows_past_a_tile_while_it_is_copied_is_copied_whole(ledger: KeptLedger, copy: Path) -> None:
    def entries(count: int) -> list[bytes]:
        return [certificate_entry("ab" * 32, EVENT.digest, EVENT.iso(NINE + number)) for number in range(count)]

    ledger.minute(0, {1})
    ledger.sealer.log.append(entries(250 - ledger.sealer.log.size))

    def grow(number: int, _: int) -> None:
        if number == 1 and ledger.sealer.log.size < 300:
            ledger.sealer.log.append(entries(3))
            ledger.sealer.log.append(entries(80))

    done = Backup(ledger.data, copy, progress=grow).run()
    assert (done.size, done.wrong) == (333, [])


def test_damage_is_named_and_not_copied_over_what_is_good(ledger: KeptLedger, copy: Path) -> None:
    ledger.minute(0, {1, 2})
    Backup(ledger.data, copy).run()
    good = min((ledger.data / "evidence").iterdir())
    raw = good.read_bytes()
    (copy / "evidence" / good.name).write_bytes(raw[:-1] + b"?")
    assert Backup(ledger.data, copy).run().wrong == []
    (found,) = Backup(ledger.data, copy).run(check_all=True).wrong
    assert good.name in found
    assert (copy / "evidence" / good.name).read_bytes() == raw

    ledger.minute(1, {1, 2})
    new = next(path for path in (ledger.data / "evidence").iterdir() if not (copy / "evidence" / path.name).exists())
    new.write_bytes(b"?")
    damaged, absent = Backup(ledger.data, copy).run().wrong
    assert new.name in damaged
    assert f"{new.name} is named by log or reports" in absent
    assert not (copy / "evidence" / new.name).exists()


def test_a_copy_whose_log_is_damaged_is_named(ledger: KeptLedger, copy: Path) -> None:
    ledger.sealer.log.append(
        [certificate_entry("ab" * 32, EVENT.digest, EVENT.iso(NINE + number)) for number in range(300)]
    )
    Backup(ledger.data, copy).run()
    tile = copy / "log" / "tile" / "entries" / "000"
    raw = tile.read_bytes()
    tile.write_bytes(raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:])
    (found,) = Backup(ledger.data, copy).run().wrong
    assert "the log of the copy: tile/0/000" in found


def test_folders_that_cannot_be_meant_are_refused_and_left_alone(ledger: KeptLedger, tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "novel.txt").write_text("…")
    for data, copy, words in (
        (ledger.data, ledger.data, "lie in each other"),
        (ledger.data, ledger.data / "evidence" / "copy", "lie in each other"),
        (ledger.data, tmp_path, "lie in each other"),
        (ledger.data, papers, "no backup"),
        (papers, tmp_path / "copy", "holds no log"),
    ):
        with pytest.raises(BackupError, match=words):
            Backup(data, copy).run()
    assert [path.name for path in papers.iterdir()] == ["novel.txt"]
    assert not (tmp_path / "copy").exists()


def test_the_backup_of_another_log_is_not_replaced(ledger: KeptLedger, copy: Path) -> None:
    Backup(ledger.data, copy).run()
    note = json.loads((copy / NOTE_FILE).read_bytes())
    (copy / NOTE_FILE).write_text(json.dumps(note | {"log": Signer.generate("other.example/log").verifier.encode()}))
    with pytest.raises(BackupError, match="backup of another log"):
        Backup(ledger.data, copy).run()


def test_a_backup_that_is_newer_than_the_data_is_not_replaced_by_them(ledger: KeptLedger, tmp_path: Path) -> None:
    ledger.minute(0, {1, 2})
    old = shutil.copytree(ledger.data, tmp_path / "old")
    ledger.sealer.grant("b" * 16, "gw-2", 1, NINE)
    granted = tmp_path / "granted"
    Backup(ledger.data, granted).run()
    with pytest.raises(BackupError, match=r"grants\.jsonl has lines .* newer"):
        Backup(old, granted).run()
    ledger.minute(1, {1, 2})
    longer = tmp_path / "longer"
    Backup(ledger.data, longer).run()
    with pytest.raises(BackupError, match="the backup is the newer one"):
        Backup(old, longer).run()
    other = ledger.of(shutil.copytree(old, tmp_path / "fork"))
    for number in (1, 2):
        other.sealer.append(certificate_entry("ab" * 32, EVENT.digest, EVENT.iso(NINE + number)))
    other.sealer.close()
    with pytest.raises(BackupError, match="another history"):
        Backup(other.data, longer).run()
    assert read_committed(longer).size == ledger.sealer.log.size


def test_two_backups_to_one_place_do_not_mix(ledger: KeptLedger, copy: Path) -> None:
    seen: list[str] = []

    def second(*_: int) -> None:
        with pytest.raises(BackupError, match="another backup"):
            Backup(ledger.data, copy).run()
        seen.append("refused")

    ledger.minute(0, {1})
    Backup(ledger.data, copy, progress=second).run()
    assert seen
