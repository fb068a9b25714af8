"""The `turnout` command as a process of its own, for tests that start, kill and stop it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.serving import until

TURNOUT = (sys.executable, "-m", "gateway.cli")
FREE_PORTS = ("--port", "0", "--ledger-port", "0", "--metrics-port", "0")
CERTAIN_S = 180.0
"""A start or stop takes seconds, and on a machine with other work many of them."""
Running = subprocess.Popen[bytes]


def processes_in(folder: Path) -> list[int]:
    """The processes that work in a folder or below it, or name it on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            named = str(folder).encode() in (process / "cmdline").read_bytes()
            works_there = (process / "cwd").readlink().is_relative_to(folder)
        except OSError:
            continue  # it has just ended
        if named or works_there:
            found.append(int(process.name))
    return [pid for pid in found if pid != os.getpid()]


def children_of(pid: int) -> list[int]:
    """A process's descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, look = [], [pid]
    while look:
        above = look.pop()
        below = [child for child, parent in parents.items() if parent == above]
        found += below
        look += below
    return found


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def turnout(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TURNOUT, *map(str, arguments)], cwd=cwd, env=os.environ | {"PYTHONPATH": str(Path.cwd())} | environment,
        capture_output=True, text=True, timeout=CERTAIN_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def started(*arguments: str | Path, ready: Path, cwd: Path) -> Iterator[tuple[Running, dict[str, Any]]]:
    """A command that runs on; killed at the end if the test has not ended it."""
    log = cwd / "said.log"
    ready.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*TURNOUT, *map(str, arguments)], cwd=cwd, env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until(lambda: ready.exists() or process.poll() is not None, f"{arguments[0]} is ready", CERTAIN_S)
        assert process.poll() is None, log.read_text()
        yield process, json.loads(ready.read_text())
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(CERTAIN_S)
        finally:
            process.kill()


def port_of(url: str) -> int:
    return int(url.removeprefix("http://").partition("/")[0].rpartition(":")[2])


def end(process: Running, number: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(CERTAIN_S)
