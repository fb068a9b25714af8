"""Turnout on loopback ports of its own, with valid tokens; and what a server is to the bench."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import uvloop

from load_tests.audience import Person
from load_tests.bench import processes
from load_tests.bench.event_file import write_event_file
from load_tests.http_client import Address
from load_tests.public_interface import Gateway
from load_tests.scenario import read_programme
from load_tests.server_process import Running, ServerProcess
from load_tests.tickets import Issuer

TOKENS: Final = 256
"""Different viewing tokens in turn, four a connection: no server may live off seeing one token again and again."""
SESSION: Final = "stream"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is up: where it listens, and the processes whose CPU counts."""

    name: str
    address: Address
    pids: tuple[int, ...]
    beside: tuple[int, ...] = ()  # processes that belong to it and are not measured

    @property
    def pid(self) -> int:
        """Return the one process that is measured. Raises ValueError if there are several."""
        (pid,) = self.pids
        return pid

    def cpu_s(self) -> float:
        """Return the CPU time of the measured processes together, in seconds."""
        return sum(processes.cpu_s(pid) for pid in self.pids)

    def beside_cpu_s(self) -> float:
        """Return the CPU time of the processes beside it, in seconds."""
        return sum(processes.cpu_s(pid) for pid in self.beside)

    def pin(self) -> None:
        """Put the measured processes on the server's core and all else on the client's, if there are two cores."""
        if processes.pinnable():
            for pid in self.pids:
                processes.pin(pid, processes.SERVER_CORE)
            for pid in self.beside:
                processes.pin(pid, processes.CLIENT_CORE)


@dataclass(frozen=True, slots=True)
class Turnout:
    """A Turnout that is up; the tokens are for its first session, whose id is `SESSION`."""

    server: Server
    tokens: list[str]  # valid viewing tokens, of different attendees
    running: Running  # addresses of ledger and metrics, the organiser's and the scanners' key
    event_file: Path
    issuer: Issuer  # signs tickets that the event accepts


def session_id(number: int) -> str:
    """Return the id of the event file's session of this number, from 1."""
    return SESSION if number == 1 else f"{SESSION}-{number}"


def event_file(scratch: Path, now: datetime, sessions: int = 1) -> Path:
    """Write an event file with so many sessions that are on now; returns its path."""
    return write_event_file(scratch, now, [session_id(number) for number in range(1, sessions + 1)])


@contextmanager
def turnout(scratch: Path, workers: int = 1, tokens: int = TOKENS, sessions: int = 1) -> Iterator[Turnout]:
    """Run `turnout up` in a scratch directory; yields it, workers pinned, with viewing tokens.

    Raises ServerFailedError if it does not start or stop, UnexpectedAnswerError if a join is refused.
    """
    event = event_file(scratch, datetime.now(ZoneInfo("Etc/UTC")), sessions)
    with ServerProcess(event, scratch, workers=workers) as process:
        running = process.start()
        address = Address.of(running.gateway)
        programme = read_programme(event)
        issuer = Issuer(scratch / "development-issuer" / f"{programme.issuer_id}.private.jwk.json", programme)
        beside = {running.pid, *processes.descendants(running.pid)} - set(running.workers)
        name = "Turnout, one worker" if workers == 1 else f"Turnout, {workers} workers"
        server = Server(name, address, running.workers, tuple(sorted(beside)))
        server.pin()
        gateway = Gateway(address, programme.event)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            joined = runner.run(_join(gateway, issuer, tokens))
        yield Turnout(server, joined, running, event, issuer)


async def _join(gateway: Gateway, issuer: Issuer, count: int) -> list[str]:
    people = [Person(number, f"bench-{number}", "", "visitor") for number in range(count)]
    return [await gateway.join(SESSION, issuer.ticket(person)) for person in people]
