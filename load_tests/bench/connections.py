"""What ten thousand open connections and a hundred thousand joined viewers cost one worker.

Memory is the worker's own, from /proc/PID/smaps_rollup, before and after: connections that each sent one heartbeat and
are silent, then joins over a few connections. CPU per heartbeat is measured with 64 connections alone, with 64 beside
ten thousand silent ones, and with a few hundred active of ten thousand, each heartbeat on the connection that was
silent longest, so that no cache holds anything of it; nginx answering an empty 204 gets the same, in turns. What it
does not say: the kernel's memory of a socket (a few kilobytes, none of them the process'), and the speed of joins
(`joins` measures that).
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Final

import click

from load_tests.audience import Person
from load_tests.bench import closed_loop, contenders, peers, processes, report, table, wrk
from load_tests.bench.joins import join_request
from load_tests.bench.processes import Memory
from load_tests.bench.raw_connections import Connections, allow_many_files
from load_tests.bench.servers import SESSION, Server, Turnout
from load_tests.bench.spread import Spread, spread

OPEN: Final = 10_000
ACTIVE: Final = 300
VIEWERS: Final = 100_000
JOINING: Final = 16
"""Connections that joins come on."""
WARM_JOINS: Final = 2_000
"""What a worker allocates once, for its first joins, is not a viewer's."""
SETTLE_S: Final = 2.0
SPARE_FILES: Final = 200
IDLE_LIMIT_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement of CPU."""

    server: str
    situation: str
    cpu_us: float  # of the server process, per heartbeat
    requests: int


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU per heartbeat of one server in one situation."""

    server: str
    situation: str
    cpu_us: Spread
    requests: int  # all turns together


@dataclass(frozen=True, slots=True)
class Growth:
    """What the worker's memory grew by."""

    cause: str
    count: int
    memory: Memory

    @property
    def bytes_each(self) -> float:
        """Return the growth of the worker's own memory per one."""
        return self.memory.own / self.count


def beat(connections: Connections, requests: Iterable[bytes], active: int, seconds: float = float("inf")) -> int:
    """Send heartbeats; returns how many. Raises RuntimeError unless all are answered 204."""
    run = closed_loop.run(connections, requests, active, seconds)
    if run.statuses.keys() != {204}:
        raise RuntimeError(f"heartbeats were answered {dict(run.statuses)}")
    return run.requests


class Situations:
    """One server with few and with many connections. Owns what it measured."""

    def __init__(self, server: Server, requests: Sequence[bytes], count: int) -> None:
        self.turns: list[Turn] = []
        self.growth: Growth | None = None
        self._server = server
        self._requests = requests
        self._count = count

    def round(self, seconds: int) -> None:
        """Measure CPU in each situation, and memory if nothing had been freed before that could be used again."""
        server, count = self._server, self._count
        with ExitStack() as stack:
            few = stack.enter_context(Connections(server.address, wrk.CONNECTIONS))
            self._measure("64 connections", few, wrk.CONNECTIONS, seconds)
            before = processes.memory(server.pid)
            many = stack.enter_context(Connections(server.address, count))
            beat(many, islice(cycle(self._requests), count), wrk.CONNECTIONS)
            if self.growth is None:
                time.sleep(SETTLE_S)
                cause = f"silent connection to {server.name}"
                self.growth = Growth(cause, count, processes.memory(server.pid) - before)
            self._measure(f"64 beside {count:,} silent ones", few, wrk.CONNECTIONS, seconds)
            self._measure(f"{ACTIVE} active of {count:,}", many, ACTIVE, seconds)

    def _measure(self, situation: str, connections: Connections, active: int, seconds: int) -> None:
        before = self._server.cpu_s()
        sent = beat(connections, cycle(self._requests), active, seconds)
        cpu_us = (self._server.cpu_s() - before) * 1e6 / sent
        self.turns.append(Turn(self._server.name, situation, cpu_us, sent))


def summarise(turns: Sequence[Turn]) -> list[Cost]:
    """Return medians and ranges by situation, servers side by side."""
    costs = []
    for situation in dict.fromkeys(turn.situation for turn in turns):
        for server in dict.fromkeys(turn.server for turn in turns):
            taken = [turn for turn in turns if (turn.situation, turn.server) == (situation, server)]
            costs.append(Cost(server, situation, spread(t.cpu_us for t in taken), sum(t.requests for t in taken)))
    return costs


def silent_each_with_its_own_head(server: Server, requests: Sequence[bytes], count: int) -> Growth:
    """Return what connections cost whose heads are all different: no two players share what the worker keeps of one."""
    with Connections(server.address, wrk.CONNECTIONS) as few:
        beat(few, islice(cycle(requests), wrk.CONNECTIONS * 10), wrk.CONNECTIONS)
        before = processes.memory(server.pid)
        with Connections(server.address, count) as many:
            own = (
                request.replace(b"/537.36\r\n", b"/537.36 (%d)\r\n" % number)
                for number, request in enumerate(islice(cycle(requests), count))
            )
            beat(many, own, wrk.CONNECTIONS)
            time.sleep(SETTLE_S)
            return Growth(
                "silent connection, each with a head of its own", count, processes.memory(server.pid) - before
            )


