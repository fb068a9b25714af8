"""On-site presence: from badge scans to who was in a session's room in which window.

The journal of scans is authoritative. Accepted scans count once for each (gate, nonce), the first received. Scans more
than a day before the first or after the last scheduled window (a scanner whose clock is wrong) are no presence and take
no part in what follows. The others stand in the order of the scanners' clocks (of two in one millisecond, the entry
first).

Each scan is for the session that the gateway wrote, with one exception. The gateway knows gate and time only, and takes
who leaves in a break to leave the session before it. But an exit whose directly preceding scan of the same attendee, at
whatever gate, is an entry for a session that the exit's gate belongs to, ends that stay: it is for the entry's session.

Then, by attendee and session:

- an entry directly followed by an exit is a stay, from the entry's window to the exit's, both included, but not beyond
  the last scheduled window of the session;
- any other entry or exit is presence in its own window only.

Scans for no session of the event are no presence.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.event import Event
from counters.journal import Direction
from counters.journal_segment import JournalSegment
from counters.journal_texts import Texts
from counters.roll import Roll, Seats
from counters.segment import WINDOW_S

MARGIN_S: Final = 24 * 60 * 60
"""Nobody is at an event more than a day before it begins or after it ends."""
_WINDOW_MS: Final = WINDOW_S * 1000

_SCAN: Final = np.dtype(
    [("seat", "<u4"), ("session", "<u2"), ("direction", "u1"), ("scanned_at_ms", "<u8"), ("received_at_ms", "<u8"),
     ("gate", "<u4"), ("nonce", "<u4")]
)  # fmt: skip
Scans = npt.NDArray[np.void]
Onsite = dict[int, dict[int, BitMap]]
"""Window (unix seconds) -> session number -> canonical seats."""


@dataclass(frozen=True, slots=True)
class Visits:
    """What the scans say."""

    present: Onsite
    outside_event: int  # accepted scans more than a day away from the event


def read_visits(event: Event, journals: Iterable[JournalSegment], roll: Roll) -> Visits:
    """Return the on-site presence in these journals, whatever order they come in."""
    texts = Texts()
    scans, outside_event = _near(event, _every(journals, roll, texts))
    scans = _for_the_session_entered(scans, event, texts)
    present: Onsite = {}
    for session in event.sessions:
        stays = _stays(scans[scans["session"] == session.number], event.session_windows(session)[-1])
        for window, seats in _windows(*stays):
            present.setdefault(window, {})[session.number] = seats
    return Visits(present, outside_event)


def read_inside(event: Event, journals: Iterable[JournalSegment], roll: Roll, as_of: int) -> dict[int, BitMap]:
    """Return by session number who is inside at a time (unix seconds): whose last scan before it is an entry.

    It is the last one at whatever gate, so nobody is inside two sessions. When a session's last scheduled window has
    ended, everybody is out.
    """
    texts = Texts()
    scans, _ = _near(event, _every(journals, roll, texts))
    scans = _for_the_session_entered(scans[scans["scanned_at_ms"] < as_of * 1000], event, texts)
    return _inside(event, scans, as_of)


def _inside(event: Event, scans: Scans, over_by: int) -> dict[int, BitMap]:
    """Return by session number whose last of these scans is an entry, but for sessions over by a time (unix s)."""
    last = np.ones(len(scans), bool)
    last[:-1] = scans["seat"][1:] != scans["seat"][:-1]
    scans = scans[last & (scans["direction"] == Direction.IN)]
    return {
        session.number: BitMap(np.sort(scans["seat"][scans["session"] == session.number]))
        for session in event.sessions
        if event.session_windows(session)[-1] + WINDOW_S > over_by
    }


def read_entries(event: Event, journals: Iterable[JournalSegment], roll: Roll) -> Onsite:
    """Return who entered in which window: presence that no other scan, found or lost, can take away."""
    scans, _ = _near(event, _every(journals, roll, Texts()))
    scans = scans[scans["direction"] == Direction.IN]
    windows = (scans["scanned_at_ms"] // _WINDOW_MS * WINDOW_S).astype(np.int64)
    present: Onsite = {}
    for session in event.sessions:
        here = scans["session"] == session.number
        for window, seats in _windows(windows[here], windows[here], scans["seat"][here]):
            present.setdefault(window, {})[session.number] = seats
    return present


class ScansSoFar:
    """Takes journals in as they are sealed; taking one in again changes nothing. Owned by its caller."""

    def __init__(self, event: Event) -> None:
        """Start without scans."""
        self._event = event
        self._texts = Texts()
        self._scans = np.empty(0, _SCAN)  # accepted ones, each once

    def add(self, journal: JournalSegment) -> None:
        """Take in a journal."""
        if len(journal.scans):
            self._scans = _once(np.concatenate([self._scans, _accepted(journal, self._texts)]))

    def there(self, window: int, canonical: Callable[[Seats], Seats]) -> dict[int, BitMap]:
        """Return by session number who was in its room in a window, as far as scans until its end tell.

        Besides those whom counting rules find present that is everybody who has entered and not left: without an exit
        to come counting rules leave them their entry's window alone.

        Args:
            window: unix seconds of its start.
            canonical: from seats to the canonical seat of each.
        """
        event, as_of = self._event, window + WINDOW_S
        scans, _ = _near(event, self._scans[self._scans["scanned_at_ms"] < as_of * 1000])
        scans["seat"] = canonical(scans["seat"])
        scans = _for_the_session_entered(scans, event, self._texts)
        there = _inside(event, scans, window)
        for session in event.sessions:
            starts, ends, seats = _stays(scans[scans["session"] == session.number], event.session_windows(session)[-1])
            here = BitMap(np.unique(seats[(starts <= window) & (ends >= window)]))
            there[session.number] = there.get(session.number, BitMap()) | here
        return there


def _every(journals: Iterable[JournalSegment], roll: Roll, texts: Texts) -> Scans:
    """Return every accepted scan once, with canonical seats."""
    scans = _once(
        np.concatenate([np.empty(0, _SCAN), *(_accepted(journal, texts) for journal in journals if len(journal.scans))])
    )
    scans["seat"] = roll.canonical_seats(scans["seat"])
    return scans


def _near(event: Event, scans: Scans) -> tuple[Scans, int]:
    """Return the scans within a day of the event, and how many of its sessions' are not."""
    known = np.isin(scans["session"], [session.number for session in event.sessions])
    scheduled = event.scheduled_windows()
    first, last = (scheduled[0] - MARGIN_S) * 1000, (scheduled[-1] + WINDOW_S + MARGIN_S) * 1000
    near = (scans["scanned_at_ms"] >= first) & (scans["scanned_at_ms"] < last)
    return scans[near], int(np.count_nonzero(known & ~near))


