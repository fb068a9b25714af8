"""Turnout in its parts, each a process that can be measured apart: `turnout ledger` and `turnout gateway`.

`turnout up` keeps registry and live sketches in one Redis; here they are two, as in a large set-up.
"""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from load_tests.http_client import Address
from load_tests.ports import free_port
from load_tests.scenario import Programme, read_programme
from load_tests.server_process import TURNOUT, ServerFailedError, ServerProcess
from load_tests.tickets import Issuer

READY_S: Final = 60.0
STOP_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger that serves, and what belongs to its data directory."""

    url: str
    pid: int
    data: Path
    event_file: Path
    programme: Programme
    issuer: Issuer


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that serves."""

    address: Address
    supervisor: int  # pid
    spool: Path
    metrics: str  # URL


@contextmanager
def ledger(event_file: Path, data: Path, live_url: str) -> Iterator[Ledger]:
    """Run a ledger in a new data directory. Raises ServerFailedError."""
    data.mkdir()
    # `turnout up` makes the keys of the development issuer and the secrets; a hosted ledger is given them.
    with ServerProcess(event_file, data, workers=1) as first:
        first.start()
    programme = read_programme(event_file)
    issuer = Issuer(data / "development-issuer" / f"{programme.issuer_id}.private.jwk.json", programme)
    port, metrics = free_port(), free_port()
    command = ["ledger", str(event_file), "--data", str(data), "--redis", live_url]
    command += ["--port", str(port), "--metrics-port", str(metrics)]
    with _serving(command, metrics, data / "ledger.log") as child:
        yield Ledger(f"http://127.0.0.1:{port}", child.pid, data, event_file, programme, issuer)


@contextmanager
def gateway(of: Ledger, spool: Path, registry_url: str, live_url: str, workers: int) -> Iterator[Gateway]:
    """Run a gateway that hands over to a ledger. Raises ServerFailedError."""
    port, metrics = free_port(), free_port()
    command = ["gateway", str(of.event_file), "--redis", registry_url, "--live-redis", live_url, "--ledger", of.url]
    command += ["--secrets", str(of.data / "secrets.json"), "--spool", str(spool), "--workers", str(workers)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--metrics-port", str(metrics), "--name", spool.name]
    with _serving(command, metrics, spool.with_suffix(".log")) as child:
        deadline = time.monotonic() + READY_S
        # The supervisor is ready with its first worker; wait for all.
        while len(list(spool.glob("*/ready"))) < workers:
            if time.monotonic() > deadline:
                raise ServerFailedError(f"only some of {workers} workers serve after {READY_S:.0f} s")
            time.sleep(0.1)
        yield Gateway(Address("127.0.0.1", port), child.pid, spool, f"http://127.0.0.1:{metrics}/metrics")


@contextmanager
def _serving(command: Sequence[str], metrics_port: int, log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    with ExitStack() as stack:
        output = stack.enter_context(log.open("ab"))
        child = subprocess.Popen(
            [*TURNOUT, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        stack.callback(_stop, child)
        deadline = time.monotonic() + READY_S
        while not _ready(metrics_port):
            if child.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-2000:]
                raise ServerFailedError(f"turnout {command[0]} does not serve\n{said}")
            time.sleep(0.1)
        yield child


def _ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _stop(child: "subprocess.Popen[bytes]") -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
