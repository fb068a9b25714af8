"""Herds: how players that begin in the same second drift apart, and how those come back who were refused.

    python -m load_tests.herd                     two tables
    python -m load_tests.herd --save docs/herd.svg   and the first one as a chart

Nothing is asked over the network: a player does here exactly what the server told it and adds no chance of its own, as
players do that take the header at its word.

**Heartbeats.** Each answer announces the next of the whole seconds within a tenth of the interval I, at least one
second to either side, in turn; the order is shuffled every second. All start in one second, as at the start of a
keynote; or all come back after a restart at a `Retry-After` of 2 to 8 s. What is measured is the fullest second of each
span of I seconds over the mean. After k heartbeats the herd is a bell of variance k·J(J+1)/3 (J: seconds to either
side) that is wound around the interval, so the fullest second tends to 1 + 2·exp(−2π²·variance/I²) times the mean.

**Joins.** More players join than a gateway can take in; those refused try again after `Retry-After`. A refusal costs a
twentieth of a join. Compared are a fixed range of seconds, and one that follows from how many are out there.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import numpy as np
from numpy.typing import NDArray

PLAYERS: Final = 20_000
"""Enough that chance makes a second at most a fifth fuller than the mean."""
SEED: Final = 20231119
RETRY_S: Final = (2, 8)
"""What a gateway says that cannot serve at the moment, in seconds."""
SPANS: Final = (0, 1, 2, 3, 5, 10, 15, 20, 30)
INTERVALS_S: Final = (5, 10, 20, 30, 45, 54)
CAPACITY: Final = 1_000
"""Joins a second; only ratios matter."""
PATIENCE_S: Final = 3_000
"""A rush that is not over by then is not going to be."""
REFUSAL_COST: Final = 0.05
"""Of a join."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Start = Callable[[np.random.Generator, int], Floats]


