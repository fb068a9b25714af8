"""An open loop: requests are sent when a schedule made beforehand says so, however the server is doing.

Latency is charged from the scheduled send. A client that waits for an answer before it sends the next request asks a
stalled server less, and leaves out just the requests that would have been slow (coordinated omission). Here a request
whose connection is still busy waits for it, and the wait is the server's. How late the client itself was is kept apart:

    late    sent − scheduled of the requests whose connection was free: the client was busy with something else
    turn    one turn of the client's loop: an answer may lie in the kernel for so long before it is seen

`drive` runs here, `elsewhere` in a process of its own. All times are of CLOCK_MONOTONIC, which processes share.
"""

import gc
import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from load_tests.bench import processes
from load_tests.bench.raw_connections import NO_ANSWER, Connections
from load_tests.http_client import Address

ANSWERS_S: Final = 10.0
"""The last requests' answers are waited for so long; what has none then counts as never answered."""
SENDS_A_TURN: Final = 32
"""A client that is behind looks for answers between so many sends, or it would charge them with its own delay."""

Times = npt.NDArray[np.float64]


class Schedule(Enum):
    """When requests are due."""

    POISSON = "poisson"  # independently of each other, as many viewers' players do
    EVEN = "even"  # one in each interval of 1/rate, at any moment of it


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, and when. The same plan is the same schedule."""

    address: Address
    requests: tuple[bytes, ...]  # in turn
    rate: float  # a second, over all connections
    duration_s: float
    connections: int
    schedule: Schedule = Schedule.POISSON
    seed: int = 1

    def times_s(self) -> Times:
        """Return when each request is due, in seconds from the beginning, sorted. Shape: (requests,)."""
        random = np.random.default_rng(self.seed)
        count = round(self.rate * self.duration_s)
        if self.schedule is Schedule.POISSON:
            # Given how many, a Poisson process' times are independent and uniform.
            return np.sort(random.uniform(0.0, self.duration_s, count))
        return (np.arange(count) + random.uniform(0.0, 1.0, count)) / self.rate

    def lines(self) -> npt.NDArray[np.int64]:
        """Return the connection of each request: every connection once, in random order, and again. Shape: (requests,).

        So none is due twice in a row while others have been silent for long, as with players on a timer.
        """
        random = np.random.default_rng([self.seed, 1])
        count = round(self.rate * self.duration_s)
        rounds = -(-count // self.connections)
        return random.permuted(np.tile(np.arange(self.connections), (rounds, 1)), axis=1).ravel()[:count]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan's requests; arrays of shape (requests,), times in seconds from the beginning."""

    began_at: float  # time.monotonic()
    scheduled_s: Times
    sent_s: Times  # NaN: never sent
    answered_s: Times  # NaN: never answered
    status: npt.NDArray[np.int16]  # NO_ANSWER for none
    waited: npt.NDArray[np.bool_]  # its connection was busy when it was due
    turns_s: Times  # shape (turns,)
    opened: int  # connections, the first ones included

    @property
    def latency_s(self) -> Times:
        """Return each answered request's time from its scheduled send. Shape: (answered,)."""
        latency: Times = (self.answered_s - self.scheduled_s)[~np.isnan(self.answered_s)]
        return latency

    @property
    def service_s(self) -> Times:
        """Return the same from the actual send: what a closed loop would have reported. Shape: (answered,)."""
        service: Times = (self.answered_s - self.sent_s)[~np.isnan(self.answered_s)]
        return service

    @property
    def late_s(self) -> Times:
        """Return how late the client sent what it could have sent in time. Shape: (sent and not waited,)."""
        ours = ~self.waited & ~np.isnan(self.sent_s)
        late: Times = (self.sent_s - self.scheduled_s)[ours]
        return late

    @property
    def statuses(self) -> Counter[int]:
        """Return how many requests had each status."""
        values, counts = np.unique(self.status, return_counts=True)
        return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def drive(plan: Plan) -> Outcome:
    """Send what the plan says; returns when all is answered, or ANSWERS_S after the last was due. Raises OSError."""
    with Connections(plan.address, plan.connections) as connections:
        gc.collect()
        gc.disable()  # a collection in between would be charged to the server
        try:
            return _Drive(plan, connections).run()
        finally:
            gc.enable()


@contextmanager
def elsewhere(plan: Plan, core: int = processes.CLIENT_CORE) -> Iterator[Future[Outcome]]:
    """Drive a plan in a process of its own, on a core of its own if there are two; yields what will be the outcome."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, fresh, _settle, (core,)) as process:
        yield process.submit(drive, plan)


def _settle(core: int) -> None:
    if processes.pinnable():
        processes.pin(os.getpid(), core)


class _Drive:
    """One plan being driven. Lists, not arrays: single values are written, a hundred thousand a second."""

    def __init__(self, plan: Plan, connections: Connections) -> None:
        self._plan = plan
        self._connections = connections
        self._scheduled = plan.times_s()
        self._due: list[float] = self._scheduled.tolist()
        self._lines: list[int] = plan.lines().tolist()
        count = len(self._due)
        self._sent = [float("nan")] * count
        self._answered = [float("nan")] * count
        self._status = [NO_ANSWER] * count
        self._waited = [False] * count
        self._busy = [False] * plan.connections
        self._queues: dict[int, deque[int]] = {}
        self._turns: list[float] = []
        self._following = 0  # the request that is due next
        self._open = 0  # requests that were due and have not ended
        self._began_at = 0.0

    def run(self) -> Outcome:
        count, due = len(self._due), self._due
        deadline = (due[-1] if count else 0.0) + ANSWERS_S
        self._began_at = time.monotonic()
        while (began_s := self._now_s()) < deadline:
            ended = self._take_answers()
            sent = self._send_due()
            now_s = self._now_s()
            if ended or sent:
                self._turns.append(now_s - began_s)
            if self._following == count and not self._open:
                break
            self._connections.wait((due[self._following] if self._following < count else deadline) - now_s)
        return Outcome(
            began_at=self._began_at,
            scheduled_s=self._scheduled,
            sent_s=np.array(self._sent),
            answered_s=np.array(self._answered),
            status=np.array(self._status, np.int16),
            waited=np.array(self._waited, np.bool_),
            turns_s=np.array(self._turns),
            opened=self._connections.opened,
        )

    def _now_s(self) -> float:
        return time.monotonic() - self._began_at

    def _send(self, connection: int, number: int) -> None:
        requests = self._plan.requests
        self._sent[number] = self._now_s()
        self._connections.send(connection, number, requests[number % len(requests)])

    def _take_answers(self) -> int:
        ended = self._connections.poll()
        for connection, number, status, at in ended:
            self._status[number] = status
            if status != NO_ANSWER:
                self._answered[number] = at - self._began_at
            queue = self._queues.get(connection)
            if queue:
                self._send(connection, queue.popleft())
            else:
                self._busy[connection] = False
        self._open -= len(ended)
        return len(ended)

    def _send_due(self) -> int:
        first = self._following
        last = min(first + SENDS_A_TURN, len(self._due))
        while self._following < last and self._due[self._following] <= self._now_s():
            number = self._following
            connection = self._lines[number]
            if self._busy[connection]:
                self._waited[number] = True
                self._queues.setdefault(connection, deque()).append(number)
            else:
                self._busy[connection] = True
                self._send(connection, number)
            self._following += 1
        self._open += self._following - first
        return self._following - first
