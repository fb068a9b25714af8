"""Who had joined by when is everybody with a join at a deadline or before it, whatever order joins come in."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from counters.joined import JoinedBy


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_each_set_holds_whoever_joined_by_its_deadline(seed: int) -> None:
    rng = random.Random(seed)
    deadlines = sorted(rng.sample(range(1, 12), rng.randrange(5)))
    rows = [(rng.choice((1, 2, 70_000, 2**32 - 1)), rng.randrange(14)) for _ in range(rng.randrange(20))]
    joined = JoinedBy(deadlines)
    for at in range(0, len(rows), 4):
        part = rows[at : at + 4]
        joined.add(np.array([seat for seat, _ in part], np.uint32), np.array([when for _, when in part], np.uint64))
    expected = [{seat for seat, when in rows if when <= deadline} for deadline in deadlines]
    assert [set(seats) for seats in joined.sets()] == expected
