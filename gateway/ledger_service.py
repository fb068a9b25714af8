"""The ledger's process: seals windows, serves its gateways (gateway.gateway_api), the log and the organiser.

Everything that changes the ledger runs in one thread of its own (gateway.ledger_thread); certificates are computed
beside it.
"""

import asyncio
import contextlib
import logging
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Final

import uvloop
from aiohttp import web

from counters import issuing, roll_sealing
from counters.clock import Clock, SimulatedClock, WallClock
from counters.cosigned import keep_cosigned
from counters.disk import DISK, Disk
from counters.durable_file import make_folder, write_durably
from counters.event import Event, EventFileError, load_event
from counters.ledger.log import Log, LogError
from counters.ledger.writer_folder import log_begun
from counters.live import LivePoller
from counters.live_counts import live_document
from counters.log_key import LOG_KEY, load_or_create_signer
from counters.sealing import OtherEventError, Sealer
from counters.secrets import SECRETS_FILE, Secrets, SecretsError, bind_to_log, load_or_create_secrets, require_log
from counters.setback import Setback
from counters.trust_policy import POLICY_FILE, policy_of
from gateway.audit_api import AuditApi
from gateway.certifying import Certifying
from gateway.gateway_api import HAND_OVER_LIMIT_BYTES, GatewayApi
from gateway.issuer_keys_api import IssuerKeysApi
from gateway.ledger_metrics import ROUTES, LedgerMetrics
from gateway.ledger_parts import LedgerParts
from gateway.ledger_thread import LedgerThread
from gateway.log_files import LogFiles
from gateway.log_output import begin_logging
from gateway.lookout import Lookout
from gateway.mendable import SettingsError, one_sentence
from gateway.operations import operations, probes, vocabulary_of
from gateway.organiser import Organiser
from gateway.problems import Refused, json_response, problems, read_json
from gateway.processes import address_of, serve_http, stop_when_told, write_json
from gateway.reasons import Reason
from gateway.receipts_api import Receipts
from gateway.request_ids import request_ids
from gateway.roll_keeper import RollKeeper
from gateway.route_metrics import OwnRequests
from gateway.settings import LedgerSettings
from gateway.steering_api import SteeringApi, announced
from gateway.timestamping import Timestamping
from gateway.token_keeper import TokenKeeper
from gateway.tracing import Tracing, begin_tracing
from gateway.verifier.served import page_route
from gateway.window_watch import WindowWatch
from gateway.witness_addresses import WitnessesError, remember_addresses
from gateway.witness_quorum import FIRST_ANSWER_S, WitnessQuorum

LOOK_EVERY_S: Final = 0.01
UNSEALED_LIMIT: Final = 32
"""A jump of the simulated clock waits while more windows than this are unsealed."""
LIVE_EVERY_S: Final = 1.0
_log = logging.getLogger("turnout.ledger")


