"""Histograms in named cells are what a plain histogram would be, wherever the cells are."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from counters.cells import Cells, read_cells
from gateway.timed_cells import PlainCells, TimedCells, cell_names, durations
from metrics.catalogue import CATALOGUE
from metrics.readings import Durations

BOUNDS = (0.001, 0.25, 10.0)


def test_the_bounds_are_in_the_names() -> None:
    assert cell_names("join", BOUNDS) == ("join<0.001", "join<0.25", "join<10", "join<inf", "join.ns")
    for metric in CATALOGUE:
        names = cell_names("x", metric.buckets)
        assert len(set(names)) == len(names), f"the bounds of {metric.name} are told apart"


@given(st.lists(st.sampled_from(BOUNDS) | st.floats(0, 20), max_size=20))
def test_what_is_observed_is_what_a_plain_histogram_counts(seconds: list[float]) -> None:
    cells = PlainCells(("before", *cell_names("join", BOUNDS), "behind"))
    plain, timed = Durations.none(BOUNDS), TimedCells(cells, "join", BOUNDS)
    for took_s in seconds:
        plain = plain.observed(took_s)
        timed.observe(took_s)
    found = durations(cells.read(), "join", BOUNDS)
    assert (found.bounds, found.counts) == (plain.bounds, plain.counts)
    assert abs(found.sum_s - plain.sum_s) < 1e-6
    assert (cells.values[0], cells.values[-1]) == (0, 0), "nothing beside it is touched"


def test_a_workers_histogram_is_read_from_its_file(tmp_path: Path) -> None:
    timed = TimedCells(Cells(tmp_path / "measures", cell_names("beat", BOUNDS)), "beat", BOUNDS)
    timed.observe(0.002)
    timed.observe(99.0)
    assert durations(read_cells(tmp_path / "measures"), "beat", BOUNDS) == Durations(BOUNDS, (0, 1, 0, 1), 99.002)


def test_counts_by_other_bounds_are_not_mixed_with_these() -> None:
    older = {"beat<0.5": 7, "beat<inf": 1, "beat.ns": 4_000_000_000}
    assert durations(older, "beat", BOUNDS).counts == (0, 0, 0, 1)
