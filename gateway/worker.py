"""A worker: one process, one event loop, one tally, one door. `python -m gateway.worker`, started by the supervisor.

Its configuration comes as one line of JSON on standard input, which then stays open: when it closes, the supervisor is
gone, and the worker drains and stops as on SIGTERM. On SIGUSR1 it knows that another worker has its place: it accepts
no more, answers each of its players once more with `Connection: close`, and then drains (gateway.stopping).
"""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop
from aiohttp import web

from counters.cells import Cells
from counters.clock import WallClock
from counters.event import Event, EventFileError, load_event
from counters.ledger_clock import ClockWatch
from counters.registry import SeatRegistry
from counters.sealed_token import TokenSeal
from counters.secrets import Secrets, SecretsError, load_secrets
from counters.spool import SpoolIdentity
from counters.spool_lock import create_worker_folder
from counters.tally import Tally
from gateway import door_keeper, viewer_api, worker_measures
from gateway import heartbeats as heartbeat_module
from gateway.admission import Admission
from gateway.announcement import Announcement
from gateway.answers import Answers
from gateway.checkin import CheckIns
from gateway.door import Door
from gateway.door_keeper import IDLE_S, DoorKeeper
from gateway.gateway_name import NAME_TAKEN, spool_id
from gateway.heartbeats import Heartbeats
from gateway.identity import IdentityVerifier
from gateway.join import Joins
from gateway.join_desk import JoinDesk
from gateway.ledger_client import LedgerClient, LedgerRefusedError, WorkerName
from gateway.log_output import begin_logging
from gateway.loop_lag import LoopLag
from gateway.mendable import EXIT_CODE, CannotServeError
from gateway.networks import Networks, NetworksError, read_networks
from gateway.processes import allow_many_files, end_tasks, first_of, stop_when_told
from gateway.relay import LedgerRelay
from gateway.relay_batches import RelayBatches
from gateway.remembered import Remembered
from gateway.retaining import Retaining
from gateway.seats import SeatLease, Seats
from gateway.steering import SteeringFollower, Told
from gateway.stopping import DRAIN_S, LAST_READ_S, moving_s
from gateway.tracing import OFF, Tracing, begin_tracing
from gateway.traffic import Traffic, trusted_proxies
from gateway.viewer_api import ViewerApi
from gateway.viewing_token import TokenKeys
from gateway.worker_config import MOVE_ON, READY, WorkerConfig, open_clock
from gateway.worker_counters import CELLS, MEASURES
from gateway.worker_line import WorkerLine, WorkerState
from gateway.worker_measures import WorkerMeasures

TICK_S: Final = 0.1
"""How late a quiet worker may close its window."""
SIMULATED_TICK_S: Final = 0.004
"""The same on a simulated clock, where a window may last a few dozen milliseconds of real time."""
SWEEP_S: Final = 5.0
LISTEN_BACKLOG: Final = 4096
SEATS_PATIENCE_S: Final = 3.0
"""A starting worker waits this long for its first seats; then it serves those who have joined already."""
REFUSED_PAUSE_S: Final = 5.0
"""Between two tries when the ledger refuses a worker that serves already."""
_log = logging.getLogger("turnout.worker")


def _retaining(event: Event, secrets: Secrets) -> Retaining:
    if event.tokens_until is None:
        return Retaining(None)
    return Retaining(TokenSeal(secrets.audit_key, event.digest), event.tokens_until.timestamp())


def _traffic(config: WorkerConfig, secrets: Secrets) -> Traffic:
    networks = Networks()
    try:
        networks = read_networks(Path(config.networks_file)) if config.networks_file else networks
    except (NetworksError, OSError) as error:
        # It was sound when the gateway started. Nobody is turned away over a list that only flags.
        _log.error("joins are not flagged by their network: %s", error)
    return Traffic(secrets.derive("address"), networks, trusted_proxies(config.trusted_proxies))


def cell_names() -> tuple[str, ...]:
    """The names of a worker's counters, in the order of the file."""
    return (*heartbeat_module.CELLS, *viewer_api.CELLS, *door_keeper.CELLS)


