"""One virtual player against a tiny server: what it does when it is let in, told to wait, refused, cut off."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from load_tests.acknowledgements import Acknowledgements
from load_tests.audience import Ending
from load_tests.http_client import Address
from load_tests.itineraries import Itinerary, Stretch
from load_tests.player_line import now
from load_tests.scenario import ProgrammeItem
from load_tests.virtual_player import GUARD_S, Run, VirtualPlayer, guarded
from tests.gateway.commands import CERTAIN_S

Stub = Callable[[Callable[[bytes], bytes]], AbstractAsyncContextManager[tuple[Address, list[bytes]]]]
RunLoop = Callable[[Callable[[], Awaitable[None]]], None]

NO_CONTENT = b"HTTP/1.1 204 No Content\r\nTurnout-Interval: 0.1\r\n\r\n"
BODY = b'{"token":"TOKEN","interval_s":5}'
CREATED = b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
SLACK_S = 0.05


@pytest.fixture(autouse=True)
def no_minute_is_near_its_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a heartbeat waits for the next minute would depend on when the tests run."""
    monkeypatch.setattr("load_tests.virtual_player.guarded", lambda at, _: at)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(CERTAIN_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is a count
            await asyncio.sleep(0.02)


def accepting(request: bytes) -> bytes:
    return CREATED if b"/join " in request else NO_CONTENT


def stretch(lasts_s: float, *, joins_at: float = 0.0, place: int = 0, with_ticket: bool = True,
            ending: Ending = Ending.LEAVE) -> Stretch:  # fmt: skip
    return Stretch(place, joins_at, joins_at + lasts_s, (0.0, 0.0), (0.0, 0.0), ending, with_ticket)


def a_run(address: Address, lasts_s: float = 20.0) -> Run:
    item = ProgrammeItem(number=7, id="opening", title="", starts_at=0, ends_at=1, gates=(), day="")
    other = ProgrammeItem(number=9, id="forum", title="", starts_at=0, ends_at=1, gates=(), day="")
    started_at = now()
    return Run(
        gateway=address,
        event="e",
        sessions=(item, other),
        tickets=("JWT",),
        interval_s=1,
        started_at=started_at,
        ends_at=started_at + lasts_s,
        clock_slack_s=SLACK_S,
        acknowledged=Acknowledgements(SLACK_S),
        back_within_s=0.05,
    )


async def play(run: Run, *stretches: Stretch) -> VirtualPlayer:
    player = VirtualPlayer(Itinerary(0, 0, stretches), run, seed=1)
    await player.play()
    return player


def views(run: Run) -> list[tuple[int, int]]:
    return [(person, session) for _, person, session in run.acknowledged._views]


def test_it_joins_with_its_ticket_beats_and_says_goodbye(run: RunLoop, stub: Stub) -> None:
    async def scenario() -> None:
        async with stub(accepting) as (address, asked):
            shared = a_run(address)
            await play(shared, stretch(1.5))
            assert asked[0].startswith(b"POST /v1/events/e/sessions/opening/join HTTP/1.1\r\n")
            assert b"\r\nAuthorization: Bearer JWT\r\n" in asked[0]
            assert all(request.endswith(b"\r\n\r\nTOKEN") for request in asked[1:])
            assert asked[-1].startswith(b"POST /v1/leave ")
            assert shared.tally["heartbeats"] == len(asked) - 2 >= 2
            assert shared.heartbeats.count == shared.tally["heartbeats"]
            assert shared.tally["goodbyes"] == 1
            assert views(shared) == [(0, 7)]
            assert {sighting[:2] for sighting in shared.acknowledged._certain} == {(0, 7)}
            assert not shared.unexpected

    run(scenario)


def test_told_to_wait_it_comes_again_until_it_is_in(run: RunLoop, stub: Stub) -> None:
    answers = [BUSY, BUSY]

    def answer(request: bytes) -> bytes:
        return answers.pop() if b"/join " in request and answers else accepting(request)

    async def scenario() -> None:
        async with stub(answer) as (address, _):
            shared = a_run(address)
            await play(shared, stretch(0.1))
            assert shared.tally["joins told to wait"] == 2
            assert shared.tally["players let in after a wait"] == 1
            assert shared.tally["heartbeats"] >= 1
            assert views(shared) == [(0, 7)]

    run(scenario)


def test_a_warm_player_is_connected_before_it_joins(run: RunLoop, stub: Stub) -> None:
    async def scenario() -> None:
        async with stub(accepting) as (address, asked):
            shared = a_run(address)
            shared.warm_s = 19.0
            playing = asyncio.create_task(play(shared, stretch(0.1, joins_at=19.0)))
            await until(lambda: shared.tally["connections"] == 1)
            assert asked == []
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    run(scenario)


def test_never_let_in_is_said(run: RunLoop, stub: Stub) -> None:
    async def scenario() -> None:
        async with stub(lambda _: BUSY) as (address, _):
            shared = a_run(address, lasts_s=0.5)
            await play(shared, stretch(0.1), stretch(0.1, joins_at=0.2))
            assert shared.tally["players never let in"] == 1
            assert views(shared) == []

    run(scenario)


def test_a_refused_token_is_replaced_with_the_ticket(run: RunLoop, stub: Stub) -> None:
    answers = [GONE]

    def answer(request: bytes) -> bytes:
        return answers.pop() if b"/v1/beat " in request and answers else accepting(request)

    async def scenario() -> None:
        async with stub(answer) as (address, asked):
            shared = a_run(address)
            await play(shared, stretch(1.5))
            assert shared.tally["tokens refused"] == 1
            assert sum(b"Bearer JWT" in request for request in asked) == 2
            assert views(shared) == [(0, 7), (0, 7)]

    run(scenario)


def test_a_token_that_no_longer_opens_a_session_is_replaced_with_the_ticket(run: RunLoop, stub: Stub) -> None:
    def answer(request: bytes) -> bytes:
        return GONE if b"Bearer TOKEN" in request else accepting(request)

    async def scenario() -> None:
        async with stub(answer) as (address, _):
            shared = a_run(address, lasts_s=6.0)
            await play(shared, stretch(0.1), stretch(0.1, joins_at=0.2, with_ticket=False))
            assert shared.tally["tokens refused"] == 1
            assert shared.tally["joins with a ticket"] == 2
            assert views(shared) == [(0, 7), (0, 7)]

    run(scenario)


def test_coming_back_with_the_token_is_the_same_view_and_going_on_to_another_session_is_not(
    run: RunLoop, stub: Stub
) -> None:
    async def scenario() -> None:
        async with stub(accepting) as (address, asked):
            shared = a_run(address)
            token = {"with_ticket": False}
            await play(
                shared,
                stretch(0.1),
                stretch(0.1, joins_at=0.2, **token),  # type: ignore[arg-type]
                stretch(0.1, joins_at=0.4, place=1, **token),  # type: ignore[arg-type]
                stretch(0.1, joins_at=0.6, place=1, with_ticket=True),
            )
            assert views(shared) == [(0, 7), (0, 9), (0, 9)]
            assert sum(b"Bearer TOKEN" in request for request in asked) == 2

    run(scenario)


def test_a_player_that_was_cut_off_beats_again_soon_instead_of_waiting_for_its_interval(
    run: RunLoop, stub: Stub
) -> None:
    slow = NO_CONTENT.replace(b"0.1", b"60")

    async def scenario() -> None:
        async with stub(lambda request: CREATED if b"/join " in request else slow) as (address, asked):
            shared = a_run(address)
            player = VirtualPlayer(Itinerary(0, 0, (stretch(19.0),)), shared, seed=1)
            playing = asyncio.create_task(player.play())
            await until(lambda: shared.tally["heartbeats"] == 1)
            player.cut()
            await until(lambda: shared.tally["heartbeats"] == 2)  # and not after a minute
            assert shared.tally["connections lost"] == 1
            assert sum(b"/v1/beat " in request for request in asked) == 2
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    run(scenario)


def test_a_heartbeat_whose_connection_breaks_is_known_to_be_uncertain(run: RunLoop, stub: Stub) -> None:
    answers = [b"Connection: close"]  # the stub hangs up without an answer

    def answer(request: bytes) -> bytes:
        return answers.pop() if b"/v1/beat " in request and answers else accepting(request)

    async def scenario() -> None:
        async with stub(answer) as (address, _):
            shared = a_run(address)
            await play(shared, stretch(1.5))
            assert shared.acknowledged.unanswered == 1
            assert shared.tally["broken heartbeats out of the blue"] == 1
            assert shared.tally["heartbeats"] >= 1

    run(scenario)


def test_an_answer_that_nobody_expects_ends_the_player_and_is_shown(run: RunLoop, stub: Stub) -> None:
    teapot = b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 5\r\n\r\nshort"

    async def scenario() -> None:
        async with stub(lambda request: CREATED if b"/join " in request else teapot) as (address, _):
            shared = a_run(address)
            await play(shared, stretch(1.5), stretch(1.0, joins_at=2.0))
            assert shared.tally["unexpected answers"] == 1
            assert shared.unexpected == ["POST /v1/beat was answered 418: short"]

    run(scenario)


def test_no_heartbeat_is_scheduled_shortly_before_a_minutes_edge() -> None:
    for tenth in range(600):
        at = 1_763_728_020 + tenth / 10
        moved = guarded(at, SLACK_S)
        assert at <= moved < at + 1.2
        assert (moved + SLACK_S) // 60 == (moved - SLACK_S) // 60 == (moved + GUARD_S) // 60
