"""What Turnout's processes have in common."""

import asyncio
import resource
import subprocess
import sys

from gateway import processes


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
        await asyncio.wait_for(processes.end_tasks([task]), 10)
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
