"""CPU per heartbeat of one Turnout worker, beside nginx answering an empty 204 and a plain aiohttp handler.

The same request bytes for all (a browser's headers, a valid token), 64 keep-alive connections, server on core 0 and
client on core 1, rounds that take turns so that a busy minute of the machine hits all alike. CPU time is the server
process' own, from /proc/PID/stat. What it does not say: how a server behaves below saturation (`p99` is at saturation).
"""

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from load_tests.bench import processes, programs, report, servers, table, wrk
from load_tests.bench.spread import Spread, spread

CHECK_S: Final = 1
SETTLE_S: Final = 0.3
"""Lets a server finish with the connections of the run before."""


@dataclass(frozen=True, slots=True)
class Round:
    """One server's turn."""

    server: str
    cpu_us: float  # CPU time of the server process per request
    requests_a_second: float
    p99_us: int
    requests: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All turns of one server."""

    server: str
    cpu_us: Spread
    requests_a_second: Spread
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
                spread(turn.requests_a_second for turn in turns),
                spread(turn.p99_us for turn in turns),
                sum(turn.requests for turn in turns),
            )
        )
    return sorted(summaries, key=lambda summary: summary.cpu_us.median)


def markdown(summaries: Sequence[Summary]) -> str:
    """Return the table; costs are put in relation to nginx where it was measured."""
    floor = next((summary.cpu_us.median for summary in summaries if summary.server.startswith("nginx")), None)
    return table.markdown(
        ["server", "CPU per heartbeat, median (range)", "beside nginx", "requests a second", "p99", "answers, all 204"],
        [
            (
                one.server,
                one.cpu_us.shown(2, "µs"),
                f"{one.cpu_us.median / floor:.2f} ×" if floor else "not measured",
                f"{one.requests_a_second.median:,.0f}",
                f"{one.p99_us.median / 1000:.2f} ms",
                f"{one.requests:,}",
            )
            for one in summaries
        ],
    )


class Bench:
    """Measures servers in turns. Owns the scratch directory's scripts."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._scripts: dict[tuple[str, bool], Path] = {}

    def admit(self, server: servers.Server, tokens: Sequence[str]) -> None:
        """Write a server's scripts, and see that it answers everything with 204. Raises RuntimeError if not."""
        # The Host header is the same for all, so that the bytes are.
        requests = [wrk.browser_request("beat.example", token) for token in tokens]
        for check in (False, True):
            script = self._scratch / f"{server.address.port}{'-check' if check else ''}.lua"
            wrk.write_script(script, requests, check=check)
            self._scripts[server.name, check] = script
        found = self._wrk(server, CHECK_S, check=True)
        if not found.sound:
            raise RuntimeError(f"{server.name} does not answer everything with 204: {found}")

    def _wrk(self, server: servers.Server, seconds: int, *, check: bool = False) -> wrk.Run:
        url = f"http://{server.address.host}:{server.address.port}/v1/beat"
        return wrk.run(wrk.client(), self._scripts[server.name, check], url, seconds)

    def measure(self, server: servers.Server, seconds: int) -> Round:
        """Give a server its turn. Raises RuntimeError if any answer was an error."""
        time.sleep(SETTLE_S)
        before = server.cpu_s()
        found = self._wrk(server, seconds)
        cpu_s = server.cpu_s() - before
        if not found.sound:
            raise RuntimeError(f"{server.name}: {found}")
        return Round(
            server.name,
            cpu_s * 1e6 / found.requests,
            found.requests * 1e6 / found.duration_us,
            found.p99_us,
            found.requests,
        )


def measure(rounds: int, seconds: int) -> tuple[list[Round], dict[str, Any], dict[str, str], list[str]]:
    """Return all turns, how it was asked, versions and notes. Raises RuntimeError with the reason if it cannot."""
    client, nginx = wrk.client(), shutil.which("nginx")
    notes = [] if processes.pinnable() else ["not pinned to cores: that needs taskset and two cores"]
    versions = {"wrk": programs.version(client[-1], "-v")}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-bench-")))
        turnout = stack.enter_context(servers.turnout(scratch))
        field = [turnout.server, stack.enter_context(servers.aiohttp_plain())]
        if nginx is None:
            notes.append("nginx is not on the PATH: not measured")
        else:
            field.append(stack.enter_context(servers.nginx(nginx, scratch)))
            versions["nginx"] = programs.version(nginx, "-v")
        bench = Bench(scratch)
        for server in field:
            bench.admit(server, turnout.tokens)
        turns = [
            bench.measure(server, seconds)
            for turn in range(rounds)
            for server in field[turn % len(field) :] + field[: turn % len(field)]
        ]
        asked = {
            "connections": wrk.CONNECTIONS,
            "request_bytes": len(wrk.browser_request("beat.example", turnout.tokens[0])),
            "tokens": len(turnout.tokens),
        }
    return turns, asked, versions, notes


@click.command(name="heartbeats")
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 60), default=4, show_default=True, help="Of each server's turn.")
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/heartbeats-NAME.json.")
def command(rounds: int, seconds: int, save: str | None) -> None:
    """Measure the CPU of one heartbeat: Turnout, nginx with an empty 204, a plain aiohttp handler."""
    with report.or_nothing():
        turns, asked, versions, notes = measure(rounds, seconds)
    summaries = summarise(turns)
    measured = {
        **asked,
        "summary": [asdict(summary) for summary in summaries],
        "rounds": [asdict(turn) for turn in turns],
    }
    notes = [f"{asked['connections']} connections, {asked['request_bytes']} bytes a request", *notes]
    report.show("heartbeats", markdown(summaries), measured, versions=versions, notes=notes, save=save)


if __name__ == "__main__":
    command()
