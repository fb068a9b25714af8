"""Reading the heads of requests that the door answers itself: all of a head is understood, or it is not the door's.

A head is understood if it has this shape to the byte, and then says what aiohttp would make of it (a test feeds both):

    POST /v1/beat, /v1/leave or /v1/beats                       a heartbeat, a leave, a relay's batch; Content-Length
    POST /v1/events/EVENT/sessions/SESSION/join[?outlet=NAME]   a join; Authorization; no body
    OPTIONS of any of these                                     a browser's CORS preflight; no body

HTTP/1.1, one Host, headers of visible characters, Connection nothing but keep-alive, a body without a type or
text/plain, none of Transfer-Encoding, Expect, Upgrade, Content-Encoding and Proxy-Connection (which aiohttp's parser
takes for Connection), and no header of these twice.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from gateway.heartbeats import BODY_BYTES
from gateway.relay_batches import BATCH_BYTES

HEAD_LIMIT_BYTES: Final = 8192
"""aiohttp's own limit for a header line; a browser's whole head is about 700 bytes, 2 KB with a ticket."""
EMPTY_LINE: Final = b"\r\n\r\n"
_LINE: Final = re.compile(
    rb"(POST|OPTIONS) (?:/v1/(beat|leave|beats)"
    rb"|/v1/events/([a-z0-9-]+)/sessions/([a-z0-9-]+)/join(?:\?outlet=([A-Za-z0-9._~-]*))?) HTTP/1\.1\r\n"
)
JOINS_BEGIN: Final = b"POST /v1/events/"
_BEGINNINGS: Final = (b"POST /v1/beat ", b"POST /v1/beats ", b"POST /v1/leave ", JOINS_BEGIN, b"OPTIONS /v1/")
_LONGEST_BEGINNING: Final = max(map(len, _BEGINNINGS))
# One pass over all headers for their characters, one for the few that the door cares about: a third of the time that
# taking every line apart costs.
_HEADERS: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\x20-\x7e\x80-\xff\t]*+\r\n)++")
_KNOWN: Final = re.compile(
    rb"\n(host|content-length|content-type|connection|authorization|user-agent|x-forwarded-for"
    rb"|transfer-encoding|expect|upgrade|content-encoding|proxy-connection):[ \t]*+([^\r]*+)"
)
_NOT_OURS: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"content-encoding", b"proxy-connection"})


class Kind(Enum):
    """What a request asks for."""

    BEAT = auto()
    LEAVE = auto()
    BATCH = auto()
    JOIN = auto()
    PREFLIGHT = auto()


@dataclass(slots=True)
class JoinHead:
    """What the head of a join says. It never changes."""

    event: str
    session: str
    outlet: str
    credential: str  # what stands after "Bearer", "" if nothing does
    host: str
    user_agent: str
    forwarded: str  # X-Forwarded-For


@dataclass(slots=True)
class RequestHead:
    """A head that was understood. It never changes, but a frozen one would cost three times as much to make."""

    text: bytes  # with its empty line
    kind: Kind
    whole: int  # bytes of the request: head and body
    join: JoinHead | None = None

    @property
    def lasting(self) -> bool:
        """Whether the same head comes again and again; those of batches differ in their length."""
        return self.kind not in {Kind.JOIN, Kind.BATCH}


def may_become_ours(part: bytes) -> bool:
    """Whether the beginning of a head, which is not whole yet, may become one that the door understands."""
    return len(part) <= HEAD_LIMIT_BYTES and any(
        part[:_LONGEST_BEGINNING].startswith(beginning[: len(part)]) for beginning in _BEGINNINGS
    )


def read_head(text: bytes) -> RequestHead | None:
    """Return what a request's head (with its empty line) says, None if the door does not understand all of it."""
    line = _LINE.match(text)
    if line is None or len(text) > HEAD_LIMIT_BYTES or _HEADERS.fullmatch(text, line.end(), len(text) - 2) is None:
        return None
    # In lower case: searching without regard to case costs more than a copy.
    lower = text.lower()
    named = _KNOWN.findall(lower, line.end() - 1)
    known = dict(named)
    if len(known) != len(named) or not _plain(known):
        return None
    method, call, event, session, outlet = line.groups()
    if method == b"POST" and call:
        return _body(text, call, known)
    if known.get(b"content-length", b"0").rstrip() != b"0":
        return None
    if method == b"OPTIONS":
        return RequestHead(text, Kind.PREFLIGHT, len(text))
    return _join(text, lower, (event, session, outlet or b""), known)


def _plain(known: dict[bytes, bytes]) -> bool:
    return (
        bool(known.get(b"host", b"").rstrip())
        and _NOT_OURS.isdisjoint(known)
        and known.get(b"connection", b"keep-alive").rstrip() == b"keep-alive"
    )


def _body(text: bytes, call: bytes, known: dict[bytes, bytes]) -> RequestHead | None:
    kind, lengths = _CALLS[call]
    length = known.get(b"content-length", b"").rstrip()
    if len(length) > _LENGTH_DIGITS or not length.isdigit() or length != b"%d" % int(length):
        return None
    content_type = known.get(b"content-type", b"text/plain").partition(b";")[0].rstrip()
    if int(length) not in lengths or content_type != b"text/plain":
        return None
    return RequestHead(text, kind, len(text) + int(length))


def _join(
    text: bytes, lower: bytes, places: tuple[bytes, bytes, bytes], known: dict[bytes, bytes]
) -> RequestHead | None:
    if not known.get(b"authorization", b"").isascii():
        return None
    scheme, _, credential = _as_written(text, lower, b"authorization").decode("latin-1").partition(" ")
    event, session, outlet = places
    join = JoinHead(
        event.decode(),
        session.decode(),
        outlet.decode(),
        credential.strip() if scheme.lower() == "bearer" else "",
        _as_written(text, lower, b"host").decode("latin-1"),
        known.get(b"user-agent", b"").decode("latin-1"),
        known.get(b"x-forwarded-for", b"").decode("latin-1"),
    )
    return RequestHead(text, Kind.JOIN, len(text), join)


def _as_written(text: bytes, lower: bytes, name: bytes) -> bytes:
    """Return the value of a header, "" if there is none, in the case in which it was sent."""
    at = lower.find(b"\n" + name + b":")
    return text[at + len(name) + 2 : text.find(b"\r", at)].strip() if at >= 0 else b""


_LENGTH_DIGITS: Final = len(str(BATCH_BYTES))
_CALLS: Final[dict[bytes, tuple[Kind, Container[int]]]] = {
    b"beat": (Kind.BEAT, BODY_BYTES),
    b"leave": (Kind.LEAVE, BODY_BYTES[:1]),
    b"beats": (Kind.BATCH, range(1, BATCH_BYTES + 1)),
}
"""By the last part of the path: what it is, and the lengths of body that the door takes."""
