"""How long stopping may take: one budget, of which every part of a gateway knows its share.

From SIGTERM on, a gateway's workers accept no more connections, finish the requests under way and close their window
(DRAIN_S); the supervisor kills one that does not (WORKER_ENDS_S), flushes and hands the last windows over (FAREWELL_S),
and has ended STOP_LIMIT_S after the signal. A worker that is *replaced* (a rolling restart, a take-over) has no such
hurry: it keeps its connections until each player has been answered once more and sent to a new one (`moving_s`), and
only then drains.
"""

from typing import Final

from gateway.answers import JITTER

DRAIN_S: Final = 8.0
"""All requests under way in a stopping worker together get this long, the door's and aiohttp's; most need milliseconds,
a join that waits for Redis two seconds."""
LAST_READ_S: Final = 0.1
"""What players have sent by the time a worker stops is on its way for this long: it is read and answered."""
WORKER_ENDS_S: Final = DRAIN_S + 2.0
"""After this a worker that was told to stop is killed; what it accepted is in its spool."""
FAREWELL_S: Final = 6.0
"""How long a stopping gateway tries to hand its last windows over: two restarts of a ledger. The rest goes with the
next start."""
STOP_LIMIT_S: Final = WORKER_ENDS_S + FAREWELL_S + 4.0
"""20 s, below the 30 s after which Kubernetes kills and the 90 s of systemd; the rest is for closing."""

TRACES_S: Final = 1.0
"""A process that has done all this sends the last of its traces, or loses them."""

LEDGER_ENDS_S: Final = 5.0
"""Requests under way in a stopping ledger or witness get this long; a gateway that got no answer asks again. aiohttp
would wait a minute for one that waits for something which a stopping process no longer does."""


def moving_s(interval_s: int) -> float:
    """Return how long a replaced worker waits for its players' next heartbeat: the longest announced interval, and 5 s.

    Args:
        interval_s: the heartbeat interval in force; players are told up to a tenth more.
    """
    return interval_s + max(1, interval_s // JITTER) + 5.0
