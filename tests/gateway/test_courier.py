"""The courier: what workers accepted reaches the ledger once and whole, and Redis in the bytes of its own sketches."""

import asyncio
import errno
import json
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
import uvloop

from counters import evidence, hyperloglog
from counters.evidence import JournalSegment, PresenceSegment
from counters.handover import HandOver
from counters.live import LiveUnavailableError, SketchStore, bucket_key, uniques_key
from counters.spool_lock import owner_is_dead
from counters.spooled_window import window_chunks
from deploy.embedded_redis import EmbeddedRedis
from gateway import courier as courier_module
from gateway import outgoing
from gateway.courier import ASIDE, Courier
from gateway.flusher import Flusher
from gateway.ledger_client import LedgerClient, LedgerUnavailableError, WorkerName
from gateway.tracing import OFF, Tracing
from gateway.worker_counters import WorkerCounters
from gateway.worker_folders import WorkerFolders
from tests.gateway.serving import NO_LEDGER, NO_REDIS, NOW, PATIENCE_S, RunningLedger, Serving, ledger, serving, until

Mint = Callable[..., str]
WINDOW = int(NOW)
ISO = "2023-11-19T09:10:00+08:00"


@pytest.fixture
def running(simulated_event_file: Path, tmp_path: Path) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path) as service:
        service.jump(NOW)
        yield service


@contextmanager
def worker_of(running: RunningLedger, simulated_event_file: Path, tracing: Tracing = OFF) -> Iterator[Serving]:
    """A worker beside a ledger, on the same clock; the ledger expects its reports."""
    with serving(simulated_event_file, running.data, ledger_url=running.url, seats=False, tracing=tracing) as served:

        async def lease() -> None:
            async with LedgerClient(running.url, running.secrets) as client:
                name = WorkerName(served.worker.config.worker, "test", served.event.digest)
                for block in await client.grant(name, 1, -1):
                    served.worker.lease.add(block)

        served.do(lease())
        yield served


@asynccontextmanager
async def courier_of(
    served: Serving, running: RunningLedger | None, redis_url: str = NO_REDIS, tracing: Tracing = OFF
) -> AsyncIterator[Courier]:
    """A courier for a worker's spool."""
    sketches = SketchStore(redis_url)
    async with LedgerClient(running.url if running else NO_LEDGER, served.secrets, tracing=tracing) as client:
        folders = WorkerFolders(Path(served.worker.config.spool), served.event.digest)
        flusher = Flusher(folders, served.event, served.clock, sketches)
        counters = WorkerCounters(folders, served.event.digest)
        yield Courier(folders, served.event, "test", served.clock, flusher, client, counters, tracing)
        flusher.close()
    await sketches.close()


def with_courier(
    served: Serving,
    running: RunningLedger | None,
    work: Callable[[Courier], Coroutine[Any, Any, None]],
    redis_url: str = NO_REDIS,
) -> None:
    async def run() -> None:
        async with courier_of(served, running, redis_url) as courier:
            await work(courier)

    uvloop.run(run())


def next_window(served: Serving, by: int = 60) -> None:
    """Let the clock pass the end of the window, and the worker notice."""
    served.clock.jump(served.clock.now() + by)
    served.call(served.worker.tally.advance)


def segments_in_evidence(running: RunningLedger) -> list[PresenceSegment | JournalSegment]:
    # A file that is being written goes by another name.
    files = [path for path in (running.data / "evidence").iterdir() if path.suffix != ".new"]
    return [evidence.decode(data) for path in files if (data := path.read_bytes())[:8] == b"TURNSEG\0"]


def seats_in_evidence(running: RunningLedger) -> dict[int, set[int]]:
    """Seats by session in all presence segments of the window."""
    seats: dict[int, set[int]] = {}
    for segment in segments_in_evidence(running):
        if isinstance(segment, PresenceSegment) and segment.head.window == WINDOW:
            for presence in segment.sessions:
                seats.setdefault(presence.session, set()).update(presence.playing)
    return seats


def manifest(running: RunningLedger, leaf: dict[str, Any]) -> dict[str, Any]:
    """The manifest that a leaf names."""
    return dict(json.loads((running.data / "evidence" / leaf["manifest_sha256"]).read_bytes()))


