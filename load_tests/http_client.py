"""HTTP on the client's side: an answer as it comes in, and one request on a connection of its own.

So a join is made, whose answer asks for it. Heartbeats have connections that stay (load_tests.beat_lines).
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

ANSWER_S: Final = 60.0
"""Nobody answers a heartbeat this late; a server that hangs must not hang the replay."""
NO_CONTENT: Final = b"HTTP/1.1 204"
HEAD_END: Final = b"\r\n\r\n"


class UnexpectedAnswerError(Exception):
    """An answer that a player does not expect; its text shows request, status and body."""

    def __init__(self, request: bytes, status: int, body: bytes) -> None:
        head = request.split(b"\r\n", 1)[0].decode(errors="replace")
        super().__init__(f"{head} was answered {status}: {body[:400].decode(errors='replace')}")
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Address":
        """Take host and port from an http URL. Raises ValueError for any other URL."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or not parts.port:
            raise ValueError(f"{url} is not an http URL with a port")
        return cls(parts.hostname, parts.port)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON value. Raises ValueError if it is none."""
        return json.loads(self.body)


def parse_answer(received: bytes, *, ended: bool = False) -> tuple[Answer, int] | None:
    """Return the first answer in `received` and how many bytes it took; None if more has to come.

    A body without Content-Length runs to the end of the connection (`ended`). Raises ValueError for what is not
    HTTP/1.x.
    """
    head, found, _ = received.partition(HEAD_END)
    if not found:
        return None
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"not an HTTP answer: {lines[0]!r}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    status, start = int(rest[:3]), len(head) + len(HEAD_END)
    if status == 204:
        return Answer(status, headers, b""), start
    if "content-length" in headers:
        end = start + int(headers["content-length"])
        return (Answer(status, headers, received[start:end]), end) if len(received) >= end else None
    return (Answer(status, headers, received[start:]), len(received)) if ended else None


class _OneAnswer(asyncio.Protocol):
    """A connection that carries one request."""

    def __init__(self, request: bytes, answer: "asyncio.Future[Answer]") -> None:
        self._request = request
        self._answer = answer
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._look(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look(ended=True)
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed without an answer"))

    def _look(self, *, ended: bool) -> None:
        if self._answer.done():
            return
        try:
            parsed = parse_answer(self._received, ended=ended)
        except ValueError as error:
            self._answer.set_exception(error)
            return
        if parsed is not None:
            self._answer.set_result(parsed[0])
            if self._transport is not None:
                self._transport.close()


async def call(
    address: Address,
    method: str,
    path: str,
    *,
    bearer: str = "",
    body: bytes = b"",
    content_type: str = "application/json",
    timeout_s: float = ANSWER_S,
) -> Answer:
    """Make one request on a connection of its own. Raises OSError, TimeoutError, or ValueError for no HTTP answer."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address.host}:{address.port}"]
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    if body:
        lines.append(f"Content-Type: {content_type}")
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    request = "\r\n".join(lines).encode() + HEAD_END + body
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()
    async with asyncio.timeout(timeout_s):
        transport, _ = await loop.create_connection(lambda: _OneAnswer(request, answer), address.host, address.port)
        try:
            return await answer
        finally:
            transport.close()


async def call_for(
    status: int,
    address: Address,
    method: str,
    path: str,
    *,
    bearer: str = "",
    body: bytes = b"",
    timeout_s: float = ANSWER_S,
) -> Answer:
    """Make one request as `call` does. Raises UnexpectedAnswerError as well, for an answer with another status."""
    answer = await call(address, method, path, bearer=bearer, body=body, timeout_s=timeout_s)
    if answer.status != status:
        raise UnexpectedAnswerError(f"{method} {path}".encode(), answer.status, answer.body)
    return answer
