"""Retained tokens: whoever was let in has the token of the earliest join kept by the ledger, whatever was killed."""

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from counters import evidence
from counters.attendee import pseudonym
from counters.evidence import JournalSegment
from counters.journal import Join, JoinKind
from counters.retained_tokens import RetainedTokens
from deploy.embedded_redis import ServerProgram
from tests.faults.crowd import Player
from tests.faults.player_lines import Lines
from tests.faults.rig import WINDOW, Rig
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import until

RETAINING = """
[audit]
beacon = "drand-quicknet"
round = 3000000
retain_tokens_until = 2024-06-01T00:00:00+08:00
"""


@contextmanager
def people_coming(rig: Rig) -> Iterator[None]:
    """People join all along; whoever got no answer, or a no for now, tries again."""
    over = threading.Event()

    def come() -> None:
        number = 0
        with Lines(lambda place: rig.gateways[place].port) as lines:
            while not over.is_set():
                number += 1
                while not isinstance(rig.crowd.try_join(f"visitor {number}", "opening", 0, lines), Player):
                    time.sleep(0.01)

    thread = threading.Thread(target=come)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def joins_in_evidence(rig: Rig) -> list[Join]:
    joins: list[Join] = []
    for path in (rig.data / "evidence").iterdir():
        data = path.read_bytes()
        segment = evidence.decode(data) if data.startswith(b"TURNSEG\0") else None
        if isinstance(segment, JournalSegment):
            joins += [record for record in segment.records() if isinstance(record, Join)]
    return joins


def test_every_join_that_was_answered_has_its_token_whoever_was_killed(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    """A worker, the ledger while it is handed tokens, supervisor and workers; then the tokens are deleted."""
    moments = random.Random(5)
    with Rig(tmp_path, redis_program, event=EVENT_FILE + RETAINING) as rig:
        (gateway,) = rig.gateways
        rig.jump(WINDOW)
        with people_coming(rig):
            for turn in range(2):
                came = len(rig.crowd.players)
                until(lambda came=came: len(rig.crowd.players) >= came + 30, "people come")  # type: ignore[misc]
                os.kill(gateway.workers()[turn], signal.SIGKILL)
                rig.next_window()
                # Hand-over of evidence and tokens takes some tens of milliseconds.
                time.sleep(moments.uniform(0.0, 0.2))
                rig.ledger.kill()
                rig.ledger.start()
            gateway.kill()
            gateway.start()
        found = rig.finish()
        kept = RetainedTokens(rig.data / "tokens", rig.secrets.audit_key)
        joins = sorted(joins_in_evidence(rig), key=lambda join: join.joined_at_ms, reverse=True)
        earliest = {join.pseudonym: join for join in joins if join.kind is JoinKind.TICKET}
        tickets = {hashlib.sha256(ticket.encode()).digest(): ticket.encode()
                   for shown in rig.crowd.tickets.values() for ticket in shown}  # fmt: skip
        for player in rig.crowd.players:
            join = earliest[pseudonym(rig.secrets.pseudonym_key, "tickets", player.name)]
            assert kept.get(join.token_digest) == tickets[join.token_digest], player.name
        assert len(rig.crowd.players) >= 60
        # Nothing that is proved rests on them.
        assert kept.forget_all() >= len(rig.crowd.players)
        rig.certify(found)
