"""Seats: one for each attendee whichever worker asks, and newcomers go on without Redis."""

import asyncio
from collections import Counter

import pytest
import uvloop

from counters.attendee import SEATS_PER_BLOCK
from counters.registry import SeatRegistry
from deploy.embedded_redis import EmbeddedRedis
from gateway.problems import Refused
from gateway.reasons import Reason
from gateway.seats import SeatLease, Seats
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
        assert not counted

    uvloop.run(ask())


def test_a_rush_of_one_attendees_joins_gets_one_seat(redis: EmbeddedRedis) -> None:
    async def ask() -> None:
        async with SeatRegistry(redis.url, "expo") as registry:
            seats = Seats(registry, lease_of(3), lambda _: None)
            assert len(set(await asyncio.gather(*(seats.seat_of(ALICE) for _ in range(200))))) == 1

    uvloop.run(ask())


def test_without_redis_every_join_gets_a_seat_and_does_not_wait_for_it(redis: EmbeddedRedis) -> None:
    async def ask() -> None:
        counted: Counter[str] = Counter()
        async with SeatRegistry(redis.url, "expo") as registry:
            seats = Seats(registry, lease_of(3), lambda name: counted.update([name]))
            await seats.seat_of(ALICE)
            redis.stop()
            started = asyncio.get_running_loop().time()
            given = [await seats.seat_of(BOB) for _ in range(50)]
            # One time-out and not fifty: after a failure the registry is left in peace for a second.
            assert asyncio.get_running_loop().time() - started < 5
            assert len(set(given)) == 50
            assert counted["registry.away"] == 50

    uvloop.run(ask())


def test_without_seats_nobody_new_is_seated_redis_or_not() -> None:
    async def ask() -> None:
        async with SeatRegistry(NO_REDIS, "expo") as registry:
            with pytest.raises(Refused):
                await Seats(registry, lease_of(), lambda _: None).seat_of(ALICE)

    uvloop.run(ask())
