"""The gateway's way to the ledger: what is no acknowledgement word for word is none."""

import asyncio

import pytest
from aiohttp import web

from counters.secrets import Secrets
from gateway.ledger_client import (
    HAND_OVER_PATH,
    MAC_HEADER,
    LedgerClient,
    LedgerRefusedError,
    LedgerUnavailableError,
    answer_mac,
)

SECRETS = Secrets(bytes(32), bytes(range(32)))


def hand_over_to(status: int, body: bytes, secrets: Secrets = SECRETS, signed: bytes | None = None) -> str:
    """Hand something over to whoever answers like this, with a MAC over `signed`, by default the body."""

    async def answer(request: web.Request) -> web.Response:
        mac = answer_mac(secrets, request.headers[MAC_HEADER], "", body if signed is None else signed)
        return web.Response(status=status, body=body, headers={MAC_HEADER: mac})

    async def ask() -> str:
        app = web.Application()
        app.add_routes([web.post(HAND_OVER_PATH, answer)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with LedgerClient("http://{}:{}".format(*runner.addresses[0][:2]), SECRETS) as client:
                return await client.hand_over(b"evidence")
        finally:
            await runner.cleanup()

    return asyncio.run(ask())


@pytest.mark.parametrize("outcome", ["new", "known", "late", "promise"])
def test_the_ledgers_words_are_acknowledgements(outcome: str) -> None:
    assert hand_over_to(200, b'{"outcome": "%s", "now": 1.5}' % outcome.encode()) == outcome


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""), (200, b"<html>It works!</html>"), (200, b"null"), (200, b"[]"), (200, b"{}"),
        (200, b'{"outcome": "new"}'), (200, b'{"outcome": "ok", "now": 1.5}'), (200, b'{"outcome": null, "now": 1.5}'),
        (200, b'{"outcome": "new", "now": "soon"}'), (408, b""), (429, b""), (500, b""), (502, b"<html>"),
        (503, b'{"detail": "The disk is full", "reason": "disk_full"}'),
    ],
)  # fmt: skip
def test_what_is_none_is_tried_again_and_nothing_is_deleted_on_it(status: int, body: bytes) -> None:
    with pytest.raises(LedgerUnavailableError):
        hand_over_to(status, body)


def test_whoever_answers_without_the_events_secret_acknowledges_nothing() -> None:
    new, promise = (b'{"outcome": "%s", "now": 1.5}' % word for word in (b"new", b"promise"))
    for secrets, signed in ((Secrets(bytes(range(32)), bytes(32)), new), (SECRETS, promise)):
        with pytest.raises(LedgerUnavailableError, match="does not say with this event's secret"):
            hand_over_to(200, new, secrets, signed)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (413, b"<html>Request Entity Too Large</html>", ""),
        (404, b"", ""),
        (403, b"[1]", ""),
        (422, b'{"detail": "unsound", "reason": "evidence_malformed"}', "evidence_malformed"),
    ],
)
def test_a_refusal_says_why(status: int, body: bytes, reason: str) -> None:
    with pytest.raises(LedgerRefusedError, match=str(status)) as refused:
        hand_over_to(status, body)
    assert refused.value.reason == reason
