"""How the workers at a gateway's places are: what they say each second, and what the system says of their processes.

A worker says how many connections it has and how late its loop was (gateway.worker_line). One that stands still says
nothing, and that is what shows: the seconds since it last spoke go on growing. Memory and CPU come from /proc, so that
they are right for one that stands still as well.

The gauges of a place are those of the worker that has it now; with nobody there they are not known. CPU is added up
over all that ever had the place, those that are on their way out included: it never falls.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.worker_process import WorkerProcess
from metrics.gateway_snapshot import PlaceVitals

_TICKS_A_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat behind the program's name (proc(5)): utime is field 14, the first behind it is field 3.
_UTIME, _STIME, _RSS = 14 - 3, 15 - 3, 24 - 3


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What a process has used: CPU seconds, user and system, and resident bytes now."""

    cpu_s: float
    memory_bytes: int

    @classmethod
    def of(cls, pid: int) -> "ProcessUse | None":
        """Ask the system; None: there is no such process any more."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        fields = stat[stat.rindex(")") + 2 :].split()
        cpu_s = (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_A_S
        return cls(cpu_s, int(fields[_RSS]) * _PAGE_BYTES)


@dataclass(frozen=True, slots=True)
class WorkersNow:
    """The workers of a gateway at one moment."""

    running: int  # replaced ones included
    wanted: int
    joins_waiting: int
    places: Mapping[str, PlaceVitals]


class Place:
    """The workers of one place, one after the other. Owned by the supervisor's event loop."""

    def __init__(self) -> None:
        """Nobody was here yet."""
        self.starts = 0
        self._cpu_s: dict[WorkerProcess, float] = {}  # of those that may still run, as it was last seen
        self._ended_cpu_s = 0.0

    def started(self, worker: WorkerProcess) -> None:
        """Note that a worker was started for this place."""
        self.starts += 1
        self._cpu_s[worker] = 0.0

    def look(self, worker: WorkerProcess | None) -> PlaceVitals:
        """Return how the worker that has the place is, and what the place has taken; None: nobody has it."""
        memory_bytes = None
        for one in tuple(self._cpu_s):
            use = ProcessUse.of(one.pid) if one.running else None
            if use is not None:
                self._cpu_s[one] = use.cpu_s
                memory_bytes = use.memory_bytes if one is worker else memory_bytes
            elif not one.running:
                # What it used since the last look is not known.
                self._ended_cpu_s += self._cpu_s.pop(one)
        cpu_s = self._ended_cpu_s + sum(self._cpu_s.values())
        if worker is None or not worker.running:
            return PlaceVitals(self.starts, cpu_s)
        return PlaceVitals(
            self.starts,
            cpu_s,
            silence_s=worker.heard.silence_s(),
            lag_s=worker.heard.lag_s(),
            connections=worker.state.connections,
            memory_bytes=memory_bytes,
        )
