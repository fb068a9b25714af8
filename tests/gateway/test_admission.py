"""Admission: a rush is refused in part, what was let in is finished, and others have their turn in between."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission import ACCOUNT_S, AT_ONCE_LIMIT, JOIN_S, SPREAD_S, TURN_JOINS, Admission, ComeBack
from gateway.problems import Refused
from gateway.reasons import Reason
from load_tests.herd import SpreadRetry


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
    assert told == set(range(1, SPREAD_S[0] + 1)), "the herd would come back as one"


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


def test_the_larger_the_rush_the_longer_those_refused_are_spread_and_then_it_is_over() -> None:
    async def told(admission: Admission, players: int) -> int:
        _, refused = await rush(admission, players, at_once)
        return max(refusal.retry_after_s for refusal in refused)

    async def scenario() -> tuple[int, int, int]:
        watch = Watch()
        admission = Admission(watch)
        first = await told(admission, 21 * AT_ONCE_LIMIT)
        watch.at += ACCOUNT_S
        second = await told(admission, 11 * AT_ONCE_LIMIT)
        watch.at += 10 * SPREAD_S[1]
        return first, second, await told(admission, 2 * AT_ONCE_LIMIT)

    # 20 were refused for 1 who was let in: 20/1.2 = 17 s.
    assert asyncio.run(scenario()) == (SPREAD_S[0], 17, SPREAD_S[0])


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 100_000)), max_size=40))
def test_the_rule_is_the_one_that_the_herds_were_played_against(seconds: list[tuple[int, int]]) -> None:
    rule, played = ComeBack(), SpreadRetry(SPREAD_S[1])
    for taken, refused in seconds:
        rule.account(taken, refused)
        played.account(taken, refused)
        assert rule.spread_s == played.most_s
        assert played.least_s <= rule.retry_after_s() <= played.most_s
