"""The places of a gateway's workers: each has one that serves, and is never empty for longer than a restart takes.

A worker that dies is started again under a new incarnation. A rolling restart (SIGHUP) goes from place to place: a new
worker is started, from the code on disk, and when it serves the old one is told to move on. All of them accept from one
listening socket, so nobody is refused at any moment. If the new worker does not come to serve, the old one stays and
the restart ends there.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.mendable import CannotServeError
from gateway.stopping import WORKER_ENDS_S, moving_s
from gateway.worker_process import WorkerProcess
from gateway.worker_vitals import Place, WorkersNow

RESTART_PAUSE_S: Final = (0.1, 5.0)
"""First and longest wait before a worker that died at once is started again."""
STABLE_S: Final = 10.0
START_LIMIT_S: Final = 30.0
"""A replacement that does not serve by then is given up, and the worker that it was to replace stays."""
_log = logging.getLogger("turnout.supervisor")


class WorkerPlaces:
    """Keeps the workers of one gateway. Owned by the supervisor's event loop."""

    def __init__(
        self,
        count: int,
        start: Callable[[bool], Awaitable[WorkerProcess]],
        changed: Callable[[], None],
        interval_s: Callable[[], int],
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            count: how many places.
            start: starts a worker; true: one that serves only once it has seats.
            changed: is told whenever one has come to serve.
            interval_s: says what players are told: a replaced worker may take this long to see them all.
        """
        self._count = count
        self._start = start
        self._changed = changed
        self._interval_s = interval_s
        self._at: dict[int, WorkerProcess] = {}
        self._places = [Place() for _ in range(count)]
        self._replaced: dict[WorkerProcess, asyncio.Task[None]] = {}
        # Held while somebody decides who has a place: a rolling restart, or the start after a death.
        self._deciding = [asyncio.Lock() for _ in range(count)]
        self._wanted = asyncio.Event()
        self._ever_served = False
        self._stopping = False

    # For the supervisor.

    async def keep(self) -> None:
        """Keep every place filled.

        Raises:
            CannotServeError: no worker ever served, and none will.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for place in range(self._count):
                    group.create_task(self._keep(place))
                group.create_task(self._keep_rolling())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    def roll(self) -> None:
        """Replace every worker, one place after the other."""
        self._wanted.set()

    @property
    def complete(self) -> bool:
        """Whether a worker serves at each place."""
        return len(self.serving()) == self._count

    def serving(self) -> list[int]:
        """Return the process ids of the workers that serve, by place."""
        return [worker.pid for _, worker in sorted(self._at.items()) if worker.serving]

    def now(self) -> WorkersNow:
        """Return how the workers are, for /metrics."""
        everybody = [worker for worker in (*self._at.values(), *self._replaced) if worker.running]
        return WorkersNow(
            running=len(everybody),
            wanted=self._count,
            joins_waiting=sum(worker.state.joins_waiting for worker in everybody),
            places={str(number): place.look(self._at.get(number)) for number, place in enumerate(self._places)},
        )

    def missing(self) -> str:
        """Return why no worker is ready for joins; "": at least one is."""
        reasons = {worker.state.missing for worker in self._at.values() if worker.serving}
        if not reasons:
            reasons = {worker.state.missing or "no worker serves" for worker in self._at.values()} or {"no worker runs"}
        return "" if "" in reasons else "; ".join(sorted(reasons))

    async def move_on(self) -> None:
        """Tell all workers that others have their places, and wait until they have ended."""
        self._stopping = True
        for place in tuple(self._at):
            self._replace(self._at.pop(place))
        await asyncio.gather(*self._replaced.values())

    async def stop(self) -> None:
        """Stop all workers; one that does not within its time is killed."""
        self._stopping = True
        workers = [worker for worker in (*self._at.values(), *self._replaced) if worker.running]
        for worker in workers:
            worker.stop()
        await asyncio.gather(*(self._until_ended(worker, WORKER_ENDS_S) for worker in workers))

    # One place.

    async def _started(self, place: int, *, seats_first: bool) -> WorkerProcess:
        worker = await self._start(seats_first)
        self._places[place].started(worker)
        return worker

    async def _keep(self, place: int) -> None:
        pause_s = RESTART_PAUSE_S[0]
        while not self._stopping:
            started = time.monotonic()
            async with self._deciding[place]:
                worker = self._at.get(place)
                # A rolling restart may have filled it meanwhile.
                if worker is None or not worker.running:
                    worker = self._at[place] = await self._started(place, seats_first=False)
            if await worker.until_serving():
                self._served()
            code = await worker.ended()
            if self._stopping:
                return
            if worker.state.refusal and not self._ever_served:
                raise CannotServeError(worker.state.refusal)
            if worker is not self._at[place]:
                continue  # it was replaced
            _log.error(
                "worker %d ended with code %s and is started again; its spool is carried%s",
                worker.pid, code, f" ({worker.state.refusal})" if worker.state.refusal else "",
            )  # fmt: skip
            pause_s = RESTART_PAUSE_S[0] if time.monotonic() - started > STABLE_S else min(2 * pause_s, 5.0)
            await asyncio.sleep(pause_s)

    def _served(self) -> None:
        self._ever_served = True
        self._changed()

    # Rolling.

    async def _keep_rolling(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            _log.info("rolling restart of %d workers", self._count)
            for place in range(self._count):
                if not await self._roll(place):
                    break
            else:
                _log.info("rolling restart: new workers serve at all places")

    async def _roll(self, place: int) -> bool:
        async with self._deciding[place]:
            # The old one has seats: while the ledger is away, one that has none must not take its place.
            worker = await self._started(place, seats_first=True)
            # A crash of the supervisor here leaves two that end with it; what both accepted is in their spools.
            served = False
            try:
                with contextlib.suppress(TimeoutError):
                    served = await asyncio.wait_for(worker.until_serving(), START_LIMIT_S)
            finally:
                if not served:
                    worker.kill()
            if not served:
                _log.error(
                    "rolling restart: a new worker ended with code %s before it served (%s); the old ones go on",
                    await worker.ended(), worker.state.refusal or worker.state.missing,
                )  # fmt: skip
                return False
            old, self._at[place] = self._at.get(place), worker
            if old is not None:
                self._replace(old)
        self._served()
        return True

    def _replace(self, worker: WorkerProcess) -> None:
        worker.move_on()
        limit_s = moving_s(self._interval_s()) + WORKER_ENDS_S
        task = asyncio.create_task(self._until_ended(worker, limit_s))
        self._replaced[worker] = task
        task.add_done_callback(lambda _: self._replaced.pop(worker))

    @staticmethod
    async def _until_ended(worker: WorkerProcess, limit_s: float) -> None:
        try:
            await asyncio.wait_for(worker.ended(), limit_s)
        except TimeoutError:
            _log.error("worker %d does not stop and is killed; its spool is carried", worker.pid)
            worker.kill()
            await worker.ended()
