"""The link to a Redis: every pipeline gets its own replies, or one exception; whatever became of the one before it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis
import pytest

from counters.redis_link import RedisLink, Refusal, ServerFacts
from deploy.embedded_redis import EmbeddedRedis, Role
from tests.gateway.commands import CERTAIN_S

StartRedis = Callable[[Role], EmbeddedRedis]
PING = ("PING",)


class AwayError(Exception):
    """What failures are raised as here."""


def with_link(url: str, test: Callable[[RedisLink], Awaitable[None]], timeout_s: float = CERTAIN_S) -> None:
    async def run() -> None:
        link = RedisLink(url, timeout_s, AwayError)
        try:
            await test(link)
        finally:
            await link.close()

    asyncio.run(run())


def test_replies_come_in_the_order_of_the_commands_and_a_refused_one_is_a_refusal(redis_url: str) -> None:
    async def test(link: RedisLink) -> None:
        key = b"link \x00\r\n$3"
        replies = await link.run([("SET", key, 7), ("HGET", key, "f"), ("GET", key), ("GET", "nothing")])
        assert replies == [
            b"OK",
            Refusal("WRONGTYPE Operation against a key holding the wrong kind of value"),
            b"7",
            None,
        ]
        assert await link.run([]) == []
        with pytest.raises(AwayError, match="WRONGTYPE"):
            await link.send([PING, ("HGET", key, "f")])
        assert isinstance(await link.server_facts(), ServerFacts)

    with_link(redis_url, test)


def test_pipelines_that_are_asked_for_at_once_take_turns(redis_url: str) -> None:
    async def test(link: RedisLink) -> None:
        asked = [[("ECHO", f"{line} {n}") for n in range(50)] for line in range(20)]
        replies = await asyncio.gather(*map(link.run, asked))
        assert replies == [[word.encode() for _, word in commands] for commands in asked]

    with_link(redis_url, test)


def test_a_pipeline_larger_than_any_buffer_arrives(redis_url: str) -> None:
    async def test(link: RedisLink) -> None:
        megabytes = [os.urandom(1 << 20) for _ in range(8)]
        assert await link.run([("ECHO", megabyte) for megabyte in megabytes]) == megabytes

    with_link(redis_url, test)


def test_a_server_that_was_replaced_between_two_pipelines_is_connected_to_again(start_redis: StartRedis) -> None:
    server = start_redis(Role.REGISTRY)

    async def test(link: RedisLink) -> None:
        await link.run([("SET", "a", 1)])
        server.stop()
        server.start()
        assert await link.run([("GET", "a")]) == [b"1"]

    with_link(server.url, test)


def test_password_and_database_are_those_of_the_url(start_redis: StartRedis) -> None:
    server = start_redis(Role.REGISTRY)
    path = server.url.removeprefix("unix://")

    async def protect(link: RedisLink) -> None:
        await link.send([("SELECT", 3), ("SET", "where", "3"), ("CONFIG", "SET", "requirepass", "s3cret/@")])

    async def read(link: RedisLink) -> None:
        assert await link.run([("GET", "where")]) == [b"3"]

    async def shut_out(link: RedisLink) -> None:
        with pytest.raises(AwayError, match=r"Authentication|password"):
            await link.send([PING])

    with_link(server.url, protect)
    with_link(f"unix://:s3cret%2F%40@{path}?db=3", read)

    async def open_up(link: RedisLink) -> None:
        await link.send([("CONFIG", "SET", "requirepass", "")])

    with_link(f"unix://:wrong@{path}", shut_out)
    with_link(server.url, shut_out)
    with_link(f"unix://:s3cret%2F%40@{path}", open_up)  # otherwise it can only be killed, after ten seconds


def test_a_pipeline_given_up_leaves_no_reply_to_the_next(start_redis: StartRedis) -> None:
    server = start_redis(Role.REGISTRY)

    async def test(link: RedisLink) -> None:
        await link.run([PING])
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            waiting = asyncio.create_task(link.run([("ECHO", "old"), ("ECHO", "old")]))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert await link.run([("ECHO", "new")]) == [b"new"]

    with_link(server.url, test)


@asynccontextmanager
async def slow_to_greet(path: str) -> AsyncIterator[None]:
    """A server that says nothing to its first client until that one asks for ECHO; to others it answers at once."""
    clients = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal clients
        clients += 1
        silent = clients == 1
        parser, owed = hiredis.Reader(), b""
        while data := await reader.read(65536):
            parser.feed(data)
            while command := parser.gets():
                echo = command[0] == b"ECHO"
                owed += b"$%d\r\n%s\r\n" % (len(command[1]), command[1]) if echo else b"+OK\r\n"
                if echo or not silent:
                    writer.write(owed)
                    owed = b""
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        server.close()


def test_a_greeting_given_up_is_begun_anew(tmp_path: Path) -> None:
    path = f"{tmp_path}/slow"

    async def run() -> None:
        async with slow_to_greet(path):
            link = RedisLink(f"unix://{path}", 0.2, AwayError)
            with pytest.raises(AwayError, match=r"within 0\.2 s"):
                await link.run([("ECHO", "first")])
            answer: list[Any] = []
            async with asyncio.timeout(CERTAIN_S):
                while not answer:
                    with contextlib.suppress(AwayError):  # a machine that stands still
                        answer = await link.run([("ECHO", "second")])
            assert answer == [b"second"]
            await link.close()

    asyncio.run(run())


def test_nobody_there_is_the_exception_that_was_asked_for(tmp_path: Path) -> None:
    async def test(link: RedisLink) -> None:
        for _ in range(2):
            with pytest.raises(AwayError, match="Redis"):
                await link.run([PING])

    with_link(f"unix://{tmp_path}/nobody", test)
