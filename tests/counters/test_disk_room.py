"""Room on the disk: a mark below which newcomers are refused, and a little more above which they are taken again."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from counters.disk_room import LOW_WATER_BYTES, DiskRoom

MIB = 1024 * 1024


@dataclass
class Statvfs:
    f_frsize: int
    f_blocks: int
    f_bavail: int


@pytest.mark.parametrize(("disk_mib", "mark_mib"), [(100_000, LOW_WATER_BYTES // MIB), (2560, 256), (40, 4)])
def test_the_mark_is_256_mib_or_a_tenth_of_a_small_disk(
    monkeypatch: pytest.MonkeyPatch, disk_mib: int, mark_mib: int
) -> None:
    room = DiskRoom(Path("/"))
    seen = []
    for free_mib in (mark_mib + 1, mark_mib, mark_mib - 1, mark_mib, mark_mib * 1.2, mark_mib * 1.25, mark_mib):
        blocks = Statvfs(4096, disk_mib * 256, int(free_mib * 256))
        monkeypatch.setattr(os, "statvfs", lambda _, blocks=blocks: blocks)
        room.look()
        seen.append(room.low)
    assert seen == [False, False, True, True, True, False, False]


def test_a_disk_that_does_not_answer_is_taken_for_what_it_was(tmp_path: Path) -> None:
    room = DiskRoom(tmp_path)
    room.low = True
    room._folder = tmp_path / "gone"
    room.look()
    assert room.low
