"""Gateways share scans through a real Redis: all hear all, whatever is lost, and a room is what they know."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import hyperloglog
from counters.live import LivePoller, LiveUnavailableError, SketchStore, bucket_key, room_key
from counters.rooms import Passage, Rooms
from counters.shared_scans import PAGE_BYTES, PAGES_AT_ONCE, SCAN, SHOW_AGAIN_S, SharedScans, log_key, logs_key
from deploy.embedded_redis import EmbeddedRedis, Role
from tests.counters.test_onsite import EVENT as WITH_GATES
from tests.counters.test_onsite import IN, MORNING, OUT, ZERO, scan
from tests.counters.test_rooms import passage

EVENT = replace(WITH_GATES, id="shared")
NOW = ZERO + 60.0
PAGE = PAGE_BYTES // SCAN.size


def some(people: int, first: int = 1) -> list[Passage]:
    """So many people who enter the morning session."""
    one = passage(scan(IN, 0))[1]
    return [(number.to_bytes(16, "big"), one) for number in range(first, first + people)]


class Gateway:
    """What one gateway knows; its clock is set by hand."""

    def __init__(self, url: str, name: str) -> None:
        self.at = 0.0
        self.rooms = Rooms(EVENT)
        self.shared = SharedScans(url, EVENT.id, name, monotonic=lambda: self.at)

    def takes(self, *passages: Passage) -> None:
        self.shared.add(self.rooms.take(passages))

    async def round(self) -> None:
        self.rooms.take(await self.shared.exchange(self.rooms.everybody))
        if not self.shared.behind:
            await self.shared.show(self.rooms.sketches(NOW))

    @property
    def knows(self) -> set[Passage]:
        return set(self.rooms.everybody())


async def rounds(*gateways: Gateway, times: int = 3) -> None:
    for _ in range(times):
        for gateway in gateways:
            await gateway.round()


def with_gateways(url: str, count: int, test: Callable[..., Awaitable[None]]) -> None:
    async def run() -> None:
        gateways = [Gateway(url, f"{number:016x}") for number in range(count)]
        try:
            await test(*gateways)
        finally:
            for gateway in gateways:
                await gateway.shared.close()

    asyncio.run(run())


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
        yield connection


def test_keys_and_a_scan_are_those_of_the_worked_example() -> None:
    assert (logs_key("e"), log_key("e", "a-0")) == ("turnout:{e:onsite}:logs", "turnout:{e:onsite}:log:a-0")
    assert room_key("e", 3) == "turnout:{e:3}:onsite"
    packed = SCAN.pack(bytes(range(1, 17)), (1_700_355_600_000 << 18) + (2 << 16) + 3)
    assert packed.hex() == "0102030405060708090a0b0c0d0e0f10030002ba5d942f06"


def test_what_one_gateway_took_the_other_knows_and_the_room_shows(redis_url: str, client: Any) -> None:
    async def test(one: Gateway, other: Gateway) -> None:
        one.takes(*some(3))
        await rounds(one, other)
        assert other.knows == one.knows == set(some(3))
        assert client.pfcount(room_key("shared", MORNING)) == client.pfcount(room_key("shared", 0)) == 3
        other.takes((some(1)[0][0], passage(scan(OUT, 1))[1]))
        await rounds(other, one)
        assert one.knows == other.knows
        assert client.pfcount(room_key("shared", MORNING)) == 2

    with_gateways(redis_url, 2, test)


def test_a_room_that_empties_is_gone_from_redis_and_so_is_one_that_nobody_writes(redis_url: str, client: Any) -> None:
    async def test(one: Gateway) -> None:
        one.takes(*some(1))
        await rounds(one)
        assert 0 < client.ttl(room_key("shared", MORNING)) <= 60
        one.takes((some(1)[0][0], passage(scan(OUT, 1))[1]))
        await rounds(one)
        assert not client.exists(room_key("shared", MORNING), room_key("shared", 0))

    with_gateways(redis_url, 1, test)


def test_many_pages_are_told_a_part_at_a_time_and_a_newcomer_writes_no_room_before_it_has_read_them(
    redis_url: str, client: Any
) -> None:
    people = some(2 * PAGES_AT_ONCE * PAGE + PAGE + 7)

    async def test(one: Gateway, newcomer: Gateway) -> None:
        one.takes(*people)
        await rounds(one)
        assert client.hlen(log_key("shared", one.shared._name)) == 2 * PAGES_AT_ONCE + 2
        room = client.get(room_key("shared", MORNING))
        client.delete(room_key("shared", MORNING))
        for known in (0, PAGES_AT_ONCE * PAGE, 2 * PAGES_AT_ONCE * PAGE):
            await newcomer.round()
            assert (len(newcomer.knows), newcomer.shared.behind) == (known, True)
        assert not client.exists(room_key("shared", MORNING))
        await newcomer.round()
        assert newcomer.knows == one.knows
        assert client.get(room_key("shared", MORNING)) == room

    with_gateways(redis_url, 2, test)


def test_an_emptied_redis_is_whole_again_and_has_what_gateways_knew_that_are_no_more(
    redis_url: str, client: Any
) -> None:
    async def test(one: Gateway, other: Gateway, gone: Gateway, newcomer: Gateway) -> None:
        gone.takes(*some(5))
        one.takes(*some(PAGE + 1, first=100))
        await rounds(gone, one, other)
        room = client.get(room_key("shared", MORNING))
        client.flushall()
        await rounds(one, other, times=1)
        assert client.get(room_key("shared", MORNING)) == room, "the next second"
        await rounds(one, other)
        await rounds(newcomer)
        assert newcomer.knows == one.knows == other.knows == {*some(5), *some(PAGE + 1, first=100)}
        length = sum(client.hlen(key) for key in client.keys(log_key("shared", "*")))
        await rounds(one, other, newcomer)
        assert sum(client.hlen(key) for key in client.keys(log_key("shared", "*"))) == length, "and then it is quiet"

    with_gateways(redis_url, 4, test)


def test_who_only_ever_listened_tells_what_is_lost_with_those_who_told_it(redis_url: str, client: Any) -> None:
    async def test(listener: Gateway, gone: Gateway, newcomer: Gateway) -> None:
        gone.takes(*some(5))
        await rounds(gone, listener)
        client.flushall()
        await rounds(listener, newcomer)
        assert newcomer.knows == listener.knows == set(some(5))

    with_gateways(redis_url, 3, test)


@pytest.mark.parametrize("spoil", ["page", "log", "end"])
def test_a_log_that_lost_a_part_is_written_anew_under_another_name(redis_url: str, client: Any, spoil: str) -> None:
    """As after a replica has taken over that had not heard everything."""

    async def test(one: Gateway, other: Gateway) -> None:
        one.takes(*some(PAGE + 2))
        await rounds(one)
        key = log_key("shared", one.shared._name)
        if spoil == "page":
            client.hdel(key, 1)
        elif spoil == "log":
            client.delete(key)
        else:
            client.hset(key, 1, client.hget(key, 1)[: SCAN.size])
        await rounds(one, other)
        assert other.knows == one.knows
        assert not client.exists(key)
        assert client.smembers(logs_key("shared")) == {one.shared._name.encode()}

    with_gateways(redis_url, 2, test)


def test_where_nothing_happens_a_room_is_written_every_ten_seconds_and_nothing_else(
    redis_url: str, client: Any
) -> None:
    async def test(one: Gateway) -> None:
        one.takes(*some(1))
        await rounds(one)
        client.config_resetstat()
        await rounds(one)
        one.at += SHOW_AGAIN_S - 0.1
        await rounds(one)
        assert not {"cmdstat_hset", "cmdstat_set"} & client.info("commandstats").keys()
        client.delete(room_key("shared", MORNING))
        one.at += 0.1
        await rounds(one, times=1)
        assert client.pfcount(room_key("shared", MORNING)) == 1

    with_gateways(redis_url, 1, test)


def test_while_redis_is_away_scans_wait_and_then_they_are_told(
    start_redis: Callable[[Role], EmbeddedRedis],
) -> None:
    server = start_redis(Role.LIVE)

    async def test(one: Gateway, other: Gateway) -> None:
        one.takes(*some(2))
        await rounds(one, other)
        server.stop()
        one.takes(*some(2, first=10))
        other.takes((some(1)[0][0], passage(scan(OUT, 1))[1]))
        for gateway in (one, other):
            with pytest.raises(LiveUnavailableError):
                await gateway.round()
        server.start()  # and it is empty
        await rounds(one, other)
        assert one.knows == other.knows
        assert {number for number, names in one.rooms.inside(NOW).items() for _ in names} == {MORNING}
        assert len(list(one.rooms.inside(NOW)[MORNING])) == 3

    with_gateways(server.url, 2, test)


STEPS = st.one_of(
    st.tuples(st.just("takes"), st.integers(0, 2), st.integers(1, 3), st.integers(0, 29), st.sampled_from((IN, OUT))),
    st.tuples(st.just("round"), st.integers(0, 2)),
    st.tuples(st.just("empties")),
)


@settings(max_examples=30)
@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_in_between_in_the_end_all_know_the_newest_scans(
    redis_url: str, steps: list[tuple[Any, ...]]
) -> None:
    newest: dict[bytes, int] = {}

    async def test(*gateways: Gateway) -> None:
        with redis.Redis.from_url(redis_url) as connection:
            connection.flushall()
            for what, *rest in steps:
                if what == "takes":
                    place, seat, minute, direction = rest
                    name, number = passage(scan(direction, minute, seat=seat))
                    newest[name] = max(number, newest.get(name, 0))
                    gateways[place].takes((name, number))
                elif what == "round":
                    await gateways[rest[0]].round()
                else:
                    connection.flushall()
            await rounds(*gateways, times=4)
            for gateway in gateways:
                assert dict(gateway.rooms.everybody()) == newest
            held = connection.get(room_key("shared", MORNING))
            shown = hyperloglog.empty() if held is None else hyperloglog.from_redis(held)
            assert (shown == gateways[0].rooms.sketches(NOW)[MORNING]).all()

    with_gateways(redis_url, 3, test)


def test_the_poller_says_who_is_on_site_and_counts_who_is_both_once(redis_url: str, client: Any) -> None:
    rng = random.Random(7)
    online = [rng.randbytes(16) for _ in range(30)]
    registers = hyperloglog.empty()
    for name in online:
        hyperloglog.add(registers, name)
    bucket = int(NOW) // 10 * 10

    async def test(one: Gateway) -> None:
        store = SketchStore(redis_url)
        batch = {bucket_key("shared", session, bucket, "attendees"): registers for session in (0, MORNING)}
        await store.merge(batch, 900, "a1")
        await store.close()
        async with LivePoller(redis_url, EVENT) as poller:
            counts = await poller.poll(NOW)
            assert [row.by_channel() for row in counts.rows[:2]] == [{"either": 30, "online": 30, "onsite": 0}] * 2
            entry = passage(scan(IN, 0))[1]
            one.takes(*((name, entry) for name in online[:10]), *some(5))
            await rounds(one)
            client.config_resetstat()
            counts = await poller.poll(NOW)
            both = {"either": 35, "online": 30, "onsite": 15}
            assert [row.by_channel() for row in counts.rows[:3]] == [
                both,
                both,
                {"either": 0, "online": 0, "onsite": 0},
            ]
            # Each session: two sketches and four shards; the event: sixteen; rooms; and unions of those occupied.
            sessions = len(EVENT.sessions)
            asked = sessions * 6 + 18 + sessions + 1 + 2
            assert client.info("commandstats")["cmdstat_pfcount"]["calls"] == asked

    with_gateways(redis_url, 1, test)
