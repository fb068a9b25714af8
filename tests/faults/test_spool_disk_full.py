"""A full disk under a gateway's spool: refused early, nothing accepted is lost, and it goes on by itself."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.embedded_redis import ServerProgram
from tests.faults.player_lines import Lines
from tests.faults.rig import WINDOW, Rig, minute
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import Answer, ask, until

ALMOST = 3 * 1024 * 1024
"""Left on the disk: less than the tenth below which newcomers are refused, enough for those who are in."""


@pytest.fixture
def small_disk(tmp_path: Path, mount_small_disk: Callable[[Path, int], Path]) -> Path:
    """The spool of gateway 0 on a file system of its own."""
    return mount_small_disk(tmp_path / "spool-g0", 64 * 1024 * 1024)


def leave(disk: Path, left_bytes: int) -> None:
    """Fill the disk up to so many bytes, with a file that is no business of the gateway's."""
    free_bytes = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    with (disk / "filler").open("ab") as filler:
        os.posix_fallocate(filler.fileno(), filler.tell(), free_bytes - left_bytes)


def refused(rig: Rig) -> str:
    """The reason with which a newcomer is refused; "" if it is let in."""
    with Lines(lambda place: rig.gateways[place].port) as lines:
        answer = rig.crowd.try_join(f"newcomer {len(rig.crowd.players)}", "opening", 0, lines)
    return answer.reason if isinstance(answer, Answer) else ""


def test_a_full_disk_refuses_early_keeps_what_was_accepted_and_is_over_when_there_is_room(
    redis_program: ServerProgram, tmp_path: Path, small_disk: Path
) -> None:
    with Rig(tmp_path, redis_program) as rig:
        readyz = rig.gateways[0].metrics_port

        def ready() -> bytes:
            return ask(readyz, "GET", "/readyz").body

        rig.jump(WINDOW)
        rig.crowd.join(24)
        assert ready() == b"ready\n"
        # Early: newcomers are refused, and everybody who is in is counted on.
        leave(small_disk, ALMOST)
        until(lambda: ready().startswith(b"the disk of the spool is almost full"), "it is not ready", CERTAIN_S)
        assert refused(rig) == "disk_full"
        assert rig.crowd.beat() == 24
        # Full, and nothing can be handed over: the next window goes to files that were there before.
        rig.ledger_line[0].cut()
        leave(small_disk, 0)
        rig.jump(minute(1))
        assert rig.crowd.beat() == 24
        # A worker that slept through this minute would have the files for the next one.
        folders = rig.gateways[0].folders().values()
        until(lambda: all((folder / f"w{minute(1)}-000").exists() for folder in folders), "both workers are in it")
        rig.jump(minute(2))
        assert rig.crowd.beat() == 0
        assert set(rig.crowd.truth.answers) == {204, 503}
        until(lambda: ready() == b"no room on the disk for the spool\n", "it says so", CERTAIN_S)
        # Room: it goes on by itself.
        rig.ledger_line[0].heal()
        (small_disk / "filler").unlink()
        until(lambda: ready() == b"ready\n", "it is ready again", CERTAIN_S)
        until(lambda: refused(rig) == "", "newcomers are let in again", CERTAIN_S)
        assert rig.crowd.beat() == 25
        rig.hold()
