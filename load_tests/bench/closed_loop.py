"""A closed loop: a fixed number of requests is under way at all times, the next goes out when one is answered.

This finds what a server can do, and what a request costs it. It cannot find latency: a server that stalls is simply
asked less (`load_tests.bench.open_loop` is for that). Unlike wrk it has far more connections open than are active, and
goes round them: each request comes on the connection that was silent longest, so nothing of it is in any cache.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from load_tests.bench.raw_connections import Connections

PATIENCE_S = 30.0
"""Without any answer for so long the server has failed."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came back."""

    statuses: Counter[int]
    duration_s: float

    @property
    def requests(self) -> int:
        """Return how many requests ended."""
        return self.statuses.total()


def run(connections: Connections, requests: Iterable[bytes], active: int, seconds: float = float("inf")) -> Run:
    """Send `requests` in turn, `active` at a time, until they or the seconds are over, and wait for their answers.

    Raises RuntimeError if nothing is answered for PATIENCE_S.
    """
    idle = deque(range(len(connections)))
    source = enumerate(requests)
    statuses: Counter[int] = Counter()
    under_way = 0
    began_at = heard_at = time.monotonic()
    asking = True
    while asking or under_way:
        while asking and under_way < active and idle:
            number, request = next(source, (-1, b""))
            if number < 0:
                asking = False
                break
            connections.send(idle.popleft(), number, request)
            under_way += 1
        if under_way:
            connections.wait(min(1.0, PATIENCE_S))
        ended = connections.poll()
        now = time.monotonic()
        if ended:
            heard_at = now
        elif now - heard_at > PATIENCE_S:
            raise RuntimeError(f"no answer for {PATIENCE_S:.0f} s, {under_way} requests under way")
        for answered in ended:
            statuses[answered.status] += 1
            idle.append(answered.connection)
        under_way -= len(ended)
        asking = asking and now - began_at < seconds
    return Run(statuses, time.monotonic() - began_at)