def announced(interval_s: int) -> range:
    """Return the intervals that answers announce in turn, in seconds."""
    reach = max(1, interval_s // 10)
    return range(interval_s - reach, interval_s + reach + 1)


def keynote(chance: np.random.Generator, players: int) -> Floats:
    """All players start within one second."""
    return chance.random(players)


def restart(chance: np.random.Generator, players: int) -> Floats:
    """All players come back from the same second, each after its own Retry-After."""
    return chance.random(players) + chance.integers(RETRY_S[0], RETRY_S[1] + 1, players)


def heartbeats(interval_s: int, start: Start, spans: int, players: int = PLAYERS, seed: int = SEED) -> Ints:
    """Return how many heartbeats come in each second of `spans` intervals.

    Args:
        interval_s: what the organiser asks for.
        start: when each player's first heartbeat comes, in seconds.
        spans: for how many intervals.
        players: how many.
        seed: of everything that is random.
    """
    chance = np.random.default_rng(seed)
    due = start(chance, players)
    counts = np.zeros(spans * interval_s, np.int64)
    for second in range(len(counts)):
        now = np.flatnonzero(due < second + 1)
        now = now[np.argsort(due[now])]
        counts[second] = len(now)
        turns = np.array(announced(interval_s))
        chance.shuffle(turns)
        due[now] += turns[np.arange(len(now)) % len(turns)]
    return counts


def fullest(counts: Ints, interval_s: int, players: int = PLAYERS) -> list[float]:
    """Return for each span of an interval the heartbeats of its fullest second over those of an even one."""
    spans = counts.reshape(-1, interval_s)
    return [float(peak) * interval_s / players for peak in spans.max(axis=1)]


def theory(interval_s: int, beats: int) -> float:
    """Return what the fullest second tends to after so many heartbeats; good below about 2."""
    reach = announced(interval_s).stop - 1 - interval_s
    variance = beats * reach * (reach + 1) / 3
    return 1 + 2 * math.exp(-2 * math.pi**2 * variance / interval_s**2)


def beats_until(interval_s: int, start: Start, below: float) -> int:
    """Return after how many heartbeats no second is `below` times fuller than the mean any more, and stays so."""
    ratios = fullest(heartbeats(interval_s, start, 61), interval_s)
    return max((beat + 1 for beat, ratio in enumerate(ratios) if ratio >= below), default=0)


# Joins.


@dataclass
class FixedRetry:
    """Retry-After evenly from a fixed range."""

    least_s: int = RETRY_S[0]
    most_s: int = RETRY_S[1]

    def account(self, taken: int, refused: int) -> None:
        """Look back on a second."""


@dataclass
class SpreadRetry:
    """Retry-After evenly from 1 s to the time in which as many come back as can be taken, and a fifth more.

    How many are out there is counted: those refused, less those that have come back since. Of N players who come back
    evenly over the next U seconds, N/U ask in each; so U = N / (1.2 · taken a second) keeps the gateway busy without
    asking it much more than it can take.
    """

    longest_s: float
    most_s: int = RETRY_S[1]
    least_s: int = 1
    _out: float = 0.0
    _capacity: float = 1.0

    def account(self, taken: int, refused: int) -> None:
        """Look back on a second, and set the range for the next."""
        self._out += refused - self._out * min(1.0, 2 / self.most_s)
        self._capacity = max(taken, (0.9 if refused else 1.0) * self._capacity, 1.0)
        self.most_s = round(min(max(self._out / (1.2 * self._capacity), RETRY_S[1]), self.longest_s))


@dataclass
class Rush:
    """What became of a rush."""

    all_in_s: int | None  # None: not within the time looked at
    refusals: float  # per player
    busiest: float  # most that asked in a second, in capacities
    asked: list[int] = field(repr=False, default_factory=list)  # in each second


def rush(retry: FixedRetry | SpreadRetry, times: float, lasts_s: int, seed: int = SEED) -> Rush:
    """Let `times` as many players join as can be taken, for so many seconds, and those refused come back.

    Args:
        retry: says when to come back; it is asked once a second.
        times: arrivals a second over what a gateway that refuses nobody takes in a second.
        lasts_s: for how long new players arrive.
        seed: of everything that is random.
    """
    chance = np.random.default_rng(seed)
    due = np.zeros(PATIENCE_S + 1_000, np.int64)
    due[:lasts_s] = round(times * CAPACITY)
    outside, refusals, asked = int(due.sum()), 0, list[int]()
    players = outside
    for second in range(PATIENCE_S):
        asking = int(due[second])
        asked.append(asking)
        spare = (CAPACITY - REFUSAL_COST * asking) / (1 - REFUSAL_COST)
        taken = asking if asking <= CAPACITY else max(0, int(spare))
        refused = asking - taken
        outside -= taken
        refusals += refused
        back = second + chance.integers(retry.least_s, retry.most_s + 1, refused)
        due += np.bincount(back, minlength=len(due))
        retry.account(taken, refused)
        if not outside:
            return Rush(second + 1, refusals / players, max(asked) / CAPACITY, asked)
    return Rush(None, refusals / players, max(asked) / CAPACITY, asked)


# Tables.

RUSHES: Final = ((2.0, 5), (3.0, 60), (10.0, 10), (10.0, 30), (10.0, 60))


def heartbeat_table() -> Iterator[str]:
    """Yield the lines of a Markdown table: the fullest second over the mean, by intervals passed."""
    yield "| interval | " + " | ".join(f"after {beats}" for beats in SPANS) + " | below 2 | below 1.5 |"
    yield "|---" * (len(SPANS) + 3) + "|"
    for interval_s in INTERVALS_S:
        ratios = fullest(heartbeats(interval_s, keynote, SPANS[-1] + 1), interval_s)
        until = [beats_until(interval_s, keynote, below) for below in (2.0, 1.5)]
        cells = [f"{ratios[beats]:.2f}" for beats in SPANS]
        cells += [f"{beats * interval_s / 60:.1f} min" for beats in until]
        yield f"| {interval_s} s | " + " | ".join(cells) + " |"


def rush_table() -> Iterator[str]:
    """Yield the lines of a Markdown table: when all are in and how often each was refused, by `Retry-After`."""
    yield "| rush | nobody refused | 2 to 8 s | 1 s to what is needed, at most 2 min | at most 5 min |"
    yield "|---|---|---|---|---|"
    for times, lasts_s in RUSHES:
        cells = [f"{times:.0f} × for {lasts_s} s", f"{times * lasts_s:.0f} s"]
        for retry in (FixedRetry(), SpreadRetry(120), SpreadRetry(300)):
            outcome = rush(retry, times, lasts_s)
            all_in = f"{outcome.all_in_s} s" if outcome.all_in_s else f"not in {PATIENCE_S} s"
            cells.append(f"{all_in}, {outcome.refusals:.1f} refusals each")
        yield "| " + " | ".join(cells) + " |"


# The chart.

WIDTH, HEIGHT, LEFT, BOTTOM = 820, 300, 60, 40
INK: Final = "#7d8590"
LINES: Final = {10: "#c2571a", 30: "#2f81f7", 54: "#2da44e"}
BEATS: Final = 30


def chart() -> str:
    """Return the fullest second over the mean, by heartbeats, as SVG; the axis is logarithmic."""
    across, up = (WIDTH - LEFT - 90) / BEATS, (HEIGHT - BOTTOM - 40) / math.log(60)
    title = "A herd that starts in one second: fullest second over the mean, by heartbeats since"

    def place(beat: int, ratio: float) -> tuple[float, float]:
        return LEFT + beat * across, HEIGHT - BOTTOM - math.log(max(ratio, 1)) * up

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"',
        f'  role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        f'<title>{title}</title><text x="{LEFT}" y="20" font-size="14" font-weight="600">{title}</text>',
    ]
    for ratio in (1, 1.5, 2, 5, 10, 30, 54):
        _, y = place(0, ratio)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 90}" stroke="{INK}" stroke-opacity="0.3"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{ratio:g}</text>')
    for beat in range(0, BEATS + 1, 5):
        x, y = place(beat, 1)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{beat}</text>')
    for interval_s, colour in LINES.items():
        ratios = fullest(heartbeats(interval_s, keynote, BEATS + 1), interval_s)
        points = " ".join("{:.1f},{:.1f}".format(*place(beat, ratio)) for beat, ratio in enumerate(ratios))
        x, y = place(BEATS, ratios[-1])
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shift = {10: 12, 30: 0, 54: -12}[interval_s]
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 4 + shift:.1f}" fill="{colour}">every {interval_s} s</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


@click.command()
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the chart (SVG) to this file.")
def main(save: Path | None) -> None:
    """Print how herds of heartbeats and of joins dissolve. Seeded: the same every time."""
    click.echo("\n".join(heartbeat_table()) + "\n")
    click.echo("\n".join(rush_table()))
    if save is not None:
        save.write_text(chart(), encoding="utf-8")


if __name__ == "__main__":
    main()
