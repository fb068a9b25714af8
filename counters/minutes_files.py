"""The attendance table by attendee on disk, for receipts: one file for each session and channel, ascending by seat.

    minutes/<session number>-<channel>.bin   rows of counters.attendance_table.ROW, as they are

Seats are canonical. A lookup is a binary search in each file: at 40 million attendees a few reads. They follow from the
evidence and can be made again at any time; nobody but the ledger reads them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from counters.attendance_table import ONLINE_ROW, ONSITE_ROW, ROW, Rows
from counters.event import Event
from counters.presence import ONLINE, ONSITE
from counters.receipt import SessionMinutes

MINUTES: Final = "minutes"
"""Of the folder of a roll."""
_CHANNELS: Final = {ONLINE_ROW: ONLINE, ONSITE_ROW: ONSITE}


def write_minutes(folder: Path, parts: Iterable[Rows]) -> None:
    """Write the attendance table (counters.attendance_table) into a folder, which must not hold another.

    Raises:
        OSError: the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for rows in parts:
        if len(rows):
            session, channel = int(rows["session"][0]), _CHANNELS[int(rows["channel"][0])]
            rows.tofile(folder / f"{session}-{channel}.bin")


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
