"""What a supervisor and its workers agree on: a worker's configuration, its clock, and the signs that each gives."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counters.clock import Clock, SimulatedClock, WallClock
from gateway.settings import GatewaySettings

READY: Final = "ready"
"""Name of the file in the worker's folder that says that it serves, to whoever looks from outside."""
MOVE_ON: Final = signal.SIGUSR1
"""The signal that says that another worker has this one's place. Not SIGHUP, which a terminal sends to all at once."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WorkerConfig(GatewaySettings):
    """What the supervisor tells a worker: the gateway's settings, completed, and which of its workers this one is."""

    worker: str  # 16 hex digits: this incarnation
    listen_fd: int
    live_file: str
    epoch: float = 0.0  # of the gateway's wall clock (counters.clock); 0 = the worker reads the host's itself
    event_sha256: str = ""  # of the event that the gateway runs; "" = whatever the file says
    seats_first: bool = False  # whether it serves only once it has seats: another, who has some, serves meanwhile


def open_clock(clock_file: str, epoch: float = 0.0) -> Clock:
    """Return the simulated clock in a file; without one the wall clock of an epoch, or as it is read now."""
    if clock_file:
        return SimulatedClock(Path(clock_file))
    return WallClock(epoch) if epoch else WallClock.start()
