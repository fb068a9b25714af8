"""The door: an `asyncio.Protocol` that answers what players send all day, and hands everything else to aiohttp.

Ten million players send the same few hundred bytes again and again; a general HTTP stack spends thirty microseconds on
each. The door answers the requests that gateway.request_head describes: heartbeats, one by one or a relay's batch of
them, leaves, joins, and browsers' preflights of these. It keeps nothing per viewer, and per connection only the head
that was read on it last: a player repeats its own to the byte, so that one comparison recognises all of it. Heads are
also remembered across connections (bounded), for load balancers that mix players on one connection. A request in parts
is gathered until it is whole.

Whatever is not recognised goes, with every byte read so far, to aiohttp's own handler, which owns the connection from
then on; aiohttp's answers there say `Connection: close`, so that a player comes back through the door. The same request
on aiohttp's routes has the same outcome (a test feeds both).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from counters.cells import Cells
from gateway.answers import Answers
from gateway.heartbeats import Heartbeats
from gateway.join_desk import JoinCall, JoinDesk, outlet_name
from gateway.problems import Refused
from gateway.reasons import Reason, retry_after_s
from gateway.relay_batches import RelayBatches
from gateway.request_head import EMPTY_LINE, JOINS_BEGIN, JoinHead, Kind, RequestHead, may_become_ours, read_head
from gateway.traffic import Player
from gateway.worker_measures import WorkerMeasures

HEADS_LIMIT: Final = 4096
"""Remembered heads: usually a few hundred bytes each, so about 3 MB a worker."""
REMEMBERED_HEAD_BYTES: Final = 2048
"""A longer head is read each time: nobody can fill a worker with more than 8 MB of heads, and 2 KB a connection."""
IDLE_S: Final = 90.0
"""Three heartbeat intervals of silence: the player is gone."""
PARTIAL_S: Final = 10.0
"""A request that takes longer than this to arrive is not a player's."""
GATHERED_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What all connections of a worker may have gathered of requests that are not whole: two hundred batches that stop one
byte short. Who wants more is sent away; it needs no token to make a worker hold bytes."""
CROWD_SLICE_S: Final = 0.002
"""The loop's time in one turn for reading, refusing and letting in joins that have arrived; heartbeats come between."""
DRAIN_LOOK_S: Final = 0.01
CELLS: Final = ("handed_over.connections", "handed_over.heartbeats", "heads.read")
"""Counters: what aiohttp had to take, and heads that no memory knew (counters.cells)."""
_NO_HEAD: Final = RequestHead(b"", Kind.PREFLIGHT, -1)
"""What a connection knows before its first heartbeat: no request is as short as this."""


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

    def __call__(self) -> "Door":
        """Make the protocol of a new connection."""
        return Door(self)

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


