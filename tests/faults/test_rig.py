"""The rig itself: where nothing is broken the evidence is exactly what was acknowledged; and it can fail."""

from pathlib import Path

import pytest

from deploy.embedded_redis import ServerProgram
from tests.faults import reckoning
from tests.faults.rig import WINDOW, Rig, minute


def test_where_nothing_breaks_the_evidence_is_what_was_acknowledged(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    with Rig(tmp_path, redis_program, gateways=2) as rig:
        rig.jump(WINDOW)
        opening = rig.crowd.join(20)
        rig.crowd.join(12, "forum", gateway=1)
        assert rig.crowd.beat() == 32
        rig.jump(minute(1))
        with rig.crowd.playing(opening):
            rig.crowd.until_everybody_is_heard(opening)
        rig.jump(minute(2))
        rig.settle()
        held = rig.hold()
    assert held.exact
    assert held.acknowledged == 32 + 20
    assert {place: len(seats) for place, seats in held.found.present.items()} == {
        (1, WINDOW): 20, (2, WINDOW): 12, (1, minute(1)): 20,
    }  # fmt: skip
    # It can fail: one seat more on either side is found.
    truth = rig.crowd.truth
    (seat, *_) = truth.acknowledged[1, WINDOW]
    truth.attempted[1, WINDOW].remove(seat)
    assert reckoning.invented(truth, held.found) == [f"session 1, window {WINDOW}: seat {seat}"]
    truth.acknowledged[2, minute(1)].add(seat)
    assert reckoning.lost(truth, held.found) == [f"session 2, window {minute(1)}: seat {seat}"]
    held.found.in_time[WINDOW][1].remove(seat)
    assert reckoning.miscounted(held.found, {1: "opening", 2: "forum"})
    with pytest.raises(AssertionError, match="does not run"):
        rig.hold()
