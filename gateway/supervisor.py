"""The supervisor: the parent process of one gateway. It starts the workers, starts dead ones again, and carries.

Workers share one listening socket, which the supervisor holds open: a dead worker's waiting connections are another's.
The supervisor itself serves /metrics, /healthz and /readyz on the operations port, flushes sketches and hands windows
over (gateway.courier), and writes the live answer that all workers read.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson
import uvloop
from aiohttp import web

from counters.announcements import Announcements
from counters.event import Event, EventFileError, load_event
from counters.live import LivePoller, SketchStore
from counters.live_counts import live_document
from counters.secrets import Secrets, SecretsError, load_secrets
from counters.software import VERSION
from gateway.courier import Courier, as_labels
from gateway.flusher import Flusher
from gateway.ledger_client import LedgerClient, LedgerRefusedError, LedgerUnavailableError
from gateway.mendable import one_sentence
from gateway.processes import end_tasks, stop_when_told, write_json
from gateway.reasons import Reason
from gateway.steering import SteeringKeeper
from gateway.worker import DRAIN_S, READY, WorkerConfig, open_clock
from gateway.worker_folders import WorkerFolders
from metrics import exposition

FLUSH_EVERY_S: Final = 1.0
LIVE_PAUSE_S: Final = 0.2
"""Between two rounds at least, however long Redis took over one."""
CARRY_EVERY_S: Final = 0.2
SIMULATED_CARRY_EVERY_S: Final = 0.004
"""On a simulated clock a window may last a few dozen milliseconds of real time."""
RESTART_PAUSE_S: Final = (0.1, 5.0)
"""First and longest wait before a worker that died at once is started again."""
STABLE_S: Final = 10.0
LOOK_EVERY_S: Final = 0.02
STOP_S: Final = DRAIN_S + 5.0
"""After this a worker that does not stop is killed; what it accepted is in its spool."""
FAREWELL_S: Final = 4.0
"""How long a stopping gateway tries to hand its last windows over: two restarts of a ledger. The rest goes with the
next start."""
BACKLOG: Final = 4096
UNREAD_MS: Final = 90_000
"""As long as a silent connection may stay (gateway.door.IDLE_S)."""
_log = logging.getLogger("turnout.supervisor")


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What a gateway needs to know."""

    event_file: str
    secrets_file: str
    spool: str
    registry_url: str
    live_url: str
    ledger_url: str
    host: str
    port: int  # 0 = a free one
    metrics_host: str
    metrics_port: int  # 0 = a free one
    workers: int
    gateway: str  # name of this gateway in evidence
    public_url: str = ""
    clock_file: str = ""  # the simulated clock; "" = the wall clock
    ready_file: str = ""  # where to write the addresses once workers serve; "" = nowhere


