"""The supervisor: the parent process of one gateway. It starts the workers, starts dead ones again, and carries.

Workers share one listening socket, which the supervisor holds open: a dead worker's waiting connections are another's.
What it carries is in gateway.carrying; the operations port, with /metrics, /healthz and /readyz, in gateway.operations.

    SIGTERM, SIGINT    drain and stop: exit 0 within gateway.stopping.STOP_LIMIT_S
    SIGHUP             replace every worker, one place after the other (gateway.worker_places)
    a successor        hand the port and the spool on, let the workers move their players, exit 0 (gateway.take_over)
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from counters.clock import WallClock
from counters.event import Event, EventFileError, load_event
from counters.secrets import Secrets, SecretsError, load_secrets
from gateway.carrying import LIVE_FILE, Carrying
from gateway.gateway_name import claim_name, spool_id
from gateway.ledger_client import GatewayName, LedgerClient
from gateway.listening import bind, inherited
from gateway.log_output import begin_logging
from gateway.mendable import CannotServeError, SettingsError, one_sentence
from gateway.networks import NetworksError
from gateway.operations import operations, vocabulary_of
from gateway.processes import end_tasks, first_of, serve_http, stop_when_told, write_json
from gateway.quantity import quantity
from gateway.remembered import Remembered
from gateway.settings import GatewaySettings
from gateway.take_over import Predecessor, Successors, TakeOverError, ask, own_spool
from gateway.tracing import Tracing, begin_tracing
from gateway.traffic import check_traffic
from gateway.worker_config import WorkerConfig, open_clock
from gateway.worker_places import WorkerPlaces
from gateway.worker_process import WorkerProcess
from metrics.gateway_snapshot import GatewaySnapshot

_log = logging.getLogger("turnout.supervisor")


class Supervisor:
    """One gateway's processes and its carrying. Owned by the event loop."""

    def __init__(
        self, config: GatewaySettings, event: Event, secrets: Secrets, holdings: "Holdings", tracing: Tracing
    ) -> None:
        """Prepare; nothing is started yet."""
        self._tracing = tracing
        self._config = config
        self._event = event
        self._secrets = secrets
        self._holdings = holdings
        # One epoch for all workers, whenever they are started: on one host no two disagree about the window.
        self._clock = open_clock(config.clock_file)
        self._places = WorkerPlaces(config.workers, self._start_worker, self._changed, self._interval_s)
        self._complete = asyncio.Event()
        self._carrying: Carrying | None = None
        self.stopping = asyncio.Event()

    async def run(self, *, with_parent: bool) -> int:
        """Run until told to stop, until the parent's pipe closes, or until a successor serves; return the exit code.

        Raises:
            CannotServeError: the name is taken, or the workers cannot serve: only a person can mend that.
            TakeOverError: the gateway that ran here does not let go of the spool.
        """
        stop_when_told(self.stopping, with_parent=with_parent)
        # From a terminal SIGHUP says that it is gone.
        hang_up = self.stopping.set if os.isatty(0) else self._places.roll
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)
        remembered = Remembered(Path(self._config.spool), self._secrets, self._config.gateway)
        async with LedgerClient(self._config.ledger_url, self._secrets, remembered, self._tracing) as ledger:
            if not await self._has_name(ledger):
                return 0
            keeping = asyncio.create_task(self._places.keep())
            try:
                if not await self._own_spool(keeping):
                    return await self._stopped([keeping])
                return await self._carry(ledger, keeping)
            finally:
                keeping.cancel()
                await self._places.stop()

    async def _has_name(self, ledger: LedgerClient) -> bool:
        """Take this gateway's name before any worker answers; False: this gateway is to stop before that."""
        name = GatewayName(self._config.gateway, spool_id(Path(self._config.spool)), self._event.digest)
        claiming = asyncio.create_task(claim_name(ledger, name))
        await first_of(claiming, self.stopping.wait())
        if claiming.done():
            claiming.result()
            return not self.stopping.is_set()
        await end_tasks([claiming])
        return False

    async def _own_spool(self, keeping: asyncio.Task[None]) -> bool:
        """Make sure that nobody else carries; False: this gateway is to stop before that."""
        predecessor = self._holdings.predecessor
        if predecessor is None:
            return True
        await first_of(self._complete.wait(), self.stopping.wait(), keeping)
        if keeping.done() or self.stopping.is_set():
            return False
        # One that has died meanwhile has let go.
        with contextlib.suppress(OSError):
            predecessor.say_serving()
        self._holdings.owned = await predecessor.spool_is_free(Path(self._config.spool))
        _log.info("this gateway has taken over")
        return True

    async def _carry(self, ledger: LedgerClient, keeping: asyncio.Task[None]) -> int:
        spool = Path(self._config.spool)
        carrying = self._carrying = Carrying(
            self._event, spool, self._config.gateway, self._clock, self._config.live_url, ledger, self._tracing
        )

        async def snapshot() -> GatewaySnapshot:
            return await asyncio.to_thread(carrying.snapshot, self._places.now())

        for_operators = operations(vocabulary_of(self._event, self._config.workers), snapshot, self._places.missing)
        successors = Successors(spool, self._event.digest, self._holdings.players, self._holdings.operators)
        operators = await serve_http(for_operators, self._holdings.operators.dup())
        work = [keeping, *carrying.start(simulated=bool(self._config.clock_file))]
        self._changed()
        succeeded = asyncio.create_task(successors.until_one_serves())
        await first_of(self.stopping.wait(), succeeded, *work)
        try:
            if succeeded.done() and not self.stopping.is_set():
                await operators.cleanup()
                await carrying.stop()
                # The successor carries from here on, also what this gateway's workers have still to accept.
                os.close(self._holdings.owned)
                keeping.cancel()
                _log.info("handed over to a new gateway; the players move")
                await first_of(self._places.move_on(), self.stopping.wait())
                return 0
            succeeded.cancel()
            code = await self._stopped(work)
            if self.stopping.is_set():
                _log.info("draining: %s to finish what is under way", quantity(len(self._places.serving()), "worker"))
            await self._places.stop()
            await carrying.farewell()
            await operators.cleanup()
            return code
        finally:
            await carrying.stop()

    async def _stopped(self, work: Iterable[asyncio.Task[None]]) -> int:
        """Say why this gateway stops, if it was not told to; return its exit code.

        Raises:
            CannotServeError: that is why.
        """
        faults = [fault for task in work if task.done() and not task.cancelled() and (fault := task.exception())]
        for fault in faults:
            if isinstance(fault, CannotServeError):
                raise fault
            _log.error("the gateway stops because a part of it failed: %r", fault, exc_info=fault)
        return 1 if faults else 0

    async def _start_worker(self, seats_first: bool) -> WorkerProcess:
        config = WorkerConfig.sharing(
            self._config,
            worker=os.urandom(8).hex(),
            listen_fd=self._holdings.players.fileno(),
            live_file=str(Path(self._config.spool) / LIVE_FILE),
            epoch=self._clock.epoch if isinstance(self._clock, WallClock) else 0.0,
            event_sha256=self._event.digest,
            # The workers of a gateway that is not taken over from yet have seats, too.
            seats_first=seats_first or self._holdings.owned < 0,
        )
        return await WorkerProcess.start(config)

    def _interval_s(self) -> int:
        return self._carrying.interval_s if self._carrying else self._event.interval_s

    def _changed(self) -> None:
        """Say, once all workers serve and again whenever one was replaced, where the gateway can be reached."""
        if not self._places.complete:
            return
        self._complete.set()
        if self._carrying is None:
            return
        host, port = self._holdings.players.getsockname()[:2]
        metrics_host, metrics_port = self._holdings.operators.getsockname()[:2]
        ready = {
            "gateway": f"http://{host}:{port}",
            "metrics": f"http://{metrics_host}:{metrics_port}/metrics",
            "workers": self._places.serving(),
        }
        if self._config.ready_file:
            try:
                write_json(Path(self._config.ready_file), ready)
            except OSError as error:
                _log.warning("%s cannot be written: %s", self._config.ready_file, error)
        else:
            _log.info("%s: gateway %s, metrics %s", self._event.id, ready["gateway"], ready["metrics"])


