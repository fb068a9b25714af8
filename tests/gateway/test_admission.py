"""Admission: a rush is refused in part, what was let in is finished, and others have their turn in between."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.admission import ACCOUNT_S, AT_ONCE_LIMIT, JOIN_S, RETRY_MEAN_S, RETRY_SPREAD, TURN_JOINS, Admission
from gateway.problems import Refused
from gateway.reasons import Reason


class Watch:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


async def rush(
    admission: Admission, players: int, join: Callable[[], Awaitable[Any]]
) -> tuple[list[Any], list[Refused]]:
    """Let so many players ask at once; returns what those who were let in got, and the refusals."""
    outcomes = await asyncio.gather(*(admission.admit(join) for _ in range(players)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)], refused


async def at_once() -> str:
    return "in"


def test_a_rush_is_let_in_up_to_the_limit_and_the_rest_is_told_when_to_come_back() -> None:
    granted, refused = asyncio.run(rush(Admission(), 3 * AT_ONCE_LIMIT, at_once))
    assert len(granted) == AT_ONCE_LIMIT
    assert len(refused) == 2 * AT_ONCE_LIMIT
    assert {refusal.reason for refusal in refused} == {Reason.TOO_MANY_JOINS}
    told = {refusal.retry_after_s for refusal in refused}
    mean_s = RETRY_MEAN_S[0]
    assert min(told) >= mean_s * (1 - RETRY_SPREAD)
    assert max(told) <= mean_s * (1 + RETRY_SPREAD)
    assert len(told) > 3, "the herd would come back as one"


def test_after_a_rush_there_is_room_again_also_when_joins_failed_or_players_left() -> None:
    async def scenario() -> None:
        admission = Admission()

        async def fails() -> None:
            raise Refused(Reason.TICKET_FORGED)

        await rush(admission, AT_ONCE_LIMIT, fails)
        gone = [asyncio.ensure_future(admission.admit(at_once)) for _ in range(AT_ONCE_LIMIT)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        granted, refused = await rush(admission, AT_ONCE_LIMIT, at_once)
        assert (len(granted), refused) == (AT_ONCE_LIMIT, [])

    asyncio.run(scenario())


def test_between_two_turns_everybody_else_has_theirs() -> None:
    """A heartbeat waits for one turn of joins at most, however many are waiting."""

    async def scenario() -> list[int]:
        admission, begun, gaps = Admission(Watch()), 0, list[int]()

        async def join() -> None:
            nonlocal begun
            begun += 1

        joins = [asyncio.ensure_future(admission.admit(join)) for _ in range(AT_ONCE_LIMIT)]
        while not all(task.done() for task in joins):
            before = begun
            await asyncio.sleep(0)
            gaps.append(begun - before)
        return gaps

    gaps = asyncio.run(scenario())
    assert sum(gaps) == AT_ONCE_LIMIT
    assert max(gaps) == TURN_JOINS[0]


def test_joins_get_as_much_of_the_loops_time_as_all_else_but_never_too_many_at_once() -> None:
    async def scenario(elsewhere_s: float) -> int:
        watch = Watch()
        admission, begun = Admission(watch), 0

        async def join() -> None:
            nonlocal begun
            begun += 1

        joins = [asyncio.ensure_future(admission.admit(join)) for _ in range(AT_ONCE_LIMIT)]
        before = most = 0
        while not all(task.done() for task in joins):
            watch.at += elsewhere_s + (begun - before) * JOIN_S
            before = begun
            await asyncio.sleep(0)
            most = max(most, begun - before)
        return most

    fewest, most = TURN_JOINS
    assert asyncio.run(scenario(0.0)) == fewest
    assert abs(asyncio.run(scenario(30 * JOIN_S)) - 30) <= 1
    assert asyncio.run(scenario(1.0)) == most


@pytest.mark.parametrize(("times", "mean_s"), [(2, 10), (3, 15), (1000, 60)])
def test_who_is_refused_comes_back_at_the_rate_at_which_players_can_be_let_in(times: int, mean_s: float) -> None:
    async def scenario() -> set[int]:
        watch = Watch()
        admission = Admission(watch)
        await rush(admission, times * AT_ONCE_LIMIT, at_once)
        watch.at += ACCOUNT_S
        _, refused = await rush(admission, 2 * AT_ONCE_LIMIT, at_once)
        return {refusal.retry_after_s for refusal in refused}

    told = asyncio.run(scenario())
    assert min(told) >= round(mean_s * (1 - RETRY_SPREAD))
    assert max(told) <= round(mean_s * (1 + RETRY_SPREAD))
    assert max(told) > mean_s * (1 + RETRY_SPREAD / 2)


def test_a_quiet_second_halves_the_wait() -> None:
    async def scenario() -> int:
        watch = Watch()
        admission = Admission(watch)
        await rush(admission, 20 * AT_ONCE_LIMIT, at_once)
        for _ in range(6):
            watch.at += ACCOUNT_S
            await rush(admission, 1, at_once)
        _, refused = await rush(admission, 2 * AT_ONCE_LIMIT, at_once)
        return max(refusal.retry_after_s for refusal in refused)

    assert asyncio.run(scenario()) <= round(RETRY_MEAN_S[0] * (1 + RETRY_SPREAD))