def beat(served: Serving, *seats: int, session: int = 1) -> None:
    for seat in seats:
        token = served.token(seat=seat, session=session)
        assert served.call(lambda token=token: served.worker.heartbeats.beat(token.encode())) is None  # type: ignore[misc]


def test_a_window_that_is_over_becomes_evidence_and_a_leaf(
    running: RunningLedger, simulated_event_file: Path, mint: Mint
) -> None:
    with worker_of(running, simulated_event_file) as served:
        granted = served.join(mint("alice", now=NOW)).json["token"]
        alice = served.keys.open(granted.encode()).seat
        beat(served, alice, *range(100, 130))
        beat(served, 7, session=2)
        assert served.join("x" * 64).status == 401

        async def carry(courier: Courier) -> None:
            assert await courier.carry() == 0  # the window is not over
            next_window(served)
            assert await courier.carry() == 1
            assert await courier.carry() == 0
            assert courier.handed_over == {"accepted": 1}

        with_courier(served, running, carry)
        assert list(window_chunks(served.worker.folder)) == [WINDOW + 60]
        assert seats_in_evidence(running) == {1: {alice, *range(100, 130)}, 2: {7}}
        until(lambda: ISO in running.windows(), "the window is sealed")
        leaf = running.windows()[ISO]
        assert leaf["missing"] == []
        assert leaf["refusals"] == {"token_malformed": 1}
        assert {row["session"]: row["present"] for row in leaf["totals"]} == {"": 32, "opening": 31, "forum": None}
        assert [
            len(segment.joins) for segment in segments_in_evidence(running) if isinstance(segment, JournalSegment)
        ] == [1]


def test_without_the_ledger_everything_stays_and_goes_when_it_is_back(
    running: RunningLedger, simulated_event_file: Path
) -> None:
    with worker_of(running, simulated_event_file) as served:
        beat(served, *range(1, 21))
        next_window(served)
        before = {path.name for path in served.worker.folder.iterdir()}

        async def fail(courier: Courier) -> None:
            with pytest.raises(LedgerUnavailableError):
                await courier.carry()
            assert courier.handed_over == {"unreachable": 1}
            assert courier.spool_size()[0] > 0
            assert courier.spool_size()[1] == 0  # since the window ended

        async def carry(courier: Courier) -> None:
            assert await courier.carry() == 1

        with_courier(served, None, fail)
        assert {path.name for path in served.worker.folder.iterdir()} == before
        with_courier(served, running, carry)
        assert seats_in_evidence(running) == {1: set(range(1, 21))}


def test_what_is_handed_over_twice_counts_once(
    running: RunningLedger, simulated_event_file: Path, tmp_path: Path
) -> None:
    """A crash between the ledger's acknowledgement and the deletion of the files."""
    with worker_of(running, simulated_event_file) as served:
        beat(served, *range(1, 21))
        next_window(served)
        files = [path for path in served.worker.folder.iterdir() if path.name.startswith(f"w{WINDOW}")]
        kept = tmp_path / "kept"
        kept.mkdir()
        for path in files:
            shutil.copy(path, kept / path.name)

        async def carry_twice(courier: Courier) -> None:
            assert await courier.carry() == 1
            for path in files:
                shutil.copy(kept / path.name, path)
            assert await courier.carry() == 1
            assert courier.handed_over == {"accepted": 1, "repeated": 1}

        with_courier(served, running, carry_twice)
        until(lambda: ISO in running.windows(), "the window is sealed")
        assert [leaf["type"] for leaf in running.leaves()].count("late") == 0
        assert running.windows()[ISO]["totals"][0]["present"] == 20


def test_a_worker_between_two_windows_is_waited_for(running: RunningLedger, simulated_event_file: Path) -> None:
    """It has closed one and not opened the next yet; what it accepts in a moment must not come late."""
    with worker_of(running, simulated_event_file) as one, worker_of(running, simulated_event_file) as two:
        one.call(lambda: one.worker.tally._close_window(int(NOW * 1000)))
        next_window(two)

        async def carry(courier: Courier) -> None:
            assert await courier.carry() == 1
            next_window(two)
            assert await courier.carry() == 0
            one.call(one.worker.tally.advance)
            assert await courier.carry() == 1

        with_courier(one, running, carry)
        until(lambda: len(running.windows()) == 12, "both windows are sealed")
        assert all(leaf["missing"] == [] for leaf in running.windows().values())


