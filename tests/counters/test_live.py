"""Sketches into a real Redis and live counts out of it, with Redis killed, frozen and replaced."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import numpy as np
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import hyperloglog as hll
from counters.event import Counting, Event, Session
from counters.hyperloglog import Registers, SketchError
from counters.live import (
    BUCKET_TTL_S,
    LivePoller,
    LiveUnavailableError,
    SketchStore,
    bucket_key,
    server_facts,
    uniques_key,
)
from counters.live_counts import live_document
from deploy.embedded_redis import EmbeddedRedis, Role
from tests.gateway.commands import CERTAIN_S

T = TypeVar("T")
StartRedis = Callable[[Role], EmbeddedRedis]
NINE = 1_700_355_600  # 2023-11-19T09:00:00+08:00


def sketch_of(*elements: bytes) -> Registers:
    registers = hll.empty()
    for element in elements:
        hll.add(registers, element)
    return registers


def crowd(people: int, seed: int = 1) -> Registers:
    rng = random.Random(seed)
    return sketch_of(*(rng.randbytes(16) for _ in range(people)))


def with_store(
    url: str,
    test: Callable[[SketchStore], Awaitable[None]],
    timeout_s: float = CERTAIN_S,
    monotonic: Callable[[], float] | None = None,
) -> None:
    """Run a test with one SketchStore, and close it."""

    async def run() -> None:
        store = SketchStore(url, timeout_s) if monotonic is None else SketchStore(url, timeout_s, monotonic)
        try:
            await test(store)
        finally:
            await store.close()

    asyncio.run(run())


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
        yield connection


def kill_and_restart(server: EmbeddedRedis) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    server.start()


def counted(url: str, *keys: str) -> int:
    with redis.Redis.from_url(url) as connection:
        return cast("int", connection.pfcount(*keys))


# --- Names ------------------------------------------------------------------------------------------------------------


def test_the_keys_are_those_of_the_contract() -> None:
    assert bucket_key("wiotc2023", 7, NINE, "attendees") == "turnout:{wiotc2023:7}:b:1700355600:attendees"
    assert bucket_key("wiotc2023", 0, NINE, "views") == "turnout:{wiotc2023:0}:b:1700355600:views"
    assert uniques_key("wiotc2023", 7, 3, "2023-11-19") == "turnout:{wiotc2023:7:3}:d:2023-11-19:attendees"


# --- SketchStore ------------------------------------------------------------------------------------------------------


def test_a_stored_key_is_counted_by_redis_as_by_us_and_expires(redis_url: str, client: redis.Redis) -> None:
    key = bucket_key("stored", 1, NINE, "attendees")
    registers = crowd(5_000)

    async def test(store: SketchStore) -> None:
        assert await store.merge({key: registers}, BUCKET_TTL_S, "a1") == 1

    with_store(redis_url, test)
    assert client.get(key) == hll.to_dense(registers)
    assert abs(counted(redis_url, key) - hll.estimate(registers)) <= 1
    assert BUCKET_TTL_S - 10 < cast("int", client.ttl(key)) <= BUCKET_TTL_S
    temporary = "turnout:{stored:1}:tmp:a1:b:1700355600:attendees"
    assert {name.decode() for name in cast("list[bytes]", client.keys("turnout:{stored:*"))} == {key, temporary}
    assert 0 < cast("int", client.ttl(temporary)) <= 20


def test_what_holds_nothing_new_is_not_sent(redis_url: str, client: redis.Redis) -> None:
    key, other = (bucket_key("unchanged", session, NINE, "views") for session in (1, 2))

    async def test(store: SketchStore) -> None:
        mine = sketch_of(b"one")
        assert await store.merge({key: mine, other: hll.empty()}, 900, "a1") == 1  # an empty sketch says nothing
        assert await store.merge({key: mine}, 900, "a1") == 0
        assert await store.merge({key: hll.empty()}, 900, "a1") == 0
        hll.add(mine, b"two")  # the store kept a copy, so it sees the difference
        assert await store.merge({key: mine, other: mine}, 900, "a1") == 2

    with_store(redis_url, test)
    assert counted(redis_url, key) == 2
    assert client.exists(other)


def test_bytes_of_a_redis_key_are_taken_as_well_as_registers(redis_url: str, client: redis.Redis) -> None:
    async def test(store: SketchStore) -> None:
        await store.merge({"turnout:{bytes:1}:b:0:views": hll.to_dense(sketch_of(b"a", b"b"))}, 900, "a1")

    with_store(redis_url, test)
    assert client.pfcount("turnout:{bytes:1}:b:0:views") == 2


def test_more_sketches_than_fit_one_pipeline_all_arrive(redis_url: str, client: redis.Redis) -> None:
    keys = [bucket_key("many", session, NINE, "attendees") for session in range(150)]

    async def test(store: SketchStore) -> None:
        assert await store.merge({key: sketch_of(key.encode()) for key in keys}, 900, "a1") == 150

    with_store(redis_url, test)
    assert cast("int", client.exists(*keys)) == 150


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.sets(st.binary(max_size=4))), max_size=12))
@settings(max_examples=20, deadline=None)
def test_whatever_two_workers_send_in_whatever_order_redis_holds_the_union(
    redis_url: str, steps: list[tuple[int, int, set[bytes]]]
) -> None:
    keys = [bucket_key("union", session, NINE, "attendees") for session in range(3)]
    met: list[set[bytes]] = [set(), set(), set()]

    async def run() -> None:
        stores = SketchStore(redis_url), SketchStore(redis_url)
        for worker, session, elements in steps:
            await stores[worker].merge({keys[session]: sketch_of(*elements)}, 900, f"worker-{worker}")
            met[session] |= elements
        for store in stores:
            await store.close()

    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        asyncio.run(run())
        for key, elements in zip(keys, met, strict=True):
            held = cast("bytes | None", client.get(key))
            registers = hll.empty() if held is None else hll.from_redis(held)
            assert np.array_equal(registers, sketch_of(*elements))


def test_a_redis_that_was_killed_and_came_back_empty_is_filled_again(start_redis: StartRedis) -> None:
    server = start_redis(Role.LIVE)
    keys = [bucket_key("healed", session, NINE, "attendees") for session in (1, 2)]

    async def test(store: SketchStore) -> None:
        await store.merge({keys[0]: sketch_of(b"a", b"b")}, 900, "a1")
        await store.merge({keys[0]: sketch_of(b"c"), keys[1]: sketch_of(b"d")}, 900, "a1")  # kept cumulatively
        kill_and_restart(server)
        assert counted(server.url, *keys) == 0
        assert await store.merge({}, 900, "a1") == 2
        assert await store.merge({}, 900, "a1") == 0

    with_store(server.url, test)
    assert [counted(server.url, key) for key in keys] == [3, 1]


def test_sketches_are_forgotten_two_minutes_after_they_were_last_handed_in(start_redis: StartRedis) -> None:
    server = start_redis(Role.LIVE)
    old, final, day = "turnout:{e:1}:b:0:views", "turnout:{e:1}:b:10:views", "turnout:{e:1:0}:d:2023-11-19:attendees"
    now = 1000.0

    async def test(store: SketchStore) -> None:
        nonlocal now
        await store.merge({day: sketch_of(b"d")}, 900, "a1", keep_s=86_400)
        await store.merge({old: sketch_of(b"a")}, 900, "a1")
        now += 60
        await store.merge({final: sketch_of(b"b")}, 900, "a1")
        now += 61
        kill_and_restart(server)
        assert await store.merge({}, 900, "a1") == 2

    with_store(server.url, test, monotonic=lambda: now)
    assert [counted(server.url, key) for key in (old, final, day)] == [0, 1, 1]


def test_what_could_not_be_sent_is_sent_when_redis_is_back(start_redis: StartRedis) -> None:
    server = start_redis(Role.LIVE)
    key = bucket_key("away", 1, NINE, "attendees")

    async def test(store: SketchStore) -> None:
        await store.merge({key: sketch_of(b"before")}, 900, "a1")
        server.stop()
        for element in (b"one", b"two"):
            with pytest.raises(LiveUnavailableError, match="Redis"):
                await store.merge({key: sketch_of(element)}, 900, "a1")
        server.start()
        assert await store.merge({}, 900, "a1") == 1

    with_store(server.url, test)
    assert counted(server.url, key) == 3


async def answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until Redis answers, and return what it says."""
    async with asyncio.timeout(CERTAIN_S):
        while True:
            with contextlib.suppress(LiveUnavailableError):
                return await ask()


