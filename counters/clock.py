"""The clock: what time it is for the event, as one formula for real and simulated time.

`now = base + speed · (elapsed − mark)`. A real event has speed 1, its base and mark read once when the gateway or the
ledger starts, so that a step of the wall clock moves no window (DESIGN.md §5); a gateway hands its epoch on to its
workers, which so agree on the time whenever they were started. A simulated event (`[simulation]` in the event file)
keeps base and mark in a small file that all processes of the one host share; a jump rewrites them.

What elapses for a real event is CLOCK_BOOTTIME, which no one can set and which, unlike CLOCK_MONOTONIC, runs on while
the host is suspended: a laptop at a gate whose lid was closed for an hour would put everything after it into windows an
hour too early. It costs a heartbeat nothing (decision 0019).

Clock file, little-endian, 32 bytes:

    offset  size  field
    0       8     magic    "TURNCLK" and a zero byte
    8       8     base     f64, unix seconds at the mark
    16      8     mark     f64, CLOCK_MONOTONIC seconds
    24      8     speed    f64, simulated seconds per second; 0 = stands still and only jumps

base, mark and speed are read separately. With speed 0 only the base matters and an aligned 8-byte store is seen
whole. With another speed a reader may meet a jump half written and read, once, the time of the jump before it: too
early, never too late, which closes no window. A mark is of one boot: after a reboot such a clock begins anew.
"""

import mmap
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from counters.durable_file import read_or_create

_MAGIC: Final = b"TURNCLK\0"
_SIZE: Final = 32


def elapsed() -> float:
    """Return seconds since the host was booted, suspensions included: the same for all processes of the host."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock(Protocol):
    """What time it is for the event."""

    def now(self) -> float:
        """Return unix seconds on the event's clock."""
        ...

    def ticks(self) -> Callable[[], float]:
        """Return the cheapest function that tells the time, in a unit of its own: for who asks very often."""
        ...

    def tick_at(self, at: float) -> float:
        """Return what `ticks` will say at a time (unix seconds)."""
        ...


@dataclass(frozen=True, slots=True)
class WallClock:
    """The host's wall clock as it was read once, carried on by what has elapsed since."""

    epoch: float
    """Unix seconds when nothing had elapsed. The same epoch on the same boot of a host is the same clock."""

    @classmethod
    def start(cls) -> "WallClock":
        """Read the wall clock once."""
        return cls(time.time() - elapsed())

    def now(self) -> float:
        """Return unix seconds."""
        return self.epoch + elapsed()

    def ticks(self) -> Callable[[], float]:
        """Return what elapses, in nanoseconds: as cheap as `time.monotonic`."""
        return partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)

    def tick_at(self, at: float) -> float:
        """Return how many nanoseconds will have elapsed at unix second `at`."""
        return (at - self.epoch) * 1e9


class SimulatedClock:
    """A clock shared through a file by the processes of one host. It owns the mapping of that file."""

    def __init__(self, path: Path) -> None:
        """Map an existing clock file.

        Raises:
            ValueError: the file is no clock file.
        """
        with path.open("r+b") as file:
            if os.fstat(file.fileno()).st_size != _SIZE:
                raise ValueError(f"{path} is no clock file: it has not {_SIZE} bytes")
            self._map = mmap.mmap(file.fileno(), _SIZE)
        if self._map[:8] != _MAGIC:
            raise ValueError(f"{path} is no clock file: the magic is missing")
        self._fields = memoryview(self._map).cast("d")

    @classmethod
    def create(cls, path: Path, starts_at: float, speed: float) -> "SimulatedClock":
        """Write a clock file that says `starts_at` now (or open the one that is there: time never runs back)."""
        # Whoever maps another file than the rest has a time of its own: of several that start together one makes it.
        read_or_create(path, lambda: _MAGIC + struct.pack("<ddd", starts_at, time.monotonic(), speed))
        return cls(path)

    def now(self) -> float:
        """Return unix seconds of simulated time."""
        fields = self._fields
        speed = fields[3]
        return fields[1] + speed * (time.monotonic() - fields[2]) if speed else fields[1]

    def ticks(self) -> Callable[[], float]:
        """Return `now` itself: a jump leaves no other reading."""
        return self.now

    def tick_at(self, at: float) -> float:
        """Return `at`."""
        return at

    def jump(self, now: float) -> None:
        """Set the time to `now` (unix seconds) for every process that shares the file.

        Raises:
            ValueError: `now` lies before the present time.
        """
        if now < self.now():
            raise ValueError("simulated time only moves forwards")
        self._fields[2] = time.monotonic()
        self._fields[1] = now
