"""The tally: what one worker has accepted in the window that is open now.

The hot path of Turnout ends here: `beat` raises two sketch registers and stores one spool record. It takes values and
asks the clock, and knows neither sockets nor tokens. Everything it writes lies in memory maps of the spool
(counters.spool), so the tally itself holds nothing that a `kill -9` could lose.

When the clock has passed the window's end, the next call (or `advance`, called several times a second) closes the
window and opens the current one on a chunk that a thread has prepared meanwhile.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from counters.cells import Cells
from counters.clock import Clock
from counters.disk_room import DiskRoom
from counters.open_window import OpenWindow
from counters.segment import WINDOW_S
from counters.spares import Spares
from counters.spool import BACKGROUND, REGISTERS, SKETCHES, Chunk, Registers, SpoolIdentity
from counters.uniques import Uniques

BUCKET_S: Final = 10
SYNC_EVERY_S: Final = 1.0
"""Power loss costs at most what was accepted since the last sync (DESIGN.md §5)."""


class Accepted(IntEnum):
    """What became of a heartbeat or join."""

    YES = 0
    NO_SUCH_SESSION = 1
    DISK_FULL = 2


_YES: Final = Accepted.YES  # a member of an enum is slow to look up


class Tally:
    """One worker's open window. Owned by the worker's event loop; only `prepare` and `sync` run in a thread."""

    def __init__(
        self,
        folder: Path,
        identity: SpoolIdentity,
        clock: Clock,
        session_numbers: tuple[int, ...],
        cells: Cells,
        day_of: Callable[[float], str],
    ) -> None:
        """Open the window that is current.

        Args:
            folder: the worker's locked spool folder.
            identity: what is stamped on its chunks.
            clock: the event's clock.
            session_numbers: all sessions of the event, ascending; the row of a session is its place here.
            cells: the worker's outcome counters, snapshot at each window's edges.
            day_of: the local calendar date of a time, for the day's uniques.

        Raises:
            OSError: the disk is full.
        """
        self._folder = folder
        self._now = clock.now
        self._ticks, self._tick_at = clock.ticks(), clock.tick_at
        self._rows = {number: row for row, number in enumerate(session_numbers)}
        # The same for arrays of session numbers: −1 = none; the last place is for all numbers that are too high.
        self._row_of_session = np.full(max(session_numbers) + 2, -1, np.int64)
        self._row_of_session[list(session_numbers)] = range(len(session_numbers))
        self._cells = cells
        self._day_of = day_of
        self._uniques_day = ""
        self._room = DiskRoom(folder)
        self._spares = Spares(folder, identity, len(cells.names))
        self._wanted = threading.Event()
        self._open: OpenWindow | None = None
        # On a fast simulated clock windows pass unsynced: then the courier has them long before the thread has.
        self._opened: deque[OpenWindow] = deque(maxlen=2)
        self._syncing: list[OpenWindow] = []
        self._counted = cells.snapshot()
        self._disk_full = self._stopped = False
        self._stored = 0
        self._capacity = 0
        self.window = 0
        self._advance(clock.now())
        if self._open is None:
            raise OSError("there is no room on the disk for the spool")

    # The hot path.

    def beat(self, place: int, attendee: int, view: int, background: bool = False) -> Accepted:
        """Record one playing heartbeat; when this returns YES it survives `kill -9`.

        Args:
            place: seat | session number << 32.
            attendee: the attendee's sketch position.
            view: the view's sketch position.
            background: whether the player said that it plays in the background.
        """
        if self._ticks() >= self._bucket_ends:
            self._advance(self._now())
        try:
            base = self._bases[place >> 32]
        except KeyError:
            return Accepted.NO_SUCH_SESSION
        stored = self._stored
        if stored == self._capacity:
            if not self._next_chunk():
                return Accepted.DISK_FULL
            stored = self._stored
        registers = self._registers
        at = base + (attendee & 0x3FFF)
        rank = attendee >> 24
        if registers[at] < rank:  # noqa: PLR1730 - a compare costs half of max() on the hot path
            registers[at] = rank
        at = base + REGISTERS + (view & 0x3FFF)
        rank = view >> 24
        if registers[at] < rank:  # noqa: PLR1730
            registers[at] = rank
        self._records[stored] = place | (self._tail_background if background else self._tail)
        self._stored = stored + 1
        return _YES

    def beat_many(
        self,
        places: npt.NDArray[np.uint64],
        attendees: npt.NDArray[np.uint32],
        views: npt.NDArray[np.uint32],
        background: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.uint8]:
        """Record playing heartbeats in their order, each with the outcome that `beat` would have.

        Args:
            places: seat | session number << 32 of each; shape (n,), as all here.
            attendees: the attendees' sketch positions.
            views: the views' sketch positions.
            background: which of the players said that they play in the background.

        Returns:
            An `Accepted` for each, shape (n,); what is YES survives `kill -9`.
        """
        rows = self._row_of_session.take(places >> np.uint64(32), mode="clip")
        accepted = np.where(rows < 0, Accepted.NO_SUCH_SESSION, Accepted.YES).astype(np.uint8)
        left = np.flatnonzero(rows >= 0)
        bases = rows * (SKETCHES * REGISTERS)
        attendees_at = bases + (attendees & 0x3FFF)
        views_at = bases + (REGISTERS + (views & 0x3FFF))
        if len(places):
            self._keep_time()
        while len(left):
            if self._stored == self._capacity and not self._next_chunk():
                accepted[left] = Accepted.DISK_FULL
                break
            stored = self._stored
            room = self._capacity - stored
            now, left = left[:room], left[room:]
            registers = np.frombuffer(self._registers, np.uint8)[self._bucket_at :]
            _raise(registers, attendees_at[now], attendees[now])
            _raise(registers, views_at[now], views[now])
            # A crash before this line leaves registers raised for heartbeats that nobody was told are recorded.
            tails = np.where(background[now], self._tail_background, self._tail).astype(np.uint64)
            records = np.frombuffer(self._records, np.uint64)
            # An operation whose results go straight into the map stores whole records; a copy may stop within one.
            np.bitwise_or(places[now], tails, out=records[stored : stored + len(now)])
            self._stored = stored + len(now)
            self._keep_time()
        return accepted

    def _keep_time(self) -> None:
        if self._ticks() >= self._bucket_ends:
            self._advance(self._now())

    @property
    def accepting(self) -> bool:
        """Whether there is room for what comes."""
        return self._open is not None and not self._disk_full

    @property
    def admitting(self) -> bool:
        """Whether there is room for newcomers, and not only for those who are in."""
        return self.accepting and not self._room.low

    # Joins and scans.

    def write_journal(self, record: bytes) -> Accepted:
        """Append one journal record; when this returns YES it survives `kill -9`."""
        self.advance()
        if self._open is None or not self._open.journal.append(record):
            return Accepted.DISK_FULL
        return Accepted.YES

    def count_unique(self, session: int, attendee: int) -> None:
        """Raise the day's uniques of a session and of the event at a join."""
        if self._uniques_day != self._day:
            try:
                self._uniques = Uniques(self._folder, self._day, len(self._rows))
            except OSError:
                return  # the disk is full: the live estimate lacks this join, the journal has it
            self._uniques_day = self._day
        self._uniques.add(self._rows[session], attendee)

    # Time.

    def advance(self) -> None:
        """Close the window if its time is over: called a few times a second so that quiet workers report too.

        After a full disk this looks for room again: here and not at each heartbeat, since a vain try is slow.
        """
        now = self._now()
        if self._ticks() >= self._bucket_ends:
            self._advance(now)
        if self._disk_full:
            self._disk_full = False
            if self._open is None:
                self._open_window(int(now * 1000))
            elif self._stored == self._capacity:
                self._next_chunk()

    def _advance(self, now: float) -> None:
        window = int(now) // WINDOW_S * WINDOW_S
        if window < self.window:
            return  # a simulated clock, read while it jumped (counters.clock): the next reading is right
        if window != self.window:
            self._roll(window, int(now * 1000))
        bucket = (int(now) - window) // BUCKET_S
        self._bucket_ends = self._tick_at(window + (bucket + 1) * BUCKET_S)
        rows = len(self._rows)
        self._bases = {number: (bucket * rows + row) * SKETCHES * REGISTERS for number, row in self._rows.items()}
        self._bucket_at = bucket * rows * SKETCHES * REGISTERS
        self._tail = bucket << 56
        self._tail_background = self._tail | BACKGROUND << 48

    def _roll(self, window: int, now_ms: int) -> None:
        self._close_window(now_ms)
        self.window = window
        # Midnight falls between two windows in every zone: offsets are whole minutes.
        self._day = self._day_of(window)
        if not self._stopped:
            self._open_window(now_ms)

    def _open_window(self, now_ms: int) -> None:
        """Open the current window; on a full disk everything is refused until there is room again."""
        try:
            chunk, journal = self._spares.take_window()
            try:
                # Counted from the last close on: what was refused while no window was open goes to this one.
                opened = OpenWindow(self._folder, chunk, journal, self.window, now_ms, self._counted)
            except OSError:
                self._spares.give_back(chunk, journal)
                raise
        except OSError:
            self._disk_full = True
            return
        self._open = opened
        self._opened.append(opened)
        self._registers = chunk.registers
        self._use(chunk)

    def _use(self, chunk: Chunk) -> None:
        self._disk_full = False
        self._records = chunk.records
        self._capacity = chunk.capacity
        self._stored = 0
        self._wanted.set()

    def _next_chunk(self) -> bool:
        """Go on in another chunk of the open window; False: there is no window, or no room."""
        if self._open is None or self._disk_full:
            return False
        try:
            chunk = self._spares.take_chunk(first=False)
            self._open.add(chunk, int(self._now() * 1000))
        except OSError:
            self._disk_full = True
            return False
        self._use(chunk)
        return True

    def _close_window(self, now_ms: int) -> None:
        if self._open is None:
            return
        self._counted = self._cells.snapshot()
        self._open.close(now_ms, self._counted)
        self._open = None
        # No room: a heartbeat from here on asks for a window first.
        self._stored = self._capacity = 0

    def close(self, now_ms: int) -> None:
        """Close the open window for good: the worker stops, and whatever still comes is refused.

        A window that is closed before it is over says that the worker ended in it (counters.segment): so one that is
        over is followed by the one in which the worker stops.
        """
        self._advance(now_ms / 1000)
        self._stopped = True
        self._close_window(now_ms)

    # In a thread.

    def prepare(self) -> None:
        """Make the files that will be needed next. Blocks: for a thread."""
        self._spares.prepare()

    def sync(self) -> None:
        """Bring what is accepted so far to the disk. Blocks: for a thread."""
        # The time first: what is accepted after it is not vouched for, whichever window it falls into.
        now_ms = int(self._now() * 1000)
        while self._opened:
            self._syncing.append(self._opened.popleft())
        # A window that is closed by now is synced once more, and then left to the courier.
        closed = [window for window in self._syncing if window.closed]
        for window in self._syncing:
            window.sync(now_ms)
        self._syncing = [window for window in self._syncing if window not in closed]
        for window in closed:
            window.let_go()

    def keep(self, stop: threading.Event) -> None:
        """Prepare and sync until told to stop: the body of the worker's one background thread."""
        synced_at = time.monotonic()
        while not stop.is_set():
            self._wanted.clear()
            self.prepare()
            if time.monotonic() - synced_at >= SYNC_EVERY_S:
                self._room.look()
                self.sync()
                synced_at = time.monotonic()
            self._wanted.wait(max(synced_at + SYNC_EVERY_S - time.monotonic(), 0.0))


def _raise(registers: Registers, at: npt.NDArray[np.int64], positions: npt.NDArray[np.uint32]) -> None:
    """Raise registers at given places to the ranks of given sketch positions, where they are lower."""
    ranks = (positions >> 24).astype(np.uint8)
    higher = np.flatnonzero(registers[at] < ranks)
    # In a sketch that has met many, few rise; and one register may be named more than once.
    np.maximum.at(registers, at[higher], ranks[higher])
