"""The door: an `asyncio.Protocol` that answers heartbeats and leaves itself and hands everything else to aiohttp.

Ten million players send the same few hundred bytes again and again; a general HTTP stack spends thirty microseconds on
each. The door recognises exactly one kind of request and does nothing else:

    POST /v1/beat or /v1/leave HTTP/1.1, one Host, one exact Content-Length, no Transfer-Encoding, Expect or Upgrade,
    no Connection but keep-alive, a body without a type or text/plain, headers of plain visible characters

A head that was read once is remembered with what it said (bounded), since a player repeats its own to the byte. A
request in parts is gathered until it is whole. Whatever is not recognised goes, with every byte read so far, to
aiohttp's own handler, which owns the connection from then on; aiohttp's answers there say `Connection: close`, so that
a player comes back through the door. The same heartbeat on aiohttp's route has the same outcome (a test feeds both).
"""

import asyncio
import json
import re
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, cast

from gateway.announcement import Announcement
from gateway.heartbeats import BODY_BYTES, Heartbeats
from gateway.reasons import Reason, retry_after_s

HEAD_LIMIT_BYTES: Final = 8192
"""aiohttp's own limit for a header line; a browser's whole head is about 700 bytes."""
HEADS_LIMIT: Final = 4096
"""Remembered heads: usually a few hundred bytes each, so about 3 MB a worker."""
REMEMBERED_HEAD_BYTES: Final = 2048
"""A longer head is read each time: nobody can fill a worker with more than 8 MB of heads."""
IDLE_S: Final = 90.0
"""Three heartbeat intervals of silence: the player is gone."""
PARTIAL_S: Final = 10.0
"""A request that takes longer than this to arrive is not a player's."""
ROUTES: Final = (b"POST /v1/beat ", b"POST /v1/leave ")
_BEAT_LINE, _LEAVE_LINE = (route + b"HTTP/1.1" for route in ROUTES)
_LONGEST_ROUTE: Final = max(map(len, ROUTES))
_HEADER: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_CORS: Final = b"Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: Turnout-Interval, Retry-After\r\n"

Head = tuple[bool, int]
"""What a head says: whether it is a heartbeat (else a leave), and its Content-Length."""


def read_head(head: bytes) -> Head | None:
    """Return what a request head (without the empty line) says, or None if the door does not understand all of it."""
    if len(head) > HEAD_LIMIT_BYTES:
        return None
    line, *rest = head.split(b"\r\n")
    if line not in {_BEAT_LINE, _LEAVE_LINE}:
        return None
    seen: dict[bytes, bytes] = {}
    for header in rest:
        match = _HEADER.fullmatch(header)
        if match is None:
            return None
        name, value = match[1].lower(), match[2].strip()
        if name in seen and name in {b"host", b"content-length", b"content-type", b"connection"}:
            return None
        seen[name] = value
    length = seen.get(b"content-length", b"")
    understood = (
        bool(seen.get(b"host"))
        and length.isdigit()
        and len(length) <= 3
        and length == str(int(length)).encode()
        and not seen.keys() & {b"transfer-encoding", b"expect", b"upgrade", b"content-encoding"}
        and seen.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        and seen.get(b"content-type", b"text/plain").lower().partition(b";")[0].strip() == b"text/plain"
    )
    is_beat = line == _BEAT_LINE
    if not understood or int(length) not in (BODY_BYTES if is_beat else BODY_BYTES[:1]):
        return None
    return is_beat, int(length)


class Answers:
    """The door's answers as bytes, made anew when the date or the interval changes."""

    def __init__(self, announcement: Announcement) -> None:
        """Say what `announcement` says in every answer."""
        self._announcement = announcement
        self.refresh(0)

    def refresh(self, now: float) -> None:
        """Put the current date (unix seconds) into the answers."""
        common = _CORS + b"Turnout-Interval: %d\r\nDate: %b\r\n" % (
            self._announcement.interval_s,
            formatdate(now, usegmt=True).encode(),
        )
        self.accepted = b"HTTP/1.1 204 No Content\r\n" + common + b"\r\n"
        self.refused = {reason: self._refusal(reason, common) for reason in Reason}
        self.given_up = self._refusal(Reason.REQUEST_TIMEOUT, common + b"Connection: close\r\n")

    @staticmethod
    def _refusal(reason: Reason, common: bytes) -> bytes:
        body = json.dumps(reason.problem()).encode()
        retry = b"Retry-After: %d\r\n" % retry_after_s() if reason.status == HTTPStatus.SERVICE_UNAVAILABLE else b""
        return (
            b"HTTP/1.1 %d %b\r\n" % (reason.status, HTTPStatus(reason.status).phrase.encode())
            + common
            + retry
            + b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )


