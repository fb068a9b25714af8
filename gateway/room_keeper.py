"""The room keeper: who is on site now, for the live numbers, from the scans of all gateways.

It reads the accepted scans in the journals that this host's workers write anyway (counters.journal), tells the other
gateways of them through Redis and hears theirs (counters.shared_scans), and writes the sketches of who is in which room
(counters.rooms). What could not be sent waits here, and in the journals of windows that are not carried yet; so scans
that were accepted while Redis was away show when it is back. Nothing here is counted for a certificate.

An event without gates has no rooms, and asks Redis nothing; nor does one whose last session with gates is over.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from counters.clock import Clock
from counters.event import Event
from counters.journal import accepted_scans
from counters.live import LiveUnavailableError
from counters.rooms import Passage, Rooms, in_order
from counters.shared_scans import SharedScans
from gateway.worker_folders import WorkerFolders

_log = logging.getLogger("turnout.rooms")


class RoomKeeper:
    """Keeps the rooms of one gateway's event. Owned by the supervisor's event loop; it reads in a thread."""

    def __init__(self, folders: WorkerFolders, event: Event, clock: Clock, live_url: str) -> None:
        """Follow the workers' journals in `folders`.

        Raises:
            ValueError: no URL of a Redis (counters.redis_address).
        """
        self._folders = folders
        self._clock = clock
        self._gates = any(session.gates for session in event.sessions)
        self._rooms = Rooms(event)
        self._shared = SharedScans(live_url, event.id, os.urandom(8).hex())
        self._thread = ThreadPoolExecutor(1, "rooms")
        self._away = False
        self._emptied = False
        """Whether the rooms were emptied after the last session with gates."""
        # What follows is read and written in this one's thread and in the courier's, by whoever has the lock.
        self._lock = threading.Lock()
        self._read: dict[Path, int] = {}  # bytes, by journal
        self._fresh: list[Passage] = []

    async def share(self) -> None:
        """Tell what the workers took since the last call, hear what others did, and write who is in the rooms.

        Raises:
            LiveUnavailableError: Redis does not take or tell it; the next call goes on from there.
        """
        over = self._rooms.over(self._clock.now())
        if not self._gates or (over and self._emptied):
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._take_own)
        heard = await self._shared.exchange(self._rooms.everybody)
        # In the thread: a gateway that begins hears of everybody at once.
        await loop.run_in_executor(self._thread, self._rooms.take, heard)
        if not self._shared.behind:
            await self._shared.show(await loop.run_in_executor(self._thread, self._rooms.sketches, self._clock.now()))
            # From here on no log is written again, and each goes a day after its last scan.
            self._emptied = over

    async def share_or_say(self) -> str:
        """Share; return what kept it from being done, "" if nothing did."""
        try:
            await self.share()
        except LiveUnavailableError as error:
            if not self._away:
                _log.warning("who is on site is not shared, check-ins go on: %s", error)
            self._away = True
            return str(error)
        if self._away:
            _log.info("who is on site is shared again")
        self._away = False
        return ""

    def read_last(self, journals: Iterable[Path]) -> None:
        """Read what is left of journals that are about to be deleted. From the courier's thread."""
        if not self._gates:
            return
        with self._lock:
            for path in journals:
                self._read_on(path)
                self._read.pop(path, None)

    async def close(self) -> None:
        """End the thread and close the connections."""
        await asyncio.to_thread(self._thread.shutdown)
        await self._shared.close()

    def _take_own(self) -> None:
        """Take in the scans that workers of this host wrote down since the last call.

        They are in the log when this ends: whoever waits for it may be told to stop meanwhile, and calls once more.
        """
        with self._lock:
            there = [
                folder.path / f"w{window}.journal" for folder in self._folders.recent() for window in folder.windows
            ]
            for path in there:
                self._read_on(path)
            self._read = {path: self._read.get(path, 0) for path in there}
            fresh, self._fresh = self._fresh, []
        self._shared.add(self._rooms.take(fresh))

    def _read_on(self, path: Path) -> None:
        read = self._read.get(path, 0)
        try:
            with path.open("rb") as file:
                file.seek(read)
                scans, taken = accepted_scans(file.read())
        except OSError:
            return  # gone, or unreadable as after a power cut: live numbers do without it
        self._read[path] = read + taken
        self._fresh += [(name, in_order(scan)) for name, scan in scans]