class Worker:
    """Everything that one worker owns."""

    def __init__(self, config: WorkerConfig, event: Event, secrets: Secrets, tracing: Tracing = OFF) -> None:
        """Open spool, tally and connections; nothing is served yet."""
        self.config = config
        self.event = event
        self.secrets = secrets
        self.clock = open_clock(config.clock_file, config.epoch)
        self._epoch = self.clock.epoch if isinstance(self.clock, WallClock) else None
        self._clock_watch = ClockWatch(Path(config.spool), self._epoch)
        numbers = tuple(session.number for session in event.sessions)
        spool_identity = SpoolIdentity(config.worker, config.gateway, event.digest, len(numbers))
        self.folder, self._lock = create_worker_folder(Path(config.spool), spool_identity, self._epoch)
        self.cells = Cells(self.folder / CELLS, cell_names())
        self.measures = WorkerMeasures(Cells(self.folder / MEASURES, worker_measures.NAMES, len(worker_measures.NAMES)))
        self.tally = Tally(self.folder, spool_identity, self.clock, numbers, self.cells, event.day)
        keys = TokenKeys.derive(secrets, event.id)
        self.announcement = Announcement(event.interval_s)
        self.heartbeats = Heartbeats(keys, self.tally, self.cells, self.clock)
        self.batches = RelayBatches(keys, self.tally, self.cells, self.heartbeats)
        self.lease = SeatLease(self._leased)
        self.registry = SeatRegistry(config.registry_url, event.id)
        self.seats = seats = Seats(self.registry, self.lease, self.cells.add)
        self.identities = IdentityVerifier(event, self.clock.now)
        retaining = _retaining(event, secrets)
        traffic = _traffic(config, secrets)
        self.joins = Joins(event, secrets, keys, self.identities, seats, self.tally, self.clock, retaining, traffic)
        self.admission = Admission()
        self.desk = JoinDesk(
            event, self.joins, self.admission, self.cells, self.announcement, config.public_url, tracing
        )
        self.relay = LedgerRelay(config.ledger_url, tracing)
        self.api = ViewerApi(
            event=event,
            secrets=secrets,
            heartbeats=self.heartbeats,
            batches=self.batches,
            desk=self.desk,
            checkins=CheckIns(event, secrets, self.joins, seats, self.registry, self.tally, self.clock, retaining),
            cells=self.cells,
            measures=self.measures,
            relay=self.relay,
            read_live=self._read_live,
            is_ready=self._missing,
            announcement=self.announcement,
            tracing=tracing,
        )
        self.answers = Answers(self.announcement)
        self._follower = SteeringFollower(Path(config.spool), event, self._steer)
        self.stopping = asyncio.Event()
        self._replaced = asyncio.Event()
        self._serving = False
        self._refusal = ""
        self._line = WorkerLine()
        self._lag = LoopLag()
        self._connections = self._joins_waiting = 0  # as they were a second ago

    def _steer(self, told: Told) -> None:
        self.announcement.interval_s = told.steering.interval_s
        self.heartbeats.revoked = told.steering.revoked
        self.joins.revoked = told.steering.revoked
        self.identities.follow(told.keys)

    def _leased(self, seats: int) -> None:
        self.cells.add("seats.leased", seats)
        self._refusal = ""

    def _read_live(self) -> dict[str, Any]:
        try:
            return viewer_api.read_live_file(Path(self.config.live_file).read_bytes())
        except (OSError, ValueError, TypeError):
            return {"event": self.event.id, "as_of": self.event.iso(self.clock.now()), "stale": True, "numbers": []}

    def _missing(self) -> str:
        if self.stopping.is_set() or self._replaced.is_set():
            return "it is stopping"
        if not self.tally.accepting:
            return "no room on the disk for the spool"
        if not self.tally.admitting:
            return "the disk of the spool is almost full: newcomers are refused, heartbeats are taken while they fit"
        if self._refusal:
            return self._refusal
        if too_far_off := self._clock_watch.too_far_off:
            return too_far_off
        return "" if self.lease.ready else "no seats from the ledger yet"

    async def run(self) -> None:
        """Serve until told to stop, then drain.

        Raises:
            CannotServeError: the ledger refuses this gateway.
        """
        loop = asyncio.get_running_loop()
        stop_when_told(self.stopping, with_parent=True)
        loop.add_signal_handler(MOVE_ON, self._replaced.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the supervisor's business
        runner = web.AppRunner(
            self.api.application(), access_log=None, handle_signals=False, keepalive_timeout=IDLE_S,
            shutdown_timeout=DRAIN_S,
        )  # fmt: skip
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - set by setup()
        doors = DoorKeeper(
            self.heartbeats, self.batches, self.desk, self.answers, self.cells, self.measures, runner.server
        )
        halt = threading.Event()
        keeper = threading.Thread(target=self.tally.keep, args=(halt,), daemon=True)
        keeper.start()
        remembered = Remembered(Path(self.config.spool), self.secrets, self.config.gateway)
        async with LedgerClient(self.config.ledger_url, self.secrets, remembered) as ledger:
            works = (self._keep_seats(ledger), self.seats.keep_claiming(), self._tick(doors, runner.server))
            tasks = [asyncio.create_task(work) for work in works]
            patience = [] if self.config.seats_first else [asyncio.sleep(SEATS_PATIENCE_S)]
            await first_of(self.lease.leased.wait(), self.stopping.wait(), *patience, *tasks)
            try:
                if not any(task.done() for task in tasks):
                    await self._serve(doors, runner, tasks)
            finally:
                await end_tasks(tasks)
                halt.set()
                self.tally.close(int(self.clock.now() * 1000))
                await self.seats.farewell()
                await self.relay.close()
                await self.registry.close()
            for task in tasks:
                if not task.cancelled():
                    task.result()

    async def _serve(self, doors: DoorKeeper, runner: web.AppRunner, tasks: Iterable[asyncio.Task[None]]) -> None:
        listener = socket.socket(fileno=self.config.listen_fd)
        server = await asyncio.get_running_loop().create_server(
            partial(Door, doors), sock=listener, backlog=LISTEN_BACKLOG
        )
        # What is here now stays to the end: a full collection would stop the loop for tens of milliseconds over it.
        gc.collect()
        gc.freeze()
        self._serving = True
        with contextlib.suppress(OSError):  # a full disk
            (self.folder / READY).touch()
        self._say_how_it_is()
        await first_of(self.stopping.wait(), self._replaced.wait(), *tasks)
        # First no new connections: those that wait are another worker's. From here on every answer is the last one on
        # its connection, and the client, told so, takes a new one.
        server.close()
        doors.take_leave()
        if self._replaced.is_set():
            moved = doors.all_gone(moving_s(self.announcement.interval_s))
            await first_of(moved, self.stopping.wait(), *tasks)
        until = time.monotonic() + DRAIN_S
        await doors.all_gone(LAST_READ_S)
        await doors.close_all(until - time.monotonic())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), max(until - time.monotonic(), 0.0))

    async def _keep_seats(self, ledger: LedgerClient) -> None:
        """Keep spare seats; a ledger that refuses is a fault at the start, and only a reason not to be ready later."""
        instance = spool_id(Path(self.config.spool))
        name = WorkerName(self.config.worker, self.config.gateway, self.event.digest, instance)
        while True:
            try:
                await self.lease.keep(ledger, name)
            except LedgerRefusedError as error:
                # Whose the name is, the supervisor asks until it is sure.
                if not self._serving and error.reason != NAME_TAKEN:
                    raise CannotServeError(str(error)) from None
                _log.error("heartbeats go on, and joins while there are seats: %s", error)
                self._refusal = str(error)
            await asyncio.sleep(REFUSED_PAUSE_S)

    async def _tick(self, doors: DoorKeeper, server: web.Server) -> None:
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
                self._clock_watch.look()
                self.answers.refresh(self.clock.now())
                self._connections = len(doors.doors) + len(server.connections)
                self._joins_waiting = doors.waiting + self.admission.present
                self._say_how_it_is()
            if now >= sweep_at + SWEEP_S:
                sweep_at = now
                doors.sweep(now)
            await self._lag.sleep(pause_s)

    def _say_how_it_is(self) -> None:
        self._line.say(
            WorkerState(
                serving=self._serving,
                missing=self._missing(),
                connections=self._connections,
                joins_waiting=self._joins_waiting,
                lag_s=self._lag.take(),
            )
        )


