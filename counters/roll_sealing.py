"""Sealing the roll: made from the evidence once the event is over, and its root entered into the log.

    DIR/roll/<id>/                  leaves.bin, nodes.bin, seats.bin (counters.roll_tree): for auditors only
    DIR/roll/<id>/entry.json        its log entry
    DIR/roll/<id>/entry.tlog-proof  the entry's place in the log as it was first shown, with the cosignatures of then

The id is the entry's index in the log. The roll is on disk before its entry, and the proof is written once the entry is
published. A roll that was corrected stays beside its successor, as the log names both. What is lost of a roll but its
proof is made again from the evidence (counters.kept_rolls).
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from counters import evidence
from counters.audit_entries import AuditEntryError, first_round, roll_entry
from counters.beacon import Round
from counters.durable_file import make_folder, write_durably
from counters.evidence import JournalSegment
from counters.evidence_store import EvidenceError
from counters.ledger.cosignature import WitnessKey, cosignatures
from counters.ledger.proof import TlogProof
from counters.log_entries import LateLeaf, SealedLog, read_log, read_time
from counters.manifest import Manifest
from counters.roll_sorting import RollSorter
from counters.roll_tree import RollTree, write_roll
from counters.sealed_evidence import ReadEvidence
from counters.sealing import Sealer
from counters.software import SOFTWARE

FOLDER: Final = "roll"
"""Of a data directory."""
MAKING: Final = "making"
"""Of the folder of rolls: one that is being made, by whoever owns the log. Of a roll's folder: it is made again."""
MARGIN_S: Final = 1
"""The log's times are whole seconds: what is received in the second of `late_until` still counts."""
ENTRY, PROOF = "entry.json", "entry.tlog-proof"
"""Of a roll's folder."""
_SCRATCH: Final = "scratch"


def is_over(sealer: Sealer, now: float) -> bool:
    """Whether nothing that comes in from now on counts, and all that does is sealed. Only in the sealer's thread."""
    return now > sealer.event.late_until.timestamp() + MARGIN_S and not sealer.unsealed(now)


def is_due(sealer: Sealer, now: float) -> bool:
    """Whether the event is over, somebody came, and it has no roll. Only in the sealer's thread.

    Where there is no evidence at all it is more likely that the event file has a wrong year than that nobody came.
    """
    return sealer.audits.roll is None and sealer.newest_evidence_s is not None and is_over(sealer, now)


def make(entries: Sequence[bytes], read: ReadEvidence, folder: Path) -> RollTree:
    """Make the roll of a log's entries in a folder, which is replaced. Any thread may do it.

    Raises:
        LogEntryError: the entries make no log.
        EvidenceError: a file of evidence is absent or unsound.
        OSError: the disk refuses.
    """
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder.parent, mode=0o700)
    log = read_log(entries)
    sorter = RollSorter(log.event, folder / _SCRATCH)
    try:
        sorter.add(_journals(log, read))
        return write_roll(folder, sorter.leaves())
    except (EvidenceError, OSError):
        shutil.rmtree(folder, ignore_errors=True)  # a full disk needs the room
        raise


def _journals(log: SealedLog, read: ReadEvidence) -> Iterator[JournalSegment]:
    """Yield the journals that count."""
    for leaf in log.leaves:
        if isinstance(leaf, LateLeaf) and not leaf.counted:
            continue
        for file in Manifest.decode(read(leaf.manifest_sha256)).evidence:
            if file.kind == "journal":
                segment = evidence.decode(read(file.sha256))
                if not isinstance(segment, JournalSegment):
                    raise EvidenceError(f"evidence {file.sha256} is no journal, as its manifest says")
                yield segment


def enter(sealer: Sealer, tree: RollTree, directory: Path, through: int, now: float, of: Round | None = None) -> int:
    """Put a roll that was made in `directory`/making into the log; return its id. Only in the sealer's thread.

    Args:
        sealer: of the log.
        tree: the roll.
        directory: DIR/roll.
        through: how many entries of the log it was made from.
        now: unix seconds.
        of: the beacon round that decides what is opened; None = the one that the event file named.

    Raises:
        AuditEntryError: a corrected roll must name a later round.
        OSError: the disk refuses; whether it is in shows in the log once `complete` returns.
    """
    complete(sealer, directory)
    index, event = sealer.log.size, sealer.event
    entry = roll_entry(event, tree.size, tree.root, through, of or first_round(event), now, SOFTWARE)
    try:
        sealer.audits.check_next(event, index, entry, lambda text: read_time(event, text))
    except AuditEntryError:
        abandon(sealer, directory)
        raise
    write_durably(directory / MAKING / ENTRY, entry, disk=sealer.disk)
    sealer.disk.rename(directory / MAKING, directory / str(index))
    sealer.disk.sync_directory(directory)
    # A crash here leaves a roll that no entry names: `complete` removes it, and it is made again.
    sealer.append(entry)
    # A crash here leaves a roll without its proof: `complete` writes it.
    complete(sealer, directory)
    return index


def seal(sealer: Sealer, directory: Path, now: float, of: Round | None = None) -> int:
    """Make the roll of all that is sealed and put it into the log, where nothing else goes on meanwhile.

    Returns:
        Its entry.

    Raises:
        EvidenceError: evidence is missing or damaged.
        OSError: the disk does not take it.
    """
    entries = list(sealer.log.entries())
    tree = make(entries, sealer.evidence.get, directory / MAKING)
    return enter(sealer, tree, directory, len(entries), now, of)


def abandon(sealer: Sealer, directory: Path) -> None:
    """Throw away the roll that was being made. Only for whoever owns the log, while nobody makes one.

    Raises:
        OSError: the disk refuses.
    """
    sealer.disk.remove(directory / MAKING)


def complete(sealer: Sealer, directory: Path) -> None:
    """Finish what a crash, a full disk or a lost quorum left half-sealed. Only in the sealer's thread.

    Raises:
        OSError: the disk refuses; call again.
    """
    sealer.settle()
    for folder in directory.iterdir() if directory.is_dir() else ():
        if not folder.name.isdecimal():
            continue
        number, entry = int(folder.name), folder / ENTRY
        # A roll of a log that was set back since is none of the entry that has its number now.
        if number >= sealer.log.size or not entry.exists() or sealer.log.entry(number) != entry.read_bytes():
            sealer.disk.remove(folder)
        elif number < sealer.log.published.size:
            _prove(sealer, number, folder / PROOF)


def _prove(sealer: Sealer, number: int, path: Path) -> None:
    """Keep the first proof whose checkpoint has the cosignatures that there must be; until then the one with most."""
    keys = [WitnessKey.decode(witness.vkey) for witness in sealer.event.witnesses]
    if path.exists():
        had = len(cosignatures(TlogProof.decode(path.read_bytes()).checkpoint_note, keys))
        has = len(cosignatures(sealer.log.published.checkpoint_note, keys))
        if had >= (sealer.event.required_witnesses or len(keys)) or has <= had:
            return
    write_durably(path, sealer.log.published.tlog_proof(number).encode(), disk=sealer.disk)
