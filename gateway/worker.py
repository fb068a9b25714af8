"""A worker: one process, one event loop, one tally, one door. `python -m gateway.worker`, started by the supervisor.

Its configuration comes as one line of JSON on standard input, which then stays open: when it closes, the supervisor is
gone, and the worker drains and stops as on SIGTERM.
"""

import asyncio
import contextlib
import gc
import logging
import socket
import sys
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop
from aiohttp import web

from counters.cells import Cells
from counters.clock import Clock, SimulatedClock, WallClock
from counters.event import Event, load_event
from counters.registry import SeatRegistry
from counters.secrets import Secrets, load_secrets
from counters.spool import SpoolIdentity, create_worker_folder
from counters.steering import Steering
from counters.tally import Tally
from gateway import door, viewer_api
from gateway import heartbeats as heartbeat_module
from gateway.admission import Admission
from gateway.announcement import Announcement
from gateway.answers import Answers
from gateway.checkin import CheckIns
from gateway.door import IDLE_S, DoorKeeper
from gateway.heartbeats import Heartbeats
from gateway.identity import IdentityVerifier
from gateway.join import Joins
from gateway.join_desk import JoinDesk
from gateway.ledger_client import LedgerClient, WorkerName
from gateway.processes import allow_many_files, end_tasks, stop_when_told
from gateway.relay import LedgerRelay
from gateway.relay_batches import RelayBatches
from gateway.seats import SeatLease, Seats
from gateway.steering import SteeringFollower
from gateway.viewer_api import ViewerApi
from gateway.viewing_token import TokenKeys

TICK_S: Final = 0.1
"""How late a quiet worker may close its window."""
SIMULATED_TICK_S: Final = 0.004
"""The same on a simulated clock, where a window may last a few dozen milliseconds of real time."""
SWEEP_S: Final = 5.0
DRAIN_S: Final = 10.0
"""Requests under way get this long to finish when the worker stops."""
LISTEN_BACKLOG: Final = 4096
SEATS_PATIENCE_S: Final = 3.0
"""A starting worker waits this long for its first seats; then it serves those who have joined already."""
READY: Final = "ready"
"""Name of the file in the worker's folder that says that it serves."""
_log = logging.getLogger("turnout.worker")


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What the supervisor tells a worker."""

    event_file: str
    secrets_file: str
    spool: str
    live_file: str
    registry_url: str
    ledger_url: str
    gateway: str
    worker: str  # 16 hex digits: this incarnation
    listen_fd: int
    clock_file: str  # "" = the wall clock
    public_url: str

    def to_json(self) -> bytes:
        """Return the line that goes to the worker's standard input."""
        return orjson.dumps(asdict(self)) + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> "WorkerConfig":
        """Read that line."""
        return cls(**orjson.loads(line))


def open_clock(clock_file: str) -> Clock:
    """Return the simulated clock in a file, or the wall clock if there is none."""
    return SimulatedClock(Path(clock_file)) if clock_file else WallClock.start()


def cell_names() -> tuple[str, ...]:
    """The names of a worker's counters, in the order of the file."""
    return (*heartbeat_module.CELLS, *viewer_api.CELLS, *door.CELLS)


