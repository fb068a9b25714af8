"""What a worker tells its supervisor: one line of JSON whenever it changes, over the socket that is its standard input.

    {"serving": true, "missing": "no seats from the ledger yet", "refusal": ""}

`serving` says that it accepts connections, `missing` why it is not ready for joins ("" = it is), and `refusal` that it
ends because of something that no restart mends. The supervisor's half of the socket brings the configuration, one
line, and closes when the supervisor is gone (gateway.worker).
"""

import contextlib
import os
import socket
import stat
from dataclasses import asdict, dataclass

import orjson


@dataclass(frozen=True, slots=True)
class WorkerState:
    """How a worker is."""

    serving: bool = False
    missing: str = "it is starting"
    refusal: str = ""

    def encode(self) -> bytes:
        """Return the line."""
        return orjson.dumps(asdict(self)) + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "WorkerState":
        """Read a line; what a newer version says besides is left aside, and a line that is none says nothing."""
        try:
            said = orjson.loads(line)
            return cls(said["serving"] is True, str(said["missing"]), str(said["refusal"]))
        except (KeyError, TypeError, ValueError):
            return cls(missing="it says something that this version does not understand")


class WorkerLine:
    """The worker's end. Owned by its event loop."""

    def __init__(self, descriptor: int = 0) -> None:
        """Speak over `descriptor`; if that is no socket (a worker started by hand), to nobody."""
        self._said: WorkerState | None = None
        self._socket: socket.socket | None = None
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))

    def say(self, state: WorkerState) -> None:
        """Tell the supervisor, if it is news."""
        if state == self._said or self._socket is None:
            return
        # A supervisor that stands still, or is gone, stops no worker: what it missed is said again with the next look.
        with contextlib.suppress(OSError):
            self._socket.send(state.encode(), socket.MSG_DONTWAIT)
            self._said = state
