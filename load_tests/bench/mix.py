"""The door's share: joins and heartbeats mixed, straight to one worker and through one keep-alive pool of a real nginx.

A load balancer puts any player's requests on any of its connections. If a join took a connection away from the door,
the heartbeats behind it would cost several times as much, or each join would cost a connection. Share is the heartbeats
that took the door, by the worker's own /metrics; connections are those that were opened to the worker. 64 requests are
under way, joins are those of newcomers with an ES256 ticket, in seeded random places. Worker on core 0; nginx, client
and everything else on core 1. What it does not say: how fast it is (the client signs tickets on nginx's core).
"""

import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

from load_tests.audience import Person
from load_tests.bench import closed_loop, peers, processes, programs, report, servers, table, wrk
from load_tests.bench.joins import join_request
from load_tests.bench.raw_connections import Connections
from load_tests.bench.scrape import scrape, total
from load_tests.bench.servers import SESSION, Server, Turnout
from load_tests.bench.spread import Spread, spread
from load_tests.http_client import Address

JOINS: Final = 0.01
WANTED: Final = 0.99
COUNTED_S: Final = 5.0
"""Within this time after the last answer everything must be in the metrics."""
DIRECT: Final = "straight to the worker"
NGINX: Final = "through nginx, keepalive 64"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a worker says that it did."""

    heartbeats: float
    joins: float
    handed_over: float  # heartbeats

    def __sub__(self, before: "Counts") -> "Counts":
        """Return what was done since `before`."""
        return Counts(
            self.heartbeats - before.heartbeats, self.joins - before.joins, self.handed_over - before.handed_over
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """One mix on one way, for a while."""

    way: str
    asked: float  # share of joins
    heartbeats: int
    joins: int
    share: float  # of heartbeats, that took the door
    opened: int  # connections to the worker
    worker_us: float  # CPU per request
    nginx_us: float  # the same; 0 without nginx


@dataclass(frozen=True, slots=True)
class Summary:
    """All turns of one mix on one way."""

    way: str
    asked: float
    heartbeats: int
    joins: int
    share: float  # the lowest
    opened: int
    worker_us: Spread
    nginx_us: Spread


def counts(metrics: str) -> Counts:
    """Read the worker's counters. Raises RuntimeError if one is missing."""
    samples = scrape(metrics)
    handed_over = total(samples, "turnout_door_handed_over_heartbeats_total")
    if handed_over is None:
        raise RuntimeError("there is no turnout_door_handed_over_heartbeats_total in the metrics")
    heartbeats, joins = (total(samples, f"turnout_{name}_total") or 0.0 for name in ("heartbeats", "joins"))
    return Counts(heartbeats, joins, handed_over)


