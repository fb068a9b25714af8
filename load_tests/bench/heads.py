"""What a heartbeat costs when the audience is mixed, pipelines its requests, or sends them in parts.

The door remembers the head that a connection sent last, and 4,096 heads of all connections together. So that no figure
hangs on that unnoticed, the same bytes go to Turnout and to nginx (an empty 204) with one head, with 200, with 5,000 in
random order, and with so many in a cycle that no head is ever remembered when it comes again. Then eight requests in
one write, and requests in two and in eight parts, each part a millisecond after the one before, from a client of our
own that leaves the server idle in between: compare those with the whole requests of the same client.

With several heads they change from request to request on each connection, as behind a proxy; a player with a connection
of its own always sends the same, which is a line of the table too. What it does not say: requests a second, and a
request split at every byte, which is a test of the door.
"""

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click

from load_tests.bench import contenders, peers, processes, programs, report, request_heads, segments, table, wrk
from load_tests.bench.scrape import scrape, total
from load_tests.bench.spread import Spread, spread
from load_tests.bench.turns import Client, Round, admit, measure

FEW: Final = 200
MANY: Final = 5_000  # more than the 4,096 heads that the door keeps
NEVER_AGAIN: Final = 9_000
"""More than twice what the door keeps: in a cycle, each head is forgotten before it comes again."""
DEPTH: Final = 8
HEADS_READ: Final = "turnout_door_heads_read_total"
HEARTBEATS: Final = "turnout_heartbeats_total"
SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Variant:
    """One kind of traffic; `client` writes what it needs into a scratch directory."""

    name: str
    client: Callable[[Path, Sequence[str]], Client]


@dataclass(frozen=True, slots=True)
class Found:
    """What a variant cost."""

    variant: str
    turnout_us: Spread  # CPU of the worker per heartbeat
    nginx_us: Spread | None
    remembered: float | None  # share of heartbeats whose head was found in memory; None if Turnout does not say
    heartbeats: int  # of Turnout's turns


def mixed(heads: int, length: int, tokens: Sequence[str]) -> list[bytes]:
    """Return `length` requests with so many different heads and all tokens, in an order drawn from a seed.

    With `length` = `heads` each head comes once.
    """
    source = random.Random(SEED)
    kept = request_heads.different(heads)
    drawn = kept if length == heads else source.choices(kept, k=length)
    return [
        wrk.browser_request("beat.example", tokens[number % len(tokens)], headers)
        for number, headers in enumerate(drawn)
    ]


def _mixed(heads: int, length: int | None = None) -> Callable[[Path, Sequence[str]], Client]:
    return lambda scratch, tokens: wrk.Client(scratch, mixed(heads, length or max(heads, len(tokens)), tokens))


def _pipelined(heads: int) -> Callable[[Path, Sequence[str]], Client]:
    def client(scratch: Path, tokens: Sequence[str]) -> Client:
        single = mixed(heads, len(tokens) * DEPTH, tokens)
        return wrk.Client(scratch, [b"".join(single[at : at + DEPTH]) for at in range(0, len(single), DEPTH)])

    return client


def _in_parts(parts: int) -> Callable[[Path, Sequence[str]], Client]:
    def client(scratch: Path, tokens: Sequence[str]) -> Client:
        source = random.Random(SEED)
        return segments.Client(
            scratch, [segments.cut(wrk.browser_request("beat.example", token), parts, source) for token in tokens]
        )

    return client


