"""What Turnout's processes have in common."""

import asyncio

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
