"""Requests have numbers: a load balancer's if it gave one, in the answer, in the log, in what a client is told."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.contextvars import get_contextvars

from gateway.problems import problems
from gateway.request_ids import HEADER, request_ids


async def asked(given: dict[str, str], handler: Callable[[web.Request], Awaitable[web.Response]]) -> tuple[str, str]:
    """Return the number in the answer, and the answer's body."""
    app = web.Application(middlewares=[request_ids(), problems])
    app.add_routes([web.get("/things/{name}", handler)])
    async with TestClient(TestServer(app)) as client, client.get("/things/secret-name", headers=given) as answer:
        return answer.headers[HEADER], await answer.text()


async def bound(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's handler
    return web.json_response(get_contextvars())


async def breaking(request: web.Request) -> web.Response:  # noqa: ARG001
    raise ValueError("broken")


def test_a_request_without_a_number_gets_one_and_lines_have_it_with_the_routes_pattern() -> None:
    number, body = asyncio.run(asked({}, bound))
    assert re.fullmatch(r"[0-9a-f]{16}", number)
    assert number in body
    assert "GET /things/{name}" in body
    assert "secret-name" not in body


@pytest.mark.parametrize("given", ["6c1f0f0e-54cb-4a4c-8a34-5d1f8b1dcb1e", "0A000001:1F90_0A"[:10]])
def test_a_load_balancers_number_is_kept(given: str) -> None:
    number, _ = asyncio.run(asked({HEADER: given}, bound))
    assert number == given


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "with space in it", 'quote"quote"'])
def test_what_is_no_number_is_replaced(given: str) -> None:
    number, _ = asyncio.run(asked({HEADER: given}, bound))
    assert number != given


def test_who_meets_an_accident_is_told_its_number_and_the_log_has_the_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        number, body = asyncio.run(asked({}, breaking))
    assert f"Its number is {number}." in body
    assert [record.getMessage() for record in caplog.records if record.exc_info] == ["a request failed"]
