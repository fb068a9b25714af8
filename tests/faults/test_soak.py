"""A short soak, and what its seed promises."""

from pathlib import Path

from deploy.embedded_redis import ServerProgram
from tests.faults import mischief
from tests.faults.soak import soak


def test_seconds_of_everything_lose_and_invent_nothing(redis_program: ServerProgram, tmp_path: Path) -> None:
    said: list[str] = []
    outcome = soak(tmp_path, redis_program, seed=1354, seconds=14, speed=20.0, say=said.append)
    assert outcome.wrong == ()
    assert len(said) >= 3
    rows = dict(outcome.rows)
    assert (rows["lost"], rows["invented"]) == ("0", "0")
    assert int(rows["heartbeats acknowledged"].replace(",", "")) > 500


def test_the_same_seed_gives_the_same_faults() -> None:
    assert mischief.plan(7, 600.0, 2) == mischief.plan(7, 600.0, 2)
    assert mischief.plan(7, 600.0, 2) != mischief.plan(8, 600.0, 2)


def test_in_an_hour_every_kind_comes_and_no_part_is_broken_twice_at_once() -> None:
    planned = mischief.plan(4, 3600.0, 2)
    assert {each.name for each in planned} == set(mischief.FAULTS)
    open_now: list[mischief.Planned] = []
    for _, fault, begins in mischief.steps(planned):
        if begins:
            assert all(fault.part not in each.concerns and each.part not in fault.concerns for each in open_now)
            open_now.append(fault)
        else:
            open_now.remove(fault)
        assert len(open_now) <= 2
    assert not open_now, "everything is mended in the end"
