"""A redis-server of the bench's own that is measured: on a unix socket, with the persistence that it is given."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load_tests.bench import processes, programs

START_S: Final = 10.0
WITHOUT_PERSISTENCE: Final = {"appendonly": "no", "save": ""}
APPEND_ONLY: Final = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "auto-aof-rewrite-percentage": "0"}
"""Never rewritten while it is measured: its growth is what was appended."""

Facts = dict[str, str]


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A server that is up."""

    socket: Path
    pid: int
    cli: str  # path of redis-cli

    @property
    def url(self) -> str:
        """Return the URL that clients take."""
        return f"unix://{self.socket}"

    def cpu_s(self) -> float:
        """Return its CPU time with all its threads, in seconds."""
        return processes.cpu_s(self.pid)

    def info(self) -> Facts:
        """Return what `INFO all` says. Raises RuntimeError if it does not answer."""
        done = subprocess.run(
            [self.cli, "-s", str(self.socket), "info", "all"], capture_output=True, text=True, timeout=10, check=False
        )
        facts = {name: value for name, _, value in (line.partition(":") for line in done.stdout.splitlines())}
        if "run_id" not in facts:
            raise RuntimeError(f"redis-server does not answer: {done.stdout}{done.stderr}")
        return facts


def usec_of(facts: Facts, *commands: str) -> int:
    """Return the microseconds that commands have taken so far, in their own time."""
    return sum(int(command_stats(facts, command).get("usec", 0)) for command in commands)


def calls_of(facts: Facts, command: str) -> int:
    """Return how often a command was called."""
    return int(command_stats(facts, command).get("calls", 0))


def command_stats(facts: Facts, command: str) -> Mapping[str, str]:
    """Return a line of `INFO commandstats`, taken apart; nothing for a command that was never called."""
    line = facts.get(f"cmdstat_{command}", "")
    return {name: value for name, _, value in (part.partition("=") for part in line.split(",")) if value}


@contextmanager
def running(directory: Path, options: Mapping[str, str]) -> Iterator[RedisServer]:
    """Run redis-server in a directory of its own. Raises RuntimeError if there is none, or it does not start."""
    program = programs.need("redis-server", "it is what is measured.")
    cli = programs.need("redis-cli", "it reads what redis-server counted.")
    directory.mkdir()
    socket = directory / "r.sock"
    settings = {"port": "0", "unixsocket": str(socket), "dir": str(directory), "daemonize": "no", **options}
    command = [program, *(text for name, value in settings.items() for text in (f"--{name}", value))]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        server = RedisServer(socket, child.pid, cli)
        deadline = time.monotonic() + START_S
        while True:
            try:
                server.info()
                break
            except RuntimeError:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield server
    finally:
        child.terminate()
        child.wait()
