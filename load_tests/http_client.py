"""HTTP as players speak it: as many heartbeats a second from one core as it takes, and other calls one at a time.

Heartbeats of a thousand players share a few keep-alive connections: `BeatLine` writes tens of requests at once and
counts the status lines that come back, in order, as HTTP/1.1 pipelining promises. Any answer but 204 stops the replay
and is shown with its body. Everything else is one request on a connection of its own, as the join's answer asks for.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, cast
from urllib.parse import quote, urlsplit

BURST: Final = 64
"""Requests in one write of one connection: some 16 KB, which a server reads in one go."""
CONNECTIONS: Final = 16
"""Enough for the kernel to give several workers their share, few enough for bursts to be worth it."""
ANSWER_S: Final = 60.0
"""Nobody answers a heartbeat this late; a server that hangs must not hang the replay."""
CERTIFY_S: Final = 180.0
"""A certificate waits for windows that have ended, and is computed over everything that is sealed."""
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


class BeatLine(asyncio.Protocol):
    """One keep-alive connection that carries many players' heartbeats. Owns the answers still owed on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[None] | None = None
        self._burst: Sequence[bytes] = ()

    @property
    def open(self) -> bool:
        """Whether a burst can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # TCP: uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """Count answers; look closer at the first that is not a 204."""
        received = self._received
        received += data
        if not received.endswith(HEAD_END) or received.count(HEAD_END) < len(self._burst):
            if received.count(NO_CONTENT) < received.count(HEAD_END):
                self._look_closer()
            return
        if received.count(NO_CONTENT) != len(self._burst) or received.count(HEAD_END) != len(self._burst):
            self._look_closer()
            return
        received.clear()
        self._settle(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the burst that is still owed answers."""
        self._transport = None
        if self._waiting is not None:
            self._look_closer(ended=True)
            self._settle(exc or ConnectionError(f"closed with {len(self._burst)} heartbeats in flight"))

    async def deliver(self, requests: Sequence[bytes]) -> None:
        """Send requests and wait until each has been answered 204.

        Raises UnexpectedAnswerError for any other answer, OSError for a lost connection, TimeoutError after ANSWER_S.
        """
        loop = asyncio.get_running_loop()
        for start in range(0, len(requests), BURST):
            if self._transport is None:
                raise ConnectionError("the connection is closed")
            self._burst = requests[start : start + BURST]
            self._waiting = loop.create_future()
            self._transport.write(b"".join(self._burst))
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._waiting
            except BaseException:
                self.close()  # answers may still be under way that nobody is waiting for
                raise

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _settle(self, problem: Exception | None) -> None:
        waiting, self._waiting, self._burst = self._waiting, None, ()
        if waiting is None or waiting.done():
            return
        if problem is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(problem)

    def _look_closer(self, *, ended: bool = False) -> None:
        """Find the first answer that is not a 204, and fail the burst with it."""
        rest = bytes(self._received)
        for request in self._burst:
            try:
                parsed = parse_answer(rest, ended=ended)
            except ValueError as error:
                self._settle(error)
                return
            if parsed is None:
                return
            answer, length = parsed
            if answer.status != 204:
                self._settle(UnexpectedAnswerError(request, answer.status, answer.body))
                return
            rest = rest[length:]
        if rest:
            self._settle(ValueError(f"{len(rest)} bytes more than were asked for: {rest[:80]!r}"))


