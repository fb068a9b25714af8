"""Latency at half of saturation, charged from the scheduled send.

First wrk finds what one worker can do (closed loop, 64 connections). Then `load_tests.bench.open_loop` sends half of
it on a seeded Poisson schedule over many connections: a request is due when the schedule says so, and what it waits for
a busy connection is the server's. nginx answering an empty 204 gets the same requests at the same rate: what is left
there is the client's and the kernel's. "client late" says how late the client sent what it could have sent in time,
"client turn" how long an answer may have lain in the kernel until the client looked. Worker and nginx on core 0; the
client shares core 1 with Turnout's Redis, ledger and supervisor, which give way to it. What it does not say: what a
network adds.
"""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np

from load_tests.bench import contenders, hdr_log, open_loop, peers, processes, programs, report, table, wrk
from load_tests.bench.contenders import Contender
from load_tests.bench.open_loop import Outcome, Plan, Schedule

SATURATING_S: Final = 3
SATURATING_RUNS: Final = 3
TARGET_P99_MS: Final = 5.0
LATE: Final = 0.1
"""A client that was late by more than this share of the p99 is part of what it measured."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One server's latencies; milliseconds, all runs together."""

    server: str
    rate: float  # heartbeats a second
    answered: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    runs_p99_ms: list[float]
    service_p99_ms: float  # from the actual send, as a closed loop would have said
    late_p99_ms: float
    late_p999_ms: float
    turn_p999_ms: float
    waited: float  # share of requests whose connection was busy when they were due


def saturation(script: Path, contender: Contender) -> float:
    """Return what a server answers a second when it is never left idle: the median of a few runs."""
    address = contender.server.address
    runs = []
    for _ in range(SATURATING_RUNS):
        found = wrk.run(wrk.client(), script, f"http://{address.host}:{address.port}/v1/beat", SATURATING_S)
        if not found.sound:
            raise RuntimeError(f"{contender.server.name}: {found}")
        runs.append(found.requests * 1e6 / found.duration_us)
    return statistics.median(runs)


def measure(contender: Contender, plan: Plan, tokens: int) -> Outcome:
    """Drive a plan. Raises RuntimeError unless every request is answered 204 and counted."""
    contender.counting.begin()
    with open_loop.elsewhere(plan) as running:
        outcome = running.result()
    if outcome.statuses.keys() != {204}:
        raise RuntimeError(f"{contender.server.name} answers {dict(outcome.statuses)}")
    if fault := contender.counting.fault(outcome.statuses[204], tokens):
        raise RuntimeError(f"{contender.server.name}: {fault}")
    return outcome


def latency(server: str, rate: float, outcomes: Sequence[Outcome]) -> Latency:
    """Return the percentiles over all runs."""
    from_schedule = np.concatenate([outcome.latency_s for outcome in outcomes]) * 1e3
    p50, p99, p999, largest = np.quantile(from_schedule, [0.5, 0.99, 0.999, 1.0]).tolist()
    late = np.concatenate([outcome.late_s for outcome in outcomes]) * 1e3
    return Latency(
        server=server,
        rate=rate,
        answered=len(from_schedule),
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=largest,
        runs_p99_ms=[float(np.quantile(outcome.latency_s, 0.99)) * 1e3 for outcome in outcomes],
        service_p99_ms=float(np.quantile(np.concatenate([outcome.service_s for outcome in outcomes]), 0.99)) * 1e3,
        late_p99_ms=float(np.quantile(late, 0.99)),
        late_p999_ms=float(np.quantile(late, 0.999)),
        turn_p999_ms=float(np.quantile(np.concatenate([outcome.turns_s for outcome in outcomes]), 0.999)) * 1e3,
        waited=float(np.mean(np.concatenate([outcome.waited for outcome in outcomes]))),
    )


