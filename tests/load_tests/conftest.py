"""A server of a few lines that answers what a test wants, for the tests of the wire client and of the replay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import pytest
import uvloop

from load_tests.http_client import Address

Stub = Callable[[Callable[[bytes], bytes]], AbstractAsyncContextManager[tuple[Address, list[bytes]]]]
Run = Callable[[Callable[[], Awaitable[None]]], None]


class StubGateway(asyncio.Protocol):
    """Answers each request of one connection with what `answer` says; keeps what it was asked."""

    def __init__(self, answer: Callable[[bytes], bytes], asked: list[bytes]) -> None:
        self._answer = answer
        self._asked = asked
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        answers: list[bytes] = []
        for request in self._whole_requests():
            self._asked.append(request)
            answers.append(self._answer(request))
        self._transport.write(b"".join(answers))
        if any(b"Connection: close" in answer for answer in answers):
            self._transport.close()

    def _whole_requests(self) -> Iterator[bytes]:
        while (head_end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:head_end]
            _, found, rest = head.partition(b"Content-Length: ")
            end = head_end + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
            if len(self._received) < end:
                return
            yield self._received[:end]
            self._received = self._received[end:]


@asynccontextmanager
async def _stub(answer: Callable[[bytes], bytes]) -> AsyncIterator[tuple[Address, list[bytes]]]:
    asked: list[bytes] = []
    server = await asyncio.get_running_loop().create_server(lambda: StubGateway(answer, asked), "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1]), asked
    finally:
        server.close()


def _run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())


@pytest.fixture
def stub() -> Stub:
    """Serve with a given answer to each request; yields the address and the requests."""
    return _stub


@pytest.fixture
def run() -> Run:
    """Run a scenario on uvloop, as the demo does."""
    return _run