class BeatLines:
    """A set of keep-alive connections to one gateway, opened again when the server has closed an idle one.

    An asynchronous context manager: at its end every connection is closed.
    """

    def __init__(self, address: Address, connections: int = CONNECTIONS) -> None:
        self._address = address
        self._lines: list[BeatLine | None] = [None] * connections

    async def _line(self, index: int) -> BeatLine:
        line = self._lines[index]
        if line is None or not line.open:
            loop = asyncio.get_running_loop()
            _, line = await loop.create_connection(BeatLine, self._address.host, self._address.port)
            self._lines[index] = line
        return line

    async def _deliver(self, index: int, requests: Sequence[bytes]) -> None:
        await (await self._line(index)).deliver(requests)

    async def deliver(self, requests: Sequence[bytes]) -> None:
        """Spread requests over the connections and wait for a 204 to each. Raises as BeatLine.deliver."""
        count = min(len(self._lines), -(-len(requests) // BURST))
        shares = [requests[index::count] for index in range(count)]
        await asyncio.gather(*(self._deliver(index, share) for index, share in enumerate(shares)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for line in self._lines:
            if line is not None:
                line.close()
        await asyncio.sleep(0)  # uvloop's loop.close() hangs on connections that it has not yet closed


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


@dataclass(frozen=True, slots=True)
class Gateway:
    """The requests of a player and of a badge scanner at one gateway, for one event."""

    address: Address
    event: str

    def beat_request(self, token: str, state: str = "p") -> bytes:
        """Return the bytes of a heartbeat, as short as HTTP allows. State p, the default, is not written."""
        return self._beacon("/v1/beat", token if state == "p" else f"{token} {state}")

    def leave_request(self, token: str) -> bytes:
        """Return the bytes of a leave."""
        return self._beacon("/v1/leave", token)

    def _beacon(self, path: str, body: str) -> bytes:
        return (
            f"POST {path} HTTP/1.1\r\nHost: {self.address.host}:{self.address.port}\r\n"
            f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def join(self, session: str, bearer: str, outlet: str = "") -> str:
        """Join a session with a JWT or a viewing token; returns the viewing token.

        Raises UnexpectedAnswerError for anything but 201.
        """
        path = f"/v1/events/{self.event}/sessions/{session}/join" + (f"?outlet={quote(outlet)}" if outlet else "")
        answer = await call(self.address, "POST", path, bearer=bearer)
        if answer.status != 201:
            raise UnexpectedAnswerError(f"POST {path}".encode(), answer.status, answer.body)
        token = answer.json()["token"]
        if not isinstance(token, str):
            raise UnexpectedAnswerError(f"POST {path}".encode(), answer.status, answer.body)
        return token

    async def check_in(self, scans: Sequence[Mapping[str, Any]], scanner_key: str) -> list[dict[str, Any]]:
        """Upload a batch of scans; returns the outcomes in their order. Raises UnexpectedAnswerError unless 200."""
        path = f"/v1/events/{self.event}/checkins"
        body = json.dumps({"scans": list(scans)}).encode()
        answer = await call(self.address, "POST", path, bearer=scanner_key, body=body)
        if answer.status != 200:
            raise UnexpectedAnswerError(f"POST {path}".encode(), answer.status, answer.body)
        outcomes: list[dict[str, Any]] = answer.json()["outcomes"]
        if [outcome["nonce"] for outcome in outcomes] != [scan["nonce"] for scan in scans]:
            raise UnexpectedAnswerError(f"POST {path}".encode(), answer.status, answer.body)
        return outcomes

    async def live(self) -> dict[str, Any]:
        """Return the live answer. Raises UnexpectedAnswerError unless 200."""
        path = f"/v1/events/{self.event}/live"
        answer = await call(self.address, "GET", path)
        if answer.status != 200:
            raise UnexpectedAnswerError(f"GET {path}".encode(), answer.status, answer.body)
        found: dict[str, Any] = answer.json()
        return found


@dataclass(frozen=True, slots=True)
class Ledger:
    """The requests of the organiser at the ledger."""

    address: Address
    event: str
    organiser_key: str

    async def set_clock(self, now: str) -> None:
        """Set the simulated clock; returns when every process shows it. Raises UnexpectedAnswerError unless 200."""
        await self._post("/v1/simulation/clock", json.dumps({"now": now}).encode(), 200)

    async def certify(self) -> dict[str, Any]:
        """Issue a certificate; returns what the ledger says of it. Raises UnexpectedAnswerError unless 201."""
        answer = await self._post(f"/v1/events/{self.event}/certificates", b"", 201, timeout_s=CERTIFY_S)
        issued: dict[str, Any] = answer.json()
        return issued

    async def certificate(self, name: str) -> bytes:
        """Return a certificate (`<id>`) or its proof (`<id>.tlog-proof`). Raises UnexpectedAnswerError unless 200."""
        path = f"/v1/events/{self.event}/certificates/{name}"
        answer = await call(self.address, "GET", path, bearer=self.organiser_key)
        if answer.status != 200:
            raise UnexpectedAnswerError(f"GET {path}".encode(), answer.status, answer.body)
        return answer.body

    async def _post(self, path: str, body: bytes, expected: int, *, timeout_s: float = ANSWER_S) -> Answer:
        answer = await call(self.address, "POST", path, bearer=self.organiser_key, body=body, timeout_s=timeout_s)
        if answer.status != expected:
            raise UnexpectedAnswerError(f"POST {path}".encode(), answer.status, answer.body)
        return answer