class Door(asyncio.Protocol):
    """One connection, for as long as it brings nothing but requests that the door answers."""

    __slots__ = ("_asked_at", "_head", "_keeper", "_needed", "_resting", "_transport", "answered", "gathered",
                 "joining", "partial_since", "silent_since", "unread")  # fmt: skip

    def __init__(self, keeper: DoorKeeper) -> None:
        """Belong to a worker's keeper."""
        self._keeper = keeper
        self._head = _NO_HEAD  # of the heartbeat before; none while something is gathered or a join is under way
        self._needed = 0  # bytes without which looking at what is gathered is in vain
        self.gathered: bytes | bytearray = b""
        self._asked_at = 0.0  # when the join was here that waits for its turn or is under way
        self.joining = False  # a join waits for its turn or is under way: what comes behind it waits
        self._resting = False  # a batch was taken, and others have their turn: what comes behind it waits
        self.unread = False  # the client leaves its answers unread: they would pile up here
        self.answered = True  # since the last sweep; a new connection gets the same time as one that was answered
        self.silent_since = 0.0
        self.partial_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports are no subclasses of asyncio's, but they are the same interface.
        self._transport = cast("asyncio.Transport", transport)
        self._keeper.doors.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface's
        """End; nothing is kept per viewer, so nothing is to be done."""
        self._keeper.doors.discard(self)
        self._let_go()

    def close(self) -> None:
        """Close the connection after what is being sent."""
        self._transport.close()

    def forget_head(self) -> None:
        """Look closely at what comes next."""
        self._head = _NO_HEAD

    @property
    def closing(self) -> bool:
        """Whether the connection is closed, or will be when what is being sent has gone."""
        return self._transport.is_closing()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def give_up(self) -> None:
        """Refuse the request that does not become whole."""
        keeper = self._keeper
        self._transport.write(keeper.answers.given_up())
        keeper.heartbeats.refuse(Reason.REQUEST_TIMEOUT)
        self.close()

    def pause_writing(self) -> None:
        """Read no more from a client that does not read its answers."""
        self.unread = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self.unread = False
        self._go_on()

    def _rest(self) -> None:
        """Let others have their turn before what comes next: one read may bring a hundred batches of empty lines."""
        self._resting = True
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Take what was read meanwhile and read on, unless there is still something to wait for."""
        if self.joining or self.unread or self._transport.is_closing():
            return
        self._resting = False
        self._transport.resume_reading()
        if self.gathered:
            self._take(b"")

    def data_received(self, data: bytes) -> None:
        """Answer a single heartbeat at once, above all one with the head of the one before; else look closely."""
        keeper = self._keeper
        head = self._head
        if not data.startswith(head.text):  # _NO_HEAD's is empty and matches, but not in length
            head = keeper.heads.get(data[: data.find(EMPTY_LINE) + len(EMPTY_LINE)], _NO_HEAD)
        if len(data) != head.whole or head.kind is not Kind.BEAT:
            self._take(data)
            return
        self._head = head
        reason = keeper.beat(data[len(head.text) :])
        self.answered = True
        if reason is None:
            self._transport.write(next(keeper.answers.accepted, b"") or keeper.timed_answer())
        else:
            self._transport.write(keeper.answers.refused(reason))

    def have_turn(self) -> None:
        """Take the join that has waited for its turn."""
        self.joining = False
        if not self.unread and not self._transport.is_closing():
            self._transport.resume_reading()
            self._take_whole(bytes(self.gathered), in_turn=True)

    def _take(self, data: bytes) -> None:
        """Take what is here, unless something else has to come first."""
        if self.joining or self._resting:
            self._transport.pause_reading()
            self._gather(data)
        elif len(self.gathered) + len(data) < self._needed:
            self._gather(data)
        else:
            self._take_whole(b"".join((self.gathered, data)))

    def _gather(self, data: bytes) -> None:
        """Keep bytes of a request that is not whole yet, or whose turn has not come."""
        self.gathered += data
        self._keeper.gathered_bytes += len(data)
        if self._keeper.gathered_bytes > GATHERED_LIMIT_BYTES:
            self.give_up()

    def _let_go(self) -> None:
        """Keep nothing of what was gathered."""
        self._keeper.gathered_bytes -= len(self.gathered)
        self.gathered = b""

    def _take_whole(self, data: bytes, *, in_turn: bool = False) -> None:
        """Answer every whole request in `data`, all in one write; keep the rest, or hand the connection over.

        A join waits for its turn, unless this is it.
        """
        self._let_go()
        self._needed, self._head = 0, _NO_HEAD
        keeper = self._keeper
        answers: list[bytes] = []
        start = 0
        ours = True
        while start < len(data) and not self.joining and not self._resting and not (keeper.leaving and answers):
            head_end = data.find(EMPTY_LINE, start) + len(EMPTY_LINE)
            if head_end < len(EMPTY_LINE):
                ours = may_become_ours(data[start:])
                break
            if data.startswith(JOINS_BEGIN, start) and not in_turn:
                self.joining, self._asked_at = True, time.perf_counter()
                keeper.queue(self)
                break
            in_turn = False
            head = keeper.head(data[start:head_end])
            if head is None or len(data) < start + head.whole:
                ours = head is not None
                self._needed = 0 if head is None else head.whole
                break
            start += head.whole
            if head.join is not None:
                answers += self._join(head.join)
            else:
                answers.append(keeper.answer(head, data[head_end:start]))
                kept = head.kind is Kind.BEAT and len(head.text) <= REMEMBERED_HEAD_BYTES
                self._head = head if kept else _NO_HEAD
                if head.kind is Kind.BATCH and start < len(data):
                    self._rest()
        if answers:
            self._answer(b"".join(answers))
        if not ours:
            self._hand_over(data[start:])
        elif start < len(data):
            self.gathered, self._head = bytearray(), _NO_HEAD  # grows in place: a batch has many parts
            self._gather(data[start:])

    def _answer(self, answer: bytes) -> None:
        self.answered = True
        self._transport.write(answer)
        if self._keeper.leaving:
            # What came behind it was not taken: its sender tries again on a new connection (RFC 9112, section 9.6).
            self.close()

    def _join(self, head: JoinHead) -> list[bytes]:
        """Take a join: return its answer, or nothing yet if it has to wait."""
        peer = self._transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        call = JoinCall(
            head.event,
            head.session,
            head.credential,
            Player(address, head.user_agent, outlet_name(head.outlet), head.forwarded),
            f"http://{head.host}",
        )
        keeper = self._keeper
        answer = keeper.take_join(call)
        if answer is not None:
            self._answered_join()
            return [answer]
        self.joining = True
        task = asyncio.get_running_loop().create_task(self._finish_join(call))
        keeper.joining.add(task)
        task.add_done_callback(keeper.joining.discard)
        return []

    async def _finish_join(self, call: JoinCall) -> None:
        answer = await self._keeper.wait_for_join(call)
        self._answered_join()
        self.joining = False
        if self._transport.is_closing():
            return
        self._answer(answer)
        self._go_on()

    def _answered_join(self) -> None:
        self._keeper.measures.joins.observe(time.perf_counter() - self._asked_at)

    def _hand_over(self, data: bytes) -> None:
        self._keeper.doors.discard(self)
        protocol = self._keeper.hand_over()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self.unread:
            # How much of its answers a client leaves unread is aiohttp's business from here on.
            protocol.pause_writing()
            self._transport.resume_reading()
        protocol.data_received(data)
