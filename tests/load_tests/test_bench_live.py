"""The arithmetic of flush, freshness, scrape and sealing; the measuring itself needs minutes and quiet cores."""

import asyncio
import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from counters.event import load_event
from counters.spooled_window import read_window, window_chunks
from gateway.development_issuer import load_event_creating_keys
from load_tests.bench import flush, freshness, large_window, published_log, redis_server, scraping, sealing, servers
from load_tests.http_client import Address, Answer

NOW = datetime(2026, 11, 20, 12, 34, 56, tzinfo=UTC)
WINDOW = 1_700_355_600


def test_an_event_file_may_have_many_sessions(tmp_path: Path) -> None:
    event = tomllib.loads(servers.event_file(tmp_path, NOW, sessions=3).read_text())
    assert [session["id"] for session in event["session"]] == [servers.session_id(number) for number in (1, 2, 3)]
    assert servers.session_id(1) == servers.SESSION
    assert len({gate for session in event["session"] for gate in session["gates"]}) == 3


def test_what_redis_says_of_its_commands_is_taken_apart() -> None:
    before = {"cmdstat_set": "calls=10,usec=200,usec_per_call=20.00", "cmdstat_get": "calls=1,usec=7"}
    assert redis_server.calls_of(before, "set") == 10
    assert redis_server.usec_of(before, "set", "get", "pfmerge") == 207
    assert redis_server.calls_of({}, "set") == 0


def test_a_cost_is_what_grew_between_two_looks_by_the_second() -> None:
    def look(at: float, usec: int, calls: int, appended: int, cpu_s: float) -> flush._Snapshot:
        facts = {
            "cmdstat_pfmerge": f"calls={calls},usec={usec}", "aof_current_size": str(appended),
            "used_memory": "5000000", "total_net_input_bytes": str(calls * 12_000),
            "db0": "keys=200,expires=200,avg_ttl=1",
        }  # fmt: skip
        return flush._Snapshot(at, facts, cpu_s, 10 * cpu_s)

    case = flush.Case(workers=1, watched=64, append_only=True)
    cost = flush._cost(
        case, look(10, 1000, 100, 0, 1), look(14, 41_000, 620, 8_000_000, 1.04), {"used_memory": "2000000"}, 9
    )
    assert (cost.redis_ms, cost.merging_ms, cost.merged) == pytest.approx((10, 10, 130))
    assert (cost.appended_bytes, cost.supervisor_ms, cost.key_bytes) == pytest.approx((2e6, 100, 15_000))
    table = flush.markdown([cost])
    assert "append-only" in table
    assert "2,000 kB/s" in table
    assert "15.0 kB a key" in flush.memory_note([cost])


def test_a_distribution_tells_how_many_kept_the_target() -> None:
    row = freshness.Distribution("x", [0.5, 1.0, 2.5], 2.0).row()
    assert row == ("x", "1.00 s", "2.47 s", "2.50 s", "2 of 3 within 2 s")


def test_a_phase_is_what_was_scheduled_in_it() -> None:
    scheduled, latency = np.arange(10.0), np.arange(10.0) / 1000
    one = sealing.phase("one", scheduled, latency, [(2, 4), (8, 9)])
    assert (one.requests, one.seconds, one.longest_ms) == (3, 3, 8)
    assert one.p50_ms == 3
    with pytest.raises(RuntimeError, match="no heartbeat"):
        sealing.phase("none", scheduled, latency, [(20, 30)])


def test_the_rest_is_what_lies_between_the_phases() -> None:
    assert sealing._between([(30, 40), (10, 20), (40, 50)], 60) == [(2, 10), (20, 30), (50, 60)]


def test_a_windows_leaves_are_read_out_of_the_published_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{"type": "event"}, {"type": "window", "window": "a"}, {"type": "late", "window": "a"}]
    bundle = b"".join(len(text).to_bytes(2) + text for text in (json.dumps(entry).encode() for entry in entries))
    answers = {"/log/checkpoint": b"origin\n3\nroot\n", "/log/tile/entries/000.p/3": bundle}

    async def call(_: Address, method: str, path: str) -> Answer:
        assert method == "GET"
        return Answer(200, {}, answers[path])

    monkeypatch.setattr(published_log, "call", call)
    ledger = Address("127.0.0.1", 1)
    assert asyncio.run(published_log.leaves_of(ledger, "a")) == entries[1:]
    assert asyncio.run(published_log.leaves_of(ledger, "c")) == []
    answers["/log/checkpoint"] = b"origin\n256\nroot\n"
    with pytest.raises(RuntimeError, match="256 entries"):
        asyncio.run(published_log.leaves_of(ledger, "b"))


def test_a_large_window_is_one_that_a_worker_could_have_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_window, "BLOCK", 2_500)
    event_file = servers.event_file(tmp_path, NOW, sessions=5)
    event = load_event_creating_keys(event_file, tmp_path / "development-issuer")
    assert event == load_event(event_file)
    folder = large_window.write(tmp_path / "spool", event_file, WINDOW, 30_000)
    (window,) = window_chunks(folder)
    read = read_window(window_chunks(folder)[window])
    assert (window, read.event_digest, read.closed_ms) == (WINDOW, event.digest, 0)
    seats, counts = np.unique(read.records & np.uint64(0xFFFFFFFF), return_counts=True)
    assert (len(read.records), len(seats)) == (30_000, 15_000)
    assert set(counts.tolist()) == {2}
    assert set((read.records >> np.uint64(32) & np.uint64(0xFFFF)).tolist()) == {1, 2, 3, 4, 5}
    assert set((read.records >> np.uint64(56)).tolist()) == set(range(6))
    for registers in read.registers.reshape(-1, 16_384):  # 1,000 viewers in each: 6 buckets, 5 sessions, 2 sketches
        assert 800 < np.count_nonzero(registers) < 1100


def test_a_large_window_closes_in_a_worker_that_goes_on(tmp_path: Path) -> None:
    event_file = servers.event_file(tmp_path, NOW)
    load_event_creating_keys(event_file, tmp_path / "development-issuer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_window, "AFTER_S", 0.05)
        longest = large_window.longest_beats(tmp_path / "spool", event_file, WINDOW, 2000)
    assert min(longest.before_s, longest.closing_s, longest.after_s) > 0
    (folder,) = [path for path in (tmp_path / "spool").iterdir() if path.is_dir()]
    assert sorted(window_chunks(folder)) == [WINDOW, WINDOW + 60]


# Scraping.


def test_what_a_scrape_costs_is_shown_in_milliseconds_and_bytes() -> None:
    cost = scraping.Cost("once a second", [10.0, 12.0, 50.0], cpu_ms=9.26, body_bytes=51_852, samples=744)
    assert scraping.markdown([cost]).splitlines()[2] == "| once a second | 12.0 ms | 49.2 ms | 9.3 ms | 51,852 | 744 |"
