"""What a live estimate is worth: HyperLogLog's error against the truth, over attendees and shards, beside theory.

    python -m load_tests.accuracy --quick
    python -m load_tests.accuracy --full --plot docs/accuracy.svg

Made-up crowds whose size is known are counted by sketches of S = 1 … 64 shards, exactly as Turnout counts them, many
times each; bias and root mean square error are set beside the theory, 0.8125 % / √S. One stream of attendees gives all
sizes and all numbers of shards of one repetition, so neighbouring rows of the table are not independent; repetitions
are. Some of the sketches go to a real Redis, whose PFCOUNT has to say the same number, and a crowd is added there one
by one with PFADD as well. It measures the sketch, not the path to it: what is late or lost between player and Redis is
for load_tests.players to find.
"""

import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
import numpy.typing as npt

from counters.hyperloglog import REGISTERS, STANDARD_ERROR, estimate, estimate_sharded, to_dense
from load_tests.bench import peer_redis, table
from load_tests.curves import Curve, curves
from load_tests.sketching import CHUNK, SHARDS, Shards, Words, add, add_many, draw_pseudonyms, folded

SEED: Final = 2023
SHARD_COUNTS: Final = (1, 2, 4, 8, 16, 32, 64)
CHECKED_SKETCHES: Final = 21
ADDED_ONE_BY_ONE: Final = (1, 1_000, 20_000)
"""Crowds that are given to PFADD itself: small enough to be sent in a second."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried: crowd sizes, ascending, each with its repetitions, descending."""

    repetitions: tuple[tuple[int, int], ...]


QUICK: Final = Effort(((1_000, 120), (10_000, 120), (100_000, 120)))
FULL: Final = Effort(
    (
        (1_000, 1_000),
        (3_000, 1_000),
        (10_000, 1_000),
        (30_000, 1_000),
        (100_000, 1_000),
        (300_000, 1_000),
        (1_000_000, 1_000),
        (3_000_000, 200),
        (10_000_000, 200),
    )
)


@dataclass(frozen=True, slots=True)
class Error:
    """The error of estimates of one crowd size and one number of shards. All relative to the crowd's size."""

    attendees: int
    shards: int
    repetitions: int
    bias: float
    rms: float

    @property
    def theory(self) -> float:
        """The standard error that Turnout states: 0.8125 % / √S."""
        return STANDARD_ERROR / math.sqrt(self.shards)

    @property
    def ratio(self) -> float:
        """What was measured over the theory."""
        return self.rms / self.theory

    @property
    def uncertainty(self) -> float:
        """The relative standard error of `rms` itself, and so of `ratio`: 1/√(2R) for R repetitions."""
        return 1 / math.sqrt(2 * self.repetitions)


def sketches(effort: Effort, seed: int) -> Iterator[tuple[int, Shards]]:
    """Yield (attendees, registers at 64 shards) for every size of every repetition. The registers are overwritten."""
    shards = np.zeros((SHARDS, REGISTERS), np.uint8)
    for repetition in range(effort.repetitions[0][1]):
        rng = np.random.default_rng((seed, repetition))
        shards[:] = 0
        there = 0
        for attendees, repetitions in effort.repetitions:
            if repetition >= repetitions:
                break
            add_many(shards, attendees - there, rng)
            there = attendees
            yield attendees, shards


def measure(effort: Effort, seed: int) -> list[Error]:
    """Return the error for every size and number of shards, in that order."""
    errors: dict[tuple[int, int], list[float]] = {}
    for attendees, shards in sketches(effort, seed):
        for count in SHARD_COUNTS:
            estimated = estimate_sharded(folded(shards, count))
            errors.setdefault((attendees, count), []).append(estimated / attendees - 1)
    return [_error(attendees, count, np.array(found)) for (attendees, count), found in sorted(errors.items())]


def _error(attendees: int, shards: int, found: npt.NDArray[np.float64]) -> Error:
    return Error(attendees, shards, len(found), float(found.mean()), float(np.sqrt((found**2).mean())))


# Redis' own opinion.