class Supervisor:
    """One gateway's processes and its carrying. Owned by the event loop."""

    def __init__(self, config: GatewayConfig, event: Event, secrets: Secrets, listener: socket.socket) -> None:
        """Prepare; nothing is started yet."""
        self._config = config
        self._event = event
        self._secrets = secrets
        self._listener = listener
        self._clock = open_clock(config.clock_file)
        self._live_file = Path(config.spool) / "live.json"
        self._workers: dict[int, asyncio.subprocess.Process] = {}
        self.stopping = asyncio.Event()
        self._poller = LivePoller(config.live_url, event)
        self._sketches = SketchStore(config.live_url)
        self._folders = WorkerFolders(Path(config.spool), event.digest)
        self._flusher = Flusher(self._folders, event, self._clock, self._sketches)
        self._metrics_port = 0

    async def run(self, *, with_parent: bool) -> int:
        """Run until told to stop, or until the parent's pipe closes; return the exit code."""
        stop_when_told(self.stopping, with_parent=with_parent)
        async with LedgerClient(self._config.ledger_url, self._secrets) as ledger:
            self._courier = Courier(
                self._folders, self._event, self._config.gateway, self._clock, self._flusher, ledger
            )
            self._steering = SteeringKeeper(Path(self._config.spool), self._event, self._clock, ledger, self._announced)
            operations = await self._serve_operations()
            pause_s = SIMULATED_CARRY_EVERY_S if self._config.clock_file else CARRY_EVERY_S
            carrying = [
                asyncio.create_task(self._courier.keep_carrying(pause_s)),
                asyncio.create_task(self._keep_live()),
                asyncio.create_task(self._steering.keep()),
            ]
            keeping = [asyncio.create_task(self._keep_worker(place)) for place in range(self._config.workers)]
            failed = await self._until_stopped([*carrying, *keeping])
            await self._stop_workers(keeping)
            await end_tasks(carrying)
            await self._farewell()
            await operations.cleanup()
        self._flusher.close()
        await self._sketches.close()
        await self._poller.close()
        return 1 if failed else 0

    async def _until_stopped(self, tasks: list[asyncio.Task[None]]) -> bool:
        stopping = asyncio.create_task(self.stopping.wait())
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        faults = [fault for task in done if task is not stopping and (fault := task.exception())]
        for fault in faults:
            _log.error("the gateway stops because a part of it failed: %r", fault, exc_info=fault)
        return bool(faults)

    # Workers.

    async def _keep_worker(self, place: int) -> None:
        """Keep one worker running; one that dies is started again under a new incarnation."""
        pause_s = RESTART_PAUSE_S[0]
        while not self.stopping.is_set():
            started = time.monotonic()
            worker = os.urandom(8).hex()
            process = await self._start_worker(worker)
            self._workers[place] = process
            await self._until_serving(worker, process)
            self._say_ready()
            code = await process.wait()
            if self.stopping.is_set():
                return
            _log.error("worker %d ended with code %s and is started again; its spool is carried", process.pid, code)
            pause_s = RESTART_PAUSE_S[0] if time.monotonic() - started > STABLE_S else min(2 * pause_s, 5.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause_s)

    async def _until_serving(self, worker: str, process: asyncio.subprocess.Process) -> None:
        ready = Path(self._config.spool) / worker / READY
        # What is waited for is a file of another process: there is no event to await.
        while process.returncode is None and not self.stopping.is_set() and not ready.exists():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)

    async def _start_worker(self, worker: str) -> asyncio.subprocess.Process:
        config = WorkerConfig(
            event_file=self._config.event_file,
            secrets_file=self._config.secrets_file,
            spool=self._config.spool,
            live_file=str(self._live_file),
            registry_url=self._config.registry_url,
            ledger_url=self._config.ledger_url,
            gateway=self._config.gateway,
            worker=worker,
            listen_fd=self._listener.fileno(),
            clock_file=self._config.clock_file,
            public_url=self._config.public_url,
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.worker",
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[self._listener.fileno()],
        )  # fmt: skip
        assert process.stdin is not None  # noqa: S101 - asked for above
        process.stdin.write(config.to_json())
        await process.stdin.drain()
        return process

    async def _stop_workers(self, keeping: list[asyncio.Task[None]]) -> None:
        self.stopping.set()
        living = [process for process in self._workers.values() if process.returncode is None]
        for process in living:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in living:
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                _log.error("worker %d does not stop and is killed; its spool is carried", process.pid)
                process.kill()
                await process.wait()
        await asyncio.gather(*keeping, return_exceptions=True)

    async def _farewell(self) -> None:
        deadline = time.monotonic() + FAREWELL_S
        while time.monotonic() < deadline:
            try:
                await self._courier.carry()
            except (LedgerUnavailableError, LedgerRefusedError) as error:
                _log.warning("the last windows are not handed over yet: %s", error)
                await asyncio.sleep(RESTART_PAUSE_S[0] * 5)
            else:
                return
        _log.warning("windows stay in the spool; the next start hands them over")

    def _say_ready(self) -> None:
        """Say, once all workers serve and again whenever one was replaced, where the gateway can be reached."""
        if len(self._workers) < self._config.workers:
            return
        host, port = self._listener.getsockname()[:2]
        ready = {
            "gateway": f"http://{host}:{port}",
            "metrics": f"http://{self._config.metrics_host}:{self._metrics_port}/metrics",
            "workers": [process.pid for process in self._workers.values() if process.returncode is None],
        }
        if self._config.ready_file:
            write_json(Path(self._config.ready_file), ready)
        else:
            _log.info("%s: gateway %s, metrics %s", self._event.id, ready["gateway"], ready["metrics"])

    def _announced(self, announcements: Announcements) -> None:
        self._courier.announcements = announcements
        self._poller.announcements = announcements

    # Live numbers.

    async def _keep_live(self) -> None:
        """Once a second, send what rose and at once ask for the numbers: a heartbeat waits for one round, not two."""
        while True:
            began = time.monotonic()
            await self._poll(await self._flusher.flush_or_say())
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

    # Operations.

    async def _serve_operations(self) -> web.AppRunner:
        app = web.Application()
        app.add_routes(
            [web.get("/metrics", self._metrics), web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        )
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        site = web.TCPSite(runner, self._config.metrics_host, self._config.metrics_port)
        await site.start()
        self._metrics_port = runner.addresses[0][1]
        return runner

    async def _metrics(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's handler
        body, content_type = exposition.render(
            await asyncio.to_thread(self._snapshot),
            exposition.Vocabulary(
                tuple(session.id for session in self._event.sessions), tuple(reason.label for reason in Reason)
            ),
        )
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _snapshot(self) -> exposition.GatewaySnapshot:
        totals = self._courier.totals()
        spool_bytes, oldest_s = self._courier.spool_size()
        now = self._clock.now()
        live = self._poller.last
        titles = {session.number: session.id for session in self._event.sessions} | {0: ""}
        return exposition.GatewaySnapshot(
            identity=exposition.Identity(VERSION, self._event.id, self._event.simulated),
            workers=sum(process.returncode is None for process in self._workers.values()),
            heartbeats=as_labels(totals, "beat", ("beat.",)),
            joins=as_labels(totals, "join", ("join.",)),
            checkins=as_labels(totals, "checkin", ("checkin.",)),
            leaves=totals.get("leave.left", 0),
            handed_over_connections=totals.get("handed_over.connections", 0),
            handed_over_heartbeats=totals.get("handed_over.heartbeats", 0),
            heads_read=totals.get("heads.read", 0),
            live_attendees={titles[row.session]: row.attendees for row in live.rows},
            live_views={titles[row.session]: row.views for row in live.rows},
            interval_s=self._steering.told.steering.interval_s,
            revoked=len(self._steering.told.steering.revoked),
            live_span_s=live.seen_within_s,
            live_age_s=live.age_s(now),
            live_stale=live.stale(now),
            redis_flush=self._flusher.durations,
            redis_flush_failures=self._flusher.failures,
            registry_failures=totals.get("registry.away", 0),
            seats_leased=totals.get("seats.leased", 0),
            spool_bytes=spool_bytes,
            spool_oldest_s=oldest_s,
            handovers=self._courier.handed_over,
        )

    async def _healthz(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:  # noqa: ARG002
        running = any(process.returncode is None for process in self._workers.values())
        return web.Response(text="ready\n" if running else "no worker\n", status=200 if running else 503)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket that child processes inherit.

    Raises:
        OSError: the address is in use or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. A client that reads no answer any more is gone in the end, whoever serves it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.set_inheritable(True)
    return listener


def own_spool(spool: Path) -> int:
    """Return a descriptor that keeps other gateways off a spool for as long as it is open: two would carry it at once.

    Raises:
        OSError: another gateway runs on it.
    """
    owned = os.open(spool / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(owned)
        raise OSError(f"another gateway runs with the spool {spool}: stop it, or give this one its own") from None
    return owned


def run_gateway(config: GatewayConfig, *, with_parent: bool = False) -> int:
    """Run a gateway in this process until SIGTERM; return the exit code.

    Args:
        config: what it needs to know.
        with_parent: whether standard input is a pipe from a parent that it shall not outlive.

    Raises:
        OSError: the port or the spool is in use.
        EventFileError: the event file is not valid.
        SecretsError: the secrets cannot be read.
    """
    event = load_event(Path(config.event_file))
    secrets = load_secrets(Path(config.secrets_file))
    Path(config.spool).mkdir(parents=True, exist_ok=True)
    owned = own_spool(Path(config.spool))
    listener = bind(config.host, config.port)

    async def serve() -> int:
        return await Supervisor(config, event, secrets, listener).run(with_parent=with_parent)

    try:
        return uvloop.run(serve())
    finally:
        os.close(owned)


def main() -> None:
    """Run a gateway whose configuration is one line of JSON on standard input: how `turnout up` starts it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = GatewayConfig(**json.loads(sys.stdin.buffer.readline()))
    with one_sentence(OSError, EventFileError, SecretsError):
        sys.exit(run_gateway(config, with_parent=True))


def start_line(config: GatewayConfig) -> bytes:
    """Return the line that `main` reads."""
    return json.dumps(asdict(config)).encode() + b"\n"


if __name__ == "__main__":
    main()
