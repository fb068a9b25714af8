"""The courier: carries what the workers of one gateway accepted to the ledger.

It reads the workers' spool files and never talks to the workers, so they do nothing slow and a dead worker's windows
are carried like any other's. Whenever a window is over it makes segments of what all workers accepted in it, hands them
to the ledger, and deletes the files after the ledger's durable acknowledgement.
"""

import asyncio
import contextlib
import errno
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from counters.announcements import Announcements
from counters.clock import Clock
from counters.event import Event
from counters.evidence import Coverage, SegmentHead
from counters.handover import HandOver, WorkerReport, accepted_nothing, coverage, unreadable, window_segments
from counters.segment import WINDOW_S
from counters.spool import SpoolError
from counters.spooled_window import WindowSpool, read_window
from gateway.flusher import Flusher
from gateway.ledger_client import LedgerClient, LedgerRefusedError, LedgerUnavailableError
from gateway.outgoing import Outgoing, OutgoingFile
from gateway.tracing import HAND_OVER, OFF, Tracing
from gateway.worker_clocks import WorkerClocks
from gateway.worker_counters import WorkerCounters
from gateway.worker_folders import WorkerFolder, WorkerFolders
from metrics.catalogue import HANDOVER_BUCKETS_S
from metrics.readings import Durations

PATIENCE_S: Final = 3.0
"""How long a window waits for a worker that lives and does not close it (stopped, swapped out); its part comes late."""
RETRY_S: Final = (0.2, 5.0)
LOOK_EVERY_S: Final = 0.2
SIGN_EVERY_S: Final = 2.0
"""A hand-over that takes longer says so, again and again: four times within the ledger's grace of 8 s."""
BACKLOG: Final = 3
"""More windows than this waiting are a backlog."""
SAY_EVERY_S: Final = 5.0
UNSOUND: Final = "evidence_malformed"
"""The label with which the ledger refuses a bundle for what is in it."""
PASSING: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN))
"""What keeps a sound file from being read for the moment."""
ASIDE: Final = "unreadable"
"""Folder in the spool for files that no version of this reads: somebody has to look at them."""
_log = logging.getLogger("turnout.courier")

P = ParamSpec("P")
T = TypeVar("T")