def _own(scratch: Path, tokens: Sequence[str]) -> Client:
    """Send one head on each connection, always the same there: a player with a connection of its own."""
    own = request_heads.different(wrk.CONNECTIONS)
    requests = [
        wrk.browser_request("beat.example", token, own[number % wrk.CONNECTIONS])
        for number, token in enumerate(tokens[: len(tokens) // wrk.CONNECTIONS * wrk.CONNECTIONS])
    ]
    return segments.Client(scratch, [[request] for request in requests])


VARIANTS: Final = (
    Variant("one head", _mixed(1)),
    Variant(f"{FEW} heads", _mixed(FEW, 4 * FEW)),
    Variant(f"{MANY:,} heads in random order", _mixed(MANY, 4 * MANY)),
    Variant("a head never remembered", _mixed(NEVER_AGAIN)),
    Variant(f"one head, {DEPTH} requests pipelined", _pipelined(1)),
    Variant(f"{FEW} heads, {DEPTH} requests pipelined", _pipelined(FEW)),
    Variant("whole, from the pausing client", _in_parts(1)),
    Variant("a head of its own on each connection, from the pausing client", _own),
    Variant("in 2 parts, from the pausing client", _in_parts(2)),
    Variant("in 8 parts, from the pausing client", _in_parts(8)),
)


def remembered(read: float | None, heartbeats: float) -> float | None:
    """Return the share of heartbeats whose head was not read anew; None if that is not known."""
    return None if read is None or heartbeats <= 0 else max(0.0, 1 - read / heartbeats)


def markdown(found: Sequence[Found]) -> str:
    """Return the table; what is not known stands as a dash."""
    return table.markdown(
        ["heartbeats", "Turnout, CPU of one (range)", "nginx, empty 204", "ratio", "heads found in memory", "answers"],
        [
            (
                one.variant,
                one.turnout_us.shown(2, "µs"),
                one.nginx_us.shown(2, "µs") if one.nginx_us else "–",
                f"{one.turnout_us.median / one.nginx_us.median:.2f} ×" if one.nginx_us else "–",
                "–" if one.remembered is None else f"{one.remembered:.1%}",
                f"{one.heartbeats:,}",
            )
            for one in found
        ],
    )


def _measure(variant: Variant, field: contenders.Field, rounds: int, seconds: int) -> Found:
    metrics, tokens = field.turnout.running.metrics, field.turnout.tokens
    with tempfile.TemporaryDirectory() as scratch:
        client = variant.client(Path(scratch), tokens)
        for contender in field.contenders:
            admit(contender, client)
        turns: list[Round] = []
        read, heartbeats = 0.0, 0.0
        known = True
        for number in range(rounds):
            for contender in field.contenders[:: 1 if number % 2 else -1]:
                before = scrape(metrics)
                turn = measure(contender, client, seconds, tokens=len(tokens))
                turns.append(turn)
                if contender.peer is None:
                    after = scrape(metrics)
                    known = known and total(after, HEADS_READ) is not None
                    read += (total(after, HEADS_READ) or 0) - (total(before, HEADS_READ) or 0)
                    heartbeats += (total(after, HEARTBEATS) or 0) - (total(before, HEARTBEATS) or 0)
    ours = [turn for turn in turns if turn.server == field.turnout.server.name]
    nginx = [turn for turn in turns if turn.server == peers.NGINX_204]
    return Found(
        variant.name,
        spread(turn.cpu_us for turn in ours),
        spread(turn.cpu_us for turn in nginx) if nginx else None,
        remembered(read if known else None, heartbeats),
        sum(turn.requests for turn in ours),
    )


@click.command(name="heads")
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 60), default=3, show_default=True, help="Of each server's turn.")
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/heads-NAME.json.")
def command(rounds: int, seconds: int, save: str | None) -> None:
    """Measure mixed, pipelined and split heartbeats beside nginx on the same bytes."""
    with report.or_nothing(), contenders.field([peers.NGINX_204]) as field:
        found = [_measure(variant, field, rounds, seconds) for variant in VARIANTS]
        notes = [
            f"{wrk.CONNECTIONS} connections; parts come {segments.PAUSE_S * 1000:g} ms apart",
            *([] if processes.pinnable() else ["not pinned to cores: that needs taskset and two cores"]),
            *field.skipped,
        ]
    versions = {"wrk": programs.version("wrk", "-v"), **peers.versions()}
    measured = {"variants": [asdict(one) for one in found]}
    report.show("heads", markdown(found), measured, versions=versions, notes=notes, save=save)


if __name__ == "__main__":
    command()
