"""`turnout up`: embedded Redis, ledger and gateway as child processes of one command, started and stopped in order.

Each child leads a session of its own, so that Ctrl-C reaches only this process, which then stops the gateway first
(it drains and hands its last windows over), then the ledger (it seals them), then Redis.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from counters.event import Event
from counters.secrets import SECRETS_FILE, load_or_create_secrets
from deploy.embedded_redis import EmbeddedRedis, EmbeddedRedisError
from gateway.development_issuer import FOLDER, DevelopmentIssuerError, load_event_creating_keys
from gateway.ledger_service import open_event_clock
from gateway.processes import write_json
from gateway.settings import GatewaySettings, LedgerSettings, UpSettings

UP_FILE: Final = "up.json"
"""Where everything can be reached; it is there only while everything serves."""
READY_S: Final = 60.0
STOP_S: Final = 40.0
"""A draining gateway takes up to 25 s in the worst case; after this a child is killed."""


class UpError(Exception):
    """Something did not start, and what to do about it."""


class AllInOne:
    """Everything of one event on one machine. Owns the child processes."""

    def __init__(self, settings: UpSettings) -> None:
        """Prepare; nothing is started yet."""
        self._settings = settings
        self._event_file = Path(settings.event_file).resolve()
        self._data = Path(settings.data).resolve()
        self._stop = threading.Event()

    def run(self, say: Callable[[str], None]) -> int:
        """Run until SIGINT or SIGTERM; return the exit code.

        Raises:
            UpError: something did not start.
            EventFileError: the event file is not valid.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        try:
            event = load_event_creating_keys(self._event_file, self._data / FOLDER)
        except DevelopmentIssuerError as error:
            raise UpError(str(error)) from None
        self._data.mkdir(parents=True, exist_ok=True)
        secrets = load_or_create_secrets(self._data / SECRETS_FILE)
        open_event_clock(event, self._data)  # makes a simulated event's clock before anybody reads it
        try:
            with (
                EmbeddedRedis(self._data / "redis") as redis,
                self._no_longer_up(),
                self._ledger(redis.url) as ledger,
            ):
                addresses = self._wait_for(self._data / "ledger.json", ledger, "the ledger")
                with self._gateway(event, redis.url, addresses["ledger"]) as gateway:
                    ready = self._wait_for(self._data / "gateway.json", gateway, "the gateway")
                    self._announce(
                        event, say, ready | {"ledger_metrics": addresses["metrics"], "log": addresses["log"]}
                    )
                    say(f"  organiser key {secrets.organiser_key}")
                    say(f"  scanner key   {secrets.scanner_key}")
                    return self._watch({"ledger": ledger, "gateway": gateway}, addresses)
        except EmbeddedRedisError as error:
            raise UpError(str(error)) from None

    @contextmanager
    def _no_longer_up(self) -> Iterator[None]:
        """Take the addresses away at the end, and before the start those of a run that was killed."""
        (self._data / UP_FILE).unlink(missing_ok=True)
        try:
            yield
        finally:
            (self._data / UP_FILE).unlink(missing_ok=True)

    def _announce(self, event: Event, say: Callable[[str], None], addresses: dict[str, Any]) -> None:
        if event.simulated:
            say("SIMULATED: this event runs on a simulated clock; nothing that it says is about real people.")
        say(f"{event.name} is up. Ctrl-C stops it.")
        say(f"  players       {addresses['gateway']}/v1/events/{event.id}/sessions/…/join")
        say(f"  live          {addresses['gateway']}/v1/events/{event.id}/live")
        say(f"  log           {addresses['gateway']}/log/checkpoint")
        say(f"  all addresses {addresses['gateway']}/v1/openapi.json")
        say(f"  metrics       {addresses['metrics']}, {addresses['ledger_metrics']}")
        say(f"  log key       {addresses['log']}")
        say(f"  data          {self._data}")

    def _watch(self, children: dict[str, "subprocess.Popen[bytes]"], addresses: dict[str, Any]) -> int:
        """Wait for the end, keeping DATA/up.json true: workers come and go."""
        written: dict[str, Any] = {}
        while not self._stop.wait(0.2):
            for name, child in children.items():
                if child.poll() is not None:
                    raise UpError(f"the {name} ended with code {child.returncode}; its last words are above")
            gateway = json.loads((self._data / "gateway.json").read_text())
            ready = gateway | {
                "ledger": addresses["ledger"],
                "ledger_metrics": addresses["metrics"],
                "log": addresses["log"],
                "pid": os.getpid(),
                "ledger_pid": children["ledger"].pid,
                "gateway_pid": children["gateway"].pid,
            }
            if ready != written:
                write_json(self._data / UP_FILE, ready)
                written = ready
        return 0

    # Children.

    @contextmanager
    def _ledger(self, redis_url: str) -> "Iterator[subprocess.Popen[bytes]]":
        settings = LedgerSettings.sharing(
            self._settings,
            live_url=redis_url,
            port=self._settings.ledger_port,
            metrics_host=self._settings.host,
            metrics_port=self._settings.ledger_metrics_port,
        )
        (self._data / "ledger.json").unlink(missing_ok=True)
        with _child("gateway.ledger_service", settings.start_line()) as process:
            yield process

    @contextmanager
    def _gateway(self, event: Event, redis_url: str, ledger_url: str) -> "Iterator[subprocess.Popen[bytes]]":
        settings = GatewaySettings.sharing(
            self._settings,
            secrets_file=str(self._data / SECRETS_FILE),
            spool=str(self._data / "spool"),
            registry_url=redis_url,
            ledger_url=ledger_url,
            metrics_host=self._settings.host,
            gateway="up",
            clock_file=str(self._data / "clock") if event.simulated else "",
            ready_file=str(self._data / "gateway.json"),
        )
        (self._data / "gateway.json").unlink(missing_ok=True)
        with _child("gateway.supervisor", settings.start_line()) as process:
            yield process

    def _wait_for(self, path: Path, child: "subprocess.Popen[bytes]", what: str) -> dict[str, Any]:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if child.poll() is not None:
                raise UpError(f"{what} ended with code {child.returncode} while starting; its last words are above")
            with contextlib.suppress(FileNotFoundError, ValueError):
                return dict(json.loads(path.read_text()))
            if self._stop.wait(0.02):
                raise UpError("stopped while starting")
        raise UpError(f"{what} did not start within {READY_S:.0f} s; its last words are above")


@contextmanager
def _child(module: str, first_line: bytes) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a Turnout process; on leaving, stop it and wait until it has ended."""
    process = subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None  # noqa: S101 - asked for above
    try:
        process.stdin.write(first_line)
        process.stdin.flush()
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()