class Courier:
    """Carries for one gateway. Owned by the supervisor's event loop."""

    def __init__(
        self,
        folders: WorkerFolders,
        event: Event,
        gateway: str,
        clock: Clock,
        flusher: Flusher,
        ledger: LedgerClient,
        counters: WorkerCounters,
        tracing: Tracing = OFF,
    ) -> None:
        """Carry from `folders` to `ledger`; of what is carried the registers go to `flusher` once more.

        The counters of workers that are gone go to `counters`.
        """
        self._folders = folders
        self._event = event
        self._gateway = gateway
        self._clock = clock
        self._flusher = flusher
        self._ledger = ledger
        self._tracing = tracing
        self._numbers = tuple(session.number for session in event.sessions)
        self.announcements = Announcements.of(event.interval_s)
        """What players were told and when; whoever steers puts the newer one here."""
        self._noticed: dict[int, float] = {}
        self._looked = (0, 0.0)  # window of the clock and monotonic time of the last look for windows that are due
        self._awaited = False  # whether a living worker has not closed a window that is over
        self._outgoing_file = OutgoingFile(folders.spool, event.digest)
        self._outgoing = self._outgoing_file.read()  # the bundle on its way
        self._spools: tuple[WindowSpool, ...] = ()  # what it was made of, if it was made in this run
        self._backlog_said = -SAY_EVERY_S
        self.keep_of_journals: Callable[[Sequence[Path]], None] = lambda _journals: None
        """Told of journals that are about to be deleted, in a thread: tokens go another way, and scans too."""
        self.at_work: tuple[int, float] | None = None
        """The window that is being handed over, and since when by the monotonic clock."""
        self.clocks = WorkerClocks(folders)
        self.counters = counters
        self.handed_over: Counter[str] = Counter()
        """Bundles by what the ledger said, for /metrics."""
        self.durations = Durations.none(HANDOVER_BUCKETS_S)
        """How long the ledger took to say it."""
        # One thread for the carrying, which may take seconds over a full window.
        self._thread = ThreadPoolExecutor(1, "courier")

    async def on_disk(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do disk work in the courier's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Wait until the thread has done what it is at, and end it."""
        self._thread.shutdown()

    # Windows to the ledger.

    async def carry(self) -> int:
        """Hand over every window that is over, oldest first; return how many.

        Raises:
            LedgerUnavailableError: nothing is lost; call again.
            LedgerRefusedError: nothing is lost, but the ledger does not take this bundle.
            OSError: the disk refused; nothing is lost.
        """
        carried = 0
        while (load := await self.on_disk(self._next)) is not None:
            # A crash here leaves a bundle that was kept and perhaps never sent: the next start sends the same.
            await self._hand_over(load.bundle)
            # Acknowledged: the ledger has it on disk. A crash before the files are gone hands the same over again.
            await self.on_disk(self._forget, load)
            self.at_work = None
            carried += bool(load.delete or load.aside)
        return carried

    async def _hand_over(self, bundle: bytes) -> None:
        began = time.monotonic()
        try:
            with self._tracing.work(HAND_OVER, bytes=len(bundle)):
                outcome = await self._ledger.hand_over(bundle)
        except LedgerUnavailableError:
            self.handed_over["unreachable"] += 1
            if not self._outgoing_file.is_there:
                # It holds no evidence. Made anew it may have to: by then windows were sealed without it.
                await self.on_disk(self._withdraw)
            raise
        except LedgerRefusedError as error:
            self.handed_over["refused"] += 1
            if error.reason == UNSOUND:
                # It took nothing. What was wrong may be right when the bundle is made the next time, as a clock.
                await self.on_disk(self._withdraw)
            raise
        finally:
            self.durations = self.durations.observed(time.monotonic() - began)
        self.handed_over["repeated" if outcome == "known" else "accepted"] += 1

    def _next(self) -> Outgoing | None:
        """The next bundle to hand over, with what becomes of the spool once it is; None if nothing is due."""
        if self._outgoing is None:
            self._outgoing = self._made()
        if self._outgoing is not None and self.at_work is None:
            self.at_work = (self._outgoing.window, time.monotonic())
        return self._outgoing

    def _made(self) -> Outgoing | None:
        folders = self._folders.read()
        now = self._clock.now()
        opened = {folder.worker: folder.open_window() for folder in folders}
        self._awaited = any(window is not None and window + WINDOW_S <= now for window in opened.values())
        due = sorted({w for f in folders for w in f.windows if w != opened[f.worker]})
        self._say_backlog(due, now)
        for window in due:
            lagging = {w for w, open_window in opened.items() if open_window is not None and open_window <= window}
            over = window + WINDOW_S <= now or not any(not f.dead for f in folders)
            if not over:
                break
            waits = lagging or any(folder.between_windows(window) for folder in folders)
            if waits and time.monotonic() - self._noticed.setdefault(window, time.monotonic()) < PATIENCE_S:
                break
            self.at_work = (window, time.monotonic())
            return self._bundle(window, folders, lagging, late=now >= window + 2 * WINDOW_S)
        ended = [folder for folder in folders if folder.dead and not folder.windows]
        return self._promise(ended, now) if ended else None

    def _say_backlog(self, due: Sequence[int], now: float) -> None:
        over = [window for window in due if window + WINDOW_S <= now]
        if len(over) > BACKLOG and time.monotonic() > self._backlog_said + SAY_EVERY_S:
            self._backlog_said = time.monotonic()
            _log.info("%d windows wait to be handed over, the oldest of %s", len(over), self._event.iso(over[0]))

    def _bundle(self, window: int, folders: Sequence[WorkerFolder], lagging: set[str], *, late: bool) -> Outgoing:
        self._noticed.pop(window, None)
        closed = [f for f in folders if window in f.windows and f.worker not in lagging]
        spools: list[WindowSpool] = []
        rows: list[Coverage] = []
        aside: list[Path] = []
        for folder in closed:
            offset_ms = self.clocks.offset_ms(folder)
            spool = _read(folder, window)
            if spool is None:
                aside += sorted(folder.path.glob(f"w{window}[-.]*"))
                rows.append(
                    unreadable(folder.worker, self._gateway, window, crashed=folder.dead, clock_offset_ms=offset_ms)
                )
            else:
                aside += spool.torn
                spools.append(spool)
                rows.append(coverage(spool, self._gateway, power_lost=folder.power_lost, clock_offset_ms=offset_ms))
        # One whose last row does not say that it is the last is told of by a promise, which has such a row.
        said_last = {row.worker for row in rows if row.ended_within(window)}
        ended = tuple(f.worker for f in closed if f.dead and set(f.windows) <= {window} and f.worker in said_last)
        reports = tuple(
            WorkerReport(f.worker, window + WINDOW_S, ended=f.worker in ended)
            for f in folders
            if f.worker not in lagging
        )
        segments = window_segments(self._head(window, rows), spools, self._numbers)
        nothing = not any(len(spool.records) or len(spool.journal) or any(spool.counters.values()) for spool in spools)
        # Late, a worker's last row tells that it was not there in the windows that were sealed without it.
        tells = late and ended
        if nothing and not aside and not tells and not self._event.scheduled(window):
            segments = ()
        self._spools = tuple(spools)
        outgoing = Outgoing(
            window,
            HandOver(self._event.digest, self._gateway, window, reports, segments).encode(),
            delete=self._named(path for spool in spools for path in spool.paths),
            aside=self._named(aside),
            ended=ended,
        )
        if segments:
            self._outgoing_file.keep(outgoing)
        return outgoing

    def _named(self, paths: Iterable[Path]) -> tuple[str, ...]:
        return tuple(str(path.relative_to(self._folders.spool)) for path in paths)

    def _promise(self, folders: Sequence[WorkerFolder], now: float) -> Outgoing:
        """Say that dead workers have nothing more, by rows of the window that is open: others may miss them.

        It is not kept: made anew it says the same, and holds nobody's presence that could count twice.
        """
        window = int(now) // WINDOW_S * WINDOW_S
        reports = tuple(WorkerReport(folder.worker, window, ended=True) for folder in folders)
        # After a power cut a window may have been begun of which no file is left.
        rows = tuple(
            accepted_nothing(folder.worker, self._gateway, window) for folder in folders if not folder.power_lost
        )
        segments = window_segments(self._head(window, rows), (), self._numbers) if rows else ()
        bundle = HandOver(self._event.digest, self._gateway, window, reports, segments).encode()
        return Outgoing(window, bundle, ended=tuple(folder.worker for folder in folders))

    def _head(self, window: int, rows: Iterable[Coverage]) -> SegmentHead:
        return SegmentHead(
            event_sha256=self._event.digest,
            gateway=self._gateway,
            window=window,
            interval_s=self.announcements.longest_s(window, window + WINDOW_S),
            workers=tuple(sorted(rows, key=lambda row: row.worker)),
        )

    def _forget(self, load: Outgoing) -> None:
        spool = self._folders.spool
        self._flusher.take_final(load.window, self._spools)
        # A crash among these leaves some of the files; the bundle is handed over again and the rest goes then.
        self._delete([spool / name for name in load.delete])
        for name in load.aside:
            self._put_aside(spool / name)
        for folder in self._folders.read():
            if folder.worker in load.ended and folder.dead and not folder.windows:
                self._flusher.take_last_uniques(folder)
                self.counters.retire(folder)
        self._withdraw()

    def _delete(self, paths: Sequence[Path]) -> None:
        journals = [path for path in paths if path.suffix == ".journal"]
        try:
            self.keep_of_journals(journals)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            # Only deleting makes room. A crash here leaves journals that the bundle names, and that are kept then.
            for path in paths:
                if path not in journals:
                    path.unlink(missing_ok=True)
            self.keep_of_journals(journals)
        for path in paths:
            path.unlink(missing_ok=True)

    def _withdraw(self) -> None:
        self._outgoing_file.forget()
        self._outgoing, self._spools = None, ()

    def _put_aside(self, path: Path) -> None:
        """Keep a file that could not be read, as after a power cut: somebody has to look at it."""
        aside = self._folders.spool / ASIDE
        aside.mkdir(exist_ok=True)
        if path.exists():
            path.rename(aside / f"{path.parent.name}-{path.name}")
            _log.error("%s of worker %s could not be read: it is kept in %s", path.name, path.parent.name, aside)

    def _worth_a_look(self) -> bool:
        """Whether a window may have become due: the clock is in another one, or a worker has still to close its own.

        A worker that died is found by looking now and then.
        """
        window = int(self._clock.now()) // WINDOW_S
        now = time.monotonic()
        if (
            window == self._looked[0]
            and not self._awaited
            and self._outgoing is None
            and now - self._looked[1] < LOOK_EVERY_S
        ):
            return False
        self._looked = (window, now)
        return True

    async def keep_carrying(self, pause_s: float) -> None:
        """Carry for as long as the gateway runs."""
        retry_s = 0.0
        while True:
            try:
                if self._worth_a_look():
                    await self.carry()
                wait_s, retry_s = pause_s, 0.0
            except (LedgerUnavailableError, LedgerRefusedError, OSError) as error:
                _log.warning("evidence stays in the spool for now: %s", error)
                retry_s = min(max(retry_s, RETRY_S[0]) * 2, RETRY_S[1])
                # Spread out: gateways that lost the ledger at the same moment do not all come back at one.
                wait_s = retry_s * random.uniform(0.5, 1)  # noqa: S311 - jitter
            await asyncio.sleep(wait_s)

    async def keep_saying_alive(self) -> None:
        """Tell the ledger about every hand-over that takes long, so that its window waits for it and is not late."""
        while True:
            await asyncio.sleep(SIGN_EVERY_S)
            if self.at_work is None or time.monotonic() < self.at_work[1] + SIGN_EVERY_S:
                continue
            sign = HandOver(self._event.digest, self._gateway, self.at_work[0], (), ()).encode()
            # Away or unwilling, it hears of it from the hand-over itself.
            with contextlib.suppress(LedgerUnavailableError, LedgerRefusedError):
                await self._ledger.hand_over(sign)

    # For /metrics.

    def spool_size(self) -> tuple[int, float]:
        """Bytes in the spool, and how many seconds ago the oldest window that is over ended (0 if none waits).

        From any thread.
        """
        now = self._clock.now()
        size, oldest_s = 0, 0.0
        for folder in self._folders.recent():
            for window, paths in folder.windows.items():
                size += sum(map(_size, paths))
                oldest_s = max(oldest_s, now - window - WINDOW_S)
        return size, oldest_s


def _read(folder: WorkerFolder, window: int) -> WindowSpool | None:
    """Read a window; None if it cannot be read, as after a power cut: it holds up no other.

    Raises:
        OSError: it cannot be read at the moment.
    """
    try:
        return read_window(folder.windows[window])
    except (SpoolError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in PASSING:
            raise
        _log.exception("a window of worker %s cannot be read", folder.worker)
        return None


def _size(path: Path) -> int:
    """Bytes of a file; 0 if it has been carried meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
