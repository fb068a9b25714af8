"""The joins bench: its client sends everything once and overlooks nothing, and the experiment runs from end to end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import count

import pytest
from click.testing import CliRunner

from load_tests.bench.__main__ import main
from load_tests.bench.join_client import Delivery, deliver
from load_tests.bench.joins import Turn, join_request, markdown, summarise
from load_tests.http_client import Address, UnexpectedAnswerError

Stub = Callable[[Callable[[bytes], bytes]], AbstractAsyncContextManager[tuple[Address, list[bytes]]]]
Run = Callable[[Callable[[], Awaitable[None]]], None]
Deliver = Callable[[Callable[[bytes], bytes]], tuple[Delivery, list[bytes]]]

REQUESTS = [join_request("stream", f"credential-{number}") for number in range(50)]


def created(body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), more, body)


def credential(request: bytes) -> bytes:
    return request.partition(b"Bearer ")[2].partition(b"\r\n")[0]


@pytest.fixture
def delivered(run: Run, stub: Stub) -> Deliver:
    """Deliver `REQUESTS` to a stub that answers so, on 4 connections."""

    def deliver_to(answer: Callable[[bytes], bytes]) -> tuple[Delivery, list[bytes]]:
        found: list[tuple[Delivery, list[bytes]]] = []

        async def scenario() -> None:
            async with stub(answer) as (address, asked):
                found.append((await asyncio.to_thread(deliver, address, REQUESTS, 4), asked))

        run(scenario)
        return found[0]

    return deliver_to


def test_every_request_is_sent_once_and_has_its_own_answer(delivered: Deliver) -> None:
    delivery, asked = delivered(lambda request: created(credential(request)))
    assert sorted(asked) == sorted(REQUESTS)
    assert [answer.body for answer in delivery.answers] == [credential(request) for request in REQUESTS]


def test_a_server_that_closes_after_some_answers_is_connected_to_again(
    delivered: Deliver,
) -> None:
    numbers = count()
    delivery, asked = delivered(
        lambda request: created(credential(request), b"Connection: close\r\n" if next(numbers) % 3 == 0 else b"")
    )
    assert sorted(asked) == sorted(REQUESTS)
    assert [answer.body for answer in delivery.answers] == [credential(request) for request in REQUESTS]


def test_any_other_answer_ends_the_run_and_is_shown(delivered: Deliver) -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
    with pytest.raises(UnexpectedAnswerError, match="answered 503: busy"):
        delivered(lambda request: refusal if b"-33\r" in request else created(b""))


def test_a_connection_that_ends_unanswered_or_says_too_much_ends_the_run(delivered: Deliver) -> None:
    broken = b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf"
    with pytest.raises(ConnectionError, match="unanswered"):
        delivered(lambda request: broken if b"-33\r" in request else created(b""))
    with pytest.raises(ConnectionError, match="unasked"):
        delivered(lambda request: created(b"") + (b"more" if b"-33\r" in request else b""))


def test_the_summary_is_the_median_by_kind_and_a_core_does_what_its_cpu_allows() -> None:
    turns = [Turn(kind, cpu, 5.0, 4_000.0, 0.95, 100) for cpu in (190.0, 250.0, 200.0) for kind in ("ES256", "again")]
    es256, again = summarise(turns)
    assert (es256.kind, es256.cpu_us.median, es256.joins, again.kind) == ("ES256", 200.0, 300, "again")
    assert "| ES256 | 200.0 µs (190.0 to 250.0) | 5,000 | 4,000, 95% | 5.0 µs | 300 |" in markdown([es256, again])


def test_the_experiment_joins_people_of_every_kind_and_each_gets_a_201() -> None:
    result = CliRunner().invoke(main, ["joins", "--rounds", "1", "--joins", "40", "--keep-tokens"])
    assert result.exit_code == 0, result.output
    for kind, joined in (
        ("ES256 ticket, newcomers", 40),
        ("ES256 ticket, the same people again", 40),
        ("Ed25519 ticket, newcomers", 10),
        ("RS256 ticket, newcomers", 10),
        ("viewing token, another session", 40),
        ("viewing token, same session", 40),
    ):
        (row,) = [line for line in result.output.splitlines() if line.startswith(f"| {kind} |")]
        assert row.endswith(f"| {joined} |")
