"""What one heartbeat costs one Turnout worker, beside what people would otherwise run.

The same request bytes for all (a browser's headers, a valid token), 64 keep-alive connections, the server on core 0,
client and Redis on core 1, rounds in which all take turns so that a busy minute of the machine hits all alike. CPU is
the server process' own, from /proc/PID/stat; that of the processes beside it (Redis; for Turnout its Redis, ledger
and supervisor) stands apart. Every answer is looked at before the turns begin, and after each turn those who count
must have counted every heartbeat. What it does not say: how a server behaves below saturation (the p99 is at
saturation), and how fast it is where "core busy" is well below 100 %: there the client or Redis was the limit, and the
ratio of CPU is the one to read.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click

from load_tests.bench import contenders, peers, plot, processes, programs, report, table, wrk
from load_tests.bench.contenders import Contender
from load_tests.bench.spread import Spread, spread

CHECK_S: Final = 1
SETTLE_S: Final = 0.3
"""Lets a server finish with the connections of the run before."""
BUSY: Final = 0.9
"""A server that has less of its core at saturation waits for the client, for Redis, or for other programs."""
TURNOUT: Final = "Turnout, one worker"


@dataclass(frozen=True, slots=True)
class Round:
    """One server's turn."""

    server: str
    cpu_us: float  # CPU time of the server process per request
    beside_us: float  # CPU time of the processes beside it per request
    requests_a_second: float
    busy: float  # share of its core that the server process had
    p99_us: int
    requests: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All turns of one server."""

    server: str
    cpu_us: Spread
    beside_us: Spread
    requests_a_second: Spread
    busy: Spread
    p99_us: Spread
    requests: int  # all together


def summarise(rounds: Sequence[Round]) -> list[Summary]:
    """Return medians and spread by server, cheapest first."""
    names = list(dict.fromkeys(turn.server for turn in rounds))
    summaries = []
    for name in names:
        turns = [turn for turn in rounds if turn.server == name]
        summaries.append(
            Summary(
                name,
                spread(turn.cpu_us for turn in turns),
                spread(turn.beside_us for turn in turns),
                spread(turn.requests_a_second for turn in turns),
                spread(turn.busy for turn in turns),
                spread(turn.p99_us for turn in turns),
                sum(turn.requests for turn in turns),
            )
        )
    return sorted(summaries, key=lambda summary: summary.cpu_us.median)


HEAD: Final = (
    "server", "CPU per heartbeat, median (range)", "× nginx 204", "CPU beside it", "requests a second, median (range)",
    "Turnout answers", "core busy", "p99", "answers, all 204",
)  # fmt: skip


def markdown(summaries: Sequence[Summary]) -> str:
    """Return the table; what was not measured stands as a dash."""
    by_name = {summary.server: summary for summary in summaries}
    floor, ours = by_name.get(peers.NGINX_204), by_name.get(TURNOUT)
    rows = []
    for one in summaries:
        fewer = f"{ours.requests_a_second.median / one.requests_a_second.median:.2f} ×" if ours else "–"
        rows.append(
            (
                one.server,
                one.cpu_us.shown(2, "µs"),
                f"{one.cpu_us.median / floor.cpu_us.median:.2f} ×" if floor else "–",
                f"{one.beside_us.median:.2f} µs",
                one.requests_a_second.shown(0),
                "" if one is ours else fewer,
                f"{one.busy.median:.0%}",
                f"{one.p99_us.median / 1000:.2f} ms",
                f"{one.requests:,}",
            )
        )
    return table.markdown(HEAD, rows)


def verdicts(summaries: Sequence[Summary]) -> list[str]:
    """Return a sentence for each target: what was wanted, what was measured, and whether that is reached."""
    by_name = {summary.server: summary for summary in summaries}
    ours = by_name.get(TURNOUT)
    found = []
    for peer in peers.PEERS:
        other = by_name.get(peer.name)
        if ours is None or other is None:
            continue
        if peer.cpu_wanted is not None:
            cpu = ours.cpu_us.median / other.cpu_us.median
            reached = "reached" if cpu <= peer.cpu_wanted else "NOT REACHED"
            found.append(f"CPU at most {peer.cpu_wanted:g} × that of {peer.name}: {cpu:.2f} ×, {reached}")
        if peer.throughput_wanted is not None:
            throughput = ours.requests_a_second.median / other.requests_a_second.median
            reached = "reached" if throughput >= peer.throughput_wanted else "NOT REACHED"
            by_cpu = other.cpu_us.median / ours.cpu_us.median
            found.append(
                f"Throughput at least {peer.throughput_wanted:g} × that of {peer.name}: {throughput:.2f} ×, {reached}"
                f" (by CPU alone {by_cpu:.2f} ×)"
            )
    return found


class Bench:
    """Gives contenders their turns. Owns the scratch directory's scripts."""

    def __init__(self, scratch: Path, requests: Sequence[bytes], tokens: int) -> None:
        """Send `requests` in turn, which carry so many different tokens."""
        self._tokens = tokens
        self._plain, self._checking = scratch / "plain.lua", scratch / "checking.lua"
        wrk.write_script(self._plain, requests, check=False)
        wrk.write_script(self._checking, requests, check=True)

    def _wrk(self, contender: Contender, seconds: int, *, check: bool) -> wrk.Run:
        address, script = contender.server.address, self._checking if check else self._plain
        found = wrk.run(wrk.client(), script, f"http://{address.host}:{address.port}/v1/beat", seconds)
        if not found.sound:
            raise RuntimeError(f"{contender.server.name} does not answer everything with 204: {found}")
        return found

    def admit(self, contender: Contender) -> None:
        """Warm a server up and look at every status. Raises RuntimeError if one is not 204."""
        self._wrk(contender, CHECK_S, check=True)

    def measure(self, contender: Contender, seconds: int) -> Round:
        """Give a server its turn. Raises RuntimeError if an answer was an error, or a heartbeat was not counted."""
        server = contender.server
        time.sleep(SETTLE_S)
        contender.counting.begin()
        before, beside = server.cpu_s(), server.beside_cpu_s()
        found = self._wrk(contender, seconds, check=False)
        cpu_s, beside_s = server.cpu_s() - before, server.beside_cpu_s() - beside
        if fault := contender.counting.fault(found.requests, self._tokens):
            raise RuntimeError(f"{server.name}: {fault}")
        return Round(
            server.name,
            cpu_s * 1e6 / found.requests,
            beside_s * 1e6 / found.requests,
            found.requests * 1e6 / found.duration_us,
            cpu_s * 1e6 / found.duration_us,
            found.p99_us,
            found.requests,
        )