async def _run(config: WorkerConfig, event: Event, secrets: Secrets, tracing: Tracing) -> None:
    await Worker(config, event, secrets, tracing).run()


def serve(config: WorkerConfig) -> int:
    """Run a worker until it is told to stop; return its exit code."""
    try:
        event, secrets = load_event(Path(config.event_file)), load_secrets(Path(config.secrets_file))
        if config.event_sha256 not in {"", event.digest}:
            raise CannotServeError(  # noqa: TRY301 - said as the others are
                f"{config.event_file} is not the event any more that this gateway runs: what a running event counts by "
                "is in its log. Put the file back as it was; another event needs a gateway of its own"
            )
        with contextlib.closing(begin_tracing(config.traces, config.traces_share, "worker")) as tracing:
            uvloop.run(_run(config, event, secrets, tracing))
    except (CannotServeError, EventFileError, SecretsError) as error:
        _log.error("%s", error)
        WorkerLine().say(WorkerState(missing=str(error), refusal=str(error)))
        return EXIT_CODE
    return 0


def main() -> None:
    """Read the configuration and serve."""
    allow_many_files()
    config = WorkerConfig.from_line(sys.stdin.buffer.readline())
    begin_logging(config.log_format, config.log_level, "worker", worker=config.worker)
    # aiohttp logs a traceback for whatever is not HTTP: on a public port anybody could fill the disk with it. What goes
    # wrong in a handler is logged by gateway.problems.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    sys.exit(serve(config))


if __name__ == "__main__":
    main()
