"""Seats: one for each attendee whichever worker asks, and newcomers go on without Redis."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
import redis as redis_client
import uvloop

from counters.attendee import SEATS_PER_BLOCK
from counters.registry import TIMEOUT_S, SeatRegistry
from deploy.embedded_redis import EmbeddedRedis
from gateway import seats as seats_module
from gateway.problems import Refused
from gateway.reasons import Reason
from gateway.seats import SeatLease, Seats
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import NO_REDIS

ALICE, BOB = b"alice's pseudony", b"bob's pseudonym."


def lease_of(*blocks: int) -> SeatLease:
    lease = SeatLease(lambda _: None)
    for block in blocks:
        lease.add(block)
    return lease


def test_a_lease_gives_every_seat_of_its_blocks_once_and_never_seat_0() -> None:
    told: list[int] = []
    lease = SeatLease(told.append)
    lease.add(0)
    lease.add(5)
    seats = [lease.take() for _ in range(2 * SEATS_PER_BLOCK - 1)]
    assert sorted(seats) == [*range(1, SEATS_PER_BLOCK), *range(5 * SEATS_PER_BLOCK, 6 * SEATS_PER_BLOCK)]
    assert told == [SEATS_PER_BLOCK - 1, SEATS_PER_BLOCK]
    assert not lease.ready
    with pytest.raises(Refused) as refused:
        lease.take()
    assert refused.value.reason is Reason.SEATS_EXHAUSTED


def test_a_seat_given_back_is_the_next_to_go() -> None:
    lease = lease_of(1)
    seat = lease.take()
    lease.give_back(seat)
    assert lease.take() == seat


def test_two_workers_agree_on_an_attendees_seat_and_waste_none(redis: EmbeddedRedis) -> None:
    async def ask() -> None:
        counted: Counter[str] = Counter()
        async with SeatRegistry(redis.url, "expo") as one, SeatRegistry(redis.url, "expo") as two:
            leases = lease_of(1), lease_of(2)
            first, second = (
                Seats(registry, lease, lambda name: counted.update([name]))
                for registry, lease in zip((one, two), leases, strict=True)
            )
            alice = await first.seat_of(ALICE)
            assert await second.seat_of(ALICE) == alice == SEATS_PER_BLOCK
            assert await second.seat_of(BOB) == 2 * SEATS_PER_BLOCK
            assert await first.seat_of(BOB) == 2 * SEATS_PER_BLOCK
            assert leases[0].take() == SEATS_PER_BLOCK + 1
        assert counted == {"seats.used": 2}

    uvloop.run(ask())


def test_a_rush_of_one_attendees_joins_gets_one_seat(redis: EmbeddedRedis) -> None:
    async def ask() -> None:
        async with SeatRegistry(redis.url, "expo") as registry:
            seats = Seats(registry, lease_of(3), lambda _: None)
            assert len(set(await asyncio.gather(*(seats.seat_of(ALICE) for _ in range(200))))) == 1

    uvloop.run(ask())


def somebody(number: int) -> bytes:
    return number.to_bytes(16, "little")


async def until_claimed(seats: Seats) -> None:
    async with asyncio.timeout(CERTAIN_S):
        while seats.unclaimed:  # noqa: ASYNC110 - tells of another task
            await asyncio.sleep(0.01)


def test_without_redis_every_join_gets_a_seat_and_does_not_wait_for_it(redis: EmbeddedRedis) -> None:
    async def ask() -> None:
        counted: Counter[str] = Counter()
        async with SeatRegistry(redis.url, "expo") as registry:
            seats = Seats(registry, lease_of(3), lambda name: counted.update([name]))
            await seats.seat_of(ALICE)
            redis.stop()
            given = [await seats.seat_of(somebody(number)) for number in range(50)]
            assert len(set(given)) == 50
            assert counted["registry.away"] == 50

    uvloop.run(ask())


def test_a_registry_that_accepts_and_never_answers_costs_one_time_out_and_not_one_for_each_pipeline(
    redis: EmbeddedRedis,
) -> None:
    async def ask() -> None:
        async with SeatRegistry(redis.url, "expo", TIMEOUT_S) as registry:
            seats = Seats(registry, lease_of(3), lambda _: None)
            await seats.seat_of(ALICE)
            assert redis.pid is not None
            os.kill(redis.pid, signal.SIGSTOP)
            try:
                first = await asyncio.gather(*(seats.seat_of(somebody(number)) for number in range(5000)))
                later = [await at_once(seats.seat_of(somebody(5000 + number))) for number in range(5000)]
            finally:
                os.kill(redis.pid, signal.SIGCONT)
            assert len({*first, *later}) == 10_000

    uvloop.run(ask())


async def at_once(seating: Coroutine[Any, Any, int]) -> int:
    """The outcome of what may go on for a few turns of the loop, but not wait for anything outside it."""
    task = asyncio.ensure_future(seating)
    for _ in range(5):
        await asyncio.sleep(0)
    assert task.done()
    return task.result()


def test_who_asks_the_same_worker_twice_in_an_outage_has_one_seat(redis: EmbeddedRedis) -> None:
    async def ask() -> None:
        async with SeatRegistry(redis.url, "expo") as registry:
            redis.stop()
            lease = lease_of(3)
            seats = Seats(registry, lease, lambda _: None)
            assert set(await asyncio.gather(*(seats.seat_of(ALICE) for _ in range(20)))) == {await seats.seat_of(ALICE)}
            # None was wasted: of those taken all but hers are given again.
            given = {await seats.seat_of(ALICE), *(lease.take() for _ in range(25))}
            assert given == set(range(3 * SEATS_PER_BLOCK, 3 * SEATS_PER_BLOCK + 26))

    uvloop.run(ask())


def test_seats_given_in_an_outage_are_claimed_afterwards_and_hold_for_every_worker(redis: EmbeddedRedis) -> None:
    async def ask() -> None:
        async with SeatRegistry(redis.url, "expo") as one, SeatRegistry(redis.url, "expo") as two:
            first, second = Seats(one, lease_of(1), lambda _: None), Seats(two, lease_of(2), lambda _: None)
            claiming = [asyncio.create_task(seats.keep_claiming()) for seats in (first, second)]
            redis.stop()
            crowd = [await first.seat_of(somebody(number)) for number in range(300)]
            # Alice came to both: the first to claim wins, and the journals have the other.
            hers = {await first.seat_of(ALICE), await second.seat_of(ALICE)}
            assert len(hers) == 2
            redis.start()
            await until_claimed(first)
            await until_claimed(second)
            assert [await second.seat_of(somebody(number)) for number in range(300)] == crowd
            assert await first.seat_of(ALICE) == await second.seat_of(ALICE)
            assert await first.seat_of(ALICE) in hers
            for task in claiming:
                task.cancel()
            await asyncio.gather(*claiming, return_exceptions=True)

    uvloop.run(ask())


def test_what_is_left_to_claim_is_claimed_when_the_worker_stops(redis: EmbeddedRedis) -> None:
    async def ask() -> None:
        async with SeatRegistry(redis.url, "expo") as registry:
            seats = Seats(registry, lease_of(1), lambda _: None)
            redis.stop()
            crowd = [await seats.seat_of(somebody(number)) for number in range(300)]
            await seats.farewell()  # away: given up at once
            assert seats.unclaimed == 300
            redis.start()
            async with asyncio.timeout(CERTAIN_S):
                while seats.unclaimed:
                    await seats.farewell()
                    await asyncio.sleep(0.01)
            assert [await registry.get(somebody(number)) for number in range(300)] == crowd

    uvloop.run(ask())


def test_claims_to_be_made_up_for_are_bounded_and_everybody_is_seated_all_the_same(
    redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats_module, "UNCLAIMED_LIMIT", 10)

    async def ask() -> None:
        async with SeatRegistry(redis.url, "expo") as registry:
            seats = Seats(registry, lease_of(1), lambda _: None)
            redis.stop()
            given = [await seats.seat_of(somebody(number)) for number in range(30)]
            assert len(set(given)) == 30
            assert seats.unclaimed == 10
            assert await seats.seat_of(somebody(3)) == given[3]

    uvloop.run(ask())


def test_a_registry_that_has_no_room_takes_the_claims_when_it_has(redis: EmbeddedRedis) -> None:
    async def ask() -> None:
        with redis_client.Redis.from_url(redis.url) as client:
            async with SeatRegistry(redis.url, "expo") as registry:
                seats = Seats(registry, lease_of(1), lambda _: None)
                claiming = asyncio.create_task(seats.keep_claiming())
                alice = await seats.seat_of(ALICE)
                client.config_set("maxmemory-policy", "noeviction")
                client.config_set("maxmemory", 1)
                crowd = [await seats.seat_of(somebody(number)) for number in range(50)]
                assert await seats.seat_of(ALICE) == alice, "whom it knows it tells"
                assert seats.unclaimed == 50
                client.config_set("maxmemory", 0)
                await until_claimed(seats)
                assert [await registry.get(somebody(number)) for number in range(50)] == crowd
                claiming.cancel()
                await asyncio.gather(claiming, return_exceptions=True)

    uvloop.run(ask())


def test_without_seats_nobody_new_is_seated_redis_or_not() -> None:
    async def ask() -> None:
        async with SeatRegistry(NO_REDIS, "expo") as registry:
            with pytest.raises(Refused):
                await Seats(registry, lease_of(), lambda _: None).seat_of(ALICE)

    uvloop.run(ask())
