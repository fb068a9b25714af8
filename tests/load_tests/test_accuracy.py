"""Accuracy: the sketches are Turnout's to the register, and their error is what theory says.

Statistical bounds are at a fixed seed: the quick mode has 120 repetitions, so an rms error is itself known within 6.5 %
(one standard error, 1/√(2·120)); ratios are held to at least four of these.
"""

import math
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from counters import hyperloglog
from counters.attendee import attendee_selector
from load_tests import accuracy
from load_tests.accuracy import QUICK, SEED, Error, measure
from load_tests.curves import Curve, curves
from load_tests.sketching import CHUNK, SHARDS, add, add_many, draw_pseudonyms, folded, places
from tests.gateway.commands import CERTAIN_S


def shards() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.zeros((SHARDS, hyperloglog.REGISTERS), np.uint8)


def test_every_attendee_goes_where_turnout_would_put_it() -> None:
    pseudonyms = draw_pseudonyms(5_000, np.random.default_rng(1))
    place, rank = places(pseudonyms)
    for index, row in enumerate(pseudonyms.astype("<u8")):
        name = row.tobytes()
        register, expected = hyperloglog.register_and_rank(name)
        assert int(place[index]) == (attendee_selector(name) % SHARDS) * hyperloglog.REGISTERS + register
        assert int(rank[index]) == expected


@pytest.mark.parametrize("count", [1, 2, 16, 64])
def test_sketches_are_equal_to_adding_one_by_one(count: int) -> None:
    pseudonyms = draw_pseudonyms(3_000, np.random.default_rng(2))
    at_once, one_by_one = shards(), [hyperloglog.empty() for _ in range(count)]
    add(at_once, pseudonyms[:1000])
    add(at_once, pseudonyms[500:])  # some twice: nothing changes
    for row in pseudonyms.astype("<u8"):
        hyperloglog.add(one_by_one[attendee_selector(row.tobytes()) % count], row.tobytes())
    assert np.array_equal(folded(at_once, count), np.array(one_by_one))


def test_chunks_change_nothing() -> None:
    whole, parts = shards(), shards()
    add(
        whole,
        np.concatenate(
            [draw_pseudonyms(CHUNK, np.random.default_rng(3)), draw_pseudonyms(1, np.random.default_rng(4))]
        ),
    )
    rng = np.random.default_rng(3)
    add_many(parts, CHUNK, rng)
    add(parts, draw_pseudonyms(1, np.random.default_rng(4)))
    assert np.array_equal(whole, parts)


@pytest.fixture(scope="module")
def errors() -> dict[tuple[int, int], Error]:
    return {(error.attendees, error.shards): error for error in measure(QUICK, SEED)}


def test_every_size_is_measured_at_every_number_of_shards(errors: dict[tuple[int, int], Error]) -> None:
    sizes = [attendees for attendees, _ in QUICK.repetitions]
    assert set(errors) == {(attendees, count) for attendees in sizes for count in accuracy.SHARD_COUNTS}
    assert {error.repetitions for error in errors.values()} == {120}


def test_no_estimate_is_worse_than_stated_where_rounding_does_not_matter(
    errors: dict[tuple[int, int], Error],
) -> None:
    """Below its asymptote the error is smaller than 0.8125 % / √S; a shard of few attendees is rounded, see below."""
    for error in errors.values():
        if error.attendees / error.shards >= 1_000:
            assert error.ratio < 1 + 4 * error.uncertainty, error
            assert error.ratio > 0.5, error


def test_where_registers_are_mostly_empty_the_error_is_that_of_collisions(
    errors: dict[tuple[int, int], Error],
) -> None:
    """N attendees in m registers: √(m·(e^(n/m) − n/m − 1)) / n, the error of linear counting (Whang et al. 1990)."""
    error = errors[1_000, 1]
    m, n = hyperloglog.REGISTERS, 1_000
    collisions = math.sqrt(m * (math.exp(n / m) - n / m - 1)) / n
    assert abs(error.rms / collisions - 1) < 4 * error.uncertainty


def test_sharding_a_small_crowd_rounds_each_shard(errors: dict[tuple[int, int], Error]) -> None:
    """A shard's estimate is a whole number: off by at most half a person a shard, whatever the crowd."""
    for error in errors.values():
        assert abs(error.bias) * error.attendees < 0.5 * error.shards + 4 * error.rms * error.attendees / math.sqrt(120)


def test_the_same_seed_gives_the_same_numbers() -> None:
    effort = accuracy.Effort(((100, 3), (1_000, 2)))
    assert measure(effort, 5) == measure(effort, 5) != measure(effort, 6)
    assert [error.repetitions for error in measure(effort, 5)] == [3] * 7 + [2] * 7


def test_redis_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    said = accuracy.check_with_redis(SEED)
    if not shutil.which("redis-server") and not shutil.which("valkey-server"):
        pytest.skip("no Redis on the PATH")
    assert "says the same by PFCOUNT of 21 of these sketches" in said, capsys.readouterr()


def test_a_redis_that_says_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("redis-server") and not shutil.which("valkey-server"):
        pytest.skip("no Redis on the PATH")
    monkeypatch.setattr(accuracy, "estimate", lambda registers: hyperloglog.estimate(registers) + 1)
    with pytest.raises(ValueError, match="Redis estimates 1, we estimate 2"):
        accuracy.check_with_redis(SEED)


def test_the_command_prints_a_table_and_draws_the_chart(tmp_path: Path) -> None:
    chart = tmp_path / "accuracy.svg"
    command = [sys.executable, "-m", "load_tests.accuracy", "--quick", "--plot", str(chart)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CERTAIN_S, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| 1")]
    assert len(rows) == len(accuracy.SHARD_COUNTS) * len(QUICK.repetitions)
    root = ET.fromstring(chart.read_text())  # noqa: S314 - ours
    assert sum(element.tag.endswith("circle") for element in root.iter()) == len(rows)


def test_a_chart_puts_points_where_their_logarithms_are() -> None:
    chart = curves("t", "x", "y", [Curve("c", [(10, 1), (100, 2), (1000, 4)], 2.0)])
    circles = [
        element
        for element in ET.fromstring(chart).iter()  # noqa: S314 - ours
        if element.tag.endswith("circle")
    ]
    across = [float(circle.attrib["cx"]) for circle in circles]
    up = [float(circle.attrib["cy"]) for circle in circles]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)
    assert up[0] - up[1] == pytest.approx(up[1] - up[2], abs=0.2)
    assert up[0] > up[1]
    with pytest.raises(ValueError, match="logarithmic"):
        curves("t", "x", "y", [Curve("c", [(10, 0)], 1.0)])
