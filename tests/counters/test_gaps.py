"""Gaps: what nobody was there to count is said, not counted as nobody."""

import pytest

from counters.gaps import uncovered_s
from counters.segment import Coverage

NINE = 1_700_355_600


def covering(first_s: float, last_s: float) -> Coverage:
    """Coverage of one worker from and to so many seconds after nine."""
    start, end = int((NINE + first_s) * 1000), int((NINE + last_s) * 1000)
    return Coverage("0" * 16, "gw", start, end, end, crashed=False, records=1)


@pytest.mark.parametrize(
    ("rows", "uncovered"),
    [
        ([], 60),
        ([(0, 60)], 0),
        ([(0.1, 60.05)], 0.1),
        ([(0, 20), (35, 60)], 15),
        ([(35, 60), (0, 20), (10, 40)], 0),
        ([(55, 60)], 55),
        ([(0, 5)], 55),
        ([(0, 60), (10, 20)], 0),
    ],
)
def test_what_no_worker_covered_of_a_window_is_added_up(rows: list[tuple[float, float]], uncovered: float) -> None:
    assert uncovered_s(NINE, [covering(*row) for row in rows]) == pytest.approx(uncovered)