def clients_of(port: int) -> set[int]:
    """Return the ports of this machine that are, or were a minute ago, connected to `port` on it (/proc/net/tcp)."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    ends = ((int(row[1].partition(":")[2], 16), int(row[2].partition(":")[2], 16)) for row in rows)
    return {here if there == port else there for here, there in ends if port in (here, there)} - {0}


class Mix:
    """One worker, and an nginx in front of it. Owns the turns taken so far."""

    def __init__(self, turnout: Turnout, nginx: Server | None, seed: int = 1) -> None:
        self.turns: list[Turn] = []
        self._turnout = turnout
        self._nginx = nginx
        self._random = random.Random(seed)
        self._newcomers = count(1_000_000)

    def requests(self, joins: float) -> Iterator[bytes]:
        """Give heartbeats, and a join now and then."""
        beats = [wrk.browser_request("turnout.example", token) for token in self._turnout.tokens]
        while True:
            if self._random.random() < joins:
                newcomer = next(self._newcomers)
                ticket = self._turnout.issuer.ticket(Person(newcomer, f"newcomer-{newcomer}", "", "visitor"))
                yield join_request(SESSION, ticket)
            else:
                yield self._random.choice(beats)

    def turn(self, way: str, joins: float, seconds: float) -> Turn:
        """Take one turn. Raises RuntimeError unless each heartbeat is answered 204, each join 201, and all counted."""
        worker, nginx = self._turnout.server, self._nginx if way == NGINX else None
        address = nginx.address if nginx else worker.address
        known, before = clients_of(worker.address.port), counts(self._turnout.running.metrics)
        cpu_s, nginx_s = worker.cpu_s(), nginx.cpu_s() if nginx else 0.0
        with Connections(address, wrk.CONNECTIONS) as connections:
            run = closed_loop.run(connections, self.requests(joins), wrk.CONNECTIONS, seconds)
            opened = len(clients_of(worker.address.port) - known)
        cpu_s, nginx_s = worker.cpu_s() - cpu_s, (nginx.cpu_s() if nginx else 0.0) - nginx_s
        if run.statuses.keys() - {201, 204}:
            raise RuntimeError(f"{way}: the answers were {dict(run.statuses)}")
        done = self._counted(before, run.statuses[204], run.statuses[201])
        turn = Turn(
            way, joins, run.statuses[204], run.statuses[201], 1 - done.handed_over / done.heartbeats,
            opened, cpu_s * 1e6 / run.requests, nginx_s * 1e6 / run.requests,
        )  # fmt: skip
        self.turns.append(turn)
        return turn

    def _counted(self, before: Counts, heartbeats: int, joins: int) -> Counts:
        deadline = time.monotonic() + COUNTED_S
        while True:
            done = counts(self._turnout.running.metrics) - before
            if (done.heartbeats, done.joins) == (heartbeats, joins):
                return done
            if time.monotonic() > deadline:
                raise RuntimeError(f"{heartbeats} heartbeats and {joins} joins answered, but counted: {done}")
            time.sleep(0.1)


def summarise(turns: list[Turn]) -> list[Summary]:
    """Return what each mix on each way came to, in the order of their first turns."""
    summaries = []
    for way, asked in dict.fromkeys((turn.way, turn.asked) for turn in turns):
        own = [turn for turn in turns if (turn.way, turn.asked) == (way, asked)]
        summaries.append(
            Summary(
                way,
                asked,
                sum(turn.heartbeats for turn in own),
                sum(turn.joins for turn in own),
                min(turn.share for turn in own),
                sum(turn.opened for turn in own),
                spread(turn.worker_us for turn in own),
                spread(turn.nginx_us for turn in own),
            )
        )
    return summaries


def markdown(summaries: list[Summary]) -> str:
    """Return the table."""
    head = ["way", "joins asked for", "heartbeats, all 204", "joins, all 201", "heartbeats by the door",
            "connections to the worker", "CPU of the worker per request", "CPU of nginx per request"]  # fmt: skip
    return table.markdown(
        head,
        [
            (
                one.way,
                f"{one.asked:.0%}",
                f"{one.heartbeats:,}",
                f"{one.joins:,}",
                f"{one.share:.3%}",
                f"{one.opened:,}",
                one.worker_us.shown(2, "µs"),
                one.nginx_us.shown(2, "µs") if one.way == NGINX else "",
            )
            for one in summaries
        ],
    )


def front(turnout: Address, scratch: Path) -> AbstractContextManager[Server]:
    """Run an nginx in front of a worker. Raises MissingError without nginx, RuntimeError if it does not start."""
    return peers.nginx(peers.FILES / "nginx_front.conf", "nginx in front", scratch, worker=str(turnout.port))


@click.command(name="mix")
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 30), default=4, show_default=True, help="Of each turn.")
@click.option("--joins", type=click.FloatRange(0, 1), default=JOINS, show_default=True, help="Share of joins.")
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/mix-NAME.json.")
def command(rounds: int, seconds: int, joins: float, save: str | None) -> None:
    """Measure the door's share of heartbeats that come mixed with joins, through nginx."""
    notes = [] if processes.pinnable() else ["not pinned to cores: that needs taskset and two cores"]
    with report.or_nothing(), ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="turnout-bench-")))
        (scratch / "nginx").mkdir()
        turnout = stack.enter_context(servers.turnout(scratch))
        nginx = None
        try:
            nginx = stack.enter_context(front(turnout.server.address, scratch / "nginx"))
        except peers.MissingError as missing:
            notes.append(f"nothing is measured through nginx: {missing}")
        if nginx and processes.pinnable():
            processes.pin(nginx.pid, processes.CLIENT_CORE)
        stack.enter_context(processes.staying_on(processes.CLIENT_CORE))
        mix = Mix(turnout, nginx)
        for _ in range(rounds):
            for way in (DIRECT, NGINX) if nginx else (DIRECT,):
                for share in (0.0, joins):
                    mix.turn(way, share, seconds)
    summaries = summarise(mix.turns)
    lowest = min(one.share for one in summaries)
    reached = "reached" if lowest >= WANTED else "NOT REACHED"
    notes.insert(0, f"at least {WANTED:.0%} of heartbeats take the door: {lowest:.3%}, {reached}")
    measured = {"summary": [asdict(one) for one in summaries], "turns": [asdict(one) for one in mix.turns]}
    versions = {"nginx": programs.version("nginx", "-v")} if nginx else {}
    report.show("mix", markdown(summaries), measured, versions=versions, notes=notes, save=save)


if __name__ == "__main__":
    command()