def markdown(latencies: Sequence[Latency]) -> str:
    """Return the table."""
    head = ["server", "heartbeats a second", "p50", "p99 (of each run)", "p99.9", "max", "p99 from the actual send",
            "client late, p99 / p99.9", "client turn, p99.9", "answers, all 204"]  # fmt: skip
    return table.markdown(
        head,
        [
            (
                one.server,
                f"{one.rate:,.0f}",
                f"{one.p50_ms:.2f} ms",
                f"{one.p99_ms:.2f} ms ({min(one.runs_p99_ms):.2f} to {max(one.runs_p99_ms):.2f})",
                f"{one.p999_ms:.2f} ms",
                f"{one.max_ms:.2f} ms",
                f"{one.service_p99_ms:.2f} ms",
                f"{one.late_p99_ms:.2f} / {one.late_p999_ms:.2f} ms",
                f"{one.turn_p999_ms:.2f} ms",
                f"{one.answered:,}",
            )
            for one in latencies
        ],
    )


def verdicts(latencies: Sequence[Latency]) -> list[str]:
    """Return whether the target is reached, and whose the latency is, a sentence each."""
    ours = latencies[0]
    reached = "reached" if ours.p99_ms < TARGET_P99_MS else "NOT REACHED"
    found = [f"p99 under {TARGET_P99_MS:g} ms at half of saturation: {ours.p99_ms:.2f} ms, {reached}"]
    found += [
        f"the client itself was late in the run of {one.server}: its p99 is the client's as well"
        for one in latencies
        if one.late_p99_ms > LATE * one.p99_ms
    ]
    return found


@click.command(name="latency")
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 120), default=10, show_default=True, help="Of each server's turn.")
@click.option("--connections", type=click.IntRange(1, 10_000), default=256, show_default=True)
@click.option("--schedule", type=click.Choice([one.value for one in Schedule]), default="poisson", show_default=True)
@click.option("--save", metavar="NAME", help="Also write results/latency-NAME.json, and the histograms as .hlog.")
def command(rounds: int, seconds: int, connections: int, schedule: str, save: str | None) -> None:
    """Measure latency at half of saturation, from the scheduled send."""
    with (
        report.or_nothing(),
        contenders.field([peers.NGINX_204]) as field,
        tempfile.TemporaryDirectory(prefix="turnout-bench-") as scratch,
    ):
        for pid in field.turnout.server.beside:
            processes.make_way(pid)
        tokens = field.turnout.tokens
        requests = tuple(wrk.browser_request("beat.example", token) for token in tokens)
        script = Path(scratch) / "saturating.lua"
        wrk.write_script(script, requests, check=False)
        saturated = saturation(script, field.contenders[0])
        outcomes: dict[str, list[Outcome]] = {one.server.name: [] for one in field.contenders}
        for turn in range(rounds):
            for one in field.contenders:
                plan = Plan(one.server.address, requests, saturated / 2, seconds, connections, Schedule(schedule), turn)
                outcomes[one.server.name].append(measure(one, plan, len(tokens)))
        versions = {"wrk": programs.version("wrk", "-v"), **peers.versions()}
        skipped = field.skipped
    latencies = [latency(name, saturated / 2, runs) for name, runs in outcomes.items()]
    notes = [
        *verdicts(latencies),
        f"saturated at {saturated:,.0f} a second; {schedule} schedule over {connections} connections",
        *([] if processes.pinnable() else ["not pinned to cores: that needs taskset and two cores"]),
        *skipped,
    ]
    measured = {"saturation": saturated, "connections": connections, "latencies": [asdict(one) for one in latencies]}
    report.show("latency", markdown(latencies), measured, versions=versions, notes=notes, save=save)
    if save:
        taken = {name: np.concatenate([run.latency_s for run in runs]) for name, runs in outcomes.items()}
        tags = {name.partition(",")[0]: values for name, values in taken.items()}  # a comma would end the tag
        hdr_log.write(report.RESULTS / f"latency-{save}.hlog", tags, rounds * seconds)


if __name__ == "__main__":
    command()
