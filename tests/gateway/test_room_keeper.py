"""The room keeper: scans in the workers' journals show in the rooms of every gateway, and are lost with no file."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client

from counters.event import Event
from counters.journal import Direction, JoinKind, encode
from counters.live import room_key
from deploy.embedded_redis import EmbeddedRedis, Role, ServerProgram
from gateway.room_keeper import RoomKeeper
from gateway.worker_folders import WorkerFolders
from tests.counters.worker_at_hand import NINE, HandClock, WorkerAtHand, a_join, a_scan
from tests.gateway.serving import PATIENCE_S
from tests.gateway.test_flusher import EVENT as WITHOUT_GATES

FIRST, *OTHERS = WITHOUT_GATES.sessions
EVENT = replace(WITHOUT_GATES, id="rooms", sessions=(replace(FIRST, gates=("hall-a",)), *OTHERS))


@pytest.fixture(scope="module")
def client(redis_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with (
        EmbeddedRedis(tmp_path_factory.mktemp("redis"), Role.LIVE, redis_program) as server,
        redis_client.Redis.from_url(server.url) as connection,
    ):
        yield connection


class Host:
    """A worker, and the room keeper of its gateway."""

    def __init__(self, spool: Path, url: str, worker: str = "00000000000000a1", event: Event = EVENT) -> None:
        self.clock = HandClock()
        self.worker = WorkerAtHand(spool, self.clock, worker=worker, digest=event.digest)
        self.folders = WorkerFolders(spool, event.digest)
        self.keeper = RoomKeeper(self.folders, event, self.clock, url)

    def scan(self, seat: int, direction: Direction = Direction.IN, at_s: float = 0, session: int = 1) -> None:
        at_ms = int((NINE + at_s) * 1000)
        one = a_scan(f"{seat} {at_s}", seat=seat, direction=direction, scanned_at_ms=at_ms, session=session)
        self.worker.tally.write_journal(encode(a_join(seat, kind=JoinKind.BADGE)) + encode(one))

    async def share(self) -> None:
        self.folders.read()
        await self.keeper.share()


def url_of(client: Any) -> str:
    return f"unix://{client.connection_pool.connection_kwargs['path']}"


def with_hosts(client: Any, folder: Path, test: Callable[..., Awaitable[None]], count: int = 1, **event: Any) -> None:
    client.flushall()

    async def run() -> None:
        hosts = [Host(folder / f"{place}", url_of(client), f"{place:016x}", **event) for place in range(count)]
        try:
            await test(*hosts)
        finally:
            for host in hosts:
                host.worker.die()
                await host.keeper.close()

    asyncio.run(run())


def people(client: Any, session: int = 1) -> int:
    return int(client.pfcount(room_key(EVENT.id, session)))


def test_who_enters_at_one_gateway_and_leaves_at_another_is_in_the_room_and_then_not(
    client: Any, tmp_path: Path
) -> None:
    async def test(one: Host, other: Host) -> None:
        one.scan(7)
        one.scan(8)
        await one.share()
        assert (people(client), people(client, 0)) == (2, 2)
        other.scan(7, Direction.OUT, at_s=5)
        for host in (other, one, other):
            await host.share()
        assert (people(client), people(client, 0)) == (1, 1)
        one.scan(7, at_s=1)  # comes late: they have left since
        for host in (one, other):
            await host.share()
        assert people(client) == 1

    with_hosts(client, tmp_path, test, 2)


def test_a_scan_of_the_moment_before_its_journal_is_deleted_is_in_the_room(client: Any, tmp_path: Path) -> None:
    async def test(host: Host) -> None:
        host.scan(7)
        await host.share()
        host.scan(8, at_s=1)
        (journal,) = host.worker.folder.glob("w*.journal")
        host.keeper.read_last([journal])
        journal.unlink()
        await host.share()
        assert people(client) == 2

    with_hosts(client, tmp_path, test)


def test_a_scan_that_was_just_being_read_as_a_gateway_was_told_to_stop_is_in_the_room(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, stopped = threading.Event(), threading.Event()

    async def test(host: Host) -> None:
        host.scan(7)
        recent = host.folders.recent

        def slowly() -> Any:
            reading.set()
            stopped.wait(PATIENCE_S)
            return recent()

        monkeypatch.setattr(host.folders, "recent", slowly)
        sharing = asyncio.create_task(host.share())
        await asyncio.to_thread(reading.wait, PATIENCE_S)
        sharing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sharing
        stopped.set()
        await host.share()
        assert people(client) == 1

    with_hosts(client, tmp_path, test)


def test_a_gateway_that_begins_anew_reads_what_was_not_carried_and_hears_the_rest(client: Any, tmp_path: Path) -> None:
    async def test(host: Host) -> None:
        host.scan(7)
        await host.share()
        (journal,) = host.worker.folder.glob("w*.journal")
        journal.write_bytes(b"")  # carried
        host.scan(8)
        newcomer = RoomKeeper(host.folders, EVENT, host.clock, url_of(client))
        for _ in range(3):
            await newcomer.share()
        assert people(client) == 2
        await newcomer.close()

    with_hosts(client, tmp_path, test)


def test_when_the_session_is_over_the_room_is_empty(client: Any, tmp_path: Path) -> None:
    async def test(host: Host) -> None:
        host.scan(7)
        await host.share()
        assert people(client) == 1
        host.clock.at = datetime.timestamp(FIRST.ends_at)
        await host.share()
        assert (people(client), people(client, 0)) == (0, 0)

    with_hosts(client, tmp_path, test)


def test_when_the_last_session_with_gates_is_over_pseudonyms_are_not_written_again(client: Any, tmp_path: Path) -> None:
    async def test(host: Host) -> None:
        host.scan(7)
        await host.share()
        assert client.keys("*:onsite}:log:*")
        host.clock.at = datetime.timestamp(FIRST.ends_at)
        await host.share()
        client.flushall()  # as when a log has been there for a day
        for _ in range(3):
            await host.share()
        assert not client.keys("*")
        host.clock.at = datetime.timestamp(FIRST.starts_at)  # it was wrong
        await host.share()
        assert people(client) == 1

    with_hosts(client, tmp_path, test)


def test_an_event_without_gates_asks_redis_nothing(client: Any, tmp_path: Path) -> None:
    async def test(host: Host) -> None:
        client.config_resetstat()
        host.scan(7)
        assert await host.keeper.share_or_say() == ""
        assert set(client.info("commandstats")) <= {"cmdstat_config|resetstat", "cmdstat_info"}

    with_hosts(client, tmp_path, test, event=WITHOUT_GATES)


def test_why_it_cannot_share_is_said_in_words(tmp_path: Path) -> None:
    async def run() -> None:
        host = Host(tmp_path / "spool", f"unix://{tmp_path}/nobody.sock")
        host.scan(7)
        assert "Redis" in await host.keeper.share_or_say()
        host.worker.die()
        await host.keeper.close()

    asyncio.run(run())
