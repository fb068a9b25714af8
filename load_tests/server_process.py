"""`turnout up` as a child process: started, waited for, stopped, and its last words kept.

The child gets a session of its own, so that a Ctrl-C in the terminal reaches only the load test, which then stops the
child in order. Its output goes to DIR/up.log.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

TURNOUT: Final = (sys.executable, "-m", "gateway.cli")
"""The console script without needing it on the PATH."""
READY_S: Final = 60.0
STOP_S: Final = 30.0
"""After this long without an orderly end the child is killed, and that is reported."""
POLL_S: Final = 0.05
TAIL_LINES: Final = 40


class ServerFailedError(Exception):
    """`turnout up` did not start, or did not stop in order."""


@dataclass(frozen=True, slots=True)
class Running:
    """What DIR/up.json and DIR/secrets.json say of a running server."""

    gateway: str
    ledger: str
    metrics: str
    pid: int
    workers: tuple[int, ...]
    organiser_key: str
    scanner_key: str


class ServerProcess:
    """Owns one `turnout up`. A context manager: stopped at its end, whatever happened."""

    def __init__(self, event_file: Path, data: Path, *, workers: int = 2) -> None:
        self.event_file = event_file
        self.data = data
        self.log = data / "up.log"
        self._workers = workers
        self._child: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(checked=kind is None)

    def start(self) -> Running:
        """Start the server and wait until it is ready. Raises ServerFailedError, with the end of its log."""
        up = self.data / "up.json"
        up.unlink(missing_ok=True)
        ports = [f"{option}=0" for option in ("--port", "--ledger-port", "--metrics-port")]
        command = [*TURNOUT, "up", str(self.event_file), "--data", str(self.data), "--host", "127.0.0.1", *ports]
        command += ["--workers", str(self._workers)]
        self._output = self.log.open("wb")
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if up.exists():
                return self._read(up)
            if self._child.poll() is not None:
                raise ServerFailedError(
                    f"turnout up ended with {self._child.returncode} before it was ready\n{self.tail()}"
                )
            time.sleep(POLL_S)
        raise ServerFailedError(f"turnout up was not ready after {READY_S:.0f} s\n{self.tail()}")

    def _read(self, up: Path) -> Running:
        addresses: dict[str, Any] = json.loads(up.read_text())
        secrets: dict[str, Any] = json.loads((self.data / "secrets.json").read_text())
        return Running(
            gateway=addresses["gateway"],
            ledger=addresses["ledger"],
            metrics=addresses.get("metrics", ""),
            pid=addresses["pid"],
            workers=tuple(addresses.get("workers", ())),
            organiser_key=secrets["organiser_key"],
            scanner_key=secrets["scanner_key"],
        )

    def workers(self) -> tuple[int, ...]:
        """Return the process ids of the gateway's workers as they are now: they come and go."""
        return self._read(self.data / "up.json").workers

    def tail(self) -> str:
        """Return the last lines of the server's log."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    def stop(self, *, checked: bool = True) -> None:
        """Stop the server as Ctrl-C would. Raises ServerFailedError if `checked` and its exit code is not 0."""
        child, self._child = self._child, None
        if child is not None:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
            try:
                code = child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                code = child.wait()
        if self._output is not None:
            self._output.close()
            self._output = None
        if child is not None and checked and code != 0:
            raise ServerFailedError(f"turnout up ended with {code}\n{self.tail()}")
