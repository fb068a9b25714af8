"""Crashes: at every single step of the writer, by kill and by power loss.

After each, with nothing done about it, the public log verifies; opened again it verifies, has every entry for which
`append` returned, and of the group that was under way all entries or none. Over a log's whole life no two roots are
ever signed for one size.
"""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import pytest

from counters.disk import Disk
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.log import Log, LogReader
from counters.ledger.note import Signer
from tests.counters.fragile_disk import CrashError, FragileDisk, listing

GROUPS: Final = (1, 254, 1, 260, 3)
"""Sizes of the groups of a scenario: into a tile, up to its last place, its end, over a whole one, and on."""

REPOSITORY: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class WatchedSigner(Signer):
    """Remembers every text that it has ever signed."""

    signed: ClassVar[dict[int, bytes]] = {}

    def sign(self, message: bytes) -> bytes:
        checkpoint = Checkpoint.decode(message.decode())
        assert self.signed.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root, "two roots for one size"
        # slots=True makes a new class, which a bare super() does not know.
        return super(WatchedSigner, self).sign(message)


@pytest.fixture
def watched() -> WatchedSigner:
    WatchedSigner.signed.clear()
    return WatchedSigner("log.turnout.example/wiotc2023", bytes(range(32)))


def group(number: int, size: int) -> list[bytes]:
    return [b"group %d entry %d" % (number, entry) for entry in range(size)]


def run_scenario(directory: Path, signer: Signer, disk: Disk, acknowledged: list[bytes]) -> list[bytes]:
    """Append the groups until the disk crashes; returns the group then under way, or nothing if there was no crash."""
    log = None
    under_way: list[bytes] = []
    try:
        log = Log.open(directory, signer, disk=disk)
        for number, size in enumerate(GROUPS):
            under_way = group(number, size)
            log.append(under_way)
            acknowledged += under_way
    except CrashError:
        return under_way
    finally:
        if log is not None:
            log.close()  # as the end of the process would; nothing is written
    return []


def check_public(directory: Path, signer: Signer, acknowledged: list[bytes]) -> None:
    if acknowledged or (directory / "checkpoint").exists():
        reader = LogReader(directory, signer.verifier)
        reader.full_check()
        assert list(reader.entries())[: len(acknowledged)] == acknowledged


def check_reopened(directory: Path, signer: Signer, acknowledged: list[bytes], under_way: list[bytes]) -> None:
    with Log.open(directory, signer, disk=FragileDisk()) as log:
        entries = list(log.entries())
        assert entries in (acknowledged, acknowledged + under_way)
        # Other entries than those that may have been staged, to a size that they may have had, and beyond it.
        for size in (1, 300):
            log.append([b"after the crash"] * size)
            LogReader(directory, signer.verifier).full_check()
        assert list(log.entries(0, len(entries))) == entries


def steps_of_scenario(directory: Path, signer: Signer) -> int:
    disk = FragileDisk()
    acknowledged: list[bytes] = []
    assert run_scenario(directory, signer, disk, acknowledged) == []
    assert len(acknowledged) == sum(GROUPS)
    return disk.steps


def test_a_kill_between_any_two_steps_loses_nothing(tmp_path: Path, watched: WatchedSigner) -> None:
    for step in range(steps_of_scenario(tmp_path / "whole" / "log", watched)):
        WatchedSigner.signed.clear()
        directory = tmp_path / f"{step}" / "log"
        acknowledged: list[bytes] = []
        under_way = run_scenario(directory, watched, FragileDisk(step), acknowledged)
        check_public(directory, watched, acknowledged)
        check_reopened(directory, watched, acknowledged, under_way)


@pytest.mark.parametrize("keeps", ["nothing", "anything"])
def test_a_power_loss_after_any_step_loses_nothing(tmp_path: Path, watched: WatchedSigner, keeps: str) -> None:
    chance = random.Random(20231121)
    for step in range(steps_of_scenario(tmp_path / "whole" / "log", watched)):
        WatchedSigner.signed.clear()
        before, after = tmp_path / f"{step}", tmp_path / f"{step} after"
        before.mkdir()
        disk = FragileDisk(step, after=True)
        acknowledged: list[bytes] = []
        under_way = run_scenario(before / "log", watched, disk, acknowledged)
        disk.after_power_loss(before, after, lambda: keeps == "anything" and chance.random() < 0.5)
        check_public(after / "log", watched, acknowledged)
        check_reopened(after / "log", watched, acknowledged, under_way)