class DoorKeeper:
    """What the doors of one worker share: the answers, the remembered heads, the open connections."""

    def __init__(
        self,
        heartbeats: Heartbeats,
        answers: Answers,
        http_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        """Answer heartbeats by `heartbeats`; give other connections to what `http_protocol` makes."""
        self.heartbeats = heartbeats
        self.answers = answers
        self.http_protocol = http_protocol
        self.heads: dict[bytes, Head] = {}
        self.doors: set[Door] = set()
        self._swept_at = 0.0

    def __call__(self) -> "Door":
        """Make the protocol of a new connection."""
        return Door(self)

    def remember(self, head: bytes) -> Head | None:
        """Read a head that is not known yet, and keep what it said."""
        said = read_head(head)
        if said is not None:
            if len(self.heads) >= HEADS_LIMIT:
                self.heads.clear()
            if len(head) <= REMEMBERED_HEAD_BYTES:
                self.heads[head] = said
        return said

    def sweep(self, now: float) -> None:
        """Close connections that went silent (`now`: the loop's time); called every few seconds.

        What counts is a whole request: one that comes in drop by drop does not live on by dripping.
        """
        for door in tuple(self.doors):
            if door.answered:
                door.answered = False
                door.silent_since, door.partial_since = now, None
            if not door.gathered:
                door.partial_since = None
                if now - door.silent_since > IDLE_S:
                    door.close()
            elif door.partial_since is None:
                door.partial_since = now
            elif now - door.partial_since > PARTIAL_S:
                door.give_up()

    def close_all(self) -> None:
        """Close every connection: the worker is stopping. A request that is not whole yet is not taken."""
        for door in tuple(self.doors):
            door.close()


class Door(asyncio.Protocol):
    """One connection, for as long as it brings nothing but heartbeats and leaves."""

    __slots__ = ("_keeper", "_transport", "answered", "gathered", "partial_since", "silent_since")

    def __init__(self, keeper: DoorKeeper) -> None:
        """Belong to a worker's keeper."""
        self._keeper = keeper
        self.gathered = b""
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

    def close(self) -> None:
        """Close the connection after what is being sent."""
        self._transport.close()

    def give_up(self) -> None:
        """Refuse the request that does not become whole."""
        keeper = self._keeper
        self._transport.write(keeper.answers.given_up)
        keeper.heartbeats.refuse(Reason.REQUEST_TIMEOUT)
        self.close()

    def pause_writing(self) -> None:
        """Read no more from a client that does not read its answers: they would pile up here."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Answer every whole heartbeat in `data`, all in one write; keep the rest, or hand the connection over."""
        if self.gathered:
            data = self.gathered + data
            self.gathered = b""
        keeper = self._keeper
        answers: list[bytes] = []
        start = 0
        while start < len(data):
            head_end = data.find(b"\r\n\r\n", start)
            head = data[start:head_end]
            said = None if head_end < 0 else keeper.heads.get(head) or keeper.remember(head)
            if said is None:
                break
            is_beat, body_bytes = said
            end = head_end + 4 + body_bytes
            if len(data) < end:
                break
            body = data[head_end + 4 : end]
            reason = keeper.heartbeats.beat(body) if is_beat else keeper.heartbeats.leave(body)
            answers.append(keeper.answers.accepted if reason is None else keeper.answers.refused[reason])
            start = end
        if answers:
            self.answered = True
            self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
        if start < len(data):
            self._keep_or_hand_over(data[start:])

    def _keep_or_hand_over(self, rest: bytes) -> None:
        """Gather a request of ours that is not whole yet; give everything else to aiohttp."""
        head, end_of_head, _ = rest.partition(b"\r\n\r\n")
        if end_of_head:
            is_ours = head in self._keeper.heads
        else:
            starts_like_ours = any(rest[:_LONGEST_ROUTE].startswith(route[: len(rest)]) for route in ROUTES)
            is_ours = starts_like_ours and len(rest) <= HEAD_LIMIT_BYTES
        if is_ours:
            self.gathered = rest
        else:
            self._hand_over(rest)

    def _hand_over(self, data: bytes) -> None:
        protocol = self._keeper.http_protocol()
        self._keeper.doors.discard(self)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)
