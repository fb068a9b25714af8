"""The crowd: all virtual players of a run at once in one event loop, and what happens to their connections."""

import asyncio
from collections.abc import Callable
from typing import Final

from load_tests.crowd_scenario import CUT, CrowdScenario, Disturbance
from load_tests.itineraries import Schedule
from load_tests.player_line import now
from load_tests.virtual_player import Run, VirtualPlayer

CALM_S: Final = 15.0
"""So long after a disturbance broken connections are its doing: a killed worker is back within a few seconds."""
OVERTIME_S: Final = 40.0
"""A player gets so long after the end of the run for the answer that it waits for; then it is stopped."""


async def let_them_in(schedule: Schedule, run: Run, scenario: CrowdScenario, kill_workers: Callable[[], None]) -> None:
    """Let every player do what it intends, and disturb them as the scenario says; returns when all are done.

    Args:
        schedule: who does what when.
        run: what the players share; it is filled.
        scenario: with the disturbances.
        kill_workers: kills the gateway's workers.
    """
    players = [VirtualPlayer(itinerary, run, scenario.seed) for itinerary in schedule.itineraries]
    disturbing = [asyncio.create_task(_disturb(one, run, players, kill_workers)) for one in scenario.disturbances]
    playing = [asyncio.create_task(player.play()) for player in players]
    try:
        done, _ = await asyncio.wait(playing, timeout=run.ends_at - now() + OVERTIME_S)
        for task in done:
            task.result()  # a fault of the load generator itself is no result of the load test
    finally:
        for task in (*playing, *disturbing):
            task.cancel()
        faults = await asyncio.gather(*disturbing, return_exceptions=True)
        await asyncio.gather(*playing, return_exceptions=True)
        await asyncio.sleep(0.1)  # uvloop's loop.close() hangs on connections that it has not yet closed
    for fault in faults:
        if isinstance(fault, Exception):
            raise fault


async def _disturb(one: Disturbance, run: Run, players: list[VirtualPlayer], kill_workers: Callable[[], None]) -> None:
    await asyncio.sleep(run.started_at + one.at_s - now())
    run.back_within_s = one.back_within_s
    run.disturbed_until = now() + CALM_S
    run.tally[f"disturbances: {one.kind}"] += 1
    if one.kind == CUT:
        for player in players:
            player.cut()
    else:
        kill_workers()
