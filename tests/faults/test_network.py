"""The network between gateway and ledger: cut, hanging, and repeating itself."""

import json
import random
from pathlib import Path

from deploy.embedded_redis import ServerProgram
from gateway.ledger_client import HAND_OVER_PATH
from tests.faults.loopback_line import requests_in
from tests.faults.rig import WINDOW, Rig, minute
from tests.gateway.serving import Connection, until

PEOPLE = 30


def test_what_a_cut_off_gateway_accepted_comes_when_the_network_is_back(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    """Back within the grace it is in the window's leaf, else in a late one; and who is on both gateways counts once."""
    with Rig(tmp_path, redis_program, gateways=2) as rig:
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        rig.crowd.join(PEOPLE, gateway=1)
        both = [player.name for player in rig.crowd.players[:5]]
        again = rig.crowd.join(both, gateway=1)
        assert [player.seat for player in again] == [player.seat for player in rig.crowd.players[:5]]
        everybody = len(rig.crowd.players)
        rig.ledger_line[1].hang()
        for _ in range(2):
            assert rig.crowd.beat() == everybody
            rig.next_window()
        until(lambda: not rig.gateways[0].waiting(before=minute(2)), "the other gateway has handed over")
        rig.ledger_line[1].heal()
        rig.settle()
        assert not any(leaf.get("missing") for leaf in rig.leaves())
        rig.ledger_line[1].cut()
        for _ in range(2):
            assert rig.crowd.beat() == everybody
            rig.next_window()
        until(lambda: minute(3) in rig.sealed(), "both windows are sealed without it")
        rig.ledger_line[1].heal()
        assert rig.crowd.beat() == everybody
        rig.settle()
        held = rig.hold()
    assert held.exact
    assert held.acknowledged == 5 * 2 * PEOPLE
    assert {w: len(leaf["missing"]) for w, leaf in held.found.windows.items() if leaf["missing"]} == {
        minute(2): 2, minute(3): 2,
    }  # fmt: skip
    assert sorted(held.found.late) == [minute(2), minute(3)]
    assert [len(held.found.in_time[minute(n)][1]) for n in range(5)] == [2 * PEOPLE] * 2 + [PEOPLE] * 2 + [2 * PEOPLE]


def test_hand_overs_that_come_twice_and_in_any_order_count_once(redis_program: ServerProgram, tmp_path: Path) -> None:
    order = random.Random(4)
    with Rig(tmp_path, redis_program, gateways=2) as rig:
        for line in rig.ledger_line:
            line.recording = True
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        rig.crowd.join(PEOPLE, gateway=1)
        for number in range(4):
            assert rig.crowd.beat() == 2 * PEOPLE
            if number == 1:
                # Taken by the ledger, which cannot say so: the gateway has to ask again.
                rig.ledger_line[1].swallow_answers()
            rig.next_window()
            if number == 1:
                until(lambda: minute(1) in rig.sealed(), "the ledger has it")
                assert rig.gateways[1].waiting(before=minute(2)), "without an answer nothing is deleted"
                rig.ledger_line[1].heal()
            rig.settle()
        handed_over = [
            request
            for line in rig.ledger_line
            for asked in line.asked
            for request in requests_in(bytes(asked))
            if request.startswith(f"POST {HAND_OVER_PATH} ".encode())
        ]
        assert len(handed_over) > 8, "four windows of two gateways, and one of them twice"
        leaves = rig.leaves()
        for restarted in (False, True):
            if restarted:
                rig.ledger.kill()
                rig.ledger.start()
            replayed = order.sample(handed_over, len(handed_over)) + handed_over[::-1]
            assert replay(rig, replayed) <= {"known", "promise"}
            rig.settle()
            assert rig.leaves() == leaves, "nothing of it is new"
        held = rig.hold()
    assert held.exact
    assert held.missing == 0
    assert held.acknowledged == 4 * 2 * PEOPLE


def replay(rig: Rig, requests: list[bytes]) -> set[str]:
    """Send requests as they once were; return what the ledger says about them."""
    line = Connection(rig.ledger.port)
    outcomes = set()
    try:
        for request in requests:
            line.send(request)
            (answer,) = line.read_answers(1)
            assert answer.status == 200, answer
            outcomes.add(json.loads(answer.body)["outcome"])
    finally:
        line.close()
    return outcomes
