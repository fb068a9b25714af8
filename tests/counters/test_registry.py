"""The seat registry: one seat a pseudonym, whoever asks first, on a real Redis."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar, cast

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from counters.live import RegistryUnavailableError
from counters.registry import BUCKETS, HIGHEST_SEAT, TIMEOUT_S, SeatRegistry, scan_key, seat_key
from deploy.embedded_redis import EmbeddedRedis, Role
from tests.gateway.commands import CERTAIN_S

StartRedis = Callable[[Role], EmbeddedRedis]
SOMEBODY = bytes(range(16))
T = TypeVar("T")
patient = partial(SeatRegistry, timeout_s=CERTAIN_S)
"""A registry that is there is waited for, however long this machine stands still."""


def with_registry(
    url: str, test: Callable[[SeatRegistry], Awaitable[None]], event: str, timeout_s: float = CERTAIN_S
) -> None:
    """Run a test with one SeatRegistry, and close it."""

    async def run() -> None:
        async with SeatRegistry(url, event, timeout_s) as registry:
            await test(registry)

    asyncio.run(run())


def test_a_pseudonyms_key_is_named_by_its_last_18_bits() -> None:
    assert seat_key("wiotc2023", SOMEBODY) == "turnout:{wiotc2023:seat:30e0d}"  # 0d 0e 0f little-endian, modulo 2^18
    assert seat_key("e", bytes(13) + b"\xff\xff\xff") == f"turnout:{{e:seat:{BUCKETS - 1:05x}}}"


def test_nobody_has_a_seat_until_one_is_claimed_and_then_it_stays(redis_url: str) -> None:
    async def test(registry: SeatRegistry) -> None:
        assert await registry.get(SOMEBODY) is None
        assert await registry.claim(SOMEBODY, 65_537) == 65_537
        assert await registry.claim(SOMEBODY, 99) == 65_537
        assert await registry.get(SOMEBODY) == 65_537
        assert await registry.claim(bytes(16), HIGHEST_SEAT) == HIGHEST_SEAT

    with_registry(redis_url, test, "claimed")


def test_events_do_not_share_seats(redis_url: str) -> None:
    async def run() -> None:
        async with patient(redis_url, "first") as first, patient(redis_url, "second") as second:
            assert await first.claim(SOMEBODY, 1) == 1
            assert await second.claim(SOMEBODY, 2) == 2

    asyncio.run(run())


def test_two_clients_that_claim_at_the_same_time_agree_on_every_seat(redis_url: str) -> None:
    rng = random.Random(7)
    pseudonyms = [rng.randbytes(16) for _ in range(1_000)]

    async def run() -> None:
        async with patient(redis_url, "race") as left, patient(redis_url, "race") as right:
            claims = [
                asyncio.gather(*(registry.claim(pseudonym, seat) for seat, pseudonym in enumerate(pseudonyms, first)))
                for registry, first in ((left, 1), (right, 100_001))
            ]
            from_left, from_right = await asyncio.gather(*claims)
            assert from_left == from_right
            assert len(set(from_left)) == len(pseudonyms)
            assert from_left == await asyncio.gather(*map(right.get, pseudonyms))

    asyncio.run(run())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2**32 - 1)), max_size=20))
@settings(max_examples=20, deadline=None)
def test_the_first_claim_wins_as_in_a_dictionary(redis_url: str, claims: list[tuple[int, int]]) -> None:
    seats: dict[int, int] = {}

    async def test(registry: SeatRegistry) -> None:
        for who, seat in claims:
            assert await registry.claim(bytes((who,)) * 16, seat) == seats.setdefault(who, seat)

    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    with_registry(redis_url, test, "dictionary")


@pytest.mark.parametrize("attendees", [40_000_000, 100_000_000])
def test_a_bucket_as_full_as_at_a_large_event_is_a_listpack_and_costs_25_bytes_a_seat(
    redis_url: str, attendees: int
) -> None:
    rng = random.Random(attendees)
    event, bucket, seats = f"event-of-{attendees}", b"\x01\x02\x03", attendees // BUCKETS

    async def test(registry: SeatRegistry) -> None:
        await asyncio.gather(*(registry.claim(rng.randbytes(13) + bucket, attendees - n) for n in range(seats)))

    with redis.Redis.from_url(redis_url) as client:
        with_registry(redis_url, test, event)
        key = seat_key(event, bytes(13) + bucket)
        assert client.hlen(key) == seats
        assert client.object("encoding", key) == b"listpack"
        assert cast("int", client.memory_usage(key)) / seats == pytest.approx(25, abs=3)


def test_a_scan_is_remembered_as_it_was_first_by_gate_and_nonce(redis_url: str) -> None:
    async def test(registry: SeatRegistry) -> None:
        for gate, nonce, what in (
            ("hall-a", "n1", "alice in"),
            ("hall-b", "n1", "bob in"),
            ("hall-", "an1", "carol out"),
            ("}\r\n\0{", "會議 ✓", "ja ✓"),
        ):
            assert await registry.known_scan(gate, nonce) is None
            await registry.remember_scan(gate, nonce, what)
            await registry.remember_scan(gate, nonce, "another")
            assert await registry.known_scan(gate, nonce) == what

    with_registry(redis_url, test, "scans")
    with redis.Redis.from_url(redis_url) as client:
        assert 0 < int(str(client.ttl(scan_key("scans", "hall-a", "n1")))) <= 7 * 24 * 3600


def test_a_caller_that_gives_up_does_not_disturb_the_others(redis_url: str) -> None:
    async def test(registry: SeatRegistry) -> None:
        impatient = asyncio.create_task(registry.claim(bytes(16), 1))
        others = [asyncio.create_task(registry.claim(bytes((n,)) * 16, n)) for n in range(2, 20)]
        await asyncio.sleep(0)
        impatient.cancel()
        assert await asyncio.gather(*others) == list(range(2, 20))

    with_registry(redis_url, test, "impatient")


async def until_back(registry: SeatRegistry) -> None:
    """One probe at a time asks for everybody whether the server is back."""
    await answered(registry.server_facts)


async def answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the server answers, and return what it says."""
    async with asyncio.timeout(CERTAIN_S):
        while True:
            with contextlib.suppress(RegistryUnavailableError):
                return await ask()
            await asyncio.sleep(0.01)


