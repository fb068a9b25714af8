"""What one gateway's supervisor carries: evidence to the ledger, sketches to Redis, the live answer to the workers.

Whoever owns the spool carries, and nobody else: a gateway that takes over begins when the old one has let go.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import orjson

from counters.announcements import Announcements
from counters.clock import Clock
from counters.event import Event
from counters.live import LivePoller, SketchStore
from counters.live_counts import live_document
from gateway.courier import Courier
from gateway.flusher import Flusher
from gateway.ledger_client import LedgerClient, LedgerRefusedError, LedgerUnavailableError
from gateway.operations import identity_of
from gateway.processes import end_tasks
from gateway.room_keeper import RoomKeeper
from gateway.route_metrics import by_status, request_durations, requests
from gateway.steering import SteeringKeeper
from gateway.stopping import FAREWELL_S
from gateway.token_courier import TokenCourier
from gateway.tracing import Tracing
from gateway.worker_counters import WorkerCounters, outcomes
from gateway.worker_folders import WorkerFolders
from gateway.worker_measures import ROUTES, heartbeat_durations, join_durations
from gateway.worker_vitals import WorkersNow
from metrics.catalogue import ACCEPTED, HEARTBEAT_OUTCOMES
from metrics.gateway_snapshot import GatewaySnapshot

FLUSH_EVERY_S: Final = 1.0
LIVE_PAUSE_S: Final = 0.2
"""Between two rounds at least, however long Redis took over one."""
CARRY_EVERY_S: Final = 0.2
SIMULATED_CARRY_EVERY_S: Final = 0.004
"""On a simulated clock a window may last a few dozen milliseconds of real time."""
FAREWELL_AGAIN_S: Final = 0.5
LIVE_FILE: Final = "live.json"
"""In the spool: the live answer, which every worker reads."""
_log = logging.getLogger("turnout.supervisor")


class Carrying:
    """Carries for one gateway. Owned by the supervisor's event loop."""

    def __init__(
        self, event: Event, spool: Path, gateway: str, clock: Clock, live_url: str, ledger: LedgerClient,
        tracing: Tracing,
    ) -> None:  # fmt: skip
        """Prepare, in a spool that this process owns; nothing is carried yet."""
        self._event = event
        self._clock = clock
        self._ledger = ledger
        self._live_file = spool / LIVE_FILE
        self._poller = LivePoller(live_url, event)
        self._sketches = SketchStore(live_url)
        folders = WorkerFolders(spool, event.digest)
        self._flusher = Flusher(folders, event, clock, self._sketches)
        self._counters = WorkerCounters(folders, event.digest)
        self._courier = Courier(folders, event, gateway, clock, self._flusher, ledger, self._counters, tracing)
        self._tokens = TokenCourier(spool, event, ledger)
        self._rooms = RoomKeeper(folders, event, clock, live_url)
        self._courier.keep_of_journals = self._keep_of_journals
        self._steering = SteeringKeeper(spool, event, gateway, clock, ledger, self._announced)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def interval_s(self) -> int:
        """What players are told."""
        return self._steering.told.steering.interval_s

    def start(self, *, simulated: bool) -> Iterable[asyncio.Task[None]]:
        """Carry from now on; return the tasks that do, which end only by a fault."""
        if not simulated:
            self._ledger.heard = self._courier.clocks.heard
        pause_s = SIMULATED_CARRY_EVERY_S if simulated else CARRY_EVERY_S
        self._tasks = [
            asyncio.create_task(self._courier.keep_carrying(pause_s)),
            asyncio.create_task(self._courier.keep_saying_alive()),
            asyncio.create_task(self._tokens.keep_carrying()),
            asyncio.create_task(self._keep_live()),
            asyncio.create_task(self._steering.keep()),
        ]
        return self._tasks

    async def stop(self) -> None:
        """Carry no more; what was under way is over when this returns, and another may own the spool."""
        await end_tasks(self._tasks)
        # A thread is not ended by that: it may be deleting what the ledger has.
        await asyncio.to_thread(self._courier.close)
        await asyncio.to_thread(self._tokens.close)
        await asyncio.to_thread(self._flusher.close)
        await self._rooms.close()
        await self._sketches.close()
        await self._poller.close()

    async def farewell(self) -> None:
        """Flush, and hand over what the workers left, now that they have all ended."""
        await end_tasks(self._tasks)
        in_time = False
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._flusher.flush_or_say()
                await self._rooms.share_or_say()
                await _until_done(self._courier.carry, "the last windows are")
                await _until_done(self._tokens.carry, "the last tokens are")
                in_time = True
        except TimeoutError:
            pass  # said below
        left_bytes = self._courier.spool_size()[0] + self._tokens.waiting_bytes()
        if in_time and not left_bytes:
            _log.info("all handed over: nothing waits in the spool")
        else:
            said = "windows or tokens stay in the spool %s, %d bytes; the next start hands them over"
            _log.warning(said, self._live_file.parent, left_bytes)

    def _announced(self, announcements: Announcements) -> None:
        self._courier.announcements = announcements
        self._poller.announcements = announcements

    def _keep_of_journals(self, journals: Sequence[Path]) -> None:
        """Keep what else is needed of journals that the ledger has and that are about to be deleted. Blocks."""
        self._rooms.read_last(journals)
        self._tokens.take_in(journals)

    # Live numbers.

    async def _keep_live(self) -> None:
        """Once a second, send what rose and at once ask for the numbers: a heartbeat waits for one round, not two."""
        while True:
            began = time.monotonic()
            not_sent = await self._flusher.flush_or_say()
            await self._poll(await self._rooms.share_or_say() or not_sent)
            await asyncio.sleep(max(began + FLUSH_EVERY_S - time.monotonic(), LIVE_PAUSE_S))

    async def _poll(self, withheld: str) -> None:
        """Ask Redis and write the answer where every worker reads it."""
        now = self._clock.now()
        document = live_document(self._event, await self._poller.poll(now, withheld), now)
        fresh = self._live_file.with_suffix(".new")
        try:
            fresh.write_bytes(orjson.dumps(document))
            fresh.rename(self._live_file)
        except OSError as error:
            # A full disk ends no gateway. Without the file workers say that live numbers are stale.
            _log.warning("live numbers cannot be written: %s", error)
            with contextlib.suppress(OSError):
                self._live_file.unlink(missing_ok=True)

    # For /metrics.

    def snapshot(self, workers: WorkersNow) -> GatewaySnapshot:
        """Return what /metrics says. From any thread; it reads files."""
        totals, living = self._counters.totals()
        spool_bytes, oldest_s = self._courier.spool_size()
        now = self._clock.now()
        live = self._poller.last
        titles = {session.number: session.id for session in self._event.sessions} | {0: ""}
        heartbeats = outcomes(totals, "beat", HEARTBEAT_OUTCOMES)
        joins = outcomes(totals, "join", ACCEPTED)
        leaves = outcomes(totals, "leave", ("left",))
        return GatewaySnapshot(
            identity=identity_of(self._event),
            requests=by_status("beat", heartbeats, 204)
            | by_status("join", joins, 201)
            | by_status("leave", leaves, 204)
            | requests(totals, ROUTES),
            request_durations=request_durations(totals, ROUTES),
            workers=workers.running,
            workers_wanted=workers.wanted,
            places=workers.places,
            heartbeats=heartbeats,
            heartbeat_durations=heartbeat_durations(totals),
            joins=joins,
            join_durations=join_durations(totals),
            joins_waiting=workers.joins_waiting,
            checkins=outcomes(totals, "checkin", ACCEPTED),
            leaves=totals.get("leave.left", 0),
            handed_over_connections=totals.get("handed_over.connections", 0),
            handed_over_heartbeats=totals.get("handed_over.heartbeats", 0),
            heads_read=totals.get("heads.read", 0),
            live_attendees={
                (titles[row.session], channel): people
                for row in live.rows
                for channel, people in row.by_channel().items()
            },
            live_views={titles[row.session]: row.views for row in live.rows},
            live_uniques={titles[row.session]: sum(row.today) for row in live.rows},
            interval_s=self.interval_s,
            revoked=len(self._steering.told.steering.revoked),
            live_span_s=live.seen_within_s,
            live_age_s=live.age_s(now),
            live_stale=live.stale(now),
            redis_flush=self._flusher.durations,
            redis_flush_bytes=self._sketches.sent_bytes,
            sketches_sent=self._sketches.sent,
            redis_flush_failures=self._flusher.failures,
            registry_failures=totals.get("registry.away", 0),
            seats_leased=living.get("seats.leased", 0) - living.get("seats.used", 0),
            seats_used=totals.get("seats.used", 0),
            clock_offset_s=self._courier.clocks.largest_s(),
            spool_bytes=spool_bytes + self._tokens.waiting_bytes(),
            spool_oldest_s=oldest_s,
            spool_disk_free_bytes=_free_bytes(self._live_file.parent),
            handovers=self._courier.handed_over,
            handover_durations=self._courier.durations,
        )


def _free_bytes(folder: Path) -> int | None:
    """Return the room on a disk for who is not root; None: it does not say."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


async def _until_done(carry: Callable[[], Awaitable[int]], what: str) -> None:
    while True:
        try:
            await carry()
        except (LedgerUnavailableError, LedgerRefusedError, OSError) as error:
            _log.warning("%s not handed over yet: %s", what, error)
            await asyncio.sleep(FAREWELL_AGAIN_S)
        else:
            return
