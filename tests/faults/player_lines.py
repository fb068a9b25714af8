"""The keep-alive connections over which players speak; one that breaks is opened again, one that hangs is parked."""

import select
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Self

from tests.gateway.serving import Answer, Connection

GIVE_UP_S = 2.0
"""A player waits this long for an answer before it tries again on another connection."""
BROKEN = (OSError, AssertionError, HTTPException)
"""What no answer looks like."""


class HangingError(Exception):
    """No answer yet; the connection is parked, and may still bring it."""

    def __init__(self, parked: Connection) -> None:
        super().__init__("no answer yet")
        self.parked = parked


class Lines:
    """One thread's connections, one to each gateway. Use it as a context manager."""

    def __init__(self, ports: Callable[[int], int], give_up_s: float = GIVE_UP_S) -> None:
        """Reach gateways by their number at the ports that they have when it connects."""
        self._port = ports
        self._give_up_s = give_up_s
        self._open: dict[int, Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for gateway in list(self._open):
            self._close(gateway)

    def open(self, gateway: int) -> Connection:
        """Return the connection.

        Raises:
            OSError: nobody takes it; nothing was sent.
        """
        if gateway not in self._open:
            self._open[gateway] = Connection(self._port(gateway))
            self._open[gateway].socket.settimeout(self._give_up_s)
        return self._open[gateway]

    def ask(self, gateway: int, request: bytes) -> Answer:
        """Send a request and return its answer.

        Raises:
            HangingError: not yet; what was sent may be heard at any time.
            OSError, AssertionError, HTTPException: none will come; what was sent may have been heard.
        """
        try:
            line = self.open(gateway)
            line.send(request)
            answer = read_answer(line)
        except TimeoutError:
            if gateway not in self._open:
                raise  # it did not even connect
            raise HangingError(self._open.pop(gateway)) from None
        except BaseException:
            self._close(gateway)
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self._close(gateway)
        return answer

    def _close(self, gateway: int) -> None:
        if gateway in self._open:
            self._open.pop(gateway).close()


def read_answer(line: Connection) -> Answer:
    """Return the next answer; errors as for `Lines.ask`."""
    (answer,) = line.read_answers(1)
    return answer


def with_news(lines: list[Connection], wait_s: float) -> Iterator[Connection]:
    """Yield the connections that bring something or have ended, waiting so long for the first of them."""
    by_socket = {line.socket: line for line in lines}
    readable, _, _ = select.select(list(by_socket), [], [], wait_s)
    yield from (by_socket[each] for each in readable)
