"""The wire client against a tiny server: what it sends, what it accepts, what it refuses to overlook."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from load_tests.beat_lines import BeatLines
from load_tests.http_client import Address, Answer, UnexpectedAnswerError, call, parse_answer
from load_tests.public_interface import Gateway, Ledger

Stub = Callable[[Callable[[bytes], bytes]], AbstractAsyncContextManager[tuple[Address, list[bytes]]]]
Run = Callable[[Callable[[], Awaitable[None]]], None]

NO_CONTENT = b"HTTP/1.1 204 No Content\r\nTurnout-Interval: 30\r\n\r\n"
PROBLEM = b'HTTP/1.1 410 Gone\r\nContent-Length: 26\r\n\r\n{"reason":"token_expired"}'


def test_every_heartbeat_arrives_once_and_is_answered(run: Run, stub: Stub) -> None:
    async def scenario() -> None:
        async with stub(lambda _: NO_CONTENT) as (address, asked), BeatLines(address, 4) as lines:
            gateway = Gateway(address, "e")
            sent = [gateway.beat_request(f"token{number}", "pbae"[number % 4]) for number in range(1000)]
            await lines.deliver(sent)
            await lines.deliver(sent[:1])
            await lines.deliver([])
            assert sorted(asked) == sorted([*sent, sent[0]])

    run(scenario)


def test_a_heartbeat_is_the_token_and_a_state_letter_unless_it_is_playing() -> None:
    gateway = Gateway(Address("127.0.0.1", 8080), "e")
    assert gateway.beat_request("TOKEN") == (
        b"POST /v1/beat HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: text/plain;charset=UTF-8\r\n"
        b"Content-Length: 5\r\n\r\nTOKEN"
    )
    assert gateway.beat_request("TOKEN", "a").endswith(b"Content-Length: 7\r\n\r\nTOKEN a")
    assert gateway.leave_request("TOKEN").startswith(b"POST /v1/leave HTTP/1.1\r\n")


@pytest.mark.parametrize("bad", [0, 17, 63, 99])
def test_one_answer_that_is_no_204_is_shown_with_its_request_and_body(bad: int, run: Run, stub: Stub) -> None:
    def answer(request: bytes) -> bytes:
        return PROBLEM if request.endswith(f"token{bad}".encode()) else NO_CONTENT

    async def scenario() -> None:
        async with stub(answer) as (address, _), BeatLines(address, 1) as lines:
            requests = [Gateway(address, "e").beat_request(f"token{number}") for number in range(100)]
            with pytest.raises(UnexpectedAnswerError, match=r"POST /v1/beat.*410.*token_expired"):
                await lines.deliver(requests)

    run(scenario)


def test_an_answer_of_200_is_not_taken_for_a_204(run: Run, stub: Stub) -> None:
    async def scenario() -> None:
        async with (
            stub(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (address, _),
            BeatLines(address, 1) as lines,
        ):
            with pytest.raises(UnexpectedAnswerError) as caught:
                await lines.deliver([Gateway(address, "e").beat_request("t")])
            assert caught.value.status == 200

    run(scenario)


def hang_up(_: bytes) -> bytes:
    return b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def test_a_connection_that_the_server_closed_while_idle_is_opened_again(run: Run, stub: Stub) -> None:
    async def scenario() -> None:
        async with stub(hang_up) as (address, asked), BeatLines(address, 1) as lines:
            request = Gateway(address, "e").beat_request("t")
            await lines.deliver([request])
            await call(address, "GET", "/")  # by then the close has arrived
            await lines.deliver([request])
            assert asked.count(request) == 2

    run(scenario)


def test_a_connection_that_is_cut_with_heartbeats_in_flight_is_an_error(run: Run, stub: Stub) -> None:
    async def scenario() -> None:
        async with stub(hang_up) as (address, _), BeatLines(address, 1) as lines:
            request = Gateway(address, "e").beat_request("t")
            with pytest.raises(ConnectionError):
                await lines.deliver([request, request[:-1]])  # the second never becomes whole

    run(scenario)


def test_join_returns_the_token_and_sends_the_outlet(run: Run, stub: Stub) -> None:
    body = b'{"token":"TOKEN","interval_s":30}'
    answer = b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def scenario() -> None:
        async with stub(lambda _: answer) as (address, asked):
            gateway = Gateway(address, "e")
            assert await gateway.join("opening", "JWT", "city-desk") == "TOKEN"
            assert asked[0].startswith(b"POST /v1/events/e/sessions/opening/join?outlet=city-desk HTTP/1.1\r\n")
            assert b"\r\nAuthorization: Bearer JWT\r\n" in asked[0]

    run(scenario)


def test_a_refused_join_says_why(run: Run, stub: Stub) -> None:
    async def scenario() -> None:
        async with stub(lambda _: PROBLEM) as (address, _):
            with pytest.raises(UnexpectedAnswerError, match="token_expired"):
                await Gateway(address, "e").join("opening", "JWT")

    run(scenario)


def test_check_in_outcomes_must_be_those_of_the_scans_that_were_sent(run: Run, stub: Stub) -> None:
    body = b'{"outcomes":[{"nonce":"other","outcome":"accepted"}]}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def scenario() -> None:
        async with stub(lambda _: answer) as (address, _):
            gateway = Gateway(address, "e")
            assert (await gateway.check_in([{"nonce": "other"}], "key"))[0]["outcome"] == "accepted"
            with pytest.raises(UnexpectedAnswerError):
                await gateway.check_in([{"nonce": "mine"}], "key")

    run(scenario)


def test_the_clock_is_set_with_the_organisers_key(run: Run, stub: Stub) -> None:
    async def scenario() -> None:
        async with stub(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (address, asked):
            await Ledger(address, "e", "KEY").set_clock("2023-11-19T09:00:00+08:00")
            assert asked[0].startswith(b"POST /v1/simulation/clock HTTP/1.1\r\n")
            assert b"Bearer KEY" in asked[0]
            assert asked[0].endswith(b'{"now": "2023-11-19T09:00:00+08:00"}')

    run(scenario)


def test_a_call_to_nobody_is_a_connection_error(run: Run, stub: Stub) -> None:
    async def scenario() -> None:
        async with stub(lambda _: b"") as (address, _):
            pass
        with pytest.raises(OSError):  # noqa: PT011 - the kernel's words differ
            await call(address, "GET", "/")

    run(scenario)


@pytest.mark.parametrize(
    ("received", "ended", "expected"),
    [
        (NO_CONTENT + b"HTTP", False, (204, b"", len(NO_CONTENT))),
        (PROBLEM, False, (410, b'{"reason":"token_expired"}', len(PROBLEM))),
        (PROBLEM[:-1], False, None),
        (PROBLEM[:20], False, None),
        (b"HTTP/1.1 200 OK\r\n\r\nrest", False, None),
        (b"HTTP/1.1 200 OK\r\n\r\nrest", True, (200, b"rest", 23)),
    ],
)
def test_answers_are_read_whole_or_not_at_all(
    received: bytes, ended: bool, expected: tuple[int, bytes, int] | None
) -> None:
    parsed = parse_answer(received, ended=ended)
    if expected is None:
        assert parsed is None
    else:
        assert parsed is not None
        answer, length = parsed
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body, length) == expected


def test_what_is_not_http_is_an_error() -> None:
    with pytest.raises(ValueError, match="not an HTTP answer"):
        parse_answer(b"SSH-2.0-OpenSSH\r\n\r\n")


def test_an_address_needs_a_host_and_a_port() -> None:
    assert Address.of("http://127.0.0.1:8080/x") == Address("127.0.0.1", 8080)
    for url in ("https://a:1", "http://a", "127.0.0.1:80"):
        with pytest.raises(ValueError, match="not an http URL"):
            Address.of(url)


def test_one_core_sends_at_least_thirty_thousand_heartbeats_a_second(run: Run) -> None:
    """The client alone: a transport that answers at once takes the place of the kernel and the server."""

    async def scenario() -> None:
        from load_tests.beat_lines import BURST, BeatLine  # noqa: PLC0415 - this test alone looks inside

        class Echo(asyncio.Transport):
            def __init__(self, line: BeatLine) -> None:
                super().__init__()
                self._line = line

            def is_closing(self) -> bool:
                return False

            def write(self, data: bytes | bytearray | memoryview) -> None:
                answers = NO_CONTENT * bytes(data).count(b"POST")
                asyncio.get_running_loop().call_soon(self._line.data_received, answers)

        line = BeatLine()
        line.connection_made(Echo(line))
        requests = [Gateway(Address("127.0.0.1", 1), "e").beat_request("t" * 88)] * (BURST * 200)
        started = time.process_time()
        await line.deliver(requests)
        assert len(requests) / (time.process_time() - started) > 30_000

    run(scenario)
