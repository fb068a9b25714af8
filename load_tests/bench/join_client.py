"""The client of the benches of joins and of batches: given requests, each sent once, on so many connections at a time.

Blocking sockets under one epoll, because a client that costs less than the server keeps the server busy. It counts
nothing that it has not read to the end: an answer with another status than the wanted one, a connection that breaks off
or falls silent ends the run with an error. Connections are kept; where an answer says `Connection: close`, the next
request goes out on a new one.
"""

import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from load_tests.http_client import Address, Answer, UnexpectedAnswerError, parse_answer

CONNECTIONS: Final = 64
ANSWER_S: Final = 10.0
"""A server from which nothing at all comes for so long has failed."""
_READ_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came back."""

    wall_s: float
    answers: list[Answer]  # in the order of the requests


@dataclass(slots=True)
class _Line:
    """One connection and the request that it waits for. Owned by the delivery under way."""

    socket: socket.socket
    number: int = -1
    received: bytes = field(default=b"")

    def ask(self, number: int, request: bytes) -> None:
        self.number, self.received = number, b""
        self.socket.sendall(request)

    def answer(self) -> Answer | None:
        """Read what is there; return the answer if that makes it whole."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionError(f"closed with a request unanswered, after {self.received[:200]!r}")
        self.received += data
        parsed = parse_answer(self.received)
        if parsed is None:
            return None
        answer, length = parsed
        if length != len(self.received):
            raise ConnectionError(f"{self.received[length:][:200]!r} came unasked")
        return answer


def deliver(
    address: Address, requests: Sequence[bytes], connections: int = CONNECTIONS, *, status: int = HTTPStatus.CREATED
) -> Delivery:
    """Send every request once and wait until each is answered with `status`.

    Raises:
        UnexpectedAnswerError: another status.
        OSError: a connection was refused or lost; TimeoutError: nothing came for 10 s.
        ValueError: an answer is not HTTP.
    """
    answers: dict[int, Answer] = {}
    ahead = iter(enumerate(requests))
    lines: dict[int, _Line] = {}
    with select.epoll() as poll:
        try:
            started = time.perf_counter()
            for _ in range(min(connections, len(requests))):
                _open(address, ahead, lines, poll)
            while lines:
                ready = poll.poll(ANSWER_S)
                if not ready:
                    raise TimeoutError(f"nothing came for {ANSWER_S:g} s, {len(lines)} requests are unanswered")
                for descriptor, _ in ready:
                    line = lines[descriptor]
                    answer = line.answer()
                    if answer is None:
                        continue
                    if answer.status != status:
                        raise UnexpectedAnswerError(requests[line.number], answer.status, answer.body)
                    answers[line.number] = answer
                    if answer.headers.get("connection", "").lower() == "close":
                        lines.pop(descriptor).socket.close()
                        _open(address, ahead, lines, poll)
                    elif (following := next(ahead, None)) is not None:
                        line.ask(*following)
                    else:
                        lines.pop(descriptor).socket.close()
            wall_s = time.perf_counter() - started
        finally:
            for line in lines.values():
                line.socket.close()
    return Delivery(wall_s, [answers[number] for number in range(len(requests))])


def _open(address: Address, ahead: Iterator[tuple[int, bytes]], lines: dict[int, _Line], poll: select.epoll) -> None:
    """Open a connection for the next request, if there is one."""
    following = next(ahead, None)
    if following is None:
        return
    line = _Line(socket.create_connection((address.host, address.port), ANSWER_S))
    line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines[line.socket.fileno()] = line
    poll.register(line.socket.fileno(), select.EPOLLIN)
    line.ask(*following)