@dataclass(slots=True)
class Holdings:
    """What a gateway holds for as long as it runs: its two ports, and the lock of its spool."""

    players: socket.socket
    operators: socket.socket
    owned: int = -1  # descriptor of the spool's lock; -1 = the predecessor's still
    predecessor: Predecessor | None = None

    @classmethod
    def take(cls, config: GatewaySettings, event_sha256: str) -> "Holdings":
        """Open the ports and lock the spool, or get them from the gateway that has them.

        Raises:
            OSError: a port or the spool is in use.
            TakeOverError: the gateway that runs does not hand on.
        """
        spool = Path(config.spool)
        try:
            owned = own_spool(spool)
        except BlockingIOError:
            if not config.take_over:
                raise
            predecessor = ask(spool, event_sha256)
            return cls(predecessor.players, predecessor.operators, predecessor=predecessor)
        players = inherited(os.environ) or bind(config.host, config.port)
        return cls(players, bind(config.metrics_host, config.metrics_port), owned)


def run_gateway(config: GatewaySettings, *, with_parent: bool = False) -> int:
    """Run a gateway in this process until SIGTERM; return the exit code.

    Args:
        config: what it needs to know.
        with_parent: whether standard input is a pipe from a parent that it shall not outlive.

    Raises:
        OSError: the port or the spool is in use.
        EventFileError: the event file is not valid.
        SecretsError: the secrets cannot be read.
        NetworksError: the list of networks, or that of proxies, cannot be used.
        CannotServeError: the workers cannot serve, for a reason that only a person can mend.
        TakeOverError: the gateway that runs on the spool is not to be taken over.
        SettingsError: settings contradict each other, or a file with a password cannot be read.
    """
    event = load_event(Path(config.event_file))
    config = config.completed(event)
    secrets = load_secrets(Path(config.secrets_file))
    check_traffic(config.networks_file, config.trusted_proxies)
    Path(config.spool).mkdir(parents=True, exist_ok=True)
    holdings = Holdings.take(config, event.digest)

    async def serve() -> int:
        code = await Supervisor(config, event, secrets, holdings, tracing).run(with_parent=with_parent)
        _log.info("ended")
        return code

    # The lock and the ports go with the process.
    with contextlib.closing(begin_tracing(config.traces, config.traces_share, "gateway")) as tracing:
        return uvloop.run(serve())


def main() -> None:
    """Run a gateway whose configuration is one line of JSON on standard input: how `turnout up` starts it."""
    config = GatewaySettings.from_line(sys.stdin.buffer.readline())
    begin_logging(config.log_format, config.log_level, "gateway")
    with one_sentence(
        OSError, EventFileError, SecretsError, NetworksError, CannotServeError, TakeOverError, SettingsError
    ):
        sys.exit(run_gateway(config, with_parent=True))


if __name__ == "__main__":
    main()
