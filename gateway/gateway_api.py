"""The ledger's side of its gateways: seats, hand-overs and steering, for whoever holds this event's secret.

Who asks is checked before a body is read. A request's MAC is over the digest that its head claims for the body
(RFC 9530), so a stranger's 256 megabytes stay on the wire; and of those that hold the secret only a few hand-overs are
read at a time, because each is in memory whole until it is on the disk.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import web

from counters.handover import HandOver, HandOverError
from counters.sealing import EvidenceRefusedError
from counters.seat_grants import NoSeatsLeftError
from counters.tokens_file import TokensFileError
from gateway.ledger_client import (
    DIGEST_HEADER,
    GRANT_PATH,
    GREETING_PATH,
    HAND_OVER_PATH,
    SLOWEST_BYTES_A_S,
    STEERING_PATH,
    TOKENS_PATH,
    content_digest,
)
from gateway.ledger_parts import LedgerParts
from gateway.problems import BODY_S, Refused, reading
from gateway.reasons import Reason
from gateway.token_keeper import TokenKeeper

HAND_OVER_LIMIT_BYTES: Final = 256 * 1024 * 1024
"""A full gateway's minute, 6 M seats in bitmaps and 25 sessions of registers, is about 10 MB."""
TOKENS_LIMIT_BYTES: Final = 32 * 1024 * 1024
"""A gateway sends about eight at a time (gateway.token_courier)."""
SMALL_BYTES: Final = 64 * 1024
"""Grants, questions and signs of life are less; they wait for nobody."""
READ_AT_ONCE: Final = 8
"""Hand-overs in memory: some 80 MB of full minutes, and 2 GB if every one were as large as it may be. The disk takes
one after the other anyway."""
NAME_HELD_S: Final = 5.0
"""A gateway asks once a second: one that was not heard for so long has left its name to whoever takes it."""


class GatewayNames:
    """Which spool speaks for which gateway's name. Owned by the ledger's event loop; forgotten when it ends."""

    def __init__(self) -> None:
        """Nobody was heard yet."""
        self._held: dict[str, tuple[str, float]] = {}

    def claim(self, name: str, instance: str, tick: float) -> None:
        """Note that the gateway with this spool uses a name.

        Raises:
            Refused: another one does.
        """
        held, at = self._held.get(name, (instance, tick))
        if held != instance and tick - at < NAME_HELD_S:
            raise Refused(
                Reason.GATEWAY_NAME_TAKEN,
                f"Another gateway, with another spool, runs under the name {name!r}: give this one another --name.",
            )
        self._held[name] = (instance, tick)

    def silent_s(self, name: str, tick: float) -> float:
        """Return for how long (s) the gateway was not heard; infinity if it never was."""
        return tick - self._held[name][1] if name in self._held else float("inf")

    def heard_within(self, seconds: float, tick: float) -> frozenset[str]:
        """Return the gateways that were heard within so many seconds."""
        return frozenset(name for name, (_, at) in self._held.items() if tick - at <= seconds)