def test_a_registry_that_takes_nothing_new_still_knows_what_it_knew(start_redis: StartRedis) -> None:
    server = start_redis(Role.REGISTRY)

    async def test(registry: SeatRegistry) -> None:
        assert await registry.claim(SOMEBODY, 5) == 5
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", 1)
            client.config_set("maxmemory-policy", "noeviction")
            assert await registry.claim(SOMEBODY, 6) == 5
            with pytest.raises(RegistryUnavailableError, match="OOM"):
                await registry.claim(bytes(16), 7)
            with pytest.raises(RegistryUnavailableError, match="OOM"):
                await registry.remember_scan("A", "1", "in")
            assert await registry.known_scan("A", "1") is None
            client.config_set("maxmemory", 0)
        assert await registry.claim(bytes(16), 8) == 8

    with_registry(server.url, test, "full")


def test_without_a_server_everybody_who_waits_is_told_at_once(start_redis: StartRedis) -> None:
    server = start_redis(Role.REGISTRY)

    async def test(registry: SeatRegistry) -> None:
        assert await registry.claim(SOMEBODY, 5) == 5
        server.stop()
        answers = await asyncio.gather(*(registry.get(bytes((n,)) * 16) for n in range(200)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {RegistryUnavailableError}
        server.start()
        await until_back(registry)
        assert await registry.get(SOMEBODY) == 5  # by itself, and from the append-only file

    with_registry(server.url, test, "away")


def test_a_frozen_server_is_given_up_within_a_quarter_of_a_second(start_redis: StartRedis) -> None:
    server = start_redis(Role.REGISTRY)

    async def test(registry: SeatRegistry) -> None:
        assert await registry.claim(SOMEBODY, 5) == 5
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(RegistryUnavailableError, match=r"within 0\.25 s"):
                await registry.claim(bytes(16), 6)
            asked = asyncio.create_task(registry.claim(bytes(16), 6))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert asked.done(), "whoever comes later waits for nothing, not even for a time-out"
            assert isinstance(asked.exception(), RegistryUnavailableError)
        finally:
            os.kill(pid, signal.SIGCONT)
        # Its own answer, not one that was still under way.
        assert await answered(lambda: registry.get(SOMEBODY)) == 5
        # The claim given up may have arrived: claiming is idempotent.
        assert await answered(lambda: registry.claim(bytes(16), 7)) in {6, 7}

    with_registry(server.url, test, "frozen", TIMEOUT_S)


def test_a_bucket_that_is_no_hash_fails_only_who_asks_for_it(redis_url: str) -> None:
    other = bytes((7,)) * 16
    with redis.Redis.from_url(redis_url) as client:
        client.set(seat_key("spoilt", SOMEBODY), "junk")

    async def test(registry: SeatRegistry) -> None:
        spoilt, sound = await asyncio.gather(
            registry.claim(SOMEBODY, 1), registry.claim(other, 2), return_exceptions=True
        )
        assert isinstance(spoilt, RegistryUnavailableError)
        assert "WRONGTYPE" in str(spoilt)
        assert sound == 2

    with_registry(redis_url, test, "spoilt")


@pytest.mark.parametrize("held", ["", "0", "-1", "4294967296", "seat", "٣"])
def test_what_is_no_seat_is_not_given_out(redis_url: str, held: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.hset(seat_key("junk", SOMEBODY), SOMEBODY, held)

    async def test(registry: SeatRegistry) -> None:
        with pytest.raises(RegistryUnavailableError, match="no seat"):
            await registry.get(SOMEBODY)

    with_registry(redis_url, test, "junk")


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_closing_tells_those_who_still_wait_and_those_who_come_later(redis_url: str, steps: int) -> None:
    async def run() -> None:
        registry = patient(redis_url, f"closed-{steps}")
        waiting = [asyncio.create_task(registry.claim(bytes((n,)) * 16, n + 1)) for n in range(5)]
        for _ in range(steps):
            await asyncio.sleep(0)
        await registry.close()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {int, RegistryUnavailableError}
        with pytest.raises(RegistryUnavailableError, match="closed"):
            await registry.get(SOMEBODY)

    asyncio.run(run())