class LedgerService:
    """One ledger behind HTTP. Owned by its event loop; the sealer belongs to the ledger thread."""

    def __init__(
        self, config: LedgerSettings, event: Event, secrets: Secrets, clock: Clock, tracing: Tracing, disk: Disk = DISK
    ) -> None:
        """Open the data directory.

        Raises:
            OtherEventError: it belongs to another event.
            LogLockedError: another ledger owns it.
        """
        self._config = config
        self._event = event
        self._secrets = secrets
        self._clock = clock
        self._tracing = tracing
        self._data = Path(config.data)
        self._certificates = self._data / "certificates"
        signer = load_or_create_signer(self._data / LOG_KEY, config.log_origin, disk)
        self._verifier = signer.verifier
        begun = not log_begun(self._data / "log")
        self._sealer = Sealer(self._data, event, secrets.pseudonym_commitment, signer, clock.now(), disk)
        issuing.complete(self._sealer, self._certificates)
        self._thread = LedgerThread(self._sealer, clock, simulated=event.simulated, tracing=tracing)
        setback = Setback(self._data, self._sealer, disk)
        self._lookout = Lookout(setback, secrets, self._sealer.sighting, self._thread.keep, begun=begun)
        self._tokens = TokenKeeper(self._data, event, secrets, clock, disk)
        parts = LedgerParts(
            self._data, event, secrets, clock, self._sealer, self._verifier, self._thread, self._lookout, tracing
        )
        self._gateways = GatewayApi(parts, self._tokens)
        self._quorum = WitnessQuorum(event, self._sealer.log, self._verifier, self._show, self._thread.do)
        self._thread.held = self._quorum.held
        self._rolls = RollKeeper(parts, self._tokens.note_roll)
        self._rolls.complete()
        self._poller = LivePoller(config.live_url, event)
        self._live_polled_at = 0.0
        self._organiser = Organiser(event, secrets, Certifying(parts, self._quorum, self._rolls, self._until_sealed))
        folders = self._data / "log", self._certificates
        self._timestamping = Timestamping(config.timestamp_url, self._sealer.log, folders, self._thread, disk)
        self._audits = AuditApi(parts, self._organiser, self._rolls)
        self._keys = IssuerKeysApi(parts, self._organiser)
        self._steering = SteeringApi(parts, self._organiser, self._gateways.names)
        self._receipts = Receipts(parts, signer, self._data / roll_sealing.FOLDER)
        self._watch = WindowWatch(self._sealer)
        self._requests = OwnRequests(ROUTES)
        self._metrics = LedgerMetrics(
            parts, self._requests, self._gateways.names, self._quorum, self._timestamping, self._watch
        )
        self.stopping = asyncio.Event()

    @property
    def first_entry(self) -> bytes:
        """Leaf 0 of the log."""
        return self._sealer.log.entry(0)

    def _why_not_ready(self) -> str:
        """Why the ledger does not seal, or does not publish, in one line; "" if it does."""
        causes = [self._thread.refused, self._lookout.why_not(), self._quorum.why_not_ready()]
        return "; ".join(cause for cause in causes if cause)

    # Life.

    async def run(self, *, with_parent: bool) -> int:
        """Serve until told to stop; return the exit code."""
        stop_when_told(self.stopping, with_parent=with_parent)
        config = self._config
        runner = await serve_http(self._application(), (config.host, config.port))
        for_operators = operations(vocabulary_of(self._event), self._metrics.snapshot, self._why_not_ready)
        operators = await serve_http(for_operators, (config.metrics_host, config.metrics_port))
        ready = {
            "ledger": address_of(runner),
            "metrics": f"{address_of(operators)}/metrics",
            "log": self._verifier.encode(),
            "event_sha256": self._event.digest,
        }
        write_durably(self._data / POLICY_FILE, policy_of(self._event, self._verifier).encode(), disk=self._sealer.disk)
        write_json(Path(self._config.ready_file or self._data / "ledger.json"), ready)
        _log.info("%s: ledger %s, metrics %s", self._event.id, ready["ledger"], ready["metrics"])
        sealing = asyncio.create_task(self._seal())
        stopping = asyncio.create_task(self.stopping.wait())
        await asyncio.wait([sealing, stopping], return_when=asyncio.FIRST_COMPLETED)
        failed = sealing.done()
        if failed:
            # Not for a disk that refuses, which is tried again; but the log or the evidence is not what it should be.
            _log.error("the ledger stops because it cannot seal", exc_info=sealing.exception())
        else:
            _log.info("told to stop: requests under way are answered, the log is closed")
        sealing.cancel()
        stopping.cancel()
        # A note that is on its way to the disk gets there: the thread is closed last.
        await asyncio.gather(sealing, return_exceptions=True)
        await runner.cleanup()
        await operators.cleanup()
        await self._poller.close()
        await self._thread.close()
        await asyncio.to_thread(self._tokens.close)
        _log.info("ended")
        return 1 if failed else 0

    async def _seal(self) -> None:
        """Seal, and have cosigned what is sealed, for as long as the ledger runs."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lookout.listen())
            tasks.create_task(self._receipts.keep_ready(self._entries, self._sealer.evidence.get))
            tasks.create_task(self._quorum.run())
            tasks.create_task(self._rolls.run())
            tasks.create_task(self._timestamping.run())
            tasks.create_task(self._tokens.keep())
            tasks.create_task(self._watch.run())
            tasks.create_task(self._thread.keep_sealing(self._may_seal))

    async def _entries(self) -> list[bytes]:
        return await self._thread.do(lambda: list(self._sealer.log.entries()))

    def _may_seal(self) -> bool:
        return self._lookout.may_go_on() and self._quorum.held() is None

    async def _show(self, note: bytes) -> None:
        """Publish a cosigned state of the log, and what waited for it: certificates, and proofs of the roll."""

        def show() -> None:
            self._sealer.settle()
            self._sealer.log.publish(note)
            issuing.complete(self._sealer, self._certificates)
            self._rolls.complete()
            keep_cosigned(self._data / "log", note, self._sealer.disk)

        await self._thread.keep(show)

    def _application(self) -> web.Application:
        middlewares = [request_ids(self._tracing), self._requests.middleware, problems]
        app = web.Application(middlewares=middlewares, client_max_size=HAND_OVER_LIMIT_BYTES)
        event = "/v1/events/{event}"
        app.add_routes(
            [
                *self._gateways.routes(),
                web.get("/log/{path:.+}", LogFiles(self._data / "log", self._sealer.log).serve, name="log"),
                page_route(),
                web.get(event + "/live", self._live, name="live"),
                web.post("/v1/simulation/clock", self._jump, name="clock"),
                *self._steering.routes(),
                *self._organiser.routes(),
                *self._keys.routes(),
                *self._audits.routes(),
                *self._receipts.routes(),
                *probes(self._why_not_ready),
            ]
        )
        return app

    # Anyone.

    async def _live(self, request: web.Request) -> web.Response:
        self._organiser.check_event(request)
        if time.monotonic() > self._live_polled_at + LIVE_EVERY_S:
            # Polled when somebody looks, and at most once a second however many look.
            self._live_polled_at = time.monotonic()
            self._poller.announcements = announced(self._event, self._sealer.changes)
            await self._poller.poll(self._clock.now())
        return json_response(live_document(self._event, self._poller.last, self._clock.now()))

    # The simulated clock.

    async def _jump(self, request: web.Request) -> web.Response:
        self._organiser.check_key(request)
        if not isinstance(self._clock, SimulatedClock):
            raise Refused(Reason.NOT_FOUND)
        if held := self._quorum.held():
            raise held
        asked = await read_json(request)
        try:
            now = datetime.fromisoformat(asked["now"])
            if now.tzinfo is None:
                raise ValueError("it needs its offset")  # noqa: TRY301 - one answer to all that is wrong with it
            self._clock.jump(now.timestamp())
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(
                Reason.BODY_MALFORMED, f'{{"now": an ISO 8601 time, not before the present one}}: {error}'
            ) from None
        await self._until_sealed(None, UNSEALED_LIMIT)
        return json_response({"now": self._event.iso(self._clock.now())})

    async def _until_sealed(self, patience_s: float | None, limit: int) -> None:
        """Wait until at most `limit` windows that have ended are unsealed, at most `patience_s`."""
        deadline = time.monotonic() + (patience_s if patience_s is not None else float("inf"))
        while time.monotonic() < deadline and not self.stopping.is_set():
            if self._lookout.set_back or self._quorum.held():
                return
            if await self._thread.do(lambda: self._sealer.unsealed(self._clock.now())) <= limit:
                return
            await asyncio.sleep(LOOK_EVERY_S)


def open_event_clock(event: Event, data: Path) -> Clock:
    """Return the event's clock: for a simulated event, the one in its data directory."""
    if event.simulation is None:
        return WallClock.start()
    return SimulatedClock.create(data / "clock", event.simulation.starts_at.timestamp(), event.simulation.speed)


