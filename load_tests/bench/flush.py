"""What the flush costs: the live Redis, the supervisor that feeds it, bytes, memory and the append-only file.

A gateway with so many workers, an event of 64 sessions of which so many are watched. In each of these, one viewer after
another sends a heartbeat, one a second and session, in turn and each once in ten seconds: so both sketches of the
bucket, those of the session and of the event, rise in every single second. That is the dearest a session can be for the
flush, with one viewer a second or a hundred thousand: the cost grows with sessions watched and not with viewers. With
joins, attendees change sessions besides, which raises the shards of the day's uniques: 4 a session, 16 the event.

CPU of redis-server and of the supervisor are their own, from /proc/PID/stat. What merging (SET, PFMERGE, EXPIRE) and
asking (PFCOUNT, once a second and gateway) took of it is from INFO commandstats, in time that passed: on a busy machine
more than the CPU. The registry is another redis-server. Buckets live for 15 minutes; the memory that a session takes
when it has been watched that long is worked out from the memory that a key takes. What it does not say: what heartbeats
cost a worker.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import uvloop

from load_tests.audience import Person
from load_tests.bench import closed_loop, parts, processes, programs, redis_server, report, table
from load_tests.bench.raw_connections import Connections
from load_tests.bench.redis_server import APPEND_ONLY, WITHOUT_PERSISTENCE, RedisServer, calls_of, usec_of
from load_tests.bench.servers import event_file, session_id
from load_tests.public_interface import Gateway

SESSIONS: Final = 64
VIEWERS: Final = 10
"""In each session: one a second, each in another second of the bucket."""
CONNECTIONS: Final = 64
"""So many that every worker has some."""
SETTLE_S: Final = 45
"""Before it is measured: live now then asks for five buckets that are all there."""
JOINS_A_SECOND: Final = 50
BUCKET_TTL_S: Final = 15 * 60
BUCKET_S: Final = 10


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    workers: int
    watched: int  # sessions
    joins: int = 0  # a second
    append_only: bool = False  # the live Redis


@dataclass(frozen=True, slots=True)
class Cost:
    """What a case cost, a second."""

    case: Case
    redis_ms: float  # CPU of redis-server
    merging_ms: float
    asking_ms: float
    noticing_ms: float
    supervisor_ms: float  # CPU of the supervisor: listing, folding, sending, and all else it does
    merged: float  # sketches
    to_redis_bytes: float
    appended_bytes: float  # append-only file
    used_bytes: int  # used_memory at the end
    key_bytes: float  # memory of a key
    beats: int  # heartbeats in all, each answered 204


CASES: Final = (
    *(Case(workers=1, watched=watched) for watched in (0, 1, 8, 64)),
    Case(workers=1, watched=64, joins=JOINS_A_SECOND),
    Case(workers=4, watched=64),
    *(Case(workers=16, watched=watched) for watched in (0, 64)),
    Case(workers=1, watched=64, append_only=True),
)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    at: float
    facts: redis_server.Facts
    redis_s: float
    supervisor_s: float


class _Watching:
    """Viewers at one gateway. Owns their connections while it is entered."""

    def __init__(self, gateway: Gateway, tokens: Mapping[int, Sequence[str]], runner: asyncio.Runner) -> None:
        self._gateway = gateway
        self._tokens = tokens  # by session
        self._runner = runner
        self._random = random.Random(1)
        self._second = 0
        self.beats = 0

    def watch(self, case: Case, connections: Connections, seconds: float) -> None:
        """Send heartbeats, and joins, for so long. Raises RuntimeError for an answer that is no 204, or 201."""
        ends = time.monotonic() + seconds
        while (now := time.monotonic()) < ends:
            requests = [
                self._gateway.beat_request(self._tokens[session][self._second % VIEWERS])
                for session in range(1, case.watched + 1)
            ]
            answered = closed_loop.run(connections, requests, CONNECTIONS).statuses
            if set(answered) - {204}:
                raise RuntimeError(f"heartbeats were answered {dict(answered)}")
            self.beats += len(requests)
            self._second += 1
            if case.joins:
                self._runner.run(self._switch(case.joins))
            time.sleep(max(now + 1 - time.monotonic(), 0))

    async def _switch(self, count: int) -> None:
        """Let so many viewers go to another session, as their viewing token allows."""
        await asyncio.gather(
            *(
                self._gateway.join(session_id(other), self._random.choice(self._tokens[session]))
                for session, other in (self._random.sample(sorted(self._tokens), 2) for _ in range(count))
            )
        )


async def _join(gateway: Gateway, issuer_of: parts.Ledger) -> dict[int, list[str]]:
    tokens: dict[int, list[str]] = {}
    for number in range(SESSIONS * VIEWERS):
        session = number % SESSIONS + 1
        ticket = issuer_of.issuer.ticket(Person(number, f"flush-{number}", "", "visitor"))
        tokens.setdefault(session, []).append(await gateway.join(session_id(session), ticket))
    return tokens


def _snapshot(live: RedisServer, supervisor: int) -> _Snapshot:
    return _Snapshot(time.monotonic(), live.info(), live.cpu_s(), processes.cpu_s(supervisor))


def _cost(case: Case, before: _Snapshot, after: _Snapshot, empty: redis_server.Facts, beats: int) -> Cost:
    seconds = after.at - before.at

    def spent_ms(*commands: str) -> float:
        return (usec_of(after.facts, *commands) - usec_of(before.facts, *commands)) / 1000 / seconds

    def grown(fact: str) -> float:
        return (int(after.facts.get(fact, 0)) - int(before.facts.get(fact, 0))) / seconds

    keys = int(after.facts.get("db0", "keys=0").partition("=")[2].partition(",")[0])
    used = int(after.facts["used_memory"])
    return Cost(
        case,
        redis_ms=(after.redis_s - before.redis_s) * 1000 / seconds,
        merging_ms=spent_ms("set", "pfmerge", "expire"),
        asking_ms=spent_ms("pfcount", "exists"),
        noticing_ms=spent_ms("info", "get"),
        supervisor_ms=(after.supervisor_s - before.supervisor_s) * 1000 / seconds,
        merged=(calls_of(after.facts, "pfmerge") - calls_of(before.facts, "pfmerge")) / seconds,
        to_redis_bytes=grown("total_net_input_bytes"),
        appended_bytes=grown("aof_current_size"),
        used_bytes=used,
        key_bytes=(used - int(empty["used_memory"])) / keys if keys else 0.0,
        beats=beats,
    )


@contextmanager
def _gateway_of(
    ledger: parts.Ledger, scratch: Path, case: Case, registry: str
) -> Iterator[tuple[parts.Gateway, RedisServer]]:
    name = f"gw-{case.workers}-{case.watched}-{case.joins}{'-aof' if case.append_only else ''}"
    options = APPEND_ONLY if case.append_only else WITHOUT_PERSISTENCE
    with (
        redis_server.running(scratch / f"live-{name}", options) as live,
        parts.gateway(ledger, scratch / name, registry, live.url, case.workers) as gateway,
    ):
        yield gateway, live


def measure(cases: Sequence[Case], settle_s: float, seconds: float) -> list[Cost]:
    """Return what each case costs a second.

    Raises RuntimeError, ServerFailedError, UnexpectedAnswerError or OSError.
    """
    costs = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-bench-")))
        registry = stack.enter_context(redis_server.running(scratch / "registry", APPEND_ONLY))
        event = event_file(scratch, datetime.now(UTC), SESSIONS)
        ledger = stack.enter_context(parts.ledger(event, scratch / "data", registry.url))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        for case in cases:
            with _gateway_of(ledger, scratch, case, registry.url) as (gateway, live):
                empty = live.info()
                outside = Gateway(gateway.address, ledger.programme.event)
                watching = _Watching(outside, runner.run(_join(outside, ledger)) if case.watched else {}, runner)
                with Connections(gateway.address, CONNECTIONS) as connections:
                    watching.watch(case, connections, settle_s if case.watched else min(settle_s, 3.0))
                    before = _snapshot(live, gateway.supervisor)
                    watching.watch(case, connections, seconds)
                    costs.append(_cost(case, before, _snapshot(live, gateway.supervisor), empty, watching.beats))
    return costs


def markdown(costs: Sequence[Cost]) -> str:
    """Return the table."""
    return table.markdown(
        [
            "workers", "sessions watched", "joins a second", "live Redis", "redis-server", "of it merging", "asking",
            "sketches a second", "to Redis", "append-only file", "supervisor",
        ],
        [
            (
                str(cost.case.workers),
                f"{cost.case.watched} of {SESSIONS}",
                str(cost.case.joins),
                "append-only" if cost.case.append_only else "in memory",
                f"{cost.redis_ms:.1f} ms/s",
                f"{cost.merging_ms:.1f}",
                f"{cost.asking_ms:.1f}",
                f"{cost.merged:.0f}",
                f"{cost.to_redis_bytes / 1000:,.0f} kB/s",
                f"{cost.appended_bytes / 1000:,.0f} kB/s" if cost.case.append_only else "none",
                f"{cost.supervisor_ms:.1f} ms/s",
            )
            for cost in costs
        ],
    )  # fmt: skip


def memory_note(costs: Sequence[Cost]) -> str:
    """Return what a session's sketches take that has been watched for 15 minutes, from the largest case."""
    cost = max(costs, key=lambda cost: cost.case.watched)
    keys = 2 * BUCKET_TTL_S // BUCKET_S
    return (
        f"used_memory: {cost.used_bytes / 1e6:.0f} MB at the end of the case with {cost.case.watched} sessions, "
        f"{cost.key_bytes / 1000:.1f} kB a key; a session watched for 15 minutes has {keys} bucket keys, "
        f"{keys * cost.key_bytes / 1e6:.1f} MB"
    )


@click.command(name="flush")
@click.option("--seconds", type=click.IntRange(5, 120), default=10, show_default=True, help="Of each row.")
@click.option("--settle", type=click.IntRange(1, 120), default=SETTLE_S, show_default=True, help="Before that.")
@click.option(
    "--rows", type=click.IntRange(1, len(CASES)), default=len(CASES), show_default=True, help="Only the first."
)
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/flush-NAME.json.")
def command(seconds: int, settle: int, rows: int, save: str | None) -> None:
    """Measure what live numbers cost Redis and the supervisor, by sessions watched and workers."""
    with report.or_nothing():
        costs = measure(CASES[:rows], settle, seconds)
    notes = [memory_note(costs), f"{sum(cost.beats for cost in costs):,} heartbeats, each answered 204"]
    versions = {"redis-server": programs.version("redis-server", "--version")}
    measured = {"costs": [asdict(cost) for cost in costs]}
    report.show("flush", markdown(costs), measured, versions=versions, notes=notes, save=save)


if __name__ == "__main__":
    command()
