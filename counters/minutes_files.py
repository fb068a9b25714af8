"""Minutes by attendee on disk, for receipts: one file for each session and channel, ascending by seat.

    minutes/<session number>-<channel>.bin   rows of `ROW`, 16 bytes, little-endian: seat u32, minutes u16,
                                             minutes in schedule u16, first and last minute present u32 (unix minutes)

Seats are canonical. A lookup is a binary search in each file: at 40 million attendees a few reads. They follow from the
evidence and can be made again at any time; nobody but the ledger reads them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from counters.attendance import ONLINE, ONSITE
from counters.event import Event
from counters.receipt import SessionMinutes
from counters.segment import WINDOW_S

MINUTES: Final = "minutes"
"""Of the folder of a roll."""
ROW: Final = np.dtype([("seat", "<u4"), ("minutes", "<u2"), ("in_schedule", "<u2"), ("first", "<u4"), ("last", "<u4")])
Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Attended:
    """Who attended one session on one channel, and how long."""

    session: int  # number
    channel: str
    rows: Rows  # of `ROW`, ascending by seat


def write_minutes(folder: Path, parts: Iterable[Attended]) -> None:
    """Write the files of an event into a folder, which must not hold others.

    Raises:
        OSError: the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        if len(part.rows):
            part.rows.tofile(folder / f"{part.session}-{part.channel}.bin")


def minutes_of(event: Event, folder: Path, seat: int) -> Iterator[SessionMinutes]:
    """Yield where an attendee (canonical seat) was, by session number and channel."""
    for session in event.sessions:
        for channel in (ONLINE, ONSITE):
            path = folder / f"{session.number}-{channel}.bin"
            if not path.exists():
                continue
            rows = np.memmap(path, ROW, "r")
            at = int(np.searchsorted(rows["seat"], np.uint32(seat)))
            if at == len(rows) or int(rows["seat"][at]) != seat:
                continue
            _, minutes, in_schedule, first, last = rows[at].tolist()
            yield SessionMinutes(
                session.id, session.title, channel, minutes, in_schedule, len(event.session_windows(session)),
                event.iso(first * WINDOW_S), event.iso(last * WINDOW_S),
            )  # fmt: skip
