"""The writer: what it appends is public, provable and cheap; what it refuses; what it leaves on the disk."""

import errno
import threading
from pathlib import Path
from typing import Self

import pytest

from counters.disk import Disk
from counters.ledger.log import Log, LogCorruptError, LogError, LogReader
from counters.ledger.merkle import ProofError, leaf_hash, tree_root, verify_consistency, verify_inclusion
from counters.ledger.note import Signer
from counters.ledger.tiles import ENTRY_LIMIT_BYTES, TileError, tiles_of
from counters.ledger.writer_folder import LogLockedError


def entries_of(start: int, end: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(start, end)]


def paths_under(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


class CountingDisk(Disk):
    """Counts syncs; `forget` starts again."""

    def __init__(self) -> None:
        self.syncs = 0

    def write(self, path: Path, data: bytes, mode: int = 0o666) -> None:
        super().write(path, data, mode)
        self.syncs += 1

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self.syncs += 1

    def forget(self) -> Self:
        self.syncs = 0
        return self


class FullDisk(Disk):
    """Has no space left for files whose name under the log (or beside it) begins with `refused`, while that is set."""

    def __init__(self) -> None:
        self.refused: str | None = None

    def rename(self, source: Path, target: Path) -> None:
        if self.refused is not None and self.refused in target.as_posix():
            raise OSError(errno.ENOSPC, "No space left on device")
        super().rename(source, target)


def test_a_new_log_is_published_empty_and_signed_before_its_first_entry(tmp_path: Path, signer: Signer) -> None:
    with Log.open(tmp_path / "data" / "log", signer) as log:
        assert log.size == 0
        assert log.origin == signer.name
        assert LogReader(tmp_path / "data" / "log", signer.verifier).full_check() == log.checkpoint


@pytest.mark.parametrize("group", [7, 255, 256, 257, 600])
def test_a_log_is_the_same_whatever_the_groups_it_grew_in(tmp_path: Path, signer: Signer, group: int) -> None:
    entries = entries_of(0, 600)
    directory = tmp_path / "log"
    with Log.open(directory, signer) as log:
        for start in range(0, len(entries), group):
            checkpoint = log.append(entries[start : start + group])
            assert checkpoint == log.checkpoint
        assert log.size == 600
        assert log.checkpoint.root == tree_root([leaf_hash(entry) for entry in entries])
        assert list(log.entries()) == entries
    assert paths_under(directory) >= {tile.path for tile in tiles_of(600)} | {"checkpoint"}
    LogReader(directory, signer.verifier).full_check()


def test_tiles_are_right_on_both_sides_of_every_full_one(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    entries = entries_of(0, 65_537)
    leaves = [leaf_hash(entry) for entry in entries]
    grown = 0
    with Log.open(directory, signer) as log:
        for size in (255, 256, 257, 65_535, 65_536, 65_537):
            log.append(entries[grown:size])
            grown = size
            assert log.checkpoint.root == tree_root(leaves[:size])
            assert paths_under(directory) >= {tile.path for tile in tiles_of(size)}
            for index in {0, 255, 256, size // 2, size - 1} & set(range(size)):
                verify_inclusion(leaves[index], index, size, log.inclusion_proof(index, size), tree_root(leaves[:size]))
    # Of partial tiles only those are left that no full one replaces.
    assert {path for path in paths_under(directory) if ".p/" in path} == {
        "tile/entries/256.p/1",
        "tile/0/256.p/1",
        "tile/2/000.p/1",
    }
    reader = LogReader(directory, signer.verifier)
    assert reader.full_check().size == 65_537
    with Log.open(directory, signer) as log:
        assert log.checkpoint == reader.checkpoint


def test_every_proof_between_published_and_older_sizes_verifies(tmp_path: Path, signer: Signer) -> None:
    entries = entries_of(0, 300)
    leaves = [leaf_hash(entry) for entry in entries]
    with Log.open(tmp_path / "log", signer) as log:
        log.append(entries[:5])
        log.append(entries[5:])
        for size in (1, 2, 5, 128, 255, 256, 257, 299, 300):
            root = tree_root(leaves[:size])
            verify_inclusion(leaves[size - 1], size - 1, size, log.inclusion_proof(size - 1, size), root)
            for new in (size, 300):
                new_root = tree_root(leaves[:new])
                verify_consistency(size, root, new, new_root, log.consistency_proof(size, new))
        assert log.consistency_proof(0, 300) == ()
        assert log.tlog_proof(299, b"x").verify(entries[299], signer.verifier) == log.checkpoint


def test_entries_come_by_number_and_by_range(tmp_path: Path, signer: Signer) -> None:
    entries = entries_of(0, 520)
    with Log.open(tmp_path / "log", signer) as log:
        log.append(entries)
        assert [log.entry(number) for number in (0, 255, 256, 519)] == [entries[n] for n in (0, 255, 256, 519)]
        for start, end in ((0, 0), (0, 1), (250, 260), (256, 512), (255, 513), (519, 520), (520, 520)):
            assert list(log.entries(start, end)) == entries[start:end]


def test_what_is_not_in_the_log_is_refused(tmp_path: Path, signer: Signer) -> None:
    with Log.open(tmp_path / "log", signer) as log:
        log.append(entries_of(0, 3))
        for index in (-1, 3):
            with pytest.raises(IndexError):
                log.entry(index)
        for start, end in ((-1, 2), (2, 1), (0, 4)):
            with pytest.raises(IndexError):
                log.entries(start, end)
        for index, size in ((3, 3), (0, 4), (-1, 3), (0, 0)):
            with pytest.raises(ProofError):
                log.inclusion_proof(index, size)
        for old, new in ((2, 1), (1, 4), (-1, 2)):
            with pytest.raises(ProofError):
                log.consistency_proof(old, new)


def test_one_entry_too_long_refuses_the_whole_group_and_writes_nothing(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    with Log.open(directory, signer) as log:
        log.append([b"first"])
        before = paths_under(tmp_path)
        with pytest.raises(TileError):
            log.append([b"fine", bytes(ENTRY_LIMIT_BYTES + 1)])
        assert paths_under(tmp_path) == before
        log.append([bytes(ENTRY_LIMIT_BYTES), b""])
        assert log.entry(1) == bytes(ENTRY_LIMIT_BYTES)
    LogReader(directory, signer.verifier).full_check()


def test_an_empty_group_changes_nothing(tmp_path: Path, signer: Signer) -> None:
    disk = CountingDisk()
    with Log.open(tmp_path / "log", signer, disk=disk) as log:
        disk.forget()
        assert log.append([]) == log.checkpoint
        assert disk.syncs == 0


def test_a_group_costs_a_handful_of_syncs_however_many_entries_it_has(tmp_path: Path, signer: Signer) -> None:
    disk = CountingDisk()
    with Log.open(tmp_path / "log", signer, disk=disk) as log:
        log.append([b"the first append also makes the folders durable"])
        disk.forget()
        log.append([b"one"])
        assert disk.syncs == 8
        disk.forget()
        log.append(entries_of(0, 250))
        assert disk.syncs == 8


def test_a_second_writer_is_refused_and_told_whom_to_stop(tmp_path: Path, signer: Signer) -> None:
    with Log.open(tmp_path / "log", signer) as log:
        with pytest.raises(LogLockedError, match=r"process \d+: stop that ledger first"):
            Log.open(tmp_path / "log", signer)
        log.append([b"still writing"])
    with Log.open(tmp_path / "log", signer) as log:
        assert log.entry(0) == b"still writing"


def test_a_writer_that_got_past_the_lock_is_noticed_before_anything_is_signed(tmp_path: Path, signer: Signer) -> None:
    committed = tmp_path / "log.writer" / "committed"
    with Log.open(tmp_path / "log", signer) as log:
        log.append([b"one"])
        committed.write_text(committed.read_text().replace("\n1\n", "\n2\n"))
        note = log.checkpoint_note
        with pytest.raises(LogLockedError, match="changed under this writer"):
            log.append([b"two"])
        assert (tmp_path / "log" / "checkpoint").read_bytes() == note


def test_a_closed_log_takes_nothing(tmp_path: Path, signer: Signer) -> None:
    log = Log.open(tmp_path / "log", signer)
    log.close()
    log.close()
    with pytest.raises(LogError, match="closed"):
        log.append([b"late"])


def test_a_full_disk_while_staging_costs_only_that_append(tmp_path: Path, signer: Signer) -> None:
    disk = FullDisk()
    with Log.open(tmp_path / "log", signer, disk=disk) as log:
        log.append(entries_of(0, 2))
        for refused in ("tile/entries", "tile/0"):
            disk.refused = refused
            with pytest.raises(OSError, match="No space"):
                log.append([b"lost"] * 5)
            disk.refused = None
            # Other groups grow past the size that was staged; nothing of it may be left to contradict them.
            log.append([b"kept"] * 3)
            log.append([b"kept"] * 7)
            LogReader(tmp_path / "log", signer.verifier).full_check()
        assert b"lost" not in list(log.entries())


@pytest.mark.parametrize("refused", ["log.writer/committed", "log/checkpoint"])
def test_after_a_failed_commit_or_publication_the_log_wants_to_be_opened_again(
    tmp_path: Path, signer: Signer, refused: str
) -> None:
    disk = FullDisk()
    with Log.open(tmp_path / "log", signer, disk=disk) as log:
        log.append([b"before"])
        disk.refused = refused
        with pytest.raises(OSError, match="No space"):
            log.append([b"open question"])
        disk.refused = None
        with pytest.raises(LogError, match="open it again"):
            log.append([b"after"])
        assert log.size == 1
    with Log.open(tmp_path / "log", signer) as log:
        # Not committed: as if it had never been asked. Committed: in, and published by opening.
        assert list(log.entries())[1:] == ([] if refused.endswith("committed") else [b"open question"])
        log.append([b"after"])
    LogReader(tmp_path / "log", signer.verifier).full_check()


def test_another_key_cannot_go_on_with_a_log(tmp_path: Path, signer: Signer) -> None:
    with Log.open(tmp_path / "log", signer) as log:
        log.append([b"one"])
    for other in (Signer.generate(signer.name), Signer.generate("other.example")):
        with pytest.raises(LogCorruptError):
            Log.open(tmp_path / "log", other)
    with Log.open(tmp_path / "log", signer) as log:
        assert log.size == 1


def test_opening_refuses_damage_at_the_edge_and_names_the_file(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    with Log.open(directory, signer) as log:
        log.append(entries_of(0, 300))
    for name in ("checkpoint", "tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/1", "tile/0/000"):
        path = directory / name
        good = path.read_bytes()
        path.write_bytes(good[:-2] + bytes([good[-2] ^ 1]) + good[-1:])
        with pytest.raises(LogCorruptError):
            Log.open(directory, signer)
        if name != "checkpoint":
            path.unlink()
            with pytest.raises(LogCorruptError, match=r"tile/.*missing"):
                Log.open(directory, signer)
        path.write_bytes(good)
    Log.open(directory, signer).close()


def test_a_damaged_private_checkpoint_is_refused(tmp_path: Path, signer: Signer) -> None:
    with Log.open(tmp_path / "log", signer) as log:
        log.append([b"one"])
    committed = tmp_path / "log.writer" / "committed"
    good = committed.read_text()
    for bad in ("", "junk\n", good + "more\n", good.replace("\n1\n", "\n2\n")):
        committed.write_text(bad)
        with pytest.raises(LogCorruptError):
            Log.open(tmp_path / "log", signer)


def test_a_log_whose_private_folder_is_lost_goes_on_from_its_published_checkpoint(
    tmp_path: Path, signer: Signer
) -> None:
    with Log.open(tmp_path / "log", signer) as log:
        log.append(entries_of(0, 300))
    (tmp_path / "log.writer" / "committed").unlink()
    with Log.open(tmp_path / "log", signer) as log:
        assert log.append([b"next"]).size == 301
    LogReader(tmp_path / "log", signer.verifier).full_check()


def test_tiles_without_any_checkpoint_are_not_taken_for_a_new_log(tmp_path: Path, signer: Signer) -> None:
    with Log.open(tmp_path / "log", signer) as log:
        log.append([b"one"])
    (tmp_path / "log.writer" / "committed").unlink()
    (tmp_path / "log" / "checkpoint").unlink()
    with pytest.raises(LogCorruptError, match="restore"):
        Log.open(tmp_path / "log", signer)


def test_cosignatures_on_the_published_checkpoint_survive_opening(tmp_path: Path, signer: Signer) -> None:
    with Log.open(tmp_path / "log", signer) as log:
        log.append([b"one"])
        line = "— witness.example AAAAAQID\n".encode()
        (tmp_path / "log" / "checkpoint").write_bytes(log.checkpoint_note + line)
    with Log.open(tmp_path / "log", signer) as log:
        assert log.checkpoint_note.endswith(line)
        assert (tmp_path / "log" / "checkpoint").read_bytes() == log.checkpoint_note


def test_proofs_are_right_while_another_thread_appends(tmp_path: Path, signer: Signer) -> None:
    with Log.open(tmp_path / "log", signer) as log:
        log.append(entries_of(0, 250))
        appended = threading.Event()

        def append() -> None:
            try:
                for number in range(250, 300):
                    log.append(entries_of(number, number + 1))
            finally:
                appended.set()

        thread = threading.Thread(target=append)
        thread.start()
        while not appended.is_set():
            index = log.size - 1
            assert log.tlog_proof(index).verify(log.entry(index), signer.verifier).size > index
        thread.join()
        assert log.size == 300


def test_damage_found_while_proving_is_not_handed_out_as_a_proof(tmp_path: Path, signer: Signer) -> None:
    with Log.open(tmp_path / "log", signer) as log:
        log.append(entries_of(0, 10))
        tile = tmp_path / "log" / "tile" / "0" / "000.p" / "10"
        good = tile.read_bytes()
        tile.write_bytes(bytes(32) + good[32:])
        with pytest.raises(LogCorruptError):
            log.inclusion_proof(5, 10)
        with pytest.raises(LogCorruptError):
            log.consistency_proof(4, 10)