async def ask_before_leaf_0(event: Event, data: Path, log_origin: str, disk: Disk) -> None:
    """Ask the required witnesses whether they know the log, if it has no entry yet: its data may have been lost.

    Raises:
        WitnessesError: they do, or do not answer.
    """
    signer = load_or_create_signer(data / LOG_KEY, log_origin, disk)
    with Log.open(data / "log", signer, disk=disk, withhold=True) as log:
        if not log.size:
            quorum = WitnessQuorum(
                event, log, signer.verifier, lambda note: asyncio.to_thread(log.publish, note), asyncio.to_thread
            )
            await quorum.confirm(FIRST_ANSWER_S)


def run_ledger(config: LedgerSettings, *, with_parent: bool = False, disk: Disk = DISK) -> int:
    """Run a ledger in this process until SIGTERM; return the exit code.

    Raises:
        OSError: a port is in use, or the disk refuses.
        EventFileError: the event file is not valid.
        SecretsError: the secrets cannot be read, or belong to another log.
        OtherEventError: the data directory belongs to another event.
        LogLockedError: another ledger owns it.
        WitnessesError: the log would begin, and the witnesses that it requires do not answer or know more of it.
        SettingsError: the file with Redis' password cannot be read.
    """
    event = load_event(Path(config.event_file))
    config = config.completed(event)
    data = Path(config.data)
    make_folder(data, disk=disk)
    require_log(data / SECRETS_FILE, begun=log_begun(data / "log"))
    secrets = load_or_create_secrets(data / SECRETS_FILE, disk)

    async def serve() -> int:
        remember_addresses(event, data)
        if event.required_witnesses:
            await ask_before_leaf_0(event, data, config.log_origin, disk)
        service = LedgerService(config, event, secrets, open_event_clock(event, data), tracing, disk)
        bind_to_log(data / SECRETS_FILE, service.first_entry, disk)
        return await service.run(with_parent=with_parent)

    with contextlib.closing(begin_tracing(config.traces, config.traces_share, "ledger")) as tracing:
        return uvloop.run(serve())


def main() -> None:
    """Run a ledger whose configuration is one line of JSON on standard input: how `turnout up` starts it."""
    config = LedgerSettings.from_line(sys.stdin.buffer.readline())
    begin_logging(config.log_format, config.log_level, "ledger")
    with one_sentence(OSError, EventFileError, SecretsError, OtherEventError, LogError, WitnessesError, SettingsError):
        sys.exit(run_ledger(config, with_parent=True))


if __name__ == "__main__":
    main()
