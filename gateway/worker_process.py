"""One worker as its supervisor sees it: a process that says how it is, and can be told to move on or to stop."""

import asyncio
import contextlib
import signal
import socket
import sys

from gateway.worker_config import MOVE_ON, WorkerConfig
from gateway.worker_line import WorkerHeard, WorkerState


class WorkerProcess:
    """One worker, from its start to its end. Owned by the supervisor's event loop."""

    def __init__(self, process: asyncio.subprocess.Process, line: asyncio.StreamWriter) -> None:
        """Use `start`."""
        self._process = process
        self._line = line
        self.heard = WorkerHeard()
        self.replaced = False
        """Whether it was told to move on: another has its place."""
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None]

    @classmethod
    async def start(cls, config: WorkerConfig) -> "WorkerProcess":
        """Start a worker; it inherits the listening socket that its configuration names.

        Raises:
            OSError: the host has no room for another process.
        """
        ours, its = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.worker", stdin=its.fileno(), pass_fds=[config.listen_fd]
            )
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()  # one that was started meanwhile takes it for the supervisor's end, and ends as well
            raise
        finally:
            its.close()
        worker = cls(process, writer)
        worker._listening = asyncio.create_task(worker._listen(reader))
        writer.write(config.start_line())
        # One that dies at once does not read it; how it ended is seen by whoever waits for it.
        with contextlib.suppress(OSError):
            await writer.drain()
        return worker

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.heard.hear(line)
                self._news.set()
        await self._process.wait()
        self._line.close()
        self._news.set()

    @property
    def state(self) -> WorkerState:
        """What it said last."""
        return self.heard.state

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def serving(self) -> bool:
        """Whether it accepts connections."""
        return self.running and self.state.serving and not self.replaced

    async def until_serving(self) -> bool:
        """Wait until it accepts connections; False: it ended before."""
        while self.running and not self.state.serving:
            self._news.clear()
            await self._news.wait()
        return self.running

    async def ended(self) -> int:
        """Wait until it has ended, and all that it said was heard; return its exit code."""
        await asyncio.shield(self._listening)
        return await self._process.wait()

    def move_on(self) -> None:
        """Tell it that another has its place: it sends its players there, one by one, and then stops."""
        self.replaced = True
        self._signal(MOVE_ON)

    def stop(self) -> None:
        """Tell it to stop."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; what it accepted is in its spool."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
