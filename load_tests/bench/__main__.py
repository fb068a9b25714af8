"""Runs the bench and prints its table: `python -m load_tests.bench --help`."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from load_tests.bench import processes, servers, wrk
from load_tests.players import UnexpectedAnswerError
from load_tests.server_process import ServerFailedError

RESULTS: Final = Path(__file__).parent / "results"
SERVER_CORE, CLIENT_CORE = 0, 1
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
    cpu_us: float  # median
    cpu_us_low: float
    cpu_us_high: float
    requests_a_second: float  # median
    p99_us: float  # median
    requests: int  # all together


def summarise(rounds: Sequence[Round]) -> list[Summary]:
    """Return medians and spread by server, cheapest first."""
    names = list(dict.fromkeys(turn.server for turn in rounds))
    summaries = []
    for name in names:
        turns = [turn for turn in rounds if turn.server == name]
        cpu = [turn.cpu_us for turn in turns]
        summaries.append(
            Summary(
                name, statistics.median(cpu), min(cpu), max(cpu),
                statistics.median(turn.requests_a_second for turn in turns),
                statistics.median(turn.p99_us for turn in turns), sum(turn.requests for turn in turns),
            )
        )  # fmt: skip
    return sorted(summaries, key=lambda summary: summary.cpu_us)


def markdown(summaries: Sequence[Summary]) -> str:
    """Return the table; costs are put in relation to nginx where it was measured."""
    floor = next((summary.cpu_us for summary in summaries if summary.server.startswith("nginx")), None)
    lines = [
        "| server | CPU per heartbeat, median (range) | beside nginx | requests a second | p99 | answers, all 204 |",
        "|---|---|---|---|---|---|",
    ]
    for one in summaries:
        beside = f"{one.cpu_us / floor:.2f} ×" if floor else "not measured"
        lines.append(
            f"| {one.server} | {one.cpu_us:.2f} µs ({one.cpu_us_low:.2f} to {one.cpu_us_high:.2f}) | {beside} "
            f"| {one.requests_a_second:,.0f} | {one.p99_us / 1000:.2f} ms | {one.requests:,} |"
        )
    return "\n".join(lines)


class Bench:
    """Measures servers in turns. Owns the scratch directory's scripts."""

    def __init__(self, scratch: Path, client: Sequence[str], *, pinned: bool) -> None:
        self._scratch = scratch
        self._client = client
        self._pinned = pinned
        self._scripts: dict[tuple[str, bool], Path] = {}

    def admit(self, server: servers.Server, tokens: Sequence[str]) -> None:
        """Pin a server, write its scripts, and see that it answers everything with 204. Raises RuntimeError if not."""
        if self._pinned:
            processes.pin(server.pid, SERVER_CORE)
            for pid in server.beside:
                processes.pin(pid, CLIENT_CORE)
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
        return wrk.run(self._client, self._scripts[server.name, check], url, seconds)

    def measure(self, server: servers.Server, seconds: int) -> Round:
        """Give a server its turn. Raises RuntimeError if any answer was an error."""
        time.sleep(SETTLE_S)
        before = processes.cpu_s(server.pid)
        found = self._wrk(server, seconds)
        cpu_s = processes.cpu_s(server.pid) - before
        if not found.sound:
            raise RuntimeError(f"{server.name}: {found}")
        return Round(
            server.name,
            cpu_s * 1e6 / found.requests,
            found.requests * 1e6 / found.duration_us,
            found.p99_us,
            found.requests,
        )


def _versions(nginx: str | None, client: str) -> dict[str, str]:
    def first_line(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[0].split("Copyright")[0].strip()

    found = {"python": sys.version.split()[0], "wrk": first_line(client, "-v").removeprefix("wrk ")}
    return found | ({"nginx": first_line(nginx, "-v").rpartition("/")[2]} if nginx else {})


def run(rounds: int, seconds: int) -> dict[str, Any]:
    """Measure; returns everything that was found. Raises RuntimeError with the reason if it cannot."""
    client, nginx, taskset = (shutil.which(name) for name in ("wrk", "nginx", "taskset"))
    if client is None:
        raise RuntimeError("wrk is not on the PATH: it is the client, nothing can be measured without it.")
    pinned = taskset is not None and processes.cores() > 1
    notes = [] if pinned else ["not pinned to cores: that needs taskset and two cores"]
    command = [str(taskset), "-c", str(CLIENT_CORE), client] if pinned else [client]
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-bench-")))
        measured, tokens = stack.enter_context(servers.turnout(scratch))
        field = [measured, stack.enter_context(servers.aiohttp_plain())]
        if nginx is None:
            notes.append("nginx is not on the PATH: not measured")
        else:
            field.append(stack.enter_context(servers.nginx(nginx, scratch)))
        bench = Bench(scratch, command, pinned=pinned)
        for server in field:
            bench.admit(server, tokens)
        turns = [
            bench.measure(server, seconds)
            for turn in range(rounds)
            for server in field[turn % len(field) :] + field[: turn % len(field)]
        ]
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python -m load_tests.bench --rounds {rounds} --seconds {seconds}",
        "machine": processes.machine(),
        "versions": _versions(nginx, client),
        "connections": wrk.CONNECTIONS,
        "request_bytes": len(wrk.browser_request("beat.example", tokens[0])),
        "tokens": len(tokens),
        "notes": notes,
        "summary": [asdict(summary) for summary in summarise(turns)],
        "rounds": [asdict(turn) for turn in turns],
    }


@click.command()
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 60), default=4, show_default=True, help="Of each server's turn.")
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/NAME.json.")
def main(rounds: int, seconds: int, save: str | None) -> None:
    """Measure the CPU of one heartbeat: Turnout, nginx with an empty 204, a plain aiohttp handler."""
    try:
        found = run(rounds, seconds)
    except (RuntimeError, ServerFailedError, UnexpectedAnswerError, OSError) as failure:
        print(f"Nothing was measured: {failure}", file=sys.stderr)
        sys.exit(1)
    print(markdown([Summary(**summary) for summary in found["summary"]]))
    facts = ", ".join(
        [*found["machine"].values(), *(f"{name} {version}" for name, version in found["versions"].items())]
    )
    print(
        f"\n{facts}; {found['connections']} connections, {found['request_bytes']} bytes a request; {found['command']}"
    )
    for note in found["notes"]:
        print(f"Note: {note}.")
    if save:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{save}.json"
        path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"Written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main()
