"""Keep-alive connections without a client library between: bytes out, status in, at most one request on each.

wrk cannot say when a request should have been sent, and an asyncio client is later than the server that it measures.
This is epoll and nothing else: about ten microseconds a request of which most is the kernel's. Used by
`load_tests.bench.open_loop` and `load_tests.bench.closed_loop`.
"""

import contextlib
import resource
import select
import socket
import time
from types import TracebackType
from typing import Final, NamedTuple, Self

from load_tests.http_client import HEAD_END, NO_CONTENT, Address, parse_answer

RECEIVE_BYTES: Final = 65_536
CONNECT_S: Final = 10.0
EVENTS: Final = 4096
"""Most connections looked at in one turn: with more the first would wait for the last."""
EXACT_WAIT_S: Final = 0.0002
"""Below this a wait would end later than it should (timer slack is 50 µs): look again at once instead."""
NO_ANSWER: Final = 0
"""The status of a request whose connection ended."""

_CLOSE: Final = b"connection: close"
_IN, _OUT, _ENDED = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR


class Answered(NamedTuple):
    """One request's end."""

    connection: int
    number: int  # what the caller called the request
    status: int  # NO_ANSWER if the connection ended instead
    at: float  # time.monotonic()


def allow_many_files() -> int:
    """Raise this process' limit of open files as far as it may go; returns the limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Connections:
    """`count` connections to one server, numbered from 0. Owns their sockets; a context manager.

    One that the server closes is opened again when it is next used, as a browser does; the request waits for that.
    """

    def __init__(self, address: Address, count: int) -> None:
        """Connect all. Raises OSError."""
        allow_many_files()
        self.opened = 0
        """How often a connection was opened, the first time included."""
        self._address = (address.host, address.port)
        self._epoll = select.epoll()
        self._sockets: list[socket.socket | None] = [None] * count
        self._by_file: dict[int, int] = {}
        self._numbers = [-1] * count
        self._received = [b""] * count
        self._unsent: dict[int, bytes] = {}
        try:
            for connection in range(count):
                self._keep(connection, socket.create_connection(self._address, CONNECT_S))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._sockets)

    def close(self) -> None:
        """Close all."""
        for connection in range(len(self._sockets)):
            self._drop(connection)
        self._epoll.close()

    def send(self, connection: int, number: int, request: bytes) -> None:
        """Send a request on a connection whose last one was answered; `poll` tells its end by `number` (from 0)."""
        self._numbers[connection] = number
        line = self._sockets[connection]
        if line is not None:
            try:
                sent = line.send(request)
            except OSError:  # closed by the server before we looked
                self._drop(connection)
                line = None
            else:
                if sent != len(request):
                    self._unsent[connection] = request[sent:]
                    self._epoll.modify(line, _IN | _OUT)
        if line is None:
            self._numbers[connection] = number
            self._unsent[connection] = request
            self._open(connection)

    def wait(self, wait_s: float) -> None:
        """Wait up to `wait_s` for something that `poll` can tell; not at all if that is too short to be exact."""
        if wait_s >= EXACT_WAIT_S:  # epoll's own patience counts in milliseconds
            select.select([self._epoll.fileno()], [], [], wait_s)

    def poll(self) -> list[Answered]:
        """Return the requests that have ended."""
        ended: list[Answered] = []
        for file, events in self._epoll.poll(0, EVENTS):
            connection = self._by_file[file]
            line = self._sockets[connection]
            if line is None:
                continue
            if events & _OUT and connection in self._unsent:
                self._send_rest(connection, line)
            if events & (_IN | _ENDED):
                answered = self._receive(connection, line)
                if answered is not None:
                    ended.append(answered)
        return ended

    def _receive(self, connection: int, line: socket.socket) -> Answered | None:
        try:
            data = line.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        at = time.monotonic()
        number = self._numbers[connection]
        if not data:
            self._drop(connection)
            return None if number < 0 else Answered(connection, number, NO_ANSWER, at)
        if self._received[connection]:
            data = self._received[connection] + data
        if data.startswith(NO_CONTENT) and data.endswith(HEAD_END):
            status, head = 204, data
        else:
            parsed = parse_answer(data)
            if parsed is None:
                self._received[connection] = data
                return None
            status, head = parsed[0].status, data.partition(HEAD_END)[0]
        self._received[connection] = b""
        self._numbers[connection] = -1
        if _CLOSE in head.lower():
            self._drop(connection)
        return Answered(connection, number, status, at)

    def _send_rest(self, connection: int, line: socket.socket) -> None:
        rest = self._unsent.pop(connection)
        with contextlib.suppress(OSError):  # what went wrong with it is told by reading from it
            sent = line.send(rest)
            if sent != len(rest):
                self._unsent[connection] = rest[sent:]
                return
        self._epoll.modify(line, _IN)

    def _open(self, connection: int) -> None:
        line = socket.socket()
        line.setblocking(False)  # noqa: FBT003 - the standard library's
        line.connect_ex(self._address)
        self._keep(connection, line)

    def _keep(self, connection: int, line: socket.socket) -> None:
        line.setblocking(False)  # noqa: FBT003 - the standard library's
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[connection] = line
        self._by_file[line.fileno()] = connection
        self._epoll.register(line, _IN | _OUT if connection in self._unsent else _IN)
        self.opened += 1

    def _drop(self, connection: int) -> None:
        line = self._sockets[connection]
        if line is not None:
            del self._by_file[line.fileno()]
            line.close()  # epoll forgets it by itself
        self._sockets[connection] = None
        self._received[connection] = b""
        self._numbers[connection] = -1
        self._unsent.pop(connection, None)