def test_a_dead_workers_windows_are_carried_and_its_folder_goes(
    running: RunningLedger, simulated_event_file: Path
) -> None:
    with worker_of(running, simulated_event_file) as living:
        with worker_of(running, simulated_event_file) as dead:
            beat(dead, *range(1, 21))
            # As after kill -9: the window is open and the lock is free.
            kept = dead.worker.folder.with_name("kept")
            shutil.copytree(dead.worker.folder, kept)
        shutil.rmtree(dead.worker.folder)
        kept.rename(dead.worker.folder)
        assert owner_is_dead(dead.worker.folder)
        beat(living, *range(21, 31))
        next_window(living)

        async def carry(courier: Courier) -> None:
            assert courier.counters.totals()[0]["beat.playing"] == 30
            assert await courier.carry() == 1
            assert courier.counters.totals()[0]["beat.playing"] == 30  # totals do not fall when a worker goes

        with_courier(living, running, carry)
        assert not dead.worker.folder.exists()
        assert seats_in_evidence(running) == {1: set(range(1, 31))}
        until(lambda: ISO in running.windows(), "the window is sealed")
        leaf = running.windows()[ISO]
        assert leaf["missing"] == []
        assert leaf["totals"][0]["present"] == 30


def test_of_a_worker_that_ended_in_a_break_it_is_told_once_it_is_late(
    running: RunningLedger, simulated_event_file: Path
) -> None:
    """Windows may be sealed by then that name it; in time the promise is enough, and a break has no leaf."""
    with worker_of(running, simulated_event_file) as living:
        window = int(NOW) + 7200
        with worker_of(running, simulated_event_file) as ended:
            name = ended.worker.config.worker
            next_window(living, 7200)
            ended.call(ended.worker.tally.advance)

            async def before(courier: Courier) -> None:
                assert await courier.carry() == 1

            with_courier(living, running, before)
        assert not living.event.scheduled(window)

        async def carry(courier: Courier) -> None:
            living.clock.jump(window + 60)
            living.call(living.worker.tally.advance)
            client, courier._ledger = courier._ledger, LedgerClient(NO_LEDGER, living.secrets)
            async with courier._ledger:
                with pytest.raises(LedgerUnavailableError):
                    await courier.carry()
            courier._ledger = client
            living.clock.jump(window + 180)
            living.call(living.worker.tally.advance)
            await courier.carry()

        with_courier(living, running, carry)
        rows = {
            row
            for segment in segments_in_evidence(running)
            if segment.head.window == window
            for row in segment.head.workers
        }
        assert {row.worker: row.ended_within(window) for row in rows}[name]


@pytest.mark.parametrize("told_before", [False, True], ids=["ends first", "is told first"])
def test_that_a_worker_ended_with_its_disk_full_at_a_minutes_turn_is_told(
    running: RunningLedger, simulated_event_file: Path, monkeypatch: pytest.MonkeyPatch, *, told_before: bool
) -> None:
    """It could open no window that says so: the gateway says it of the minute in which the ledger hears it."""

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def carry(courier: Courier) -> None:
        await courier.carry()

    with worker_of(running, simulated_event_file) as living:
        with worker_of(running, simulated_event_file) as ended:
            name = ended.worker.config.worker
            beat(ended, 1)
            ended.call(lambda: monkeypatch.setattr(ended.worker.tally._spares, "take_window", full))
            next_window(ended)
            assert list(window_chunks(ended.worker.folder)) == [WINDOW]
            living.call(living.worker.tally.advance)
            if told_before:
                with_courier(living, running, carry)
        for _ in range(3):  # the ledger is away
            next_window(living)
        with_courier(living, running, carry)
        assert not ended.worker.folder.exists()
        rows = {segment.head.window: row for segment in segments_in_evidence(running)
                for row in segment.head.workers if row.worker == name}  # fmt: skip
        assert {window: (row.records, row.ended_within(window)) for window, row in rows.items()} == {
            WINDOW: (1, False),
            WINDOW + 240: (0, True),
        }
        assert not any(row.wanting for row in rows.values())


