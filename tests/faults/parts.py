"""The parts of one event as processes of their own, each of which a test may kill, stop, resume and start again.

A part says where it can be reached in a file, and what it prints goes to `said`. Whatever a test does to it, `end` ends
it by its process id.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from counters.spool_lock import read_lock
from deploy import embedded_redis
from deploy.embedded_redis import Role, ServerProgram
from gateway.settings import GatewaySettings, LedgerSettings
from gateway.worker_config import READY
from load_tests.ports import free_port
from tests.gateway.commands import CERTAIN_S, children_of, living, port_of
from tests.gateway.serving import Answer, ask, until


class Part(ABC):
    """One process, and the next one in its place. Owns what it starts."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.said = folder / f"{name}.said"
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: IO[bytes] | None = None

    # What a test does to it.

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives; one that is paused does."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return once it serves."""
        assert not self.running, f"{self.name} runs already"
        self._let_go()
        self._launch()

    def _launch(self) -> None:
        self._prepare()
        with self.said.open("ab") as output:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        self._pipe = self._process.stdin
        if line := self._first_line():
            assert self._pipe is not None
            self._pipe.write(line)
            self._pipe.flush()
        until(lambda: self._serves() or not self.running, f"{self.name} serves", CERTAIN_S)
        assert self.running, f"{self.name} ended with {self._process.returncode} while starting:\n{self.last_words()}"

    def kill(self) -> None:
        """`kill -9`."""
        self.send(signal.SIGKILL)
        self.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM, and return the exit code of a part that has ended well on its own."""
        self.send(signal.SIGTERM)
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        assert self.running, f"{self.name} does not run"
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait until its process has ended; return the exit code."""
        assert self._process is not None
        code = self._process.wait(CERTAIN_S)
        self._let_go()
        return code

    def end(self) -> None:
        """End it in whatever state it is, with all that it has started."""
        if self._process is None:
            return
        for pid in [self.pid, *children_of(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(CERTAIN_S)
        self._let_go()

    def last_words(self, limit_bytes: int = 6_000) -> str:
        """What it printed last."""
        return self.said.read_bytes()[-limit_bytes:].decode(errors="replace") if self.said.exists() else ""

    def _let_go(self) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.close()
            self._pipe = None

    # What kind of process it is.

    @abstractmethod
    def _command(self) -> list[str | Path]: ...

    def _first_line(self) -> bytes:
        return b""

    @abstractmethod
    def _prepare(self) -> None: ...

    @abstractmethod
    def _serves(self) -> bool: ...


class LedgerPart(Part):
    """The ledger. Each start takes whatever port is free: gateways reach it by their lines."""

    def __init__(self, folder: Path, event_file: Path, data: Path, live_url: str) -> None:
        super().__init__("ledger", folder)
        self.data = data
        self.ready_file = data / "ledger.json"
        self.config = LedgerSettings(
            event_file=str(event_file), data=str(data), live_url=live_url, host="127.0.0.1", port=0,
            metrics_host="127.0.0.1", metrics_port=0, log_origin="ledger.test/expo",
        )  # fmt: skip
        """A test that needs another replaces it before the start."""

    @property
    def address(self) -> dict[str, Any]:
        """What it said when it began to serve."""
        return dict(json.loads(self.ready_file.read_text()))

    @property
    def port(self) -> int:
        return port_of(self.address["ledger"])

    @property
    def metrics_port(self) -> int:
        return port_of(self.address["metrics"])

    @property
    def log_key(self) -> str:
        return str(self.address["log"])

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        return ask(self.port, method, path, body, headers)

    def _prepare(self) -> None:
        self.ready_file.unlink(missing_ok=True)

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "gateway.ledger_service"]

    def _first_line(self) -> bytes:
        return self.config.start_line()

    def _serves(self) -> bool:
        return self.ready_file.exists()


class GatewayPart(Part):
    """One gateway: a supervisor and its workers. It keeps its port from start to start."""

    def __init__(self, folder: Path, config: GatewaySettings) -> None:
        super().__init__(config.gateway, folder)
        self.config = config
        """A test that needs another replaces it before the start."""
        self.spool = Path(config.spool)
        self._ready_file = Path(config.ready_file)
        self.port = free_port()
        self._orphans: list[int] = []

    def start(self) -> None:
        self.config = replace(self.config, port=self.port, take_over=False)
        super().start()
        self.port = port_of(json.loads(self._ready_file.read_text())["gateway"])

    def succeed(self) -> int:
        """Start a successor that takes port and spool over; return the exit code of the one before."""
        before, pipe = self._process, self._pipe
        assert before is not None
        self.config = replace(self.config, port=self.port, take_over=True)
        try:
            self._launch()
            return before.wait(CERTAIN_S)
        finally:
            before.kill()
            before.wait(CERTAIN_S)
            if pipe is not None:
                pipe.close()

    def roll(self) -> None:
        """SIGHUP: replace every worker; return once others serve in the place of all."""
        before = self.workers()
        self.send(signal.SIGHUP)
        until(lambda: not living(before), f"the workers of {self.name} are replaced", CERTAIN_S)
        self.until_serving()

    @property
    def metrics_port(self) -> int:
        return port_of(json.loads(self._ready_file.read_text())["metrics"])

    def workers(self) -> list[int]:
        """The process ids of its workers now."""
        if not self.running:
            return []
        return [pid for pid in children_of(self.pid) if _is_worker(pid)]

    def folders(self) -> dict[int, Path]:
        """The spool folders of the workers that live, by process id."""
        pids = set(self.workers())
        owned = {read_lock(path).get("pid"): path for path in self.spool.iterdir() if path.is_dir()}
        return {pid: path for pid, path in owned.items() if pid in pids}

    def serving(self) -> list[int]:
        """The process ids of the workers that take requests."""
        return [pid for pid, path in self.folders().items() if (path / READY).exists()]

    def until_serving(self) -> None:
        """Wait until as many workers serve as there shall be."""
        until(lambda: len(self.serving()) >= self.config.workers, f"the workers of {self.name} serve", CERTAIN_S)

    def kill(self) -> None:
        """`kill -9` of the supervisor and all its workers: as when the host goes."""
        workers = self.workers()
        # The supervisor first, or it would start others.
        super().kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not living(workers), f"the workers of {self.name} are gone", CERTAIN_S)

    def kill_supervisor(self) -> list[int]:
        """`kill -9` of the supervisor alone: its workers notice and end on their own. Return their process ids."""
        self._orphans = self.workers()
        super().kill()
        return self._orphans

    def end(self) -> None:
        super().end()
        for pid in filter(_is_worker, self._orphans):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pause_workers(self) -> None:
        """SIGSTOP of its workers; the supervisor goes on. `pause` is the other way round."""
        for pid in self.workers():
            os.kill(pid, signal.SIGSTOP)

    def resume_workers(self) -> None:
        """SIGCONT of its workers."""
        for pid in self.workers():
            os.kill(pid, signal.SIGCONT)

    def waiting(self, before: float = float("inf")) -> list[Path]:
        """The files in its spool of windows that began before a time."""
        return [path for path in self.spool.glob("*/w*") if _window_of(path) < before]

    def _prepare(self) -> None:
        self._ready_file.unlink(missing_ok=True)

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "gateway.supervisor"]

    def _first_line(self) -> bytes:
        return self.config.start_line()

    def _serves(self) -> bool:
        return self._ready_file.exists()


class RedisPart(Part):
    """A Redis on a port of its own, with an append-only file."""

    def __init__(self, folder: Path, program: ServerProgram, name: str = "redis", role: Role = Role.REGISTRY) -> None:
        super().__init__(name, folder)
        self.directory = folder / name
        self._program = program
        self._role = role
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def empty(self) -> None:
        """Take away what it has written, while it does not run: it starts with nothing."""
        assert not self.running
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self) -> int:
        code = super().stop()
        return code if code >= 0 else -code

    def _prepare(self) -> None:
        self.directory.mkdir(exist_ok=True)

    def _command(self) -> list[str | Path]:
        configuration = Path(embedded_redis.__file__).parent / self._role.value
        return [
            self._program.path, configuration, "--port", str(self.port), "--bind", "127.0.0.1", "--daemonize", "no",
            "--dir", self.directory,
        ]  # fmt: skip

    def _serves(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
        return False


def _is_worker(pid: int) -> bool:
    try:
        return b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _window_of(path: Path) -> float:
    """The window of a spool file, whose name begins with w and unix seconds."""
    digits = path.name[1:].partition("-")[0].partition(".")[0]
    return float(digits) if digits.isdigit() else 0.0