class Worker:
    """Everything that one worker owns."""

    def __init__(self, config: WorkerConfig, event: Event, secrets: Secrets) -> None:
        """Open spool, tally and connections; nothing is served yet."""
        self.config = config
        self.event = event
        self.secrets = secrets
        self.clock = open_clock(config.clock_file)
        numbers = tuple(session.number for session in event.sessions)
        spool_identity = SpoolIdentity(config.worker, config.gateway, event.digest, len(numbers))
        self.folder, self._lock = create_worker_folder(Path(config.spool), spool_identity)
        self.cells = Cells(self.folder / "cells", cell_names())
        self.tally = Tally(self.folder, spool_identity, self.clock, numbers, self.cells, event.day)
        keys = TokenKeys.derive(secrets, event.id)
        self.announcement = Announcement(event.interval_s)
        self.heartbeats = Heartbeats(keys, self.tally, self.cells, self.clock)
        self.batches = RelayBatches(keys, self.tally, self.cells, self.heartbeats)
        self.lease = SeatLease(lambda seats: self.cells.add("seats.leased", seats))
        self.registry = SeatRegistry(config.registry_url, event.id)
        self.seats = seats = Seats(self.registry, self.lease, self.cells.add)
        identities = IdentityVerifier(event, self.clock.now)
        self.joins = Joins(event, secrets, keys, identities, seats, self.tally, self.clock)
        admission = Admission()
        self.desk = JoinDesk(event, self.joins, admission, self.cells, self.announcement, config.public_url)
        self.relay = LedgerRelay(config.ledger_url)
        self.api = ViewerApi(
            event=event,
            secrets=secrets,
            heartbeats=self.heartbeats,
            batches=self.batches,
            desk=self.desk,
            checkins=CheckIns(event, secrets, self.joins, seats, self.registry, self.tally, self.clock),
            cells=self.cells,
            relay=self.relay,
            read_live=self._read_live,
            is_ready=self._missing,
            announcement=self.announcement,
        )
        self.answers = Answers(self.announcement)
        self._follower = SteeringFollower(Path(config.spool), event, self._steer)
        self.stopping = asyncio.Event()

    def _steer(self, steering: Steering) -> None:
        self.announcement.interval_s = steering.interval_s
        self.heartbeats.revoked = steering.revoked
        self.joins.revoked = steering.revoked

    def _read_live(self) -> dict[str, Any]:
        try:
            return viewer_api.read_live_file(Path(self.config.live_file).read_bytes())
        except (OSError, ValueError, TypeError):
            return {"event": self.event.id, "as_of": self.event.iso(self.clock.now()), "stale": True, "numbers": []}

    def _missing(self) -> str:
        if self.stopping.is_set():
            return "draining"
        if not self.tally.accepting:
            return "no room on the disk for the spool"
        return "" if self.lease.ready else "no seats from the ledger yet"

    async def run(self) -> None:
        """Serve until told to stop, then drain."""
        loop = asyncio.get_running_loop()
        stop_when_told(self.stopping, with_parent=True)
        runner = web.AppRunner(self.api.application(), access_log=None, handle_signals=False, keepalive_timeout=IDLE_S)
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - set by setup()
        doors = DoorKeeper(self.heartbeats, self.batches, self.desk, self.answers, self.cells, runner.server)
        halt = threading.Event()
        keeper = threading.Thread(target=self.tally.keep, args=(halt,), daemon=True)
        keeper.start()
        name = WorkerName(self.config.worker, self.config.gateway, self.event.digest)
        async with LedgerClient(self.config.ledger_url, self.secrets) as ledger:
            works = (self.lease.keep(ledger, name), self.seats.keep_claiming(), self._tick(doors))
            tasks = [asyncio.create_task(work) for work in works]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.lease.leased.wait(), SEATS_PATIENCE_S)
            listener = socket.socket(fileno=self.config.listen_fd)
            server = await loop.create_server(doors, sock=listener, backlog=LISTEN_BACKLOG)
            # What is here now stays to the end: a full collection would stop the loop for tens of milliseconds over it.
            gc.collect()
            gc.freeze()
            (self.folder / READY).touch()
            await self._until_stopped(tasks)
            # Drain: first no new connections, then the requests under way, then the last window.
            server.close()
            await doors.close_all(DRAIN_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(runner.cleanup(), DRAIN_S)
            await end_tasks(tasks)
        await self.relay.close()
        await self.seats.farewell()
        await self.registry.close()
        halt.set()
        self.tally.close(int(self.clock.now() * 1000))

    async def _until_stopped(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        waiting = asyncio.create_task(self.stopping.wait())
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        for task in done - {waiting}:
            # A background task ends only by a fault, for example a ledger that refuses this gateway for good.
            _log.error("the worker stops: %s", task.exception())
            self.failed = True

    failed = False

    async def _tick(self, doors: DoorKeeper) -> None:
        loop = asyncio.get_running_loop()
        pause_s = SIMULATED_TICK_S if self.config.clock_file else TICK_S
        second = sweep_at = 0.0
        while True:
            self.tally.advance()
            now = loop.time()
            if now >= second + 1:
                second = now
                self.heartbeats.tick()
                self._follower.look()
                self.answers.refresh(self.clock.now())
            if now >= sweep_at + SWEEP_S:
                sweep_at = now
                doors.sweep(now)
            await asyncio.sleep(pause_s)


async def _serve(config: WorkerConfig, event: Event, secrets: Secrets) -> bool:
    worker = Worker(config, event, secrets)
    await worker.run()
    return not worker.failed


def main() -> None:
    """Read the configuration and serve."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # aiohttp logs a traceback for whatever is not HTTP: on a public port anybody could fill the disk with it. What goes
    # wrong in a handler is logged by gateway.problems.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    allow_many_files()
    config = WorkerConfig.from_json(sys.stdin.buffer.readline())
    served = uvloop.run(_serve(config, load_event(Path(config.event_file)), load_secrets(Path(config.secrets_file))))
    sys.exit(0 if served else 3)


if __name__ == "__main__":
    main()
