"""CPU per join of one Turnout worker: by ticket (ES256, Ed25519, RS256), and by viewing token.

Over HTTP, with a browser's headers, on 64 keep-alive connections (a new one where the server closes one): tickets of
people who were never here, which the registry, a real Redis with its append-only file, gives a seat; the same tickets
again; viewing tokens that change session, and that renew their own. Every answer is checked to be a 201 with a token of
its own. Worker on core 0; client, Redis and everything else on core 1. CPU time is that of the worker's process and of
Redis' process, from /proc/PID/stat; joins a second per core are what one core does at that cost.

What it does not say: how joins and heartbeats share a worker, nor what TLS costs. Where the worker is not busy, the
client on its one core was the slower of the two, and a join's cost holds more waiting and waking than it would.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from joserfc import jwk, jwt

from load_tests.bench import processes, programs, report, servers, table, wrk
from load_tests.bench.event_file import ALGORITHMS, issuer_url, write_event_file
from load_tests.bench.join_client import CONNECTIONS, deliver
from load_tests.bench.spread import Spread, spread
from load_tests.http_client import Address
from load_tests.server_process import ServerProcess

SESSIONS: Final = ("stream", "hall")
ISSUERS: Final = {algorithm.lower(): (algorithm,) for algorithm in ALGORITHMS}
"""Each algorithm with an issuer of its own."""
SETTLE_S: Final = 0.3
REDIS: Final = ("redis-server", "valkey-server")


@dataclass(frozen=True, slots=True)
class Turn:
    """One kind of join's turn in one round."""

    kind: str
    cpu_us: float  # of the worker, per join
    redis_us: float  # CPU of Redis per join
    joins_a_second: float  # measured
    busy: float  # share of the time in which the worker computed
    joins: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All turns of one kind of join."""

    kind: str
    cpu_us: Spread
    redis_us: Spread
    joins_a_second: Spread
    busy: Spread
    joins: int  # all together


class Tickets:
    """Signs tickets as the issuers do. Every one is for somebody who has none yet."""

    def __init__(self, keys: Path, now: float) -> None:
        """Read the development keys in a folder; the tickets are good for a day from `now` (unix s)."""
        self._now = int(now)
        self._signed = 0
        self._keys = {name: json.loads((keys / f"{name.lower()}.private.jwk.json").read_text()) for name in ALGORITHMS}

    def sign(self, algorithm: str, count: int) -> list[str]:
        """Return so many tickets."""
        raw = self._keys[algorithm]
        key = jwk.import_key(raw)
        head = {"alg": algorithm, "kid": raw["kid"]}
        tickets = []
        for _ in range(count):
            self._signed += 1
            claims = {
                "iss": issuer_url(algorithm.lower()),
                "aud": "bench",
                "sub": f"visitor-{self._signed:08}",
                "iat": self._now - 60,
                "exp": self._now + 86_400,
                "country": "FR",
                "category": "visitor",
            }
            tickets.append(jwt.encode(head, claims, key, algorithms=[algorithm]))
        return tickets


def join_request(session: str, credential: str) -> bytes:
    """Return the bytes of a browser's join."""
    browser = [(name, value) for name, value in wrk.BROWSER if name != "Content-Type"]  # fetch without a body
    heads = [("Host", "join.example"), ("Content-Length", "0"), ("Authorization", f"Bearer {credential}"), *browser]
    lines = [f"POST /v1/events/bench/sessions/{session}/join HTTP/1.1", *(f"{name}: {value}" for name, value in heads)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Bench:
    """Measures the joins of one worker, kind by kind. Owns the turns taken so far."""

    def __init__(self, worker: servers.Server, redis_pid: int, tickets: Tickets) -> None:
        self._worker = worker
        self._redis_pid = redis_pid
        self._tickets = tickets
        self.turns: list[Turn] = []

    def round(self, joins: int, compared: int) -> None:
        """Let every kind of join have its turn, the algorithms for comparison with fewer people."""
        newcomers = self._tickets.sign("ES256", joins)
        tokens = self._turn("ES256 ticket, newcomers", "stream", newcomers)
        self._turn("ES256 ticket, the same people again", "stream", newcomers)
        for algorithm in ALGORITHMS[1:]:
            self._turn(f"{algorithm} ticket, newcomers", "stream", self._tickets.sign(algorithm, compared))
        self._turn("viewing token, another session", "hall", tokens)
        self._turn("viewing token, same session", "stream", tokens)

    def _turn(self, kind: str, session: str, credentials: Sequence[str]) -> list[str]:
        """Measure one kind; returns the viewing tokens. Raises RuntimeError if they are not one for each join."""
        requests = [join_request(session, credential) for credential in credentials]
        time.sleep(SETTLE_S)
        worker_s, redis_s = self._worker.cpu_s(), processes.cpu_s(self._redis_pid)
        delivery = deliver(self._worker.address, requests)
        worker_s, redis_s = self._worker.cpu_s() - worker_s, processes.cpu_s(self._redis_pid) - redis_s
        tokens = [str(answer.json()["token"]) for answer in delivery.answers]
        if len(set(tokens)) != len(requests):
            raise RuntimeError(f"{kind}: {len(requests)} joins brought {len(set(tokens))} tokens")
        joins = len(requests)
        self.turns.append(
            Turn(
                kind, worker_s * 1e6 / joins, redis_s * 1e6 / joins, joins / delivery.wall_s,
                worker_s / delivery.wall_s, joins,
            )
        )  # fmt: skip
        return tokens


def summarise(turns: Sequence[Turn]) -> list[Summary]:
    """Return median and spread by kind of join, in the order of their first turns."""
    summaries = []
    for kind in dict.fromkeys(turn.kind for turn in turns):
        own = [turn for turn in turns if turn.kind == kind]
        summaries.append(
            Summary(
                kind,
                spread(turn.cpu_us for turn in own),
                spread(turn.redis_us for turn in own),
                spread(turn.joins_a_second for turn in own),
                spread(turn.busy for turn in own),
                sum(turn.joins for turn in own),
            )
        )
    return summaries


def markdown(summaries: Sequence[Summary]) -> str:
    """Return the table."""
    return table.markdown(
        ["join", "CPU of the worker, median (range)", "joins a second per core", "measured, worker busy",
         "CPU of Redis", "joins, all 201"],
        [
            (
                one.kind,
                one.cpu_us.shown(1, "µs"),
                f"{1e6 / one.cpu_us.median:,.0f}" if one.cpu_us.median else "too few to tell",
                f"{one.joins_a_second.median:,.0f}, {one.busy.median:.0%}",
                f"{one.redis_us.median:.1f} µs",
                f"{one.joins:,}",
            )
            for one in summaries
        ],
    )  # fmt: skip


def keep_tokens(event: Path, now: datetime) -> None:
    """Let the event keep attendees' tokens for a month, for an audit the day after nothing counts any more."""
    audit, until = ((now + timedelta(days=days)).replace(microsecond=0).isoformat() for days in (2, 30))
    table = f'\n[audit]\nbeacon = "bench"\nround = 1\nround_at = {audit}\nretain_tokens_until = {until}\n'
    event.write_text(event.read_text() + table)


def measure(
    scratch: Path, rounds: int, joins: int, compared: int, *, tokens: bool
) -> tuple[list[Turn], dict[str, str]]:
    """Start Turnout, measure, stop it; returns all turns, and name and version of the Redis that was at work.

    Raises RuntimeError, OSError, ServerFailedError or UnexpectedAnswerError with what went wrong.
    """
    now = datetime.now(UTC)
    event = write_event_file(scratch, now, SESSIONS, ISSUERS)
    if tokens:
        keep_tokens(event, now)
    with ServerProcess(event, scratch, workers=1) as process:
        running = process.start()
        beside = {running.pid, *processes.descendants(running.pid)} - set(running.workers)
        worker = servers.Server("Turnout", Address.of(running.gateway), running.workers, tuple(sorted(beside)))
        worker.pin()
        redis_pid = _redis(worker.beside)
        bench = Bench(worker, redis_pid, Tickets(scratch / "development-issuer", now.timestamp()))
        with _on_the_clients_core():
            for _ in range(rounds):
                bench.round(joins, compared)
        program = f"/proc/{redis_pid}/exe"
        product = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[0]
        return bench.turns, {product: programs.version(program, "--version")}


def _redis(pids: Sequence[int]) -> int:
    """Return which of these processes is a Redis. Raises RuntimeError if none is."""
    for pid in pids:
        if Path(f"/proc/{pid}/comm").read_text().strip() in REDIS:
            return pid
    raise RuntimeError(f"none of Turnout's processes is called {' or '.join(REDIS)}")


@contextmanager
def _on_the_clients_core() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    if processes.pinnable():
        os.sched_setaffinity(0, {processes.CLIENT_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _put_first_on_the_path(redis: Path, folder: Path) -> None:
    """Let `turnout up` find this server program before any other."""
    folder.mkdir()
    (folder / "redis-server").symlink_to(redis)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


@click.command(name="joins")
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option(
    "--joins", type=click.IntRange(2, 60_000), default=20_000, show_default=True, help="Of a kind in a round."
)
@click.option(
    "--redis",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="Another Redis or Valkey program than the one on the PATH.",
)
@click.option("--keep-tokens", "tokens", is_flag=True, help="The event keeps attendees' tokens for an audit.")
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/joins-NAME.json.")
def command(rounds: int, joins: int, redis: Path | None, tokens: bool, save: str | None) -> None:
    """Measure the CPU of one join: by ticket and by viewing token, newcomers and known people."""
    compared = max(joins // 4, 1)
    with report.or_nothing(), tempfile.TemporaryDirectory(prefix="turnout-bench-") as scratch:
        if redis is not None:
            _put_first_on_the_path(redis, Path(scratch) / "bin")
        turns, server = measure(Path(scratch), rounds, joins, compared, tokens=tokens)
    summaries = summarise(turns)
    measured: dict[str, Any] = {
        "connections": CONNECTIONS,
        "summary": [asdict(summary) for summary in summaries],
        "rounds": [asdict(turn) for turn in turns],
    }
    notes = [f"{CONNECTIONS} connections; {rounds} rounds of {joins:,} joins, {compared:,} for comparison",
             "tokens are kept" if tokens else "no tokens are kept"]  # fmt: skip
    report.show("joins", markdown(summaries), measured, versions=server, notes=notes, save=save)


if __name__ == "__main__":
    command()