def test_of_a_worker_whose_host_lost_power_nobody_says_that_it_accepted_nothing_more(
    running: RunningLedger, simulated_event_file: Path
) -> None:
    with worker_of(running, simulated_event_file) as living:
        with worker_of(running, simulated_event_file) as lost:
            name = lost.worker.config.worker
        for path in lost.worker.folder.glob("w*"):
            path.unlink()
        lock = lost.worker.folder / "lock"
        lock.write_text(json.dumps(json.loads(lock.read_text()) | {"boot": "another"}))
        next_window(living)

        async def carry(courier: Courier) -> None:
            await courier.carry()

        with_courier(living, running, carry)
        assert not lost.worker.folder.exists()
        assert name not in {row.worker for segment in segments_in_evidence(running) for row in segment.head.workers}


def test_a_worker_that_died_before_it_had_counters_leaves_nothing_behind(
    running: RunningLedger, simulated_event_file: Path
) -> None:
    with worker_of(running, simulated_event_file) as served:
        stillborn = served.worker.folder.with_name("00000000000000ff")
        stillborn.mkdir()
        shutil.copy(served.worker.folder / "lock", stillborn / "lock")

        async def carry(courier: Courier) -> None:
            assert await courier.carry() == 0

        with_courier(served, running, carry)
        assert not stillborn.exists()


def test_a_file_that_cannot_be_read_is_put_aside_and_holds_up_no_other(
    running: RunningLedger, simulated_event_file: Path
) -> None:
    with worker_of(running, simulated_event_file) as living:
        with worker_of(running, simulated_event_file) as dead:
            beat(dead, 1, 2, 3)
            next_window(dead, 0)
            kept = dead.worker.folder.with_name("kept")
            shutil.copytree(dead.worker.folder, kept)
        shutil.rmtree(dead.worker.folder)
        kept.rename(dead.worker.folder)
        broken = dead.worker.folder / f"w{WINDOW}-000"
        broken.write_bytes(bytes(broken.stat().st_size))  # named before the power cut, never filled
        beat(living, *range(21, 31))
        next_window(living)

        (dead.worker.folder / "uniques-2023-11-19").write_bytes(bytes(4096))

        async def carry(courier: Courier) -> None:
            await courier.on_disk(courier._flusher._risen)
            assert await courier.carry() == 1

        with_courier(living, running, carry)
        assert seats_in_evidence(running) == {1: set(range(21, 31))}
        until(lambda: ISO in running.windows(), "the window is sealed")
        rows = {row["worker"]: row for row in manifest(running, running.windows()[ISO])["coverage"]}
        assert {worker: (row["unreadable"], row["records"]) for worker, row in rows.items()} == {
            living.worker.config.worker: (False, 10),
            dead.worker.config.worker: (True, 0),
        }
        nothing = rows[dead.worker.config.worker]
        assert nothing["crashed"]
        assert nothing["from_ms"] == nothing["until_ms"] == WINDOW * 1000
        aside = Path(living.worker.config.spool) / ASIDE
        assert f"{dead.worker.config.worker}-w{WINDOW}-000" in {path.name for path in aside.iterdir()}


def test_what_cannot_be_read_is_told_again_until_the_ledger_has_heard_it(
    running: RunningLedger, simulated_event_file: Path
) -> None:
    """Put aside before the acknowledgement, a crash in between would leave a hole that nobody knows of."""
    with worker_of(running, simulated_event_file) as served:
        beat(served, 1, 2, 3)
        next_window(served)
        broken = served.worker.folder / f"w{WINDOW}-000"
        broken.write_bytes(bytes(broken.stat().st_size))
        aside = Path(served.worker.config.spool) / ASIDE

        async def fail(courier: Courier) -> None:
            with pytest.raises(LedgerUnavailableError):
                await courier.carry()
            assert broken.exists()
            assert not aside.exists()

        async def carry(courier: Courier) -> None:
            assert await courier.carry() == 1

        with_courier(served, None, fail)
        with_courier(served, running, carry)
        assert not broken.exists()
        assert len(list(aside.iterdir())) >= 1
        until(lambda: ISO in running.windows(), "the window is sealed")
        (row,) = manifest(running, running.windows()[ISO])["coverage"]
        assert (row["unreadable"], row["crashed"]) == (True, False)