def test_a_frozen_redis_is_given_up_in_time_and_used_again_when_it_thaws(start_redis: StartRedis) -> None:
    server = start_redis(Role.LIVE)
    key = bucket_key("frozen", 1, NINE, "attendees")

    async def test(store: SketchStore) -> None:
        facts = await store.server_facts()
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(LiveUnavailableError, match=r"does not answer within 0\.2 s"):
                await store.merge({key: sketch_of(b"a")}, 900, "a1")
        finally:
            os.kill(pid, signal.SIGCONT)
        # No answer to an earlier question; and a machine that stands still is no matter.
        assert await answered(store.server_facts) == facts
        assert await answered(lambda: store.merge({key: sketch_of(b"b")}, 900, "a1")) == 1

    with_store(server.url, test, timeout_s=0.2)
    assert counted(server.url, key) == 2


def test_one_key_that_redis_refuses_does_not_hold_up_the_others(redis_url: str, client: redis.Redis) -> None:
    spoilt, sound = (bucket_key("refused", session, NINE, "attendees") for session in (1, 2))
    client.set(spoilt, "not a sketch")

    async def test(store: SketchStore) -> None:
        batch = {spoilt: sketch_of(b"a"), sound: sketch_of(b"b")}
        with pytest.raises(LiveUnavailableError, match="refused 1 of 2 sketches: WRONGTYPE"):
            await store.merge(batch, 900, "a1")
        assert client.pfcount(sound) == 1
        client.delete(spoilt)
        assert await store.merge({}, 900, "a1") == 1

    with_store(redis_url, test)
    assert client.pfcount(spoilt) == 1