class GatewayApi:
    """Answers gateways. Owned by the ledger's event loop."""

    def __init__(self, parts: LedgerParts, tokens: TokenKeeper) -> None:
        """Answer for one ledger."""
        self._event = parts.event
        self._secrets = parts.secrets
        self._clock = parts.clock
        self._sealer = parts.sealer
        self._thread = parts.thread
        self._lookout = parts.lookout
        self._tokens = tokens
        self.names = GatewayNames()
        self._reading = asyncio.Semaphore(READ_AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(GRANT_PATH, self._grant, name="seats"),
            web.post(HAND_OVER_PATH, self._hand_over, name="evidence"),
            web.post(TOKENS_PATH, self._take_tokens, name="tokens"),
            web.post(STEERING_PATH, self._tell_steering, name="gateway_steering"),
            web.post(GREETING_PATH, self._greet, name="greeting"),
        ]

    async def _admit(self, request: web.Request, limit_bytes: int) -> int:
        """Return how many bytes a request brings that was made with this event's secret; they are not read yet.

        Raises:
            Refused: it was not, or they are too many, or this ledger must not go on.
        """
        await self._lookout.hear(request)
        if request.content_length is None or request.content_length > limit_bytes:
            raise Refused(Reason.BODY_TOO_LARGE)
        return request.content_length

    async def _body(self, request: web.Request, length: int) -> bytes:
        """Read what was admitted.

        Raises:
            Refused: it does not come, or is not what the head was made for.
        """
        async with reading(BODY_S + length / SLOWEST_BYTES_A_S):
            body = await request.read()
        if content_digest(body) != request.headers.get(DIGEST_HEADER):
            raise Refused(Reason.MAC_WRONG)
        return body

    def _answer(self, request: web.Request, document: dict[str, Any]) -> web.Response:
        """Answer a gateway; it learns what time it is here, and how far this ledger is."""
        return self._lookout.answer(request, document | {"now": self._clock.now()})

    async def _asked(self, request: web.Request, what: str) -> tuple[dict[str, Any], Callable[[str], str]]:
        """Return what a gateway of this very event asks, and how to read a text out of it.

        Raises:
            Refused: it is no such question, or of a gateway with another event file or pseudonym key.
        """
        body = await self._body(request, await self._admit(request, SMALL_BYTES))
        try:
            asked = orjson.loads(body)
            event, key = asked["event_sha256"], asked["pseudonym_key_sha256"]
        except (ValueError, TypeError, KeyError) as error:
            raise Refused(Reason.BODY_MALFORMED, f"This is no question about {what}: {error!r}.") from None
        if event != self._event.digest:
            raise Refused(Reason.OTHER_EVENT)
        if key != self._secrets.pseudonym_commitment:
            raise Refused(Reason.OTHER_PSEUDONYM_KEY)

        def text(name: str) -> str:
            if not isinstance(asked.get(name), str):
                raise Refused(Reason.BODY_MALFORMED, f"This is no question about {what}: {name!r} is no text.")
            return str(asked[name])

        return asked, text

    async def _grant(self, request: web.Request) -> web.Response:
        asked, text = await self._asked(request, "seats")
        worker, gateway, blocks, after = text("worker"), text("gateway"), asked.get("blocks"), asked.get("after")
        if type(blocks) is not int or type(after) is not int:
            raise Refused(Reason.BODY_MALFORMED, "This is no question about seats: 'blocks' or 'after' is no number.")
        if "instance" in asked:
            self.names.claim(gateway, text("instance"), time.monotonic())
        await self._lookout.before_writing()
        now = self._clock.now()
        try:
            granted = await self._thread.write(lambda: self._sealer.grant(worker, gateway, blocks, now, after))
        except NoSeatsLeftError:
            raise Refused(Reason.SEATS_EXHAUSTED) from None
        return self._answer(request, {"blocks": granted})

    async def _hand_over(self, request: web.Request) -> web.Response:
        length = await self._admit(request, HAND_OVER_LIMIT_BYTES)
        await self._lookout.before_writing()
        # Held until it is on the disk; a sign of life waits for nobody.
        async with self._reading if length > SMALL_BYTES else contextlib.nullcontext():
            return self._answer(request, {"outcome": await self._accept(await self._body(request, length))})

    async def _accept(self, body: bytes) -> str:
        now = self._clock.now()

        def take() -> str:
            bundle = HandOver.decode(body)
            if bundle.event_sha256 != self._event.digest:
                raise Refused(Reason.OTHER_EVENT)
            return self._sealer.accept(bundle, now, time.monotonic())

        try:
            return await self._thread.write(take)
        except (HandOverError, EvidenceRefusedError) as error:
            raise Refused(Reason.EVIDENCE_MALFORMED, str(error)) from None

    async def _take_tokens(self, request: web.Request) -> web.Response:
        length = await self._admit(request, TOKENS_LIMIT_BYTES)
        # A ledger on older data takes none: they would be deleted in a spool and lie where nobody goes on.
        await self._lookout.before_writing()
        async with self._reading:
            body = await self._body(request, length)
            try:
                outcome = await self._thread.noting(self._tokens.take(body))
            except TokensFileError as error:
                raise Refused(Reason.EVIDENCE_MALFORMED, f"The tokens: {error}.") from None
        return self._answer(request, {"outcome": outcome})

    async def _greet(self, request: web.Request) -> web.Response:
        """Tell whoever has this event's file and secrets that they are this ledger's, and which keys hold here."""
        await self._asked(request, "whether it is welcome")
        retired = self._sealer.so_far.issuer_keys.retired()
        return self._answer(
            request, {"generations": self._secrets.generations_in_use(), "retired_issuer_keys": retired}
        )

    async def _tell_steering(self, request: web.Request) -> web.Response:
        """Tell a gateway what is in force, and which keys issuers have, if it does not know."""
        asked, text = await self._asked(request, "steering")
        self.names.claim(text("gateway"), text("instance"), time.monotonic())
        # A value that the ledger's thread replaces whole.
        steering, keys = self._sealer.steering, self._sealer.so_far.issuer_keys
        told: dict[str, Any] = {"number": steering.number}
        if steering.number != asked.get("known"):
            told |= {"interval_s": steering.interval_s, "seats": steering.seats, "views": steering.views}
        if keys.digest != asked.get("known_keys", keys.digest):
            told["issuer_keys"] = [change.as_row() for change in keys.changes]
        return self._answer(request, told)
