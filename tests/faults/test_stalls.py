"""SIGSTOP: who stands still for two windows goes on as if nothing had been, and never writes into what is sealed."""

import threading
from pathlib import Path

from deploy.embedded_redis import ServerProgram
from tests.faults.rig import WINDOW, Rig, minute
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import until

PEOPLE = 40


def test_a_ledger_that_stands_still_for_two_windows_catches_up(redis_program: ServerProgram, tmp_path: Path) -> None:
    with Rig(tmp_path, redis_program) as rig:
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        assert rig.crowd.beat() == PEOPLE
        rig.ledger.pause()
        for _ in range(2):
            rig.next_window()
            # Joins go on from leased seats, heartbeats as ever.
            rig.crowd.join(PEOPLE)
            assert rig.crowd.beat() == len(rig.crowd.players)
        rig.ledger.resume()
        rig.settle()
        held = rig.hold()
    assert held.exact
    assert held.missing == 0
    assert not held.found.late
    assert [len(held.found.in_time[minute(n)][1]) for n in range(3)] == [PEOPLE, 2 * PEOPLE, 3 * PEOPLE]


def test_a_worker_that_resumes_after_its_window_was_sealed_writes_into_the_next(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    with Rig(tmp_path, redis_program, workers=1) as rig:
        (gateway,) = rig.gateways
        rig.jump(WINDOW)
        early, held_up = rig.crowd.join(PEOPLE), rig.crowd.join(1)
        assert rig.crowd.beat(early) == PEOPLE
        gateway.pause_workers()
        # Sent in this window, and read by the worker when it goes on.
        waits = threading.Thread(target=rig.crowd.beat, args=(held_up,), kwargs={"give_up_s": CERTAIN_S})
        waits.start()
        until(lambda: rig.crowd.sending == 1, "it is sent")
        rig.next_window()
        until(lambda: WINDOW in rig.sealed(), "the window is sealed without it")
        gateway.resume_workers()
        waits.join(CERTAIN_S)
        assert rig.crowd.truth.beats == PEOPLE + 1, "it is answered in the end"
        rig.settle()
        held = rig.hold()
    seat = held_up[0].seat
    (leaf,) = [leaf for window, leaf in held.found.windows.items() if window == WINDOW]
    assert len(leaf["missing"]) == 1, "the leaf says whose part it lacks"
    assert held.found.late == [WINDOW], "what the worker had accepted before came late"
    assert held.found.in_time[WINDOW] == {}
    assert seat not in held.found.present[1, WINDOW]
    assert held.found.present[1, minute(1)] == {seat}