def test_a_batch_with_something_that_is_no_sketch_is_refused_whole(redis_url: str, client: redis.Redis) -> None:
    sound = "turnout:{corrupt:1}:b:0:views"
    too_high = np.full(hll.REGISTERS, 52, np.uint8)

    async def test(store: SketchStore) -> None:
        bad: list[Any] = [b"HYLL", too_high, np.zeros(5, np.uint8)]
        for value in bad:
            with pytest.raises(SketchError):
                await store.merge({sound: sketch_of(b"a"), "turnout:{corrupt:2}:b:0:views": value}, 900, "a1")
        assert await store.merge({}, 900, "a1") == 0

    with_store(redis_url, test)
    assert not client.exists(sound)


def test_an_address_that_is_no_redis_url_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="redis://"):
        SketchStore("http://localhost:6379")


def test_which_server_answers_is_said_in_words(redis_url: str) -> None:
    facts = asyncio.run(server_facts(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        info = client.info("server")
    assert facts.run_id == info["run_id"]
    assert str(facts) in {f"Redis {info['redis_version']}", f"Valkey {info.get('valkey_version')}"}


def test_nobody_answering_is_one_error_that_says_so(tmp_path: Any) -> None:
    with pytest.raises(LiveUnavailableError, match="Redis"):
        asyncio.run(server_facts(f"unix://{tmp_path}/nobody.sock"))


# --- LivePoller -------------------------------------------------------------------------------------------------------


def event_of(event_id: str) -> Event:
    times = datetime.fromtimestamp(NINE, UTC), datetime.fromtimestamp(NINE + 3600, UTC)
    return Event(
        id=event_id,
        name="An event",
        organiser="Somebody",
        time_zone="Asia/Shanghai",
        late_until=datetime(2023, 11, 23, tzinfo=UTC),
        sessions=(Session(1, "opening", "Opening", *times, ()), Session(7, "forum-7", "Forum 7", *times, ())),
        issuers=(),
        counting=Counting((), ()),
    )


def test_live_now_is_the_union_of_five_buckets_for_each_session_and_the_event(redis_url: str) -> None:
    def key(session: int, bucket: int, sketch: Any = "attendees") -> str:
        return bucket_key("polled", session, bucket, sketch)

    batch = {
        key(1, NINE): sketch_of(b"a", b"b"),
        key(1, NINE - 40): sketch_of(b"b", b"c"),
        key(1, NINE - 50): sketch_of(b"too old"),
        key(1, NINE + 10): sketch_of(b"not yet"),
        key(1, NINE, "views"): sketch_of(b"v1", b"v2", b"v3", b"v4"),
        key(7, NINE - 10): sketch_of(b"c"),
        key(0, NINE): sketch_of(b"a", b"b", b"c"),
    }

    async def test(store: SketchStore) -> None:
        await store.merge(batch, 900, "a1")
        async with LivePoller(redis_url, event_of("polled"), CERTAIN_S) as poller:
            counts = await poller.poll(NINE + 9.9)
        assert (counts.as_of, counts.seen_within_s, counts.day) == (NINE + 9.9, 50, "2023-11-19")
        assert [(row.session, row.attendees, row.views) for row in counts.rows] == [(0, 3, 0), (1, 3, 4), (7, 1, 0)]
        assert not counts.stale(NINE + 9.9)

    with_store(redis_url, test)


def test_a_slower_heartbeat_makes_the_poller_look_back_further(redis_url: str) -> None:
    async def test(store: SketchStore) -> None:
        await store.merge({bucket_key("slower", 1, NINE - 130, "attendees"): sketch_of(b"a")}, 900, "a1")
        async with LivePoller(redis_url, event_of("slower"), CERTAIN_S) as poller:
            assert (await poller.poll(NINE)).rows[1].attendees == 0
            poller.announcements = poller.announcements.announce(120, NINE)
            counts = await poller.poll(NINE)
            assert (counts.rows[1].attendees, counts.seen_within_s) == (1, 150)

    with_store(redis_url, test)


def test_uniques_of_the_day_are_the_sum_of_the_shards_that_redis_counts(redis_url: str) -> None:
    rng = random.Random(20231119)
    shards = [hll.empty() for _ in range(16)]
    for pseudonym in (rng.randbytes(16) for _ in range(20_000)):
        hll.add(shards[int.from_bytes(pseudonym[:2], "little") % 16], pseudonym)
    keys = [uniques_key("uniques", 0, shard, "2023-11-19") for shard in range(16)]
    other_day = uniques_key("uniques", 0, 0, "2023-11-20")

    async def test(store: SketchStore) -> None:
        await store.merge(dict(zip(keys, shards, strict=True)) | {other_day: crowd(10)}, 900, "a1")
        async with LivePoller(redis_url, event_of("uniques"), CERTAIN_S) as poller:
            counts = await poller.poll(NINE)
        assert counts.rows[0].today == tuple(counted(redis_url, key) for key in keys)
        number = live_document(event_of("uniques"), counts, NINE)["numbers"][3]
        assert number["scope"] == {"day": "2023-11-19"}
        assert abs(number["value"] - hll.estimate_sharded(shards)) <= 16
        assert number["standard_error"] == pytest.approx(0.008125 / 4, rel=0.02)
        assert abs(number["value"] - 20_000) < 5 * number["standard_error"] * 20_000

    with_store(redis_url, test)


def test_the_last_answer_stays_marked_stale_with_its_age_while_redis_is_away(start_redis: StartRedis) -> None:
    server = start_redis(Role.LIVE)
    event = event_of("stale")

    async def test(store: SketchStore) -> None:
        await store.merge({bucket_key("stale", 1, NINE, "attendees"): sketch_of(b"a", b"b")}, 900, "a1")
        async with LivePoller(server.url, event, CERTAIN_S) as poller:
            assert live_document(event, poller.last, NINE)["stale"] is True  # nothing polled yet
            fresh = await poller.poll(NINE)
            server.stop()
            old = await poller.poll(NINE + 3)
            assert (old.rows, old.as_of) == (fresh.rows, NINE)
            assert "Redis" in old.failure
            document = live_document(event, old, NINE + 3)
            assert (document["stale"], document["age_s"]) == (True, 3)
            server.start()
            await store.merge({}, 900, "a1")
            again = await poller.poll(NINE + 4)
            assert live_document(event, again, NINE + 4)["stale"] is False
            assert again.rows == fresh.rows

    with_store(server.url, test)


def test_a_key_that_is_no_sketch_makes_the_answer_stale_and_says_why(redis_url: str, client: redis.Redis) -> None:
    client.set(bucket_key("spoilt", 1, NINE, "views"), "not a sketch")

    async def run() -> None:
        async with LivePoller(redis_url, event_of("spoilt"), CERTAIN_S) as poller:
            assert "WRONGTYPE" in (await poller.poll(NINE)).failure

    asyncio.run(run())