def _accepted(journal: JournalSegment, texts: Texts) -> Scans:
    numbers = texts.numbers(journal.texts)
    scans = journal.scans
    if len(scans):
        scans = scans[numbers[scans["refusal"]] == 0]
    rows = np.empty(len(scans), _SCAN)
    for name in ("seat", "session", "direction", "scanned_at_ms", "received_at_ms"):
        rows[name] = scans[name]
    for name in ("gate", "nonce"):
        rows[name] = numbers[scans[name]] if len(scans) else 0
    return rows


def _once(scans: Scans) -> Scans:
    """Return the first received scan of each (gate, nonce)."""
    names = ("direction", "session", "seat", "scanned_at_ms", "received_at_ms")
    scans = scans[np.lexsort([scans[name] for name in names])]
    keys = scans["gate"].astype(np.uint64) << np.uint64(32) | scans["nonce"]
    return scans[np.unique(keys, return_index=True)[1]]


def _for_the_session_entered(scans: Scans, event: Event, texts: Texts) -> Scans:
    """Return the scans, those exits that end a stay for the session that was entered.

    Early in a break, exits are written down for the session before: without this, who enters for the next one and
    changes their mind would be counted in a session that they never attended.
    """
    # The written session only makes the order total; it decides where everything else is equal.
    scans = scans[np.lexsort([scans[name] for name in ("session", "direction", "scanned_at_ms", "seat")])]
    doors = [_door(session.number, texts.numbers(session.gates)) for session in event.sessions]
    entered = scans["session"][:-1]
    ends_stay = (
        (scans["direction"][:-1] == Direction.IN)
        & (scans["direction"][1:] == Direction.OUT)
        & (scans["seat"][:-1] == scans["seat"][1:])
        & np.isin(_door(entered, scans["gate"][1:]), np.concatenate(doors))
    )
    scans["session"][1:] = np.where(ends_stay, entered, scans["session"][1:])
    return scans


def _door(session: int | npt.NDArray[np.uint16], gate: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Return one number for a session and a gate."""
    return np.asarray(session, np.uint64) << np.uint64(32) | gate


def _stays(scans: Scans, last: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Return first window, last window and seat of each stay in one session."""
    scans = scans[np.lexsort((scans["direction"], scans["scanned_at_ms"], scans["seat"]))]
    windows = (scans["scanned_at_ms"] // _WINDOW_MS * WINDOW_S).astype(np.int64)
    entry = scans["direction"] == Direction.IN
    opens = np.zeros(len(scans), bool)
    opens[:-1] = entry[:-1] & ~entry[1:] & (scans["seat"][:-1] == scans["seat"][1:])
    closes = np.zeros(len(scans), bool)
    closes[1:] = opens[:-1]
    ends = windows.copy()
    ends[opens] = np.maximum(windows[opens], np.minimum(windows[closes], last))
    kept = ~closes
    return windows[kept], ends[kept], scans["seat"][kept]


def _windows(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], seats: npt.NDArray[np.uint32]
) -> Iterator[tuple[int, BitMap]]:
    """Yield each window in which somebody stays, and who."""
    if not len(starts):
        return
    order = np.argsort(starts, kind="stable")
    starts, ends, seats = starts[order], ends[order], seats[order]
    reach = np.maximum.accumulate(ends)
    breaks = np.flatnonzero(starts[1:] > reach[:-1]) + 1
    for group in np.split(np.arange(len(starts)), breaks):
        for window in range(int(starts[group[0]]), int(reach[group[-1]]) + 1, WINDOW_S):
            here = group[(starts[group] <= window) & (ends[group] >= window)]
            yield window, BitMap(np.unique(seats[here]))
