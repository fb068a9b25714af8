"""A keynote rush: far more players join than can be taken in, while those who are in go on beating.

Players who are in beat on an open loop (latency is charged from the scheduled send). Then newcomers with ES256 tickets
join on many connections as fast as they are answered; they ignore `Retry-After`, which is worse than what players do.
Some are taken in, the rest is told 503; not one heartbeat may fail. Worker on core 0; both clients, Redis and all else
on core 1, so that a heartbeat's latency holds what the clients do to each other ("client turn").

What it does not say: how long a newcomer waits until it is in, which is Retry-After's work; `load_tests.players` with
the scenario `keynote_rush` shows that.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np

from load_tests.audience import Person
from load_tests.bench import open_loop, programs, report, scrape, servers, table, wrk
from load_tests.bench.joins import join_request
from load_tests.bench.open_loop import Outcome, Plan

TARGET_P99_MS: Final = 50.0
BEATING: Final = 200
"""Connections of players who are in."""
CAPACITY_CONNECTIONS: Final = 64
RUSH_CONNECTIONS: Final = 1000
CAPACITY_S: Final = 4
OUTCOMES: Final = ("accepted", "too_many_joins")

_SCRIPT: Final = """-- Written by load_tests.bench: joins in turn, read from a file in which each ends with a zero byte.
local requests, last = {}, 0
for one in io.open("%s", "rb"):read("*a"):gmatch("([^%%z]+)%%z") do requests[#requests + 1] = one end
function request()
  last = last %% #requests + 1
  return requests[last]
end
"""


@dataclass(frozen=True, slots=True)
class Phase:
    """Heartbeats in one part of the run, and the joins beside them."""

    name: str
    heartbeats: int
    failed: int  # heartbeats that were not answered 204
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    turn_p99_ms: float  # one turn of the client's loop
    taken: float  # joins a second that were accepted
    refused: float  # joins a second that were told 503


def phase(name: str, outcome: Outcome, seconds: float, taken: float, refused: float) -> Phase:
    """Return what one part of the run was like."""
    p50, p99, p999, largest = np.quantile(outcome.latency_s * 1e3, [0.5, 0.99, 0.999, 1.0]).tolist()
    answered = outcome.statuses[204]
    return Phase(
        name, answered, len(outcome.status) - answered, p50, p99, p999, largest,
        float(np.quantile(outcome.turns_s, 0.99)) * 1e3, taken / seconds, refused / seconds,
    )  # fmt: skip


def markdown(phases: Sequence[Phase], capacity: float) -> str:
    """Return the table; `capacity` is joins a second."""
    head = ["", "joins asked a second", "taken in", "told 503", "heartbeats", "failed", "p50", "p99", "p99.9", "max",
            "client turn, p99"]  # fmt: skip
    return table.markdown(
        head,
        [
            (
                one.name,
                f"{one.taken + one.refused:,.0f} ({(one.taken + one.refused) / capacity:.1f} × capacity)",
                f"{one.taken:,.0f}",
                f"{one.refused:,.0f}",
                f"{one.heartbeats:,}",
                f"{one.failed}",
                f"{one.p50_ms:.2f} ms",
                f"{one.p99_ms:.2f} ms",
                f"{one.p999_ms:.2f} ms",
                f"{one.max_ms:.2f} ms",
                f"{one.turn_p99_ms:.2f} ms",
            )
            for one in phases
        ],
    )


class Rush:
    """Joins of newcomers against one Turnout. Owns the file with their requests."""

    def __init__(self, turnout: servers.Turnout, scratch: Path, newcomers: int) -> None:
        self._turnout = turnout
        self._script = scratch / "rush.lua"
        requests = scratch / "joins"
        people = (Person(number, f"newcomer-{number}", "", "visitor") for number in range(newcomers))
        with requests.open("wb") as file:
            for person in people:
                file.write(join_request(servers.SESSION, turnout.issuer.ticket(person)) + b"\0")
        self._script.write_text(_SCRIPT % requests)

    @contextmanager
    def going_on(self, connections: int, seconds: int) -> Iterator[None]:
        """Let newcomers join for so long. Raises RuntimeError if wrk fails."""
        address = self._turnout.server.address
        command = [*wrk.client(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
                   "-s", str(self._script), f"http://{address.host}:{address.port}"]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
            try:
                yield
                said, _ = child.communicate(timeout=seconds + 30)
            finally:
                child.kill()
        if child.returncode or "Socket errors" in said:
            raise RuntimeError(f"wrk: {said}")

    def counted(self) -> tuple[float, float]:
        """Return how many joins were accepted and how many refused for the rush. Raises RuntimeError for others."""
        samples = scrape.scrape(self._turnout.running.metrics)
        joins = {outcome: scrape.total(samples, "turnout_joins_total", outcome=outcome) or 0.0 for outcome in OUTCOMES}
        others = (scrape.total(samples, "turnout_joins_total") or 0.0) - sum(joins.values())
        if others:
            raise RuntimeError(f"{others:.0f} joins were refused for something else than the rush")
        return joins["accepted"], joins["too_many_joins"]


def measure(
    turnout: servers.Turnout, rush: Rush, rate: float, seconds: int, connections: int = RUSH_CONNECTIONS
) -> tuple[list[Phase], float]:
    """Return the phases before, in and after the rush, and the capacity in joins a second.

    Raises RuntimeError if wrk fails or a join is refused for anything but the rush.
    """
    requests = tuple(wrk.browser_request("beat.example", token) for token in turnout.tokens)
    before = rush.counted()
    with rush.going_on(CAPACITY_CONNECTIONS, CAPACITY_S):
        pass
    capacity = (rush.counted()[0] - before[0]) / CAPACITY_S
    phases = list[Phase]()
    for name, rushing in (("before", False), ("rush", True), ("after", False)):
        plan = Plan(turnout.server.address, requests, rate, seconds, BEATING, seed=len(phases))
        counted = rush.counted()
        with (
            rush.going_on(connections, seconds) if rushing else nullcontext(),
            open_loop.elsewhere(plan) as beating,
        ):
            outcome = beating.result()
        taken, refused = (late - early for late, early in zip(rush.counted(), counted, strict=True))
        phases.append(phase(name, outcome, seconds, taken, refused))
    return phases, capacity


def verdicts(phases: Sequence[Phase]) -> list[str]:
    """Return whether the targets are reached, a sentence each."""
    rush = next(one for one in phases if one.refused)
    failed = sum(one.failed for one in phases)
    reached = "reached" if rush.p99_ms < TARGET_P99_MS else "NOT REACHED"
    return [
        f"p99 of heartbeats under {TARGET_P99_MS:g} ms in the rush: {rush.p99_ms:.2f} ms, {reached}",
        f"heartbeats that failed: {failed}, {'NOT REACHED' if failed else 'reached'}",
    ]


@click.command(name="rush")
@click.option("--seconds", type=click.IntRange(2, 120), default=10, show_default=True, help="Of each phase.")
@click.option("--rate", type=click.IntRange(10, 20_000), default=2_000, show_default=True, help="Heartbeats a second.")
@click.option("--newcomers", type=click.IntRange(1_000, 60_000), default=20_000, show_default=True)
@click.option("--connections", type=click.IntRange(64, 20_000), default=RUSH_CONNECTIONS, show_default=True)
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/rush-NAME.json.")
def command(seconds: int, rate: int, newcomers: int, connections: int, save: str | None) -> None:
    """Measure heartbeats while far more players join than can be taken in."""
    with (
        report.or_nothing(),
        tempfile.TemporaryDirectory(prefix="turnout-bench-") as scratch,
        servers.turnout(Path(scratch)) as turnout,
    ):
        phases, capacity = measure(turnout, Rush(turnout, Path(scratch), newcomers), rate, seconds, connections)
    measured = {"capacity": capacity, "phases": [asdict(one) for one in phases]}
    notes = [
        *verdicts(phases),
        f"{connections:,} connections ask without a pause",
        f"capacity: {capacity:,.0f} joins a second, {CAPACITY_CONNECTIONS} connections",
    ]
    versions = {"wrk": programs.version("wrk", "-v")}
    report.show("rush", markdown(phases, capacity), measured, versions=versions, notes=notes, save=save)


if __name__ == "__main__":
    command()