def test_what_was_perhaps_sent_is_sent_again_in_the_very_same_bytes(
    running: RunningLedger, simulated_event_file: Path
) -> None:
    """A crash after the ledger took it, before the gateway knew; meanwhile a worker came to that stood still."""
    with worker_of(running, simulated_event_file) as stopped, worker_of(running, simulated_event_file) as going:
        beat(stopped, *range(1, 21))
        beat(going, *range(21, 41))
        assert going.join("x" * 64).status == 401
        next_window(going)
        sent = []

        async def crash(courier: Courier) -> None:
            courier._noticed[WINDOW] = -1000.0  # its patience is over

            async def send(bundle: bytes) -> str:
                sent.append(bundle)
                await LedgerClient.hand_over(courier._ledger, bundle)
                raise LedgerUnavailableError("the answer is lost")

            courier._ledger.hand_over = send  # type: ignore[method-assign]
            with pytest.raises(LedgerUnavailableError):
                await courier.carry()

        async def carry(courier: Courier) -> None:
            assert await courier.carry() == 2
            assert courier.handed_over == {"repeated": 1, "accepted": 1}

        with_courier(going, running, crash)
        next_window(stopped, 0)
        with_courier(going, running, carry)
        assert seats_in_evidence(running) == {1: set(range(1, 41))}
        until(lambda: ISO in running.windows(), "the window is sealed")
        assert running.windows()[ISO]["refusals"] == {"token_malformed": 1}


def test_a_crash_anywhere_among_the_deletions_leaves_what_is_deleted_the_next_time(
    running: RunningLedger, simulated_event_file: Path, tmp_path: Path
) -> None:
    with worker_of(running, simulated_event_file) as served:
        beat(served, *range(1, 21))
        served.join("x" * 64)
        next_window(served)
        spool = Path(served.worker.config.spool)

        async def fail(courier: Courier) -> None:
            with pytest.raises(LedgerUnavailableError):
                await courier.carry()

        async def carry(courier: Courier) -> None:
            assert await courier.carry() == 1
            assert await courier.carry() == 0

        with_courier(served, None, fail)
        kept = tmp_path / "kept"
        shutil.copytree(spool, kept)
        with_courier(served, running, carry)
        name = f"outgoing-{served.event.digest[:16]}"
        assert list(served.worker.folder.glob(f"w{WINDOW}*")) == []
        for left in range(2):  # nothing was deleted yet; everything was but the note of what was on its way
            shutil.copy(kept / name, spool / name)
            if left:
                shutil.copy(kept / served.worker.config.worker / f"w{WINDOW}-000", served.worker.folder)
            with_courier(served, running, carry)
            assert not (spool / name).exists()
            assert list(served.worker.folder.glob(f"w{WINDOW}*")) == []
        until(lambda: ISO in running.windows(), "the window is sealed")
        assert seats_in_evidence(running) == {1: set(range(1, 21))}
        assert [leaf["type"] for leaf in running.leaves()].count("late") == 0


def test_a_note_of_what_is_on_its_way_that_is_damaged_is_made_anew(
    running: RunningLedger, simulated_event_file: Path
) -> None:
    with worker_of(running, simulated_event_file) as served:
        beat(served, *range(1, 21))
        next_window(served)
        note = Path(served.worker.config.spool) / f"outgoing-{served.event.digest[:16]}"

        async def carry(courier: Courier) -> None:
            assert await courier.carry() == 1

        note.write_bytes(b'{"version": 1, "bundle_sha256": "00"}\nnothing')
        with_courier(served, running, carry)
        assert not note.exists()
        assert seats_in_evidence(running) == {1: set(range(1, 21))}


