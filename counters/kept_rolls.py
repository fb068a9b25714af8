"""The rolls that a ledger keeps: the newest found, one opened, a lost one made again from the evidence.

Reads what counters.roll_sealing has written, of a log that others may be writing.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from counters.audit_entries import RollEntry
from counters.disk import DISK, Disk
from counters.durable_file import alone_in, make_folder, sync_folder, write_durably
from counters.log_entries import read_log
from counters.roll_sealing import ENTRY, MAKING, PROOF, make
from counters.roll_tree import RollTree, SealedRoll, is_whole
from counters.sealed_evidence import ReadEvidence


class RollError(Exception):
    """There is no such roll, or it is not what the log says."""


def opened(entry: RollEntry, directory: Path) -> RollTree:
    """Return the tree of a roll.

    Raises:
        RollError: it is not there, or not what the log says.
    """
    try:
        tree = RollTree(directory / str(entry.index))
    except (OSError, ValueError) as error:
        raise RollError(f"the roll of entry {entry.index} cannot be read ({error}): make it again") from None
    if (tree.size, tree.root) != (entry.size, entry.root):
        raise RollError(f"the roll in {directory / str(entry.index)} is not that of entry {entry.index}")
    return tree


def proof_of(entry: RollEntry, directory: Path) -> bytes | None:
    """Return the tlog-proof of a roll's entry as it was first shown; None if it is not there."""
    path = directory / str(entry.index) / PROOF
    return path.read_bytes() if path.exists() else None


def newest_sealed(directory: Path) -> SealedRoll | None:
    """Return the newest roll that the log shows; None while there is none, or its leaves are lost."""
    folder = newest_folder(directory)
    if folder is None or not is_whole(folder):
        return None
    return SealedRoll(folder, RollTree(folder), (folder / ENTRY).read_bytes(), (folder / PROOF).read_bytes())


def newest_folder(directory: Path) -> Path | None:
    """Return the folder of the newest roll that the log shows, whole or not; None while there is none."""
    numbers = [int(folder.name) for folder in directory.glob("[0-9]*") if (folder / PROOF).exists()]
    return directory / str(max(numbers)) if numbers else None


def lost(rolls: Sequence[RollEntry], directory: Path) -> RollEntry | None:
    """Return the newest roll that the log shows if it lacks its leaves, as after restoring a backup; otherwise None.

    Of `rolls`, those of the log, a later one may wait for its witnesses.
    """
    folder = newest_folder(directory)
    if folder is None or is_whole(folder):
        return None
    return next((roll for roll in rolls if roll.index == int(folder.name)), None)


def newest_or_remade(entries: Sequence[bytes], read: ReadEvidence, directory: Path) -> SealedRoll | None:
    """Return the newest roll that the log shows, made again if its leaves are lost; None while there is none.

    Raises:
        LogEntryError: the entries make no log.
        RollError, EvidenceError, OSError: as `opened_or_remade`.
    """
    entry = lost(read_log(entries).audits.rolls, directory)
    if entry is not None:
        opened_or_remade(entry, entries, read, directory)
    return newest_sealed(directory)


def opened_or_remade(
    entry: RollEntry, entries: Sequence[bytes], read: ReadEvidence, directory: Path, disk: Disk = DISK
) -> RollTree:
    """Return the tree of a roll, made again if it is lost, as after restoring a backup, which has none.

    Any process may do it, beside the ledger as well.

    Args:
        entry: the roll's, in the log.
        entries: of the log, as many as the roll was made from and its own.
        read: reads a file of evidence by its SHA-256.
        directory: DIR/roll.
        disk: where it is written.

    Raises:
        RollError: the evidence gives another roll than the log has.
        EvidenceError: evidence is absent.
        OSError: the disk refuses; done again, it goes on.
    """
    folder = directory / str(entry.index)
    if not (folder / MAKING).exists():  # somebody makes it, or died while making it
        with contextlib.suppress(RollError):
            return opened(entry, directory)
    make_folder(folder, disk=disk)
    with alone_in(folder):
        # First: a folder without it is to `complete` one that no entry names.
        write_durably(folder / ENTRY, entries[entry.index], disk=disk)
        disk.remove(folder / MAKING)
        with contextlib.suppress(RollError):
            return opened(entry, directory)  # somebody else has made it meanwhile
        tree = make(entries[: entry.through], read, folder / MAKING)
        if (tree.size, tree.root) != (entry.size, entry.root):
            disk.remove(folder / MAKING)
            raise RollError(f"the evidence does not give the roll of entry {entry.index}")
        for path in sorted((folder / MAKING).iterdir()):
            # A crash here leaves a roll that is not whole, or not the entry's: it is made again.
            disk.rename(path, folder / path.name)
        disk.remove(folder / MAKING)
        sync_folder(folder, disk)
        return RollTree(folder)
