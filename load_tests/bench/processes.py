"""Processes as the kernel sees them: CPU time, children, and on which core they may run. Linux only."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SERVER_CORE: Final = 0
CLIENT_CORE: Final = 1
"""For the client and everything that is not measured."""

LOW_PRIORITY: Final = 10
_PROC: Final = Path("/proc")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process with all its threads, user and system together, in seconds. Raises OSError."""
    return sum(user_system_s(pid))


def user_system_s(pid: int) -> tuple[float, float]:
    """Return the user and the system time of a process with all its threads (proc(5), stat fields 14 and 15).

    Raises OSError if there is no such process.
    """
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    tick_s = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick_s, int(fields[12]) / tick_s


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process has in memory, in bytes (proc(5), smaps_rollup)."""

    resident: int  # Rss: all of it
    proportional: int  # Pss: what is shared with other processes counts for its share only
    own: int  # Anonymous: neither program text nor mapped files

    def __sub__(self, before: "Memory") -> "Memory":
        """Return what was added since `before`."""
        return Memory(self.resident - before.resident, self.proportional - before.proportional, self.own - before.own)


def memory(pid: int) -> Memory:
    """Return what a process has in memory. Raises OSError if there is no such process, or it is not ours."""
    lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return Memory(kib["Rss"] * 1024, kib["Pss"] * 1024, kib["Anonymous"] * 1024)


def descendants(pid: int) -> set[int]:
    """Return the children of a process, their children, and so on."""
    parents: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended while we were looking
                continue
            parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    edge = {pid}
    while edge:
        edge = {child for child, parent in parents.items() if parent in edge} - found
        found |= edge
    return found


def make_way(pid: int) -> None:
    """Let a process with all its threads give way to others on its core. Raises OSError.

    What belongs to a server but is not measured shares the client's core: when it seals a minute, a client beside it
    would be late, and charge the server with it.
    """
    for task in (_PROC / str(pid) / "task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), LOW_PRIORITY)


def pin(pid: int, core: int) -> None:
    """Let a process with all its threads run on one core only. Raises OSError."""
    for task in (_PROC / str(pid) / "task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def pinnable() -> bool:
    """Return whether server and client can have a core each."""
    return cores() > 1 and shutil.which("taskset") is not None


@contextmanager
def staying_on(core: int) -> Iterator[None]:
    """Run this process on one core for a while, if `pinnable`."""
    allowed = os.sched_getaffinity(0)
    if pinnable():
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def on_core(core: int, command: Sequence[str]) -> list[str]:
    """Return the command line that runs a program, with all its children, on one core; as it is if not `pinnable`."""
    return ["taskset", "-c", str(core), *command] if pinnable() else list(command)


def cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def machine() -> dict[str, str]:
    """Return what a reader has to know of the machine: its CPU, cores, memory and kernel."""
    cpu = "unknown CPU"
    for line in (_PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory_kib = int((_PROC / "meminfo").read_text().split(None, 2)[1])
    return {
        "cpu": cpu,
        "cores": f"{cores()} cores",
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "kernel": f"{os.uname().sysname} {os.uname().release}",
    }
