"""What Turnout's processes have in common: they end with their parent, and say where they can be reached."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import threading
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from gateway.stopping import LEDGER_ENDS_S

CANCEL_AGAIN_S: Final = 0.5
KEEP_ALIVE_S: Final = 90.0
"""A connection that brings no whole head for this long is closed; aiohttp's own limit is an hour. It is longer than the
minute between two checkpoints, so that a ledger's connection to its witnesses lasts."""


def allow_many_files() -> None:
    """Let this process open as many files as it may: each viewer's connection is one, and the usual limit is 1,024."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stop_when_told(stopping: asyncio.Event, *, with_parent: bool) -> None:
    """Set `stopping` on SIGTERM and SIGINT, and, if a parent started us with a pipe, when that closes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    if with_parent:
        _stop_with_parent(stopping)


def _stop_with_parent(stopping: asyncio.Event) -> None:
    """Set `stopping` when standard input closes: for a process that a parent started with a pipe.

    A parent that was killed cannot send a signal; but its end of the pipe closes.
    """
    loop = asyncio.get_running_loop()

    def watch() -> None:
        # The bare descriptor: a buffered reader that waits in a daemon thread would block the interpreter's end.
        # A parent that dies with something unread leaves an error in place of an end.
        with contextlib.suppress(ConnectionResetError):
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            loop.call_soon_threadsafe(stopping.set)

    threading.Thread(target=watch, daemon=True).start()


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: a cancellation that meets an answer in the same moment can be swallowed on the way up, by
    `asyncio.wait_for` of Python 3.11 or a client library, and the task then goes on as if nothing had been said.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


def write_json(path: Path, document: Any) -> None:
    """Write a file that is either the old or the new document, never half of one."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(document, indent=1) + "\n")
    fresh.rename(path)


async def serve_http(application: web.Application, address: tuple[str, int] | socket.socket) -> web.AppRunner:
    """Serve an application at (host, port; 0 = a free one) or on a socket; neither silent nor hanging clients keep it.

    Returns:
        What is to be cleaned up in the end; `address_of` says where it is.

    Raises:
        OSError: the port is in use.
    """
    runner = web.AppRunner(
        application, access_log=None, handle_signals=False, keepalive_timeout=KEEP_ALIVE_S,
        shutdown_timeout=LEDGER_ENDS_S,
    )  # fmt: skip
    await runner.setup()
    site = web.SockSite(runner, address) if isinstance(address, socket.socket) else web.TCPSite(runner, *address)
    await site.start()
    return runner


def address_of(runner: web.AppRunner) -> str:
    """Return where an application is served: "http://127.0.0.1:8080"."""
    return "http://{}:{}".format(*runner.addresses[0][:2])


async def first_of(*waited_for: Awaitable[object]) -> None:
    """Wait until one of these is over; tasks among them go on, the rest is cancelled."""
    tasks = [asyncio.ensure_future(one) for one in waited_for]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, one in zip(tasks, waited_for, strict=True):
        if task is not one:
            task.cancel()
