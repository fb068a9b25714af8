"""What a scrape costs: /metrics of one gateway with many workers, of an event with many sessions that are all watched.

In each session a few viewers are seen, every worker has connections, so that each metric that can be there is. Then
/metrics is asked again and again, each time more than a second after the last: the gateway reads its workers' counters
anew. The CPU is that of the supervisor, which alone answers, less what it spends in as long a time in which nobody
asks. Beside it, the same when it is asked many times a second, where it gives what it read within the second. What it
does not say: what Prometheus makes of it.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import numpy as np
import uvloop

from load_tests.audience import Person
from load_tests.bench import closed_loop, parts, processes, programs, redis_server, report, table
from load_tests.bench.raw_connections import Connections
from load_tests.bench.redis_server import WITHOUT_PERSISTENCE
from load_tests.bench.servers import event_file, session_id
from load_tests.public_interface import Gateway

CONNECTIONS_A_WORKER: Final = 8
"""So many that every worker has some."""
APART_S: Final = 1.1
"""Between two scrapes: what was read within a second is not read again."""
OFTEN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """What one scrape costs."""

    what: str
    times_ms: list[float]
    cpu_ms: float  # of the supervisor
    body_bytes: int
    samples: int


def _get(url: str) -> bytes:
    parts_of = urlsplit(url)
    connection = HTTPConnection(parts_of.hostname or "", parts_of.port, timeout=30)
    try:
        connection.request("GET", parts_of.path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{url} answers {answer.status}")
    return body


def _every(pause_s: float, seconds: float, work: Callable[[], None]) -> None:
    ends = time.monotonic() + seconds
    while (began := time.monotonic()) < ends:
        work()
        time.sleep(max(began + pause_s - time.monotonic(), 0))


def _ask(what: str, url: str, supervisor: int, pause_s: float, seconds: float) -> Cost:
    times_ms: list[float] = []
    bodies: list[bytes] = []

    def ask() -> None:
        began = time.perf_counter()
        bodies.append(_get(url))
        times_ms.append((time.perf_counter() - began) * 1000)

    at_rest = processes.cpu_s(supervisor)
    _every(pause_s, seconds, lambda: None)
    before = processes.cpu_s(supervisor)
    _every(pause_s, seconds, ask)
    spent = processes.cpu_s(supervisor) - before - (before - at_rest)
    samples = sum(bool(line) and not line.startswith(b"#") for line in bodies[-1].splitlines())
    return Cost(what, times_ms, spent * 1000 / len(times_ms), len(bodies[-1]), samples)


async def _tokens(gateway: Gateway, ledger: parts.Ledger, sessions: int) -> list[str]:
    tickets = [ledger.issuer.ticket(Person(number, f"scrape-{number}", "", "visitor")) for number in range(sessions)]
    return [await gateway.join(session_id(number), ticket) for number, ticket in enumerate(tickets, start=1)]


def measure(workers: int, sessions: int, seconds: float) -> list[Cost]:
    """Return what scrapes cost.

    Raises RuntimeError, ServerFailedError, UnexpectedAnswerError or OSError.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-bench-")))
        redis = stack.enter_context(redis_server.running(scratch / "redis", WITHOUT_PERSISTENCE))
        event = event_file(scratch, datetime.now(UTC), sessions)
        ledger = stack.enter_context(parts.ledger(event, scratch / "data", redis.url))
        served = stack.enter_context(parts.gateway(ledger, scratch / "gw", redis.url, redis.url, workers))
        gateway = Gateway(served.address, ledger.programme.event)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            tokens = runner.run(_tokens(gateway, ledger, sessions))
        lines = CONNECTIONS_A_WORKER * workers
        with Connections(served.address, lines) as connections:
            answered = closed_loop.run(connections, [gateway.beat_request(token) for token in tokens] * workers, lines)
            if set(answered.statuses) - {204}:
                raise RuntimeError(f"heartbeats were answered {dict(answered.statuses)}")
            time.sleep(2 * APART_S)  # the live numbers are there
            return [
                _ask("once a second", served.metrics, served.supervisor, APART_S, seconds),
                _ask("twenty times a second", served.metrics, served.supervisor, OFTEN_S, seconds),
            ]


def markdown(costs: list[Cost]) -> str:
    """Return the table."""
    return table.markdown(
        ["asked", "p50", "p99", "CPU of the supervisor", "bytes", "samples"],
        [
            (
                cost.what,
                *(f"{float(np.percentile(cost.times_ms, q)):.1f} ms" for q in (50, 99)),
                f"{cost.cpu_ms:.1f} ms",
                f"{cost.body_bytes:,}",
                f"{cost.samples:,}",
            )
            for cost in costs
        ],
    )


@click.command(name="scrape")
@click.option("--workers", type=click.IntRange(1, 64), default=16, show_default=True)
@click.option("--sessions", type=click.IntRange(1, 512), default=64, show_default=True)
@click.option("--seconds", type=click.IntRange(3, 300), default=20, show_default=True, help="Of each row, twice.")
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/scrape-NAME.json.")
def command(workers: int, sessions: int, seconds: int, save: str | None) -> None:
    """Measure what one scrape of a gateway's /metrics costs."""
    with report.or_nothing():
        costs = measure(workers, sessions, seconds)
    report.show(
        "scrape",
        markdown(costs),
        {"costs": [asdict(cost) for cost in costs]},
        versions={"redis-server": programs.version("redis-server", "--version")},
        notes=[f"{workers} workers, {sessions} sessions, each watched"],
        save=save,
    )


if __name__ == "__main__":
    command()
