"""The door keeper: what the doors of one worker share, and what is done for all of them.

That is the answers, the heads that are remembered across connections (bounded), the joins that wait for their turn, and
the end of connections that went silent or must move elsewhere.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from counters.cells import Cells
from gateway.answers import Answers
from gateway.heartbeats import Heartbeats
from gateway.join_desk import JoinCall, JoinDesk
from gateway.problems import Refused
from gateway.reasons import retry_after_s
from gateway.relay_batches import RelayBatches
from gateway.request_head import Kind, RequestHead, read_head
from gateway.worker_measures import WorkerMeasures

if TYPE_CHECKING:
    from gateway.door import Door

HEADS_LIMIT: Final = 4096
"""Remembered heads: usually a few hundred bytes each, so about 3 MB a worker."""
REMEMBERED_HEAD_BYTES: Final = 2048
"""A longer head is read each time: nobody can fill a worker with more than 8 MB of heads, and 2 KB a connection."""
IDLE_S: Final = 90.0
"""Three heartbeat intervals of silence: the player is gone."""
PARTIAL_S: Final = 10.0
"""A request that takes longer than this to arrive is not a player's."""
CROWD_SLICE_S: Final = 0.002
"""The loop's time in one turn for reading, refusing and letting in joins that have arrived; heartbeats come between."""
DRAIN_LOOK_S: Final = 0.01
CELLS: Final = ("handed_over.connections", "handed_over.heartbeats", "heads.read")
"""Counters: what aiohttp had to take, and heads that no memory knew (counters.cells)."""