def check_with_redis(seed: int) -> str:
    """Return in words how Redis' PFCOUNT agrees with our estimates.

    Raises:
        ValueError: it does not.
        RuntimeError: Redis does not start.
    """
    server = peer_redis.program()
    if server is None:
        return "Redis was not asked: there is no redis-server on the PATH."
    rng = np.random.default_rng((seed, 1 << 32))
    with (
        tempfile.TemporaryDirectory(prefix="turnout-accuracy-") as scratch,
        peer_redis.running(server, Path(scratch)) as redis,
    ):
        for registers in _some_registers(rng):
            redis.client.set("sketch", to_dense(registers))
            _same(redis.client.pfcount("sketch"), estimate(registers))
        for attendees in ADDED_ONE_BY_ONE:
            pseudonyms = draw_pseudonyms(attendees, rng)
            redis.client.delete("crowd")
            for start in range(0, attendees, 1000):
                redis.client.pfadd("crowd", *_elements(pseudonyms[start : start + 1000]))
            _same(redis.client.pfcount("crowd"), estimate(_union(pseudonyms)))
        version = redis.version
    return (
        f"Redis {version} says the same by PFCOUNT of {CHECKED_SKETCHES} of these sketches, and after PFADD of "
        f"{', '.join(f'{each:,}' for each in ADDED_ONE_BY_ONE)} attendees one by one."
    )


def _some_registers(rng: np.random.Generator) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield sketches of single shards, from one attendee to as many as make all registers high."""
    for power in range(CHECKED_SKETCHES):
        shards = np.zeros((SHARDS, REGISTERS), np.uint8)
        add_many(shards, 2**power, rng)
        yield folded(shards, 1)[0]


def _elements(pseudonyms: Words) -> list[bytes]:
    return [row.tobytes() for row in pseudonyms.astype("<u8")]


def _union(pseudonyms: Words) -> npt.NDArray[np.uint8]:
    shards = np.zeros((SHARDS, REGISTERS), np.uint8)
    for start in range(0, len(pseudonyms), CHUNK):
        add(shards, pseudonyms[start : start + CHUNK])
    registers: npt.NDArray[np.uint8] = folded(shards, 1)[0]
    return registers


def _same(redis: object, ours: int) -> None:
    if redis != ours:
        raise ValueError(f"Redis estimates {redis}, we estimate {ours}")


# The report.


def report(errors: Sequence[Error]) -> str:
    """Return the table in Markdown."""
    head = ("attendees", "S", "repetitions", "bias", "rms error", "theory", "ratio")
    rows = (
        (
            f"{each.attendees:,}",
            f"{each.shards}",
            f"{each.repetitions:,}",
            f"{each.bias:+.4%}",
            f"{each.rms:.4%}",
            f"{each.theory:.4%}",
            f"{each.ratio:.2f} ± {each.ratio * each.uncertainty:.2f}",
        )
        for each in errors
    )
    return table.markdown(head, rows)


def plot(errors: Sequence[Error]) -> str:
    """Return the chart as SVG."""
    drawn = [
        Curve(
            f"S = {count}",
            [(each.attendees, 100 * each.rms) for each in errors if each.shards == count],
            100 * STANDARD_ERROR / math.sqrt(count),
        )
        for count in SHARD_COUNTS
    ]
    title = "Error of a live estimate (dashed: 0.8125 % / √S)"
    return curves(title, "attendees", "root mean square error, %", drawn)


@click.command()
@click.option("--quick", "effort", flag_value="quick", default="quick", help="Up to 100,000 attendees, some seconds.")
@click.option("--full", "effort", flag_value="full", help="Up to 10,000,000 attendees, some minutes.")
@click.option("--plot", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the chart (SVG) here.")
@click.option("--seed", default=SEED, show_default=True, help="Of the made-up crowds.")
def main(effort: str, path: Path | None, seed: int) -> None:
    """Measure the error of live estimates against the truth, and set it beside theory."""
    started = time.monotonic()
    try:
        agreed = check_with_redis(seed)
    except (ValueError, RuntimeError) as problem:
        print(f"Redis: {problem}")
        sys.exit(1)
    errors = measure(FULL if effort == "full" else QUICK, seed)
    print(report(errors))
    print(f"\n{agreed}\nSeed {seed}, {time.monotonic() - started:.0f} s.")
    if path is not None:
        path.write_text(plot(errors), encoding="utf-8")


if __name__ == "__main__":
    main()
