"""The watch on what is sealed: what operators see of the newest window, worked out beside the ledger's thread.

It reads leaves and their evidence from the disk, as an auditor would, in a thread of its own: neither sealing nor
gateways wait for it. When a ledger starts it reads the journals of the whole log once, from leaf 0 on, and until it has
come to the newest leaf nothing is shown. While it has such a backlog it rests as long as it works, so that it takes at
most half a core from those who have an event to carry.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from time import monotonic as tick
from typing import Final

from counters.evidence_store import EvidenceError
from counters.ledger.log import LogError
from counters.newest_window import NewestWindow, WindowReader
from counters.sealing import Sealer
from counters.segment import WINDOW_S

LOOK_EVERY_S: Final = 0.5
TRY_AGAIN_S: Final = 60.0
BACKLOG: Final = 4
"""So many leaves at once are no backlog yet: a window's, and what was entered with it."""
OLD_WINDOWS: Final = 2
"""What is known of a window is shown for so many windows more, lest it vanish for the moment in which it is renewed."""
_log = logging.getLogger("turnout.ledger")


class WindowWatch:
    """Owned by the ledger's event loop."""

    def __init__(self, sealer: Sealer) -> None:
        """Prepare; of the sealer only its log and its evidence are read."""
        self._sealer = sealer
        self._reader = WindowReader(sealer.event, sealer.evidence.get)
        self._newest = NewestWindow()
        self._ending = threading.Event()
        self.taken = 0
        """Entries of the log that were read so far."""
        self.trouble = ""
        """Why they could not be read when it was last tried; "" = they could."""
        self.compared = 0
        """Windows whose two paths were compared since this start."""

    def seen(self, sealed_window: int) -> NewestWindow:
        """Return what is to be seen while this window (unix seconds) is the last that has a leaf."""
        return self._newest if sealed_window - self._newest.window <= OLD_WINDOWS * WINDOW_S else NewestWindow()

    async def run(self) -> None:
        """Watch for as long as the ledger runs."""
        try:
            while True:
                if self.taken < self._sealer.log.size:
                    await asyncio.to_thread(self._look)
                await asyncio.sleep(TRY_AGAIN_S if self.trouble else LOOK_EVERY_S)
        finally:
            # The thread cannot be cancelled; a ledger that stops must not wait for minutes of reading.
            self._ending.set()

    def _look(self) -> None:
        """Take in the leaves that are new; in a thread, one after the other."""
        try:
            newest = self._read(list(self._sealer.log.entries(self.taken)))
        except (LogError, EvidenceError, OSError, ValueError) as error:
            # Whoever seals and certifies will say more of it; the ledger does not end for the sake of a metric.
            if str(error) != self.trouble:
                _log.error("metrics of the newest window stay away, tried again each minute: %s", error)
            self._newest, self.trouble = NewestWindow(), str(error)
            return
        self.trouble = ""
        if newest is not None:
            self.compared += bool(newest.differences)
            self._newest = newest

    def _read(self, entries: Sequence[bytes]) -> NewestWindow | None:
        """Return what is to be seen of a window that is new; None if there is none, or the ledger stops before."""
        for entry in entries:
            if self._ending.is_set():
                return None
            begun = tick()
            self._reader.take(entry)
            self.taken += 1
            if len(entries) > BACKLOG:
                self._ending.wait(tick() - begun)
        return self._reader.newest() if self._reader.window > self._newest.window else None
