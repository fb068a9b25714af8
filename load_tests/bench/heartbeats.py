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
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from load_tests.bench import contenders, peers, plot, processes, programs, report, table, wrk
from load_tests.bench.turns import Summary, summarise, take_turns

BUSY: Final = 0.9
"""A server that has less of its core at saturation waits for the client, for Redis, or for other programs."""
TURNOUT: Final = "Turnout, one worker"


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
            if ours.busy.median < BUSY:
                reached = "not decided, Turnout's core was not its own"
            by_cpu = other.cpu_us.median / ours.cpu_us.median
            found.append(
                f"Throughput at least {peer.throughput_wanted:g} × that of {peer.name}: {throughput:.2f} ×, {reached}"
                f" (by CPU alone {by_cpu:.2f} ×)"
            )
    return found


def idle_servers(summaries: Sequence[Summary]) -> list[str]:
    """Return a sentence for each server whose core was not full: something else limited its requests a second."""
    return [
        f"{one.server} had its core for {one.busy.median:.0%} only: its requests a second are not its own limit"
        for one in summaries
        if one.busy.median < BUSY
    ]


@click.command(name="heartbeats")
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 60), default=4, show_default=True, help="Of each server's turn.")
@click.option("--only", multiple=True, metavar="NAME", type=click.Choice([peer.name for peer in peers.PEERS]),
              help="Only this peer; may be repeated. Otherwise all.")  # fmt: skip
@click.option("--unix-socket", "unix", is_flag=True, help="Peers reach their Redis over a unix socket, not over TCP.")
@click.option("--plot", "svg", metavar="PATH", type=click.Path(dir_okay=False, path_type=Path),
              help="Also draw the CPU per heartbeat as an SVG.")  # fmt: skip
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/heartbeats-NAME.json.")
def command(rounds: int, seconds: int, only: tuple[str, ...], unix: bool, svg: Path | None, save: str | None) -> None:
    """Measure one heartbeat: Turnout beside nginx, nginx+Lua, Node, aiohttp and FastAPI."""
    with (
        report.or_nothing(),
        contenders.field(only or None, unix=unix) as field,
        tempfile.TemporaryDirectory() as scratch,
    ):
        tokens = field.turnout.tokens
        # The Host header is the same for all, so that the bytes are.
        requests = [wrk.browser_request("beat.example", token) for token in tokens]
        client = wrk.Client(Path(scratch), requests)
        turns = take_turns(field.contenders, client, rounds, seconds, tokens=len(tokens))
        notes = [
            f"{wrk.CONNECTIONS} connections, {len(requests[0])} bytes a request, {len(tokens)} tokens in turn",
            *([] if processes.pinnable() else ["not pinned to cores: that needs taskset and two cores"]),
            f"peers reach their Redis over {'a unix socket' if unix else 'TCP on loopback'}",
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
