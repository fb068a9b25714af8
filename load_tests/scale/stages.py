"""What a stage costs: wall time, CPU time, the most memory of all its processes together, bytes read.

A stage runs in a child process, which may start others. Memory is looked at four times a second: the proportional set
size (proc(5), smaps_rollup: a page that three processes share counts a third for each), summed over the tree; and the
largest resident set of one process as the kernel keeps it. Bytes read are those that were asked for (rchar), from disk
or from the page cache.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load_tests.bench.processes import descendants, memory

_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one stage."""

    name: str
    wall_s: float
    cpu_s: float
    peak_bytes: int  # of all processes together
    read_bytes: int
    code: int  # what it exited with

    def __str__(self) -> str:
        """Return a line for people."""
        return (
            f"{self.name}: {self.wall_s:.1f} s, CPU {self.cpu_s:.1f} s, at most {self.peak_bytes / 1e9:.2f} GB, "
            f"read {self.read_bytes / 1e9:.2f} GB"
        )


def run(name: str, command: Sequence[str]) -> Cost:
    """Run a command; its output goes where ours goes."""
    before = os.times()
    began = time.monotonic()
    peak, read = 0, dict[int, int]()
    child = subprocess.Popen(command, stdout=sys.stderr)
    while child.poll() is None:
        peak = max(peak, _look(child.pid, read))
        time.sleep(_EVERY_S)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(name, time.monotonic() - began, cpu_s, peak, sum(read.values()), child.returncode)


def _look(pid: int, read: dict[int, int]) -> int:
    """Return the memory of a process and those under it, and note what each has read."""
    total = 0
    for each in (pid, *descendants(pid)):
        try:
            total += memory(each).proportional
            lines = (Path("/proc") / str(each) / "io").read_text().splitlines()
            read[each] = next(int(line.split()[1]) for line in lines if line.startswith("rchar"))
        except (OSError, ValueError, KeyError, IndexError):
            continue  # it has ended meanwhile
    return total
