"""The offline reader: nothing in a log can be changed, taken away or held back without being named."""

import random
import shutil
from pathlib import Path

import pytest

from counters.ledger.checkpoint import Checkpoint, sign_checkpoint
from counters.ledger.log import Log, LogCorruptError, LogReader
from counters.ledger.merkle import leaf_hash, tree_root
from counters.ledger.note import Signer
from counters.ledger.tiles import encode_bundle, encode_hashes


def entries_of(start: int, end: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(start, end)]


def write_log(directory: Path, signer: Signer, *sizes: int) -> None:
    with Log.open(directory, signer) as log:
        for size in sizes:
            log.append(entries_of(log.size, size))


def files_under(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def test_a_flipped_bit_in_any_byte_of_any_file_of_a_small_log_is_caught(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    write_log(directory, signer, 1, 3, 6)
    chance = random.Random(20231119)
    LogReader(directory, signer.verifier).full_check()
    for path in files_under(directory):
        good = path.read_bytes()
        for position in range(len(good)):
            for bit in range(8) if path.name == "checkpoint" else [chance.randrange(8)]:
                path.write_bytes(good[:position] + bytes([good[position] ^ 1 << bit]) + good[position + 1 :])
                with pytest.raises(LogCorruptError):
                    LogReader(directory, signer.verifier).full_check()
        path.write_bytes(good)
    LogReader(directory, signer.verifier).full_check()


def test_every_file_of_a_larger_log_is_checked_and_named(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    write_log(directory, signer, 256, 300, 600)
    for path in files_under(directory):
        good = path.read_bytes()
        name = path.relative_to(directory).as_posix()
        for bad in (good[:-1], good + b"x", b"", bytes(len(good))):
            path.write_bytes(bad)
            with pytest.raises(LogCorruptError) as refusal:
                LogReader(directory, signer.verifier).full_check()
            # A changed bundle is found where its hashes contradict the tile above it, if it is well-formed.
            assert refusal.value.path.split("/")[-2:] == name.split("/")[-2:]
        path.write_bytes(good)
    LogReader(directory, signer.verifier).full_check()


def test_every_file_that_the_checkpoint_needs_is_missed(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    write_log(directory, signer, 300, 600)
    needed = [
        "checkpoint",
        "tile/entries/000",
        "tile/entries/002.p/88",
        "tile/0/001",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
    ]
    for name in needed:
        path = directory / name
        good = path.read_bytes()
        path.unlink()
        with pytest.raises(LogCorruptError, match="missing") as refusal:
            LogReader(directory, signer.verifier).full_check()
        assert refusal.value.path == name
        path.write_bytes(good)


def test_entries_and_tiles_changed_together_contradict_the_signed_root(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    write_log(directory, signer, 3)
    forged = [b"entry 0", b"forged!", b"entry 2"]
    (directory / "tile/entries/000.p/3").write_bytes(encode_bundle(forged))
    (directory / "tile/0/000.p/3").write_bytes(encode_hashes([leaf_hash(entry) for entry in forged]))
    with pytest.raises(LogCorruptError, match="root is not that of the entries"):
        LogReader(directory, signer.verifier).full_check()


def test_a_log_signed_by_another_key_is_refused(tmp_path: Path, signer: Signer) -> None:
    write_log(tmp_path / "log", signer, 3)
    with pytest.raises(LogCorruptError, match="checkpoint"):
        LogReader(tmp_path / "log", Signer.generate(signer.name).verifier)


def test_a_directory_where_a_file_should_be_is_one_clear_error(tmp_path: Path, signer: Signer) -> None:
    write_log(tmp_path / "log", signer, 3)
    tile = tmp_path / "log" / "tile/0/000.p/3"
    tile.unlink()
    tile.mkdir()
    with pytest.raises(LogCorruptError, match=r"tile/0/000\.p/3"):
        LogReader(tmp_path / "log", signer.verifier).full_check()


def test_what_is_staged_beyond_the_checkpoint_is_not_looked_at(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    write_log(directory, signer, 3)
    for name in ("tile/0/000", "tile/0/000.p/9", "tile/entries/000.p/9", "tile/1/000.p/1", "tile/0/README"):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not yet anything")
    assert LogReader(directory, signer.verifier).full_check().size == 3


def test_a_reader_stays_at_its_checkpoint_while_the_log_grows_and_tidies_up(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    write_log(directory, signer, 200)
    reader = LogReader(directory, signer.verifier)
    write_log(directory, signer, 600)
    assert not (directory / "tile/0/000.p").exists()
    assert reader.full_check().size == reader.size == 200
    assert list(reader.entries()) == entries_of(0, 200)
    assert reader.tlog_proof(199).verify(b"entry 199", signer.verifier) == reader.checkpoint


def test_a_log_that_shrinks_while_it_is_read_is_one_clear_error(tmp_path: Path, signer: Signer) -> None:
    write_log(tmp_path / "log", signer, 10)
    shutil.copytree(tmp_path / "log", tmp_path / "old")
    write_log(tmp_path / "log", signer, 20)
    reader = LogReader(tmp_path / "log", signer.verifier)
    shutil.copy(tmp_path / "old" / "checkpoint", tmp_path / "log" / "checkpoint")
    with pytest.raises(LogCorruptError, match="shrank from 20 to 10"):
        reader.full_check()
    shutil.rmtree(tmp_path / "log")
    (tmp_path / "old").rename(tmp_path / "log")
    with pytest.raises(LogCorruptError, match="shrank while it was read"):
        list(reader.entries())
    with pytest.raises(LogCorruptError, match="shrank while it was read"):
        reader.full_check()


def test_a_log_that_is_forked_while_it_is_read_is_noticed(tmp_path: Path, signer: Signer) -> None:
    write_log(tmp_path / "log", signer, 2)
    reader = LogReader(tmp_path / "log", signer.verifier)
    forked = Checkpoint(signer.name, 2, tree_root([leaf_hash(b"another"), leaf_hash(b"history")]))
    (tmp_path / "log" / "checkpoint").write_bytes(sign_checkpoint(forked, signer))
    with pytest.raises(LogCorruptError, match="forked"):
        reader.full_check()


def test_no_log_at_all_is_one_clear_error(tmp_path: Path, signer: Signer) -> None:
    with pytest.raises(LogCorruptError, match="checkpoint: the file is missing"):
        LogReader(tmp_path / "nothing", signer.verifier)
