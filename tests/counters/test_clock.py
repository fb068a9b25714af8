"""The clock: one formula for real and simulated time."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import counters.clock as clock_module
from counters.clock import SimulatedClock, WallClock

NINE = 1_700_355_600.0


def test_the_wall_clock_goes_on_with_what_elapses_whatever_happens_to_the_hosts_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: NINE)
    monkeypatch.setattr(clock_module, "elapsed", lambda: 100.0)
    clock = WallClock.start()
    monkeypatch.setattr(time, "time", lambda: NINE - 3600)  # somebody sets the host's clock back
    monkeypatch.setattr(clock_module, "elapsed", lambda: 107.5)
    assert clock.now() == NINE + 7.5


def test_who_is_given_an_epoch_tells_the_same_time_as_who_gave_it() -> None:
    clock = WallClock.start()
    other = WallClock(clock.epoch)
    before = clock.now()
    assert before <= other.now() <= clock.now()


def test_what_elapses_runs_on_while_the_host_sleeps() -> None:
    """The kernel's own words: /proc/uptime counts suspensions, as CLOCK_BOOTTIME does and CLOCK_MONOTONIC does not."""
    before = float(Path("/proc/uptime").read_text().split()[0])
    now = clock_module.elapsed()
    after = float(Path("/proc/uptime").read_text().split()[0])
    assert before <= now < after + 0.01  # hundredths, cut off


def test_the_cheap_ticks_say_when_the_clock_does() -> None:
    clock = WallClock.start()
    ticks = clock.ticks()
    before, now, after = ticks(), clock.now(), ticks()
    rounding = 2_000  # nanoseconds: a float of unix seconds is exact to a quarter of a microsecond
    assert before - rounding <= clock.tick_at(now) <= after + rounding


def test_a_clock_of_speed_zero_stands_still_until_it_is_told_to_jump(tmp_path: Path) -> None:
    clock = SimulatedClock.create(tmp_path / "clock", NINE, 0.0)
    assert clock.now() == clock.now() == NINE
    clock.jump(NINE + 60)
    assert clock.now() == NINE + 60


def test_a_faster_clock_runs_at_its_speed_from_its_mark_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 50.0)
    clock = SimulatedClock.create(tmp_path / "clock", NINE, 60.0)
    monkeypatch.setattr(time, "monotonic", lambda: 52.0)
    assert clock.now() == NINE + 120
    clock.jump(NINE + 1000)
    assert clock.now() == NINE + 1000
    monkeypatch.setattr(time, "monotonic", lambda: 53.0)
    assert clock.now() == NINE + 1060


def test_simulated_time_never_runs_back(tmp_path: Path) -> None:
    clock = SimulatedClock.create(tmp_path / "clock", NINE, 0.0)
    clock.jump(NINE)
    with pytest.raises(ValueError, match="only moves forwards"):
        clock.jump(NINE - 1)
    assert SimulatedClock.create(tmp_path / "clock", NINE - 3600, 0.0).now() == NINE  # the one that is there


def test_a_jump_half_written_reads_too_early_and_never_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark without its base is what a reader may see; time that went back for one reading closes no window."""
    monkeypatch.setattr(time, "monotonic", lambda: 50.0)
    clock = SimulatedClock.create(tmp_path / "clock", NINE, 60.0)
    monkeypatch.setattr(time, "monotonic", lambda: 60.0)
    seen = []

    class Fields(list[float]):
        def __setitem__(self, index: object, value: object) -> None:
            super().__setitem__(index, value)  # type: ignore[call-overload]
            seen.append(clock.now())

    monkeypatch.setattr(clock, "_fields", Fields(clock._fields))
    clock.jump(NINE + 700)
    assert seen == [NINE, NINE + 700]


def test_all_processes_of_the_host_see_a_jump(tmp_path: Path) -> None:
    clock = SimulatedClock.create(tmp_path / "clock", NINE, 0.0)
    program = "import sys,pathlib,counters.clock as c; k=c.SimulatedClock(pathlib.Path(sys.argv[1])); k.jump(k.now()+7)"
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "clock")], check=True)
    assert clock.now() == NINE + 7


@pytest.mark.parametrize("content", [b"", b"TURNCLK\0", b"TURNCLK\0" + bytes(25), bytes(32)])
def test_another_file_is_no_clock(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clock").write_bytes(content)
    with pytest.raises(ValueError, match="no clock file"):
        SimulatedClock(tmp_path / "clock")