class DoorKeeper:
    """What the doors of one worker share: the answers, the remembered heads, the open connections."""

    def __init__(
        self,
        heartbeats: Heartbeats,
        batches: RelayBatches,
        desk: JoinDesk,
        answers: Answers,
        cells: Cells,
        measures: WorkerMeasures,
        http_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        """Answer heartbeats by `heartbeats`, joins by `desk`; give the rest to what `http_protocol` makes."""
        self._batches = batches
        self.measures = measures
        self.heartbeats = heartbeats
        self.beat = heartbeats.beat
        self.desk = desk
        self.answers = answers
        self.http_protocol = http_protocol
        self.heads: dict[bytes, RequestHead] = {}
        self.doors: set[Door] = set()
        self.gathered_bytes = 0
        self.leaving = False  # the worker stops or is replaced: every answer is the last one on its connection
        self.joining: set[asyncio.Task[None]] = set()
        self._crowd: deque[Door] = deque()
        self._counts = cells.values
        self._handed_over, _, self._read = map(cells.index, CELLS)

    def head(self, text: bytes) -> RequestHead | None:
        """Return what a head (with its empty line) says, None if the door does not understand it."""
        said = self.heads.get(text)
        if said is None:
            said = read_head(text)
            self._counts[self._read] += 1
            if said is not None and said.lasting and len(text) <= REMEMBERED_HEAD_BYTES and not self.leaving:
                if len(self.heads) >= HEADS_LIMIT:
                    self.heads.clear()
                self.heads[text] = said
        return said

    def answer(self, head: RequestHead, body: bytes) -> bytes:
        """Take a request that needs no waiting, and return its answer."""
        if head.kind is Kind.PREFLIGHT:
            self.measures.routes.count("preflight", 204)
            return self.answers.preflight
        if head.kind is Kind.BATCH:
            return self._answer_batch(body)
        reason = self.beat(body) if head.kind is Kind.BEAT else self.heartbeats.leave(body)
        if reason is not None:
            return self.answers.refused(reason)
        return next(self.answers.accepted, b"") or self.timed_answer()

    def _answer_batch(self, body: bytes) -> bytes:
        began = time.perf_counter()
        status, said = self._batches.take(body)
        self.measures.routes.answered("beats", status, time.perf_counter() - began)
        return self.answers.batch(status, said)

    def timed_answer(self) -> bytes:
        """Answer the first heartbeat of another round, and time it until that is sent.

        uvloop sends what a turn of the loop has brought at the turn's end, right before this is called back.
        """
        asyncio.get_running_loop().call_soon(self._timed, time.perf_counter())
        return self.answers.another_round()

    def _timed(self, began: float) -> None:
        self.measures.heartbeats.observe(time.perf_counter() - began)

    @property
    def waiting(self) -> int:
        """How many joins wait for their turn."""
        return len(self._crowd)

    def queue(self, door: "Door") -> None:
        """Let a door with a join wait for its turn: in a rush even saying no to all at once holds heartbeats up."""
        if not self._crowd:
            asyncio.get_running_loop().call_soon(self._serve_crowd)
        self._crowd.append(door)

    def _serve_crowd(self) -> None:
        until = time.monotonic() + CROWD_SLICE_S
        while self._crowd:
            self._crowd.popleft().have_turn()
            if time.monotonic() >= until:
                break
        if self._crowd:
            asyncio.get_running_loop().call_soon(self._serve_crowd)

    def take_join(self, call: JoinCall) -> bytes | None:
        """Take a join by viewing token, and return its answer; None for one that has to wait and may."""
        try:
            if call.needs_no_waiting:
                return self.answers.created(self.desk.take_now(call))
            self.desk.refuse_if_full()
        except Refused as refused:
            return self._refusal(refused)
        return None

    async def wait_for_join(self, call: JoinCall) -> bytes:
        """Take a join by ticket, and return its answer."""
        try:
            return self.answers.created(await self.desk.take(call))
        except Refused as refused:
            return self._refusal(refused)

    def _refusal(self, refused: Refused) -> bytes:
        return self.answers.join_refused(refused.reason, refused.detail, refused.retry_after_s or retry_after_s())

    def hand_over(self) -> asyncio.Protocol:
        """Return aiohttp's protocol for a connection that is no longer a door's."""
        self._counts[self._handed_over] += 1
        return self.http_protocol()

    def sweep(self, now: float) -> None:
        """Close connections that went silent (`now`: the loop's time); called every few seconds.

        What counts is a whole request: one that comes in drop by drop does not live on by dripping.
        """
        for door in tuple(self.doors):
            if door.answered or door.joining:
                door.answered = False
                door.silent_since, door.partial_since = now, None
            if door.closing:
                # Closed, and still here: somebody does not read the answers. Waiting for that has an end as well.
                if now - door.silent_since > IDLE_S:
                    door.abort()
            elif not door.gathered or door.unread:
                door.partial_since = None
                if now - door.silent_since > IDLE_S:
                    door.close()
            elif door.partial_since is None:
                door.partial_since = now
            elif now - door.partial_since > PARTIAL_S:
                door.give_up()

    def take_leave(self) -> None:
        """From now on answer each connection once more, say that it closes, and close it.

        A heartbeat pays nothing for this while nobody leaves: only what looks closely asks, and without remembered
        heads everything is looked at closely.
        """
        self.leaving = True
        self.answers.take_leave()
        self.heads.clear()
        for door in self.doors:
            door.forget_head()

    async def all_gone(self, patience_s: float) -> None:
        """Wait until there is no connection left, for `patience_s` at most."""
        until = time.monotonic() + patience_s
        while True:
            # Looked at later than now: what was accepted a moment ago is not here yet.
            await asyncio.sleep(DRAIN_LOOK_S)
            if not self.doors or time.monotonic() >= until:
                return

    async def close_all(self, patience_s: float) -> None:
        """Close every connection: the worker is stopping. A request that is not whole yet is not taken.

        Joins under way are finished and answered first, for at most `patience_s`.
        """
        until = time.monotonic() + patience_s
        for door in tuple(self.doors):
            if not door.joining:
                door.close()
        # Each of these ends by itself: there is no one event to await.
        while any(door.joining for door in self.doors) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_LOOK_S)
        for door in tuple(self.doors):
            door.close()
