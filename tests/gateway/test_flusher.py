"""The flusher: Redis gets what rose, once for the whole host, and gets it again when it has lost it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis as redis_client
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import hyperloglog
from counters.event import Counting, Event, Session
from counters.live import LiveUnavailableError, SketchStore, bucket_key, uniques_key
from counters.spool import REGISTERS, SKETCHES
from counters.spooled_window import read_window, window_chunks
from deploy.embedded_redis import EmbeddedRedis
from gateway import flusher as flusher_module
from gateway.flusher import Flusher
from gateway.worker_folders import WorkerFolders
from tests.counters.worker_at_hand import NINE, SESSIONS, HandClock, WorkerAtHand, registers_of
from tests.counters.worker_at_hand import attendee as attendee_of

TIMES = datetime.fromtimestamp(NINE, UTC), datetime.fromtimestamp(NINE + 3600, UTC)
EVENT = Event(
    id="flushed",
    name="Flushed",
    organiser="Somebody",
    time_zone="Asia/Shanghai",
    late_until=datetime(2023, 11, 23, tzinfo=UTC),
    sessions=tuple(Session(number, f"s{number}", "A session", *TIMES, ()) for number in SESSIONS),
    issuers=(),
    counting=Counting((), ()),
)
DAY = "2023-11-19"
WRITING = {"set", "pfmerge", "expire"}


class Host:
    """Workers of one host, its flusher, and the Redis that it flushes to."""

    def __init__(self, spool: Path, url: str, workers: int = 1) -> None:
        self.clock = HandClock()
        with ExitStack() as stack:
            self.workers = [
                stack.enter_context(WorkerAtHand(spool, self.clock, worker=f"{number + 1:016x}", digest=EVENT.digest))
                for number in range(workers)
            ]
            self._left = stack.pop_all()
        self.folders = WorkerFolders(spool, EVENT.digest)
        self.sketches = SketchStore(url)
        self.flusher = Flusher(self.folders, EVENT, self.clock, self.sketches)
        self.client: Any = redis_client.Redis.from_url(url)
        self.client.flushall()

    async def close(self) -> None:
        self.flusher.close()
        await self.sketches.close()
        self.client.close()
        self._left.close()

    async def flush(self) -> dict[str, int]:
        """Flush; return how often Redis was asked for which command meanwhile."""
        self.client.config_resetstat()
        await self.flusher.flush()
        return {
            name.removeprefix("cmdstat_"): row["calls"]
            for name, row in self.client.info("commandstats").items()
            if not name.startswith(("cmdstat_config", "cmdstat_info"))
        }

    def sketch(self, session: int, bucket: int = NINE, sketch: Any = "attendees") -> hyperloglog.Registers:
        """What Redis holds."""
        held = self.client.get(bucket_key(EVENT.id, session, bucket, sketch))
        return hyperloglog.empty() if held is None else hyperloglog.from_redis(held)


@pytest.fixture(scope="module")
def url(redis_program: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), program=redis_program) as server:
        yield server.url


def with_host(spool: Path, url: str, test: Callable[[Host], Awaitable[None]], workers: int = 1) -> None:
    async def run() -> None:
        host = Host(spool, url, workers)
        try:
            await test(host)
        finally:
            await host.close()

    asyncio.run(run())


def test_where_nobody_watches_nothing_is_sent(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        assert await host.flush() == {"get": 1, "set": 1}  # the canary's
        assert await host.flush() == {"get": 1}
        host.clock.at += 10
        assert await host.flush() == {"get": 1}

    with_host(tmp_path, url, test)


def test_one_heartbeat_sends_its_session_and_the_event_and_no_other_session(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        await host.flush()
        host.workers[0].beat(7, session=3)
        assert await host.flush() == {"get": 1} | dict.fromkeys(WRITING, 4)  # two sketches of two
        assert {key for key in host.client.keys("turnout:{flushed:*") if b":tmp:" not in key} == {
            bucket_key(EVENT.id, session, NINE, sketch).encode()
            for session in (0, 3) for sketch in ("attendees", "views")
        }  # fmt: skip
        assert await host.flush() == {"get": 1}

    with_host(tmp_path, url, test)


def test_heartbeats_that_raise_nothing_are_not_sent(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        host.workers[0].beat(7)
        await host.flush()
        host.workers[0].beat(7)  # the same viewer in the same bucket
        assert await host.flush() == {"get": 1}
        host.clock.at += 10
        host.workers[0].beat(7)
        assert await host.flush() == {"get": 1} | dict.fromkeys(WRITING, 4)

    with_host(tmp_path, url, test)


def test_only_rows_with_new_records_are_read(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        host.workers[0].beat(7, session=3)
        host.workers[0].tally.count_unique(3, attendee_of(7))
        await host.flush()
        assert host.flusher._risen() == ({}, {})
        host.workers[0].beat(8, session=700)
        buckets, uniques = host.flusher._risen()
        assert set(buckets) == {bucket_key(EVENT.id, session, NINE, sketch)
                                for session in (0, 700) for sketch in flusher_module.SKETCHES}  # fmt: skip
        assert uniques == {}

    with_host(tmp_path, url, test)


def test_a_host_merges_its_workers_and_sends_each_sketch_once(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        await host.flush()
        for seat in range(1, 61):
            host.workers[seat % 5].beat(seat)
        assert await host.flush() == {"get": 1} | dict.fromkeys(WRITING, 4)
        expected = registers_of([(0, seat, 1, False) for seat in range(1, 61)])[0, 0]
        for session in (0, 1):
            assert np.array_equal(host.sketch(session), expected[0])
            assert np.array_equal(host.sketch(session, sketch="views"), expected[1])

    with_host(tmp_path, url, test, workers=5)


def test_a_join_sends_one_shard_of_the_session_and_one_of_the_event(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        await host.flush()
        host.workers[0].tally.count_unique(3, attendee_of(6))
        assert await host.flush() == {"get": 1} | dict.fromkeys(WRITING, 2)
        assert {key for key in host.client.keys("turnout:{flushed:*") if b":tmp:" not in key} == {
            uniques_key(EVENT.id, 3, 6 % 4, DAY).encode(), uniques_key(EVENT.id, 0, 6, DAY).encode()
        }  # fmt: skip
        host.workers[0].tally.count_unique(3, attendee_of(6))
        assert await host.flush() == {"get": 1}

    with_host(tmp_path, url, test)


def test_in_a_rush_of_joins_shards_take_turns(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher_module, "UNIQUES_A_FLUSH", 6)

    async def test(host: Host) -> None:
        await host.flush()
        for _ in range(2):  # each time all 4 · 3 + 16 shards rise
            for seat in range(1, 4000):
                host.workers[0].tally.count_unique(SESSIONS[seat % 3], attendee_of(seat))
        sent: list[int] = []
        for _ in range(5):
            host.workers[0].tally.count_unique(1, attendee_of(random.Random(len(sent)).randrange(2**30)))
            sent.append((await host.flush()).get("pfmerge", 0))
        assert sent == [6, 6, 6, 6, 6]
        assert len([key for key in host.client.keys("turnout:{flushed:*:d:*") if b":tmp:" not in key]) == 28

    with_host(tmp_path, url, test)


def test_uniques_taken_in_while_redis_is_away_are_sent_when_it_is_back(tmp_path: Path, redis: EmbeddedRedis) -> None:
    async def test(host: Host) -> None:
        await host.flush()
        host.workers[0].beat(6, session=3)
        host.workers[0].tally.count_unique(3, attendee_of(6))
        redis.stop()
        with pytest.raises(LiveUnavailableError):
            await host.flusher.flush()
        redis.start()
        assert await host.flush() == {"get": 1, "set": 7, "pfmerge": 6, "expire": 6}  # and the canary

    with_host(tmp_path, redis.url, test)


def test_what_a_flushall_took_is_sent_again(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        host.workers[0].beat(7, session=3)
        host.workers[0].tally.count_unique(3, attendee_of(7))
        await host.flush()
        before = {key: host.client.get(key) for key in host.client.keys("turnout:{flushed:*") if b":tmp:" not in key}
        assert len(before) == 6
        host.client.flushall()
        await host.flush()
        assert {key: host.client.get(key) for key in before} == before
        assert await host.flush() == {"get": 1}

    with_host(tmp_path, url, test)


def test_one_gateways_canary_does_not_hide_another_ones_loss(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        other = SketchStore(url)
        host.workers[0].beat(7, session=3)
        await host.flush()
        await other.merge({}, 900, "another")
        host.client.flushall()
        await other.merge({}, 900, "another")
        await host.flush()
        assert host.sketch(3).any()
        await other.close()

    with_host(tmp_path, url, test)


def test_a_window_that_was_carried_before_the_flush_is_sent_whole(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        worker = host.workers[0]
        worker.beat(7, session=3)
        await host.flush()
        worker.beat(8, session=3)
        host.clock.at += 60
        worker.tally.advance()
        spool = read_window(window_chunks(worker.folder)[NINE])
        host.flusher.take_final(NINE, [spool])
        for path in spool.paths:
            path.unlink()
        await host.flush()
        assert np.array_equal(host.sketch(3), registers_of([(0, 7, 3, False), (0, 8, 3, False)])[0, 1, 0])

    with_host(tmp_path, url, test)


def test_the_last_joins_of_a_dead_worker_are_sent_though_its_folder_is_gone(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        host.workers[0].tally.count_unique(3, attendee_of(6))
        await host.flush()
        host.workers[0].tally.count_unique(3, attendee_of(7))
        host.workers[0].die()
        (folder,) = host.folders.read()
        host.flusher.take_last_uniques(folder)
        for path in folder.path.iterdir():
            path.unlink()
        folder.path.rmdir()
        await host.flush()
        assert host.client.exists(uniques_key(EVENT.id, 3, 7 % 4, DAY))

    with_host(tmp_path, url, test)


def test_what_a_broken_disk_left_ends_no_flush_and_keeps_no_file(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        worker = host.workers[0]
        for session in SESSIONS:
            worker.beat(7, session)
            worker.tally.count_unique(session, attendee_of(6))
        worker.tally._registers[SKETCHES * REGISTERS] = 99  # of the second session's attendees
        worker.tally._uniques._map[-1] = 99  # of the event's last shard
        worker.tally._uniques._rises[-1] += 1
        await host.flush()
        assert [host.sketch(session).any() for session in SESSIONS] == [True, False, True]
        assert not host.client.exists(uniques_key(EVENT.id, 0, 15, DAY))
        worker.tally._records[0] |= 6 << 56  # no bucket
        host.clock.at += 60
        worker.tally.advance()
        host.flusher.take_final(NINE, [read_window(window_chunks(worker.folder)[NINE])])
        await host.flush()

    with_host(tmp_path, url, test)


def test_a_gateway_that_starts_anew_sends_what_lies_in_the_spool(tmp_path: Path, url: str) -> None:
    async def test(host: Host) -> None:
        host.workers[0].beat(7, session=3)
        await host.flush()
        host.client.flushall()
        sketches = SketchStore(url)
        again = Flusher(WorkerFolders(tmp_path, EVENT.digest), EVENT, host.clock, sketches)
        await again.flush()
        assert host.sketch(3).any()
        again.close()
        await sketches.close()

    with_host(tmp_path, url, test)


Step = str | float | tuple[int, int, int]
STEP = st.one_of(
    st.just("flush"),
    st.just("flushall"),
    st.just("carry"),
    st.integers(1, 20).map(float),  # seconds pass
    st.tuples(st.integers(0, 1), st.integers(1, 60), st.sampled_from(SESSIONS)),  # worker, seat, session
)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_whatever_happens_redis_ends_with_the_registers_of_the_heartbeats(
    tmp_path_factory: pytest.TempPathFactory, url: str, steps: list[Step]
) -> None:
    """Heartbeats, flushes, windows carried away and FLUSHALL in any order, within the two minutes that count."""

    async def test(host: Host) -> None:
        beats: list[tuple[int, int, int]] = []  # (bucket, seat, session)
        for step in [*steps, "flush"]:
            if isinstance(step, tuple):
                beats.append((int(host.clock.at) // 10 * 10, step[1], step[2]))
            await take(step, host)
        for window in (NINE, NINE + 60):
            expected = registers_of(
                [((at - window) // 10, seat, session, False) for at, seat, session in beats if 0 <= at - window < 60]
            )
            for bucket, of_bucket in enumerate(expected):
                for session, of_session in ((0, of_bucket.max(axis=0)), *zip(SESSIONS, of_bucket, strict=True)):
                    for sketch, registers in zip(("attendees", "views"), of_session, strict=True):
                        assert np.array_equal(host.sketch(session, window + 10 * bucket, sketch), registers)

    with_host(tmp_path_factory.mktemp("spool"), url, test, workers=2)


async def take(step: Step, host: Host) -> None:
    if isinstance(step, float):
        host.clock.at = min(host.clock.at + step, NINE + 119)
    elif isinstance(step, tuple):
        number, seat, session = step
        host.workers[number].beat(seat, session)
    elif step == "flush":
        await host.flusher.flush()
    elif step == "flushall":
        host.client.flushall()
    else:
        carry_away(host)


def carry_away(host: Host) -> None:
    """As the courier: what is closed is handed to the flusher, then deleted."""
    for worker in host.workers:
        worker.tally.advance()
        for window, paths in window_chunks(worker.folder).items():
            if window < worker.tally.window:
                spool = read_window(paths)
                host.flusher.take_final(window, [spool])
                for path in spool.paths:
                    path.unlink()