def test_a_full_disk_does_not_keep_the_spool_from_being_handed_over(
    running: RunningLedger, simulated_event_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with worker_of(running, simulated_event_file) as served:
        beat(served, *range(1, 21))
        next_window(served)

        async def carry(courier: Courier) -> None:
            monkeypatch.setattr(outgoing, "write_durably", full)
            assert await courier.carry() == 1

        with_courier(served, running, carry)
        assert seats_in_evidence(running) == {1: set(range(1, 21))}


def test_journals_are_kept_for_their_tokens_before_they_are_deleted_and_on_a_full_disk_after_the_rest_has_made_room(
    running: RunningLedger, simulated_event_file: Path, mint: Mint
) -> None:
    with worker_of(running, simulated_event_file) as served:
        assert served.join(mint("alice", now=NOW)).status == 201
        journal, chunk = (served.worker.folder / f"w{WINDOW}{end}" for end in (".journal", "-000"))
        next_window(served)
        failures = [errno.EIO, errno.ENOSPC]
        seen: list[tuple[list[Path], bool, bool]] = []

        def keep(journals: Sequence[Path]) -> None:
            seen.append((list(journals), journal.exists(), chunk.exists()))
            if failures:
                raise OSError(failures.pop(0), "as told")

        async def carry(courier: Courier) -> None:
            courier.keep_of_journals = keep
            with pytest.raises(OSError, match="as told"):
                await courier.carry()
            assert chunk.exists()
            assert await courier.carry() == 1

        with_courier(served, running, carry)
        assert seen == [([journal], True, True), ([journal], True, True), ([journal], True, False)]
        assert not journal.exists()


def test_a_hand_over_that_takes_long_says_so(
    running: RunningLedger, simulated_event_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker_of(running, simulated_event_file) as served:
        beat(served, *range(1, 21))
        next_window(served)
        monkeypatch.setattr(courier_module, "SIGN_EVERY_S", 0.01)
        signed = asyncio.Event()

        async def carry(courier: Courier) -> None:
            async def slow(bundle: bytes) -> str:
                if not HandOver.decode(bundle).segments:
                    assert (HandOver.decode(bundle).window, HandOver.decode(bundle).workers) == (WINDOW, ())
                    signed.set()
                else:
                    await signed.wait()
                return await LedgerClient.hand_over(courier._ledger, bundle)

            courier._ledger.hand_over = slow  # type: ignore[method-assign]
            saying = asyncio.create_task(courier.keep_saying_alive())
            async with asyncio.timeout(PATIENCE_S):
                assert await courier.carry() == 1
            assert courier.at_work is None
            saying.cancel()

        with_courier(served, running, carry)


def test_the_spool_of_another_event_is_left_alone(running: RunningLedger, simulated_event_file: Path) -> None:
    with worker_of(running, simulated_event_file) as served:
        stranger = served.worker.folder.with_name("00000000000000ee")
        stranger.mkdir()
        lock = (served.worker.folder / "lock").read_text().replace(served.event.digest, "00" * 32)
        (stranger / "lock").write_text(lock)

        async def carry(courier: Courier) -> None:
            await courier.carry()

        with_courier(served, running, carry)
        assert (stranger / "lock").exists()


def test_a_worker_that_stands_still_is_waited_for_a_while_and_its_part_comes_late(
    running: RunningLedger, simulated_event_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker_of(running, simulated_event_file) as stopped, worker_of(running, simulated_event_file) as going:
        beat(stopped, *range(1, 21))
        beat(going, *range(21, 41))
        next_window(going)

        async def carry(courier: Courier) -> None:
            assert await courier.carry() == 0  # patience
            monkeypatch.setattr(courier_module, "PATIENCE_S", 0.0)
            assert await courier.carry() == 1
            assert seats_in_evidence(running) == {1: set(range(21, 41))}
            next_window(stopped, 0)
            assert await courier.carry() == 1

        with_courier(going, running, carry)
        assert seats_in_evidence(running) == {1: set(range(1, 41))}


# Sketches.


def test_redis_holds_our_registers_in_its_own_bytes(
    event_file: Path, redis: EmbeddedRedis, mint: Mint, tmp_path: Path
) -> None:
    with serving(event_file, tmp_path, registry_url=redis.url) as served:
        for name in range(60):
            token = served.join(mint(f"person {name}", now=NOW), "opening" if name % 2 else "forum").json["token"]
            assert served.ask("POST", "/v1/beat", token.encode()).status == 204

        async def flush(courier: Courier) -> None:
            await courier._flusher.flush()

        with_courier(served, None, flush, redis.url)
        client: Any = redis_client.Redis.from_url(redis.url)
        for session, people in ((0, 60), (1, 30), (2, 30)):
            for sketch in ("attendees", "views"):
                key = bucket_key("expo", session, WINDOW, sketch)
                registers = hyperloglog.from_redis(client.get(key))
                assert client.execute_command("PFCOUNT", key) == hyperloglog.estimate(registers)
                # Sixty in 16,384 registers: more than five collisions have a chance of one in 10^7.
                assert abs(hyperloglog.estimate(registers) - people) <= 5
                assert 0 < client.ttl(key) <= 15 * 60
        shards = [uniques_key("expo", 0, shard, "2023-11-19") for shard in range(16)]
        assert sum(client.execute_command("PFCOUNT", key) for key in shards) == pytest.approx(60, abs=5)
        assert not [key for key in client.scan_iter() if b":tmp:" in key and client.ttl(key) < 0]
        client.close()


def test_the_last_registers_of_a_window_reach_redis_though_its_files_are_gone(
    running: RunningLedger, simulated_event_file: Path, redis: EmbeddedRedis
) -> None:
    with worker_of(running, simulated_event_file) as served:
        beat(served, *range(1, 6))
        next_window(served)

        async def carry_then_flush(courier: Courier) -> None:
            assert courier.spool_size()[1] == 0  # the window has just ended
            assert await courier.carry() == 1
            await courier._flusher.flush()

        with_courier(served, running, carry_then_flush, redis.url)
        client: Any = redis_client.Redis.from_url(redis.url)
        assert client.exists(bucket_key("expo", 1, WINDOW, "attendees"))
        client.close()


def test_live_numbers_do_not_wait_for_a_window_that_the_courier_is_busy_with(
    event_file: Path, redis: EmbeddedRedis, tmp_path: Path
) -> None:
    with serving(event_file, tmp_path) as served:
        beat(served, *range(1, 6))

        async def flush(courier: Courier) -> None:
            done = threading.Event()
            busy = asyncio.create_task(courier.on_disk(done.wait, PATIENCE_S))
            try:
                await asyncio.wait_for(courier._flusher.flush(), PATIENCE_S / 2)
                assert not busy.done()
            finally:
                done.set()
                assert await busy

        with_courier(served, None, flush, redis.url)


def test_sketches_are_sent_again_to_a_redis_that_lost_them(
    event_file: Path, redis: EmbeddedRedis, tmp_path: Path
) -> None:
    with serving(event_file, tmp_path) as served:
        beat(served, *range(1, 6))
        key = bucket_key("expo", 1, WINDOW, "attendees")

        async def flush(courier: Courier) -> None:
            await courier._flusher.flush()
            redis.stop()
            with pytest.raises(LiveUnavailableError):
                await courier._flusher.flush()
            assert courier._flusher.failures == 1
            shutil.rmtree(redis.directory / "appendonlydir")
            redis.start()
            await courier._flusher.flush()

        with_courier(served, None, flush, redis.url)
        client: Any = redis_client.Redis.from_url(redis.url)
        assert client.exists(key)
        client.close()


def test_carrying_goes_on_through_an_outage_of_the_ledger(
    simulated_event_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "RETRY_S", (0.01, 0.05))
    with serving(simulated_event_file, tmp_path) as served:
        beat(served, *range(1, 21))
        next_window(served)

        async def carry(courier: Courier) -> None:
            task = asyncio.create_task(courier.keep_carrying(0.01))
            while courier.handed_over["unreachable"] < 3:  # noqa: ASYNC110 - a counter wakes nobody
                await asyncio.sleep(0)
            assert not task.done()
            task.cancel()

        with_courier(served, None, carry)
        assert WINDOW in window_chunks(served.worker.folder)
