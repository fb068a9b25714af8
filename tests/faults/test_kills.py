"""`kill -9`: what was answered 204 before is in the evidence, whoever is killed and whenever."""

import os
import random
import signal
import time
from pathlib import Path

from counters.spooled_window import read_window, window_chunks
from deploy.embedded_redis import ServerProgram
from tests.faults.parts import GatewayPart
from tests.faults.rig import WINDOW, Rig, minute
from tests.gateway.commands import living
from tests.gateway.serving import until

PEOPLE = 60


def busiest_worker(gateway: GatewayPart, window: int) -> int:
    """The process id of the worker with the most records in a window that is open."""
    records = {
        pid: len(read_window(chunks[window]).records)
        for pid, folder in gateway.folders().items()
        if window in (chunks := window_chunks(folder))
    }
    pid = max(records, key=lambda pid: records[pid])
    assert records[pid] > 0
    return pid


def test_workers_and_gateways_that_are_killed_take_nothing_with_them(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    """One worker, all workers at once, supervisor and workers; the gateway is back on its spool a window later."""
    with Rig(tmp_path, redis_program) as rig:
        (gateway,) = rig.gateways
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        with rig.crowd.playing():
            rig.crowd.until_heard()
            one = [busiest_worker(gateway, WINDOW)]
            os.kill(one[0], signal.SIGKILL)
            rig.crowd.until_heard()
            until(lambda: not living(one), "it is gone")
            gateway.until_serving()
            assert rig.next_window() == minute(1)
            rig.crowd.until_everybody_is_heard()
            everyone = gateway.workers()
            assert len(everyone) == 2
            for pid in everyone:
                os.kill(pid, signal.SIGKILL)
            until(lambda: not living(everyone), "they are gone")
            rig.crowd.until_everybody_is_heard()
            gateway.until_serving()
            rig.next_window()
            rig.crowd.until_everybody_is_heard()
            gateway.kill()
            assert gateway.waiting(), "nothing was left in its spool"
            assert rig.next_window() == minute(3)
            gateway.start()
            rig.crowd.until_everybody_is_heard()
        broken = rig.crowd.truth.broken
        held = rig.hold()
    assert broken > 0, "no heartbeat met a kill"
    assert held.missing == 0
    assert not held.found.late
    assert held.acknowledged == 4 * PEOPLE


def test_a_ledger_that_is_killed_seals_what_it_said_it_had(redis_program: ServerProgram, tmp_path: Path) -> None:
    """Between hand-over and seal, and at random moments around the end of a window."""
    moments = random.Random(4)
    with Rig(tmp_path, redis_program, gateways=2) as rig:
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        rig.crowd.join(PEOPLE, "forum", gateway=1)
        assert rig.crowd.beat() == 2 * PEOPLE
        # The other gateway hands nothing over, and the window waits for it: between hand-over and seal for seconds.
        rig.gateways[1].pause()
        rig.next_window()
        until(lambda: not rig.gateways[0].waiting(before=minute(1)), "one gateway has handed over")
        assert WINDOW not in rig.sealed()
        rig.ledger.kill()
        rig.ledger.start()
        assert WINDOW not in rig.sealed()
        rig.gateways[1].resume()
        rig.settle()
        # Then again and again, whatever it is doing.
        with rig.crowd.playing():
            for _ in range(5):
                rig.crowd.until_everybody_is_heard()
                rig.next_window()
                # Hand-over and seal take some tens of milliseconds.
                time.sleep(moments.uniform(0.0, 0.12))
                rig.ledger.kill()
                rig.ledger.start()
        assert rig.crowd.truth.answers.keys() == {204}, "players notice nothing"
        assert rig.crowd.truth.broken == 0, "players notice nothing"
        held = rig.hold()
    assert held.missing == 0
    assert not held.found.late
    assert held.acknowledged >= 6 * 2 * PEOPLE
