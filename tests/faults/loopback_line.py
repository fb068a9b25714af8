"""A TCP line on the loopback between two parts, which a test can cut, hang, and heal.

What a network does to a connection, a line does to its bytes: `cut` resets what is connected and whoever tries; `hang`
lets nobody's bytes through, in neither direction, and keeps them for when it heals; `swallow_answers` lets what is
asked through and breaks the connection when it is answered, so that the asker cannot know what became of it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any

CHUNK_BYTES = 65_536


class State(Enum):
    """What a line does with bytes."""

    WHOLE = "whole"
    CUT = "cut"
    HANGING = "hanging"
    SWALLOWING = "swallowing answers"


class LineKeeper:
    """The thread and event loop in which all lines of a rig live. Owns both."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="lines")
        self._thread.start()
        self._lines: list[LoopbackLine] = []

    def line(self, to: Callable[[], int]) -> "LoopbackLine":
        """Return a line to the port on 127.0.0.1 that `to` names when somebody connects."""
        line = LoopbackLine(self, to)
        self.do(line.open())
        self._lines.append(line)
        return line

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the loop, and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self) -> None:
        for line in self._lines:
            self.do(line.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class LoopbackLine:
    """One line. Its state belongs to the keeper's loop; a test tells it from its own thread."""

    def __init__(self, keeper: LineKeeper, to: Callable[[], int]) -> None:
        self._keeper = keeper
        self._to = to
        self._server: asyncio.Server | None = None
        self._state = State.WHOLE
        self._whole = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.recording = False
        self.asked: list[bytearray] = []
        """What came from the asking side and was let through while `recording`, by connection."""

    # What a test does to it.

    def cut(self) -> None:
        """Reset what is connected and whoever connects."""
        self._tell(State.CUT)

    def hang(self) -> None:
        """Accept whoever connects, and let no byte through until it heals."""
        self._tell(State.HANGING)

    def swallow_answers(self) -> None:
        """Let questions through, and break each connection when its answer comes."""
        self._tell(State.SWALLOWING)

    def heal(self) -> None:
        """Let everything through again."""
        self._tell(State.WHOLE)

    def _tell(self, state: State) -> None:
        async def told() -> None:
            self._state = state
            if state is State.HANGING:
                self._whole.clear()
            else:
                self._whole.set()
            if state is State.CUT:
                await self._break()

        self._keeper.do(told())

    # In the loop.

    async def open(self) -> None:
        self._whole.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._break()

    async def _break(self) -> None:
        broken = list(self._connections)
        for task in broken:
            task.cancel()
        await asyncio.gather(*broken, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._state is State.CUT:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._carry(reader, writer)
            # What was answered last may still be in the buffer.
            writer.close()
        except (OSError, asyncio.CancelledError):
            # Reset by either side, or cut.
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self._to())
        ways = [
            asyncio.create_task(self._ask(reader, to_upstream)),
            asyncio.create_task(self._answer(upstream, writer)),
        ]
        try:
            # Whoever hangs up first takes the other with it: HTTP and Redis both need both directions.
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_upstream.transport.abort()

    async def _ask(self, asker: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        asked = bytearray()
        self.asked.append(asked)
        while data := await asker.read(CHUNK_BYTES):
            await self._whole.wait()
            if self.recording:
                asked += data
            to.write(data)
            await to.drain()

    async def _answer(self, answering: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await answering.read(CHUNK_BYTES):
            await self._whole.wait()
            if self._state is State.SWALLOWING:
                raise ConnectionResetError
            to.write(data)
            await to.drain()


def requests_in(asked: bytes) -> list[bytes]:
    """The whole HTTP/1.1 requests in what went over a connection, each as it was; all of them say Content-Length."""
    requests: list[bytes] = []
    while True:
        head, blank, rest = asked.partition(b"\r\n\r\n")
        if not blank:
            return requests
        lengths = [
            int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        ]
        length = lengths[0] if lengths else 0
        if len(rest) < length:
            return requests
        requests.append(head + blank + rest[:length])
        asked = rest[length:]
