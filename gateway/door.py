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
from typing import Final, cast

from gateway.door_keeper import REMEMBERED_HEAD_BYTES, DoorKeeper
from gateway.join_desk import JoinCall, outlet_name
from gateway.reasons import Reason
from gateway.request_head import EMPTY_LINE, JOINS_BEGIN, JoinHead, Kind, RequestHead, may_become_ours
from gateway.traffic import Player

GATHERED_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What all connections of a worker may have gathered of requests that are not whole: two hundred batches that stop one
byte short. Who wants more is sent away; it needs no token to make a worker hold bytes."""
_NO_HEAD: Final = RequestHead(b"", Kind.PREFLIGHT, -1)
"""What a connection knows before its first heartbeat: no request is as short as this."""


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
