"""A real worker and a real ledger for the tests of their HTTP interface: real spool, real sockets, uvloop.

The worker's loop runs in a thread of the test. The clock stands still at 09:10 on the first day unless a test moves it.
Seats come from block 0, as if a ledger had
granted it; the registry is whatever `registry_url` names. The ledger is a process of its own.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPResponse
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from aiohttp import web

from counters import journal
from counters.clock import SimulatedClock
from counters.event import load_event
from counters.journal import Join, Scan
from counters.ledger.log import LogReader
from counters.ledger.note import Verifier
from counters.secrets import Secrets, load_or_create_secrets
from counters.spooled_window import WindowSpool, read_window, window_chunks
from gateway import door_keeper
from gateway.door import Door
from gateway.door_keeper import DoorKeeper
from gateway.settings import LedgerSettings
from gateway.tracing import OFF, Tracing
from gateway.viewing_token import TokenKeys, ViewingToken
from gateway.worker import Worker
from gateway.worker_config import WorkerConfig

T = TypeVar("T")

NOW = datetime.fromisoformat("2023-11-19T09:10:00+08:00").timestamp()
PATIENCE_S = 180.0
"""No test waits longer for anything: a machine that is slow, or stands still for seconds, needs a fraction of it."""
NO_REDIS = "unix:///nonexistent/redis.sock"
FAREWELL = b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-Padding: " + b"p" * 400 + b"\r\nConnection: close\r\n\r\n"
NO_LEDGER = "http://127.0.0.1:9"


def until(holds: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds, looking again and again; fail if it never does."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s} s: {what}")
        time.sleep(0.002)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason of a refusal, checked to be problem details."""
        assert self.headers["content-type"] == "application/problem+json", self
        problem = self.json
        assert problem["status"] == self.status
        assert problem.keys() >= {"type", "title", "detail", "reason"}
        return str(problem["reason"])


class _Bytes:
    """Bytes that http.client can read an answer from."""

    def __init__(self, data: bytes) -> None:
        self.file = BytesIO(data)

    def makefile(self, *_: Any) -> BytesIO:
        return self.file


def parse_answers(data: bytes, method: str = "POST") -> list[Answer]:
    """Return the answers in what a connection brought back."""
    answers = []
    data = data.replace(b"HTTP/2.0 ", b"HTTP/1.1 ")  # aiohttp echoes what it was asked in
    while data:
        source = _Bytes(data)
        response = HTTPResponse(source, method=method)  # type: ignore[arg-type] # it needs nothing but makefile
        source.file.close = lambda: None  # type: ignore[method-assign] # how much was read is asked afterwards
        response.begin()
        if response.status == 100:
            continue
        body = response.read()
        answers.append(Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, body))
        data = data[source.file.tell() :]
    return answers


