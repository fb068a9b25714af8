"""What a worker tells its supervisor: one line of JSON each second, over the socket that is its standard input.

    {"serving": true, "missing": "no seats from the ledger yet", "refusal": "", "connections": 812, "joins_waiting": 3,
     "lag_s": 0.0021}

`serving` says that it accepts connections, `missing` why it is not ready for joins ("" = it is), and `refusal` that it
ends because of something that no restart mends. `connections` are open, of joins some wait for their turn or are under
way, and `lag_s` is the longest that a timer of its loop came late since the line before. The supervisor's half of the
socket brings the configuration, one line, and closes when the supervisor is gone (gateway.worker).
"""

import contextlib
import os
import socket
import stat
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Final

import orjson

LAG_WINDOW_S: Final = 15.0
"""How long a late timer is remembered: about as long as Prometheus takes to look again. Nobody's look takes it away."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """How a worker is."""

    serving: bool = False
    missing: str = "it is starting"
    refusal: str = ""
    connections: int = 0
    joins_waiting: int = 0
    lag_s: float = 0.0

    def encode(self) -> bytes:
        """Return the line."""
        return orjson.dumps(asdict(self)) + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "WorkerState":
        """Read a line; what a newer version says besides is left aside, and a line that is none says nothing."""
        try:
            said = orjson.loads(line)
            return cls(
                said["serving"] is True,
                str(said["missing"]),
                str(said["refusal"]),
                int(said["connections"]),
                int(said["joins_waiting"]),
                float(said["lag_s"]),
            )
        except (KeyError, TypeError, ValueError):
            return cls(missing="it says something that this version does not understand")


class WorkerLine:
    """The worker's end. Owned by its event loop."""

    def __init__(self, descriptor: int = 0) -> None:
        """Speak over `descriptor`; if that is no socket (a worker started by hand), to nobody."""
        self._socket: socket.socket | None = None
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))

    def say(self, state: WorkerState) -> None:
        """Tell the supervisor."""
        if self._socket is None:
            return
        # A supervisor that stands still, or is gone, stops no worker: what it missed is said again with the next look.
        with contextlib.suppress(OSError):
            self._socket.send(state.encode(), socket.MSG_DONTWAIT)


class WorkerHeard:
    """The supervisor's end: what one worker said last, and how long ago. Owned by the supervisor's event loop."""

    def __init__(self) -> None:
        """Nothing was heard yet; the time begins now."""
        self.state = WorkerState()
        self._at = time.monotonic()
        self._lags: deque[tuple[float, float]] = deque()  # when they were heard, and how long they are

    def hear(self, line: bytes) -> None:
        """Take in what it says."""
        self.state = WorkerState.decode(line)
        self._at = time.monotonic()
        self._lags.append((self._at, self.state.lag_s))
        self._forget()

    def silence_s(self) -> float:
        """Return the seconds since it last said something."""
        return time.monotonic() - self._at

    def lag_s(self) -> float | None:
        """Return the longest that a timer of its loop came late lately; None: nothing was said for so long."""
        self._forget()
        return max((lag_s for _, lag_s in self._lags), default=None)

    def _forget(self) -> None:
        while self._lags and self._lags[0][0] < time.monotonic() - LAG_WINDOW_S:
            self._lags.popleft()