def join_requests(turnout: Turnout, first: int, count: int) -> Iterator[bytes]:
    """Sign a ticket for each of `count` new attendees, and give the request that joins with it."""
    for number in range(first, first + count):
        ticket = turnout.issuer.ticket(Person(number, f"viewer-{number}", "", "visitor"))
        yield join_request(SESSION, ticket)


def viewers(turnout: Turnout, count: int) -> Growth:
    """Let viewers join; returns the worker's growth. Raises RuntimeError unless each join is answered 201."""
    server = turnout.server
    with Connections(server.address, JOINING) as connections:
        warm = closed_loop.run(connections, join_requests(turnout, 1_000_000, WARM_JOINS), JOINING)
        time.sleep(SETTLE_S)
        before = processes.memory(server.pid)
        run = closed_loop.run(connections, join_requests(turnout, 2_000_000, count), JOINING)
        time.sleep(SETTLE_S)
        grown = processes.memory(server.pid) - before
    statuses = warm.statuses + run.statuses
    if statuses.keys() != {201}:
        raise RuntimeError(f"joins were answered {dict(statuses)}")
    return Growth("joined viewer", count, grown)


def markdown(costs: Sequence[Cost], growths: Sequence[Growth]) -> str:
    """Return both tables."""
    floors = {one.situation: one.cpu_us.median for one in costs if one.server == peers.NGINX_204}
    cpu = table.markdown(
        ["connections", "server", "CPU per heartbeat, median (range)", "beside nginx", "answers, all 204"],
        [
            (
                one.situation,
                one.server,
                one.cpu_us.shown(2, "µs"),
                f"{one.cpu_us.median / floors[one.situation]:.2f} ×" if one.situation in floors else "not measured",
                f"{one.requests:,}",
            )
            for one in costs
        ],
    )
    memory = table.markdown(
        ["the worker's memory for each", "how many", "own memory", "RSS, mapped files included", "PSS"],
        [
            (
                one.cause,
                f"{one.count:,}",
                f"{one.bytes_each:,.0f} bytes",
                f"{one.memory.resident / one.count:,.0f} bytes",
                f"{one.memory.proportional / one.count:,.0f} bytes",
            )
            for one in growths
        ],
    )
    return f"{cpu}\n\n{memory}"


def verdict(growth: Growth) -> str:
    """Return whether the target for a silent connection is reached, as a sentence."""
    each = growth.memory.resident / growth.count
    reached = "reached" if each <= IDLE_LIMIT_BYTES else "NOT REACHED"
    return f"{growth.cause}: at most {IDLE_LIMIT_BYTES:,} bytes of RSS, {each:,.0f} found, {reached}"


@click.command(name="connections")
@click.option("--open", "count", type=click.IntRange(ACTIVE, 60_000), default=OPEN, show_default=True)
@click.option("--viewers", "joining", type=click.IntRange(1, 1_000_000), default=VIEWERS, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 60), default=4, show_default=True, help="Of each turn.")
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/connections-NAME.json.")
def command(count: int, joining: int, rounds: int, seconds: int, save: str | None) -> None:
    """Measure ten thousand open connections and a hundred thousand joined viewers."""
    with report.or_nothing():
        limit = allow_many_files()
        if limit < count + SPARE_FILES:
            raise RuntimeError(f"a process may open {limit:,} files only (`ulimit -Hn`): too few for {count:,}")
        with contenders.field([peers.NGINX_204]) as field, processes.staying_on(processes.CLIENT_CORE):
            requests = [wrk.browser_request("beat.example", token) for token in field.turnout.tokens]
            servers_measured = [Situations(one.server, requests, count) for one in field.contenders]
            for _ in range(rounds):
                for one in servers_measured:
                    one.round(seconds)
            growths = [one.growth for one in servers_measured if one.growth is not None]
            growths.append(viewers(field.turnout, joining))
            skipped = field.skipped
        with contenders.field([]) as fresh, processes.staying_on(processes.CLIENT_CORE):
            requests = [wrk.browser_request("beat.example", token) for token in fresh.turnout.tokens]
            growths.insert(1, silent_each_with_its_own_head(fresh.turnout.server, requests, count))
    turns = [turn for one in servers_measured for turn in one.turns]
    costs = summarise(turns)
    notes = [
        *(verdict(one) for one in growths[:2]),
        *([] if processes.pinnable() else ["not pinned to cores: that needs taskset and two cores"]),
        *skipped,
    ]
    measured = {
        "turns": [asdict(one) for one in turns],
        "costs": [asdict(one) for one in costs],
        "growths": [asdict(one) for one in growths],
    }
    report.show("connections", markdown(costs, growths), measured, notes=notes, save=save)


if __name__ == "__main__":
    command()