def request_bytes(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """Return a request as a player sends it."""
    lines = {"Host": "gateway.test", "Content-Length": str(len(body))} | (headers or {})
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode("latin-1") + b"\r\n" + body


class Connection:
    """A client's connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def finish(self, data: bytes = b"") -> bytes:
        """Send something and a last request that closes the connection; return everything but the answer to that.

        The last request is longer than any body that a test leaves out, so that nothing waits for bytes that never
        come; and a player does not close one direction early, which aiohttp takes for a hang-up. All is sent in one go:
        aiohttp refuses a good request together with a bad one behind it if it reads both at once.
        """
        with contextlib.suppress(OSError):  # refused before all of it was sent
            self.send(data + FAREWELL)
        received = self.read_to_end()
        return received[: received.rfind(b"HTTP/1.1 ")] if received.endswith(b"\r\n\r\nok\n") else received

    def read_to_end(self) -> bytes:
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                received += data
        return received

    def read_answers(self, count: int) -> list[Answer]:
        """Return the next answers; the connection stays open."""
        received = b""
        while True:
            with contextlib.suppress(Exception):  # an answer that is not whole yet
                answers = parse_answers(received)
                if len(answers) >= count and _whole(received, answers):
                    return answers
            data = self.socket.recv(65536)
            assert data, f"closed after {received!r}"
            received += data

    def close(self) -> None:
        self.socket.close()


def _whole(received: bytes, answers: list[Answer]) -> bool:
    return all(len(a.body) == int(a.headers.get("content-length", "0")) for a in answers) and received[-2:] != b"\r"


def ask(port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """Make one request on a connection of its own; the path goes out as it is spelled."""
    connection = Connection(port)
    try:
        connection.send(request_bytes(method, path, body, {"Connection": "close"} | (headers or {})))
        (answer,) = parse_answers(connection.read_to_end(), method)
        return answer
    finally:
        connection.close()


class Serving:
    """A worker that serves, and what it has written."""

    def __init__(self, worker: Worker, secrets: Secrets, clock: SimulatedClock) -> None:
        self.worker = worker
        self.secrets = secrets
        self.clock = clock
        self.event = worker.event
        self.keys = TokenKeys.derive(secrets, worker.event.id)
        self.loop = uvloop.new_event_loop()
        self.port = 0
        self.doors: DoorKeeper
        self._thread = threading.Thread(target=self.loop.run_forever)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the worker's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def call(self, work: Callable[[], T]) -> T:
        """Call something on the worker's loop."""

        async def called() -> T:
            return work()

        return self.do(called())

    def start(self, *, with_door: bool) -> None:
        self._thread.start()
        self.do(self._serve(with_door=with_door))

    async def _serve(self, *, with_door: bool) -> None:
        self._runner = web.AppRunner(self.worker.api.application(), access_log=None, handle_signals=False)
        await self._runner.setup()
        assert self._runner.server is not None
        self.doors = DoorKeeper(
            self.worker.heartbeats,
            self.worker.batches,
            self.worker.desk,
            self.worker.answers,
            self.worker.cells,
            self.worker.measures,
            self._runner.server,
        )
        made = partial(Door, self.doors) if with_door else self._runner.server
        self._server = await self.loop.create_server(made, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined] # uvloop's has them

    def stop(self) -> None:
        async def end() -> None:
            self._server.close()
            await self.doors.close_all(PATIENCE_S)
            await self._runner.cleanup()
            await self.worker.relay.close()
            await self.worker.registry.close()
            self.worker.tally.close(int(self.clock.now() * 1000))

        self.do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        # What a worker holds to its end would be a leak here.
        os.close(self.worker._lock)

    # Asking.

    def raw(self, *parts: bytes) -> list[Answer]:
        """Send bytes and return all answers."""
        connection = Connection(self.port)
        try:
            return parse_answers(connection.finish(b"".join(parts)))
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """Make one request on a connection of its own."""
        return ask(self.port, method, path, body, headers)

    def join(self, credential: str, session: str = "opening", event: str = "expo", query: str = "") -> Answer:
        named = {"Authorization": f"Bearer {credential}"} if credential else {}
        return self.ask("POST", f"/v1/events/{event}/sessions/{session}/join{query}", headers=named)

    def token(self, seat: int = 70_000, session: int = 1, expires_at: float = NOW + 3600, **fields: int) -> str:
        """A viewing token as a join would have granted it."""
        values = {"attendee": 5 << 24 | 77, "view": 3 << 24 | 99, "view_id": 4711} | fields
        return self.keys.seal(ViewingToken(seat=seat, session=session, expires_at=int(expires_at), **values))

    # What is on record.

    def counts(self) -> dict[str, int]:
        """The counters of outcomes that are not zero."""
        no_outcomes = {*door_keeper.CELLS, "seats.used"}
        return {name: value for name, value in self._cells().items() if value and name not in no_outcomes}

    def ways(self) -> tuple[int, int, int]:
        """The counters of ways: connections and heartbeats that aiohttp took, heads that had to be read."""
        connections, heartbeats, heads = (self._cells()[name] for name in door_keeper.CELLS)
        return connections, heartbeats, heads

    def _cells(self) -> dict[str, int]:
        values = self.call(lambda: list(self.worker.cells.values))
        return dict(zip(self.worker.cells.names, values, strict=True))

    def records(self) -> list[int]:
        """The spool's records of the open window."""
        return [int(word) for word in self._window().records]

    def registers(self) -> bytes:
        """The sketch registers of the open window."""
        return self._window().registers.tobytes()

    def _window(self) -> WindowSpool:
        return read_window(window_chunks(self.worker.folder)[self.worker.tally.window])

    def journal(self) -> list[Join | Scan]:
        """The journal of the open window, read back from its file."""
        path = self.worker.folder / f"w{self.worker.tally.window}.journal"
        return list(journal.decode(path.read_bytes()))


@contextmanager
def serving(
    event_file: Path,
    folder: Path,
    *,
    with_door: bool = True,
    seats: bool = True,
    registry_url: str = NO_REDIS,
    ledger_url: str = NO_LEDGER,
    now: float = NOW,
    networks_file: str = "",
    trusted_proxies: str = "",
    tracing: Tracing = OFF,
) -> Iterator[Serving]:
    """Serve an event from `folder`; a second worker in the same folder shares secrets and clock."""
    secrets = load_or_create_secrets(folder / "secrets.json")
    clock = SimulatedClock.create(folder / "clock", now, 0.0)
    number = len(list((folder / "spool").glob("*"))) if (folder / "spool").exists() else 0
    config = WorkerConfig(
        event_file=str(event_file),
        secrets_file=str(folder / "secrets.json"),
        spool=str(folder / "spool"),
        live_file=str(folder / "live.json"),
        registry_url=registry_url,
        ledger_url=ledger_url,
        gateway="test",
        worker=f"{number + 1:016x}",
        listen_fd=-1,
        clock_file=str(folder / "clock"),
        public_url="",
        networks_file=networks_file,
        trusted_proxies=trusted_proxies,
    )
    worker = Worker(config, load_event(event_file), secrets, tracing)
    if seats:
        worker.lease.add(0)
    served = Serving(worker, secrets, clock)
    served.start(with_door=with_door)
    try:
        yield served
    finally:
        served.stop()


@dataclass(frozen=True, slots=True)
class RunningLedger:
    """A ledger's process."""

    process: "subprocess.Popen[bytes]"
    data: Path
    url: str
    metrics: str
    secrets: Secrets
    said: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        return ask(self.port, method, path, body, headers)

    def organise(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Ask as the organiser."""
        return self.ask(method, path, body, {"Authorization": f"Bearer {self.secrets.organiser_key}"})

    def jump(self, now: float) -> Answer:
        """Set the simulated clock."""
        asked = {"now": datetime.fromtimestamp(now, UTC).isoformat()}
        return self.organise("POST", "/v1/simulation/clock", json.dumps(asked).encode())

    def leaves(self) -> list[dict[str, Any]]:
        """The entries of the log as it is published now."""
        verifier = Verifier.decode(json.loads((self.data / "ledger.json").read_text())["log"])
        return [json.loads(entry) for entry in LogReader(self.data / "log", verifier).entries(0)]

    def windows(self) -> dict[str, dict[str, Any]]:
        """The window leaves by window."""
        return {leaf["window"]: leaf for leaf in self.leaves() if leaf["type"] == "window"}


@contextmanager
def ledger(event_file: Path, data: Path, *, live_url: str = NO_REDIS, **settings: Any) -> Iterator[RunningLedger]:
    """Run a ledger with its data in `data`, and end it with SIGTERM."""
    data.mkdir(parents=True, exist_ok=True)
    config = LedgerSettings(
        event_file=str(event_file), data=str(data), live_url=live_url, host="127.0.0.1", port=0,
        metrics_host="127.0.0.1", metrics_port=0, log_origin="ledger.test/expo", **settings,
    )  # fmt: skip
    ready = data / "ledger.json"
    ready.unlink(missing_ok=True)
    said = data / "ledger.said"
    with said.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.ledger_service"], stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    assert process.stdin is not None
    try:
        process.stdin.write(config.start_line())
        process.stdin.flush()
        until(lambda: ready.exists() or process.poll() is not None, "the ledger serves")
        assert process.poll() is None, said.read_text()
        addresses = json.loads(ready.read_text())
        secrets = load_or_create_secrets(data / "secrets.json")
        yield RunningLedger(process, data, addresses["ledger"], addresses["metrics"], secrets, said)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.stdin.close()
