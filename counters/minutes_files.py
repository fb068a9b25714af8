"""The attendance table by attendee on disk, for receipts: one file for each session and channel, ascending by seat.

    minutes/<session number>-<channel>.bin   rows of counters.attendance_table.ROW, as they are

Seats are canonical. A lookup is a binary search in each file: at 40 million attendees a few reads. They follow from the
evidence and can be made again at any time; nobody but the ledger reads them.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from counters.attendance_table import ONLINE_ROW, ONSITE_ROW, ROW, Rows, attendance_table
from counters.disk import DISK, Disk
from counters.durable_file import alone_in, sync_folder
from counters.event import Event
from counters.log_entries import read_log
from counters.presence import ONLINE, ONSITE
from counters.receipt import SessionMinutes
from counters.reckoning import Progress, reckon
from counters.roll_tree import SealedRoll
from counters.sealed_evidence import ReadEvidence

MINUTES: Final = "minutes"
"""Of the folder of a roll."""
_CHANNELS: Final = {ONLINE_ROW: ONLINE, ONSITE_ROW: ONSITE}


def write_minutes(folder: Path, parts: Iterable[Rows]) -> None:
    """Write the attendance table (counters.attendance_table) durably into a folder, which must not hold another.

    Raises:
        OSError: the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for rows in parts:
        if len(rows):
            session, channel = int(rows["session"][0]), _CHANNELS[int(rows["channel"][0])]
            with (folder / f"{session}-{channel}.bin").open("wb") as file:
                rows.tofile(file)
                file.flush()
                os.fsync(file.fileno())
    sync_folder(folder)


def make_minutes(
    entries: Sequence[bytes],
    read: ReadEvidence,
    roll: SealedRoll,
    progress: Progress | None = None,
    disk: Disk = DISK,
) -> None:
    """Make the files of a sealed roll from the evidence that it was made of, unless another process just has.

    Args:
        entries: of the log, at least as many as the roll was made from.
        read: from a digest to the file of evidence.
        roll: whose folder they go into.
        progress: is told how far the reading is; what it raises ends it.
        disk: on which they become those of the roll.

    Raises:
        EvidenceError: evidence is absent or unsound.
        OSError: the disk refuses.
    """
    through = json.loads(roll.entry)["through"]
    making = roll.folder / f"{MINUTES}.making"
    # Ledger and commands may both find them missing: of two at once one would take the other's files for its own.
    with alone_in(roll.folder):
        if has_minutes(roll.folder):
            return
        # A crash in here leaves a folder that nobody reads: it is begun anew.
        disk.remove(making)
        try:
            write_minutes(making, attendance_table(reckon(read_log(entries[:through]), read, progress=progress)))
        except OSError:
            disk.remove(making)  # a full disk needs the room
            raise
        disk.rename(making, roll.folder / MINUTES)
        sync_folder(roll.folder, disk)


def has_minutes(folder: Path) -> bool:
    """Whether the files of the roll in a folder are there."""
    return (folder / MINUTES).is_dir()


def minutes_files(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """Yield (session number, channel, file) of each file that there is of a roll's folder, in this order."""
    found = []
    for path in (folder / MINUTES).glob("*.bin"):
        number, _, channel = path.stem.partition("-")
        found.append((int(number), channel, path))
    yield from sorted(found)


def minutes_of(event: Event, folder: Path, seat: int) -> Iterator[SessionMinutes]:
    """Yield where an attendee (canonical seat) was, by session number and channel."""
    for session in event.sessions:
        for channel in _CHANNELS.values():
            path = folder / f"{session.number}-{channel}.bin"
            if not path.exists():
                continue
            rows = np.memmap(path, ROW, "r")
            at = int(np.searchsorted(rows["seat"], np.uint32(seat)))
            if at == len(rows) or int(rows["seat"][at]) != seat:
                continue
            _, _, _, minutes, in_schedule, first, last = rows[at].tolist()
            scheduled = len(event.session_windows(session))
            yield SessionMinutes(
                session.id, session.title, channel, minutes, in_schedule, scheduled, event.iso(first), event.iso(last)
            )
