"""The seat registry in Redis: which pseudonym has which seat, agreed on by every worker of every gateway.

Keys:

    turnout:{<event>:seat:<bucket, 5 hex digits>}       hash: pseudonym (16 bytes) → seat (decimal)
    turnout:{<event>:scan:<digest, 32 hex digits>}      string: which badge was accepted, and which way

The bucket of a pseudonym is its last 3 bytes, little-endian, modulo 262,144. Redis keeps a hash of up to 512 fields as
one listpack, without a pointer or an object for each field; 262,144 buckets hold 40 million attendees in hashes of 153
fields on average (100 million: 381). So a seat costs 25 bytes (tests/counters/test_registry.py measures it), 40 million
seats 1 GB, and a look-up scans 2 KB on average. A small event pays with one hash for each attendee. Every bucket has a
hash tag of its own, so that the registry spreads over a Redis Cluster.

The digest of a scan is BLAKE2b-128 over the u16-le length of the gate, the gate, and the nonce, in UTF-8: both come
from outside and may hold anything.

Nothing is lost with the registry: the journals know every seat, and a person who got two of them in an outage is joined
by the alias table before any count.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, Final, Self

from counters.journal import Direction
from counters.live import RegistryUnavailableError
from counters.redis_address import open_link
from counters.redis_link import Command, Refusal, ServerFacts

TIMEOUT_S: Final = 0.25
"""A join waits for it; without an answer the worker takes a seat of its own block. Whoever comes after it does not even
wait, until the registry answers again (counters.redis_link.RestingLink)."""
BUCKETS: Final = 1 << 18
"""See the module's docstring: up to 100 million attendees stay within listpacks."""
BATCH_CALLS: Final = 256
"""Calls in one pipeline: well under a millisecond of Redis' time."""
SCAN_TTL_S: Final = 7 * 24 * 3600
"""How long the answer to a retry stays the same: longer than a scanner is offline."""
HIGHEST_SEAT: Final = (1 << 32) - 1
"""31 bits of seat and bit 31 for guests."""

CLOSED: Final = "this worker has closed the registry"

_Call = tuple[tuple[Command, ...], asyncio.Future[list[Any]]]


def seat_key(event: str, pseudonym: bytes) -> str:
    """Return the key of the hash that holds a pseudonym's seat."""
    bucket = int.from_bytes(pseudonym[-3:], "little") % BUCKETS
    return f"turnout:{{{event}:seat:{bucket:05x}}}"


def scan_key(event: str, gate: str, nonce: str) -> str:
    """Return the key of the outcome of one scan."""
    gate_raw = gate.encode()
    named = len(gate_raw).to_bytes(2, "little") + gate_raw + nonce.encode()
    return f"turnout:{{{event}:scan:{hashlib.blake2b(named, digest_size=16).hexdigest()}}}"


def scan_outcome(token_digest: bytes, direction: Direction) -> str:
    """Return what is remembered of an accepted scan: the first half of the badge's SHA-256, and which way it went."""
    return f"{token_digest.hex()[:32]} {direction.name.lower()}"


class SeatRegistry:
    """Asks and answers for one event. Owns its connections and the calls that wait.

    Calls made while a pipeline is under way go out together in the next one, so that a rush of joins costs one round
    trip for hundreds of them; when a pipeline fails, all who wait are told at once.
    """

    def __init__(self, url: str, event: str, timeout_s: float = TIMEOUT_S) -> None:
        """Prepare a registry for the event with the id `event`.

        Raises:
            ValueError: no URL of a Redis (counters.redis_address).
        """
        self._link = open_link(url, timeout_s, RegistryUnavailableError, resting=True)
        self._event = event
        self._waiting: list[_Call] = []
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

    async def get(self, pseudonym: bytes) -> int | None:
        """Return the seat of a pseudonym, None if it has none.

        Raises:
            RegistryUnavailableError: no answer within 250 ms, or not a seat.
        """
        (held,) = _taken(await self._ask(("HGET", seat_key(self._event, pseudonym), pseudonym)))
        return None if held is None else _seat(held)

    async def claim(self, pseudonym: bytes, seat: int) -> int:
        """Give a pseudonym this seat unless it has one; return the seat that it has now.

        Claiming again is harmless: two workers that claim at the same time both get the winner's seat. A registry that
        has no room for more, or must not be written to, still says which seats it knows.

        Raises:
            RegistryUnavailableError: no answer within 250 ms (the claim may have been stored all the same), or it
                cannot store anything new.
        """
        key = seat_key(self._event, pseudonym)
        replies = await self._ask(("HSETNX", key, pseudonym, seat), ("HGET", key, pseudonym))
        if isinstance(replies[1], bytes):
            return _seat(replies[1])
        _, held = _taken(replies)
        return _seat(held)

    async def known_scan(self, gate: str, nonce: str) -> str | None:
        """Return what was remembered of a scan, None if nothing was.

        Raises:
            RegistryUnavailableError: no answer within 250 ms.
        """
        (before,) = _taken(await self._ask(("GET", scan_key(self._event, gate, nonce))))
        return None if before is None else bytes(before).decode(errors="replace")

    async def remember_scan(self, gate: str, nonce: str, what: str) -> None:
        """Remember a scan that was accepted, unless one of that gate and nonce is known.

        Raises:
            RegistryUnavailableError: no answer within 250 ms (it may have been stored all the same).
        """
        _taken(await self._ask(("SET", scan_key(self._event, gate, nonce), what.encode(), "NX", "EX", SCAN_TTL_S)))

    async def server_facts(self) -> ServerFacts:
        """Return which server answers.

        Raises:
            RegistryUnavailableError: none does.
        """
        return await self._link.server_facts()

    async def close(self) -> None:
        """Close the connections; calls that still wait get RegistryUnavailableError."""
        self._closed = True
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        self._fail([], CLOSED)  # a pump that was cancelled before its first step has told nobody
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, *commands: Command) -> list[Any]:
        if self._closed:
            raise RegistryUnavailableError(CLOSED)
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, answer))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        """Send what waits, a pipeline at a time, until nobody waits."""
        while self._waiting:
            calls, self._waiting = self._waiting[:BATCH_CALLS], self._waiting[BATCH_CALLS:]
            try:
                replies = await self._link.run([command for commands, _ in calls for command in commands])
            except RegistryUnavailableError as unavailable:
                self._fail(calls, str(unavailable))
            except BaseException:
                self._fail(calls, CLOSED)
                raise
            else:
                _hand_out(calls, replies)

    def _fail(self, calls: Sequence[_Call], why: str) -> None:
        """Tell these calls, and all that wait behind them."""
        failed, self._waiting = [*calls, *self._waiting], []
        for _, answer in failed:
            if not answer.done():
                answer.set_exception(RegistryUnavailableError(why))


def _hand_out(calls: Sequence[_Call], replies: list[Any]) -> None:
    at = 0
    for commands, answer in calls:
        own = replies[at : at + len(commands)]
        at += len(commands)
        if not answer.done():  # else the caller has gone
            answer.set_result(own)


def _taken(replies: list[Any]) -> list[Any]:
    """Return the replies if Redis refused nothing."""
    for reply in replies:
        if isinstance(reply, Refusal):
            raise RegistryUnavailableError(f"Redis: {reply.text}")
    return replies


def _seat(held: object) -> int:
    if isinstance(held, bytes) and held.isdigit() and 1 <= int(held) <= HIGHEST_SEAT:
        return int(held)
    raise RegistryUnavailableError(f"the registry holds {held!r}, which is no seat")
