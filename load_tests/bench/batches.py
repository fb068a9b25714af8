"""What a heartbeat costs one Turnout worker when a relay sends many in one body, beside heartbeats sent singly.

Over HTTP: batches of each size on a few keep-alive connections (a new one where the server closes one), sent as soon as
the one before is answered; single heartbeats from wrk with a browser's headers on 64 connections. Thousands of
different tokens in turn. Every answer to a batch is read and must say that all its lines were accepted, and after each
turn the server's own metrics must have counted every heartbeat. Worker on core 0, client and everything else on core 1,
sizes take turns. CPU time is the worker's, from /proc/PID/stat; heartbeats a second per core are what one core does at
that cost. Where the worker is not busy, the client was the slower of the two.

What it does not say: what the relay itself costs, and what a batch costs those who wait. An edge worker that collects
heartbeats also loses something: the gateway does not see the addresses they come from (it uses them at the join only,
which is in no batch); a heartbeat counts when it arrives, so the relay's delay is everybody's; and a relay can withhold
heartbeats, or go on with a token that it has seen, though it cannot invent a viewer (docs/relays.md).
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import click

from load_tests.bench import contenders, processes, programs, report, servers, table, wrk
from load_tests.bench.join_client import deliver
from load_tests.bench.spread import Spread, spread
from load_tests.http_client import Address, UnexpectedAnswerError

SIZES: Final = (1, 10, 100, 1000, 4000)
TOKENS: Final = 8000
"""Every batch of the largest size has the same tokens as one of two others."""
CONNECTIONS: Final = 4
"""A relay needs no more: a worker takes batches one after the other."""
BATCHES: Final = 4000
"""At most so many in one turn: small ones are dear."""
SETTLE_S: Final = 0.3
WANTED_A_SECOND: Final = 500_000
SINGLE: Final = 0
"""Stands for heartbeats that were not sent in batches."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One size's turn in one round."""

    lines: int  # in a batch; 0 = sent singly
    cpu_us: float  # of the worker, per heartbeat
    heartbeats_a_second: float  # measured
    busy: float  # share of the time in which the worker computed
    heartbeats: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All turns of one size."""

    lines: int
    cpu_us: Spread
    heartbeats_a_second: Spread
    busy: Spread
    heartbeats: int  # all together

    @property
    def a_second_per_core(self) -> float:
        """Return how many heartbeats a second one core takes at the median cost."""
        return 1e6 / self.cpu_us.median


def bodies(tokens: Sequence[str], lines: int) -> list[bytes]:
    """Return batches in which each token is as often as the others."""
    endless = cycle(tokens)
    count = max(len(tokens) // lines, 1)
    return ["\n".join(islice(endless, lines)).encode() for _ in range(count)]


def request(body: bytes) -> bytes:
    """Return the bytes of a relay's request."""
    head = (
        "POST /v1/beats HTTP/1.1\r\nHost: beat.example\r\nUser-Agent: relay/1.0\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def send(address: Address, requests: Sequence[bytes], lines: int) -> None:
    """Send batches of so many lines. Raises UnexpectedAnswerError unless each is answered that all were accepted."""
    delivery = deliver(address, requests, CONNECTIONS, status=HTTPStatus.OK)
    for sent, answer in zip(requests, delivery.answers, strict=True):
        if json.loads(answer.body) != {"accepted": lines, "refused": []}:
            raise UnexpectedAnswerError(sent, answer.status, answer.body)


class Bench:
    """One running Turnout, and how each size is sent to it."""

    def __init__(self, turnout: servers.Turnout, scratch: Path, seconds: int, heartbeats: int) -> None:
        self._server = turnout.server
        self._counting = contenders.InTurnout(turnout.running.metrics)
        self._tokens = turnout.tokens
        self._wrk = wrk.Client(scratch, [wrk.browser_request("beat.example", token) for token in turnout.tokens])
        self._seconds = seconds
        self._requests = {
            lines: list(islice(cycle(map(request, bodies(turnout.tokens, lines))), min(heartbeats // lines, BATCHES)))
            for lines in SIZES
        }

    def turn(self, lines: int) -> Turn:
        """Give a size its turn. Raises RuntimeError, OSError or UnexpectedAnswerError if anything is lost."""
        return self._measured(lines, self._singly if lines == SINGLE else lambda: self._in_batches(lines))

    def _singly(self) -> int:
        found = self._wrk.load(self._server.address, self._seconds)
        if not found.sound:
            raise RuntimeError(f"not every heartbeat was answered 204: {found}")
        return found.requests

    def _in_batches(self, lines: int) -> int:
        with processes.staying_on(processes.CLIENT_CORE):
            send(self._server.address, self._requests[lines], lines)
        return lines * len(self._requests[lines])

    def _measured(self, lines: int, work: Callable[[], int]) -> Turn:
        time.sleep(SETTLE_S)
        self._counting.begin()
        cpu_s, began_at = self._server.cpu_s(), time.monotonic()
        heartbeats = work()
        cpu_s, wall_s = self._server.cpu_s() - cpu_s, time.monotonic() - began_at
        if fault := self._counting.fault(heartbeats, len(self._tokens)):
            raise RuntimeError(fault)
        if not cpu_s:
            raise RuntimeError(f"{heartbeats:,} heartbeats took less CPU time than the kernel's clock can tell")
        return Turn(lines, cpu_s * 1e6 / heartbeats, heartbeats / wall_s, cpu_s / wall_s, heartbeats)


def summarise(turns: Sequence[Turn]) -> list[Summary]:
    """Return medians and ranges by size, single heartbeats first."""
    summaries = []
    for lines in sorted({turn.lines for turn in turns}):
        own = [turn for turn in turns if turn.lines == lines]
        summaries.append(
            Summary(
                lines,
                spread(turn.cpu_us for turn in own),
                spread(turn.heartbeats_a_second for turn in own),
                spread(turn.busy for turn in own),
                sum(turn.heartbeats for turn in own),
            )
        )
    return summaries


HEAD: Final = (
    "heartbeats sent", "CPU per heartbeat, median (range)", "heartbeats a second per core", "beside single ones",
    "measured a second", "worker busy", "heartbeats, all accepted",
)  # fmt: skip


def markdown(summaries: Sequence[Summary]) -> str:
    """Return the table."""
    single = next(one for one in summaries if one.lines == SINGLE)
    return table.markdown(
        HEAD,
        [
            (
                f"{one.lines:,} in a batch" if one.lines else "singly",
                one.cpu_us.shown(2, "µs"),
                f"{one.a_second_per_core:,.0f}",
                f"{single.cpu_us.median / one.cpu_us.median:.1f} ×",
                f"{one.heartbeats_a_second.median:,.0f}",
                f"{one.busy.median:.0%}",
                f"{one.heartbeats:,}",
            )
            for one in summaries
        ],
    )


def verdict(summaries: Sequence[Summary]) -> str:
    """Return what was wanted, what was measured, and whether that is reached."""
    best = max(summaries, key=lambda one: one.a_second_per_core)
    reached = "reached" if best.a_second_per_core >= WANTED_A_SECOND else "NOT REACHED"
    return (
        f"At least {WANTED_A_SECOND:,} heartbeats a second per core: {best.a_second_per_core:,.0f} "
        f"with {best.lines:,} in a batch, {reached}"
    )


@click.command(name="batches")
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 60), default=2, show_default=True, help="Of single heartbeats' turn.")
@click.option("--heartbeats", type=click.IntRange(40_000, 10_000_000), default=1_000_000, show_default=True,
              help=f"Of each size's turn; fewer where that were more than {BATCHES:,} batches.")  # fmt: skip
@click.option("--tokens", type=click.IntRange(10, 100_000), default=TOKENS, show_default=True)
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/batches-NAME.json.")
def command(rounds: int, seconds: int, heartbeats: int, tokens: int, save: str | None) -> None:
    """Measure heartbeats that a relay sends in batches, beside single ones."""
    with report.or_nothing(), tempfile.TemporaryDirectory(prefix="turnout-bench-") as folder:
        scratch = Path(folder)
        with servers.turnout(scratch, tokens=tokens) as turnout:
            bench = Bench(turnout, scratch, seconds, heartbeats)
            field = (SINGLE, *SIZES)
            turns = [
                bench.turn(lines)
                for turn in range(rounds)
                for lines in [*field[turn % len(field) :], *field[: turn % len(field)]]
            ]
    summaries = summarise(turns)
    measured: dict[str, Any] = {
        "targets": [verdict(summaries)],
        "summary": [asdict(summary) for summary in summaries],
        "rounds": [asdict(turn) for turn in turns],
    }
    notes = [
        verdict(summaries),
        f"{tokens:,} tokens in turn; batches on {CONNECTIONS} connections, single heartbeats on {wrk.CONNECTIONS}",
        *([] if processes.pinnable() else ["not pinned to cores: that needs taskset and two cores"]),
    ]
    report.show(
        "batches",
        markdown(summaries),
        measured,
        versions={"wrk": programs.version("wrk", "-v")},
        notes=notes,
        save=save,
    )


if __name__ == "__main__":
    command()