@pytest.mark.parametrize(("start", "second"), [(0, 5), (10, 5), (10, 300)])
def test_a_power_loss_in_the_life_after_a_kill_loses_nothing(
    tmp_path: Path, watched: WatchedSigner, start: int, second: int
) -> None:
    """What the killed writer had not synced is still in memory for the next one to see, and must not be built upon."""

    def live(home: Path, disk: FragileDisk, size: int, name: bytes, acknowledged: list[bytes]) -> None:
        """Open, append one group of `size`, close; or crash."""
        log = Log.open(home / "log", watched, disk=disk)
        acknowledged[:] = log.entries()
        try:
            log.append([name] * size)
            acknowledged += [name] * size
        finally:
            log.close()

    chance = random.Random(20231120)
    for step in itertools.count():
        WatchedSigner.signed.clear()
        home, after = tmp_path / f"{step}", tmp_path / f"{step} after"
        home.mkdir()
        disk = FragileDisk()
        acknowledged: list[bytes] = []
        if start:
            live(home, disk, start, b"first", acknowledged)
        disk.fail_at = disk.steps + step
        try:
            live(home, disk, 5, b"killed", acknowledged)
            break  # the life is shorter than that
        except CrashError:
            pass
        # A third of the second lives end on their own; the power fails then as well.
        disk.fail_at = disk.steps + chance.randrange(60)
        with contextlib.suppress(CrashError):
            live(home, disk, second, b"second", acknowledged)
        disk.after_power_loss(home, after, lambda: False)
        check_public(after / "log", watched, acknowledged)
        with Log.open(after / "log", watched, disk=FragileDisk()) as log:
            assert list(log.entries(0, len(acknowledged))) == acknowledged
            log.append([b"third"] * 5)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_log_lives_through_a_storm_of_crashes_and_crashes_in_recovery(
    tmp_path: Path, watched: WatchedSigner, seed: int
) -> None:
    """Kill upon kill, power loss upon power loss, at random steps, most of them while opening again."""
    chance = random.Random(seed)
    home = tmp_path / "0"
    home.mkdir()
    acknowledged: list[bytes] = []
    candidates = [acknowledged]  # what the log may hold: the group under way at a crash is in or out
    disk = FragileDisk()
    for life in range(1, 80):
        disk.fail_at, disk.after, disk.steps = chance.randrange(60), chance.random() < 0.5, 0
        log = None
        try:
            log = Log.open(home / "log", watched, disk=disk)
            entries = list(log.entries())
            assert entries in candidates
            candidates = [entries]
            while True:
                under_way = group(life, chance.choice((1, 2, 5, 120, 256)))
                candidates = [entries, entries + under_way]
                log.append(under_way)
                entries = entries + under_way
                candidates = [entries]
        except CrashError:
            if log is not None:
                log.close()
        if chance.random() < 0.5:
            after = tmp_path / f"{life}"
            disk.after_power_loss(home, after, lambda: chance.random() < 0.5)
            home, disk = after, FragileDisk()
            disk.durable = {path: listing(path) for path in [home, *home.rglob("*")] if path.is_dir()}
        if (home / "log" / "checkpoint").exists():
            LogReader(home / "log", watched.verifier).full_check()
    assert len(candidates[0]) > 1000


KILLED_WRITER: Final = """
import sys
from pathlib import Path
from counters.ledger.log import Log
from counters.ledger.note import Signer
from tests.counters.fragile_disk import CrashError, FragileDisk, listing
with Log.open(Path(sys.argv[1]), Signer.decode(sys.argv[2])) as log:
    while True:
        print(log.append([b"%d" % (log.size + number) for number in range(90)]).size, flush=True)
"""


def test_a_real_writer_killed_with_signal_nine_loses_nothing_and_leaves_no_lock(tmp_path: Path, signer: Signer) -> None:
    directory = tmp_path / "log"
    acknowledged = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED_WRITER, str(directory), signer.encode()],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        ) as writer:
            assert writer.stdout is not None
            lines = [int(writer.stdout.readline()) for _ in range(4)]
            writer.send_signal(signal.SIGKILL)
            lines += [int(line) for line in writer.stdout.read().splitlines()]
        assert writer.returncode == -signal.SIGKILL
        assert lines[-1] > acknowledged
        acknowledged = lines[-1]
        reader = LogReader(directory, signer.verifier)
        reader.full_check()
        assert reader.size >= acknowledged
    with Log.open(directory, signer) as log:
        assert list(log.entries()) == [b"%d" % number for number in range(log.size)]
        assert log.size >= acknowledged