def idle_servers(summaries: Sequence[Summary]) -> list[str]:
    """Return a sentence for each server whose core was not full: something else limited its requests a second."""
    return [
        f"{one.server} had its core for {one.busy.median:.0%} only: its requests a second are not its own limit"
        for one in summaries
        if one.busy.median < BUSY
    ]


def take_turns(bench: Bench, field: Sequence[Contender], rounds: int, seconds: int) -> list[Round]:
    """Return all turns; each round begins with another contender. Raises RuntimeError."""
    for contender in field:
        bench.admit(contender)
    return [
        bench.measure(contender, seconds)
        for turn in range(rounds)
        for contender in [*field[turn % len(field) :], *field[: turn % len(field)]]
    ]


@click.command(name="heartbeats")
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 60), default=4, show_default=True, help="Of each server's turn.")
@click.option("--only", multiple=True, metavar="NAME", type=click.Choice([peer.name for peer in peers.PEERS]),
              help="Only this peer; may be repeated. Otherwise all.")  # fmt: skip
@click.option("--plot", "svg", metavar="PATH", type=click.Path(dir_okay=False, path_type=Path),
              help="Also draw the CPU per heartbeat as an SVG.")  # fmt: skip
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/heartbeats-NAME.json.")
def command(rounds: int, seconds: int, only: tuple[str, ...], svg: Path | None, save: str | None) -> None:
    """Measure one heartbeat: Turnout beside nginx, nginx+Lua, Node, aiohttp and FastAPI."""
    with report.or_nothing(), contenders.field(only or None) as field, tempfile.TemporaryDirectory() as scratch:
        tokens = field.turnout.tokens
        # The Host header is the same for all, so that the bytes are.
        requests = [wrk.browser_request("beat.example", token) for token in tokens]
        bench = Bench(Path(scratch), requests, len(tokens))
        turns = take_turns(bench, field.contenders, rounds, seconds)
        notes = [
            f"{wrk.CONNECTIONS} connections, {len(requests[0])} bytes a request, {len(tokens)} tokens in turn",
            *([] if processes.pinnable() else ["not pinned to cores: that needs taskset and two cores"]),
            *field.skipped,
        ]
        versions = {"wrk": programs.version("wrk", "-v"), **peers.versions()}
        if field.redis_version:
            versions["Redis"] = field.redis_version
    summaries = summarise(turns)
    found = verdicts(summaries)
    measured = {
        "targets": found,
        "summary": [asdict(summary) for summary in summaries],
        "rounds": [asdict(turn) for turn in turns],
    }
    report.show(
        "heartbeats",
        markdown(summaries),
        measured,
        versions=versions,
        notes=[*found, *idle_servers(summaries), *notes],
        save=save,
    )
    if svg:
        bars = [plot.Bar(one.server, one.cpu_us, emphasised=one.server == TURNOUT) for one in summaries]
        svg.write_text(plot.bars("CPU of the server process per heartbeat", "µs", bars), encoding="utf-8")
        print(f"Drawn: {svg}")


if __name__ == "__main__":
    command()
