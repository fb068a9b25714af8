"""The ledger's disk is full: it says so, takes nothing, ends nothing, and goes on by itself when there is room."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.embedded_redis import ServerProgram
from tests.faults.parts import LedgerPart
from tests.faults.rig import WINDOW, Rig, minute
from tests.gateway.serving import until

PEOPLE = 40
DISK_BYTES = 48 * 1024 * 1024
"""Three times what the ledger wants free before it calls a disk that was full ready again."""


@pytest.fixture
def small_disk(tmp_path: Path, mount_small_disk: Callable[[Path, int], Path]) -> Path:
    """A rig's folder whose data directory is a small file system of its own."""
    mount_small_disk(tmp_path / "data", DISK_BYTES)
    return tmp_path


def is_ready(rig: Rig) -> bool:
    return rig.ledger.ask("GET", "/readyz").status == 200


def through_a_full_disk(rig: Rig, fill: Callable[[], None], make_room: Callable[[], None]) -> None:
    """Two windows pass while the disk is full; what was accepted before, meanwhile and after is all there."""
    (gateway,) = rig.gateways
    rig.jump(WINDOW)
    rig.crowd.join(PEOPLE)
    assert rig.crowd.beat() == PEOPLE
    rig.next_window()
    rig.settle()
    assert is_ready(rig)
    pid = rig.ledger.pid
    fill()
    for _ in range(2):
        assert rig.crowd.beat() == PEOPLE
        rig.next_window()
    until(lambda: not is_ready(rig), "the ledger says that it does not seal")
    answer = rig.ledger.ask("GET", "/readyz")
    assert answer.status == 503
    assert b"its disk is full" in answer.body
    assert rig.ledger.ask("GET", "/healthz").status == 200
    refused = rig.organise("POST", f"/v1/events/{rig.event.id}/steering", b'{"interval_s": 45}')
    assert (refused.status, refused.reason) == (503, "disk_full")
    assert int(refused.headers["retry-after"]) >= 1
    until(lambda: bool(gateway.waiting(before=minute(2))), "the gateway keeps what is not taken")
    assert max(rig.sealed()) == WINDOW, "a window was sealed without those whose hand-over was refused"
    assert rig.crowd.beat() == PEOPLE, "heartbeats do not go on"
    make_room()
    rig.settle()
    until(lambda: is_ready(rig), "the ledger is ready again by itself")
    assert rig.ledger.pid == pid
    held = rig.hold()
    assert held.acknowledged == 4 * PEOPLE
    assert held.missing == 0
    assert not held.found.late


def test_on_a_disk_that_is_really_full_the_ledger_waits_and_nothing_is_lost(
    redis_program: ServerProgram, small_disk: Path
) -> None:
    with Rig(small_disk, redis_program) as rig:
        filler = rig.data / "filler"

        def fill() -> None:
            with filler.open("wb") as file:
                try:
                    while True:
                        os.write(file.fileno(), bytes(4096))
                except OSError:
                    pass

        through_a_full_disk(rig, fill, filler.unlink)


class FullLedger(LedgerPart):
    """A ledger whose disk is full while the file `full` is in the rig's folder."""

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "tests.faults.ledger_that_dies", "full", self.said.with_name("full")]


def test_where_no_disk_can_be_filled_one_that_says_it_is_full_is_the_same_to_the_ledger(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    rig = Rig(tmp_path, redis_program)
    rig.ledger = FullLedger(tmp_path, rig.event_file, rig.data, rig.redis.url)
    full = tmp_path / "full"
    with rig:
        through_a_full_disk(rig, full.touch, full.unlink)
