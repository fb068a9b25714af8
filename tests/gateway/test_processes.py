"""What Turnout's processes have in common."""

import asyncio
import resource
import socket
import subprocess
import sys

from gateway import processes
from tests.gateway.commands import CERTAIN_S


def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    async def run() -> int:
        swallowed = 0

        async def stubborn() -> None:
            nonlocal swallowed
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    swallowed += 1
                    if swallowed == 2:
                        raise

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await asyncio.wait_for(processes.end_tasks([task]), CERTAIN_S)
        return swallowed

    assert asyncio.run(run()) == 2


def test_a_worker_may_open_as_many_files_as_the_system_lets_it() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard})); "
    look = "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    # An empty configuration ends a worker before it serves, after it has set itself up.
    work = "import contextlib, gateway.worker\nwith contextlib.suppress(ValueError): gateway.worker.main()\n"
    done = subprocess.run(
        [sys.executable, "-c", limits + work + look], input="\n", capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == hard


WAITS_FOR_ITS_PARENT = """
import asyncio, os
from gateway.processes import stop_when_told

async def wait() -> None:
    stopping = asyncio.Event()
    stop_when_told(stopping, with_parent=True)
    os.write(0, b"unread")
    os.write(1, b".")
    await stopping.wait()

asyncio.run(wait())
"""


def test_a_process_ends_with_a_parent_that_has_not_read_everything() -> None:
    """The kernel then says "connection reset" in place of the end: a worker would live on, and hold its window."""
    ours, its = socket.socketpair()
    with subprocess.Popen(
        [sys.executable, "-c", WAITS_FOR_ITS_PARENT], stdin=its.fileno(), stdout=subprocess.PIPE
    ) as process:
        its.close()
        assert process.stdout is not None
        assert process.stdout.read(1) == b"."
        ours.close()
        assert process.wait(CERTAIN_S) == 0
