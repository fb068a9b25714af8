"""Latency and connections: the arithmetic, the histograms that are kept, and each experiment run for real, in small."""

import json
import mmap
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from load_tests.bench import connections, hdr_log, latency, processes, report
from load_tests.bench.__main__ import main
from load_tests.bench.connections import Growth, Turn
from load_tests.bench.open_loop import Outcome
from load_tests.bench.processes import Memory

Needed = Callable[[str], str]


def outcome(latency_ms: list[float], *, late_ms: float = 0.0, waited: int = 0) -> Outcome:
    """Requests due a second apart, answered as late as `latency_ms` says; the last `waited` of them had to wait."""
    count = len(latency_ms)
    scheduled = np.arange(count, dtype=np.float64)
    return Outcome(
        began_at=0.0, scheduled_s=scheduled, sent_s=scheduled + late_ms / 1e3,
        answered_s=scheduled + np.array(latency_ms) / 1e3, status=np.full(count, 204, np.int16),
        waited=np.arange(count) >= count - waited, turns_s=np.array([1e-5]), opened=1,
    )  # fmt: skip


def test_percentiles_are_over_all_runs_and_the_worst_run_is_shown() -> None:
    quick, slow = outcome([1.0] * 100), outcome([1.0] * 98 + [9.0] * 2)
    found = latency.latency("a", 10.0, [quick, slow])
    assert (found.answered, round(found.p50_ms, 6), round(found.max_ms, 6)) == (200, 1.0, 9.0)
    assert [round(p99) for p99 in found.runs_p99_ms] == [1, 9]
    assert "(1.00 to 9.00)" in latency.markdown([found])


def test_the_target_is_judged_by_latency_from_the_schedule_and_a_late_client_is_told() -> None:
    in_time = latency.latency("a", 10.0, [outcome([1.0] * 99 + [6.0])])
    late = latency.latency("b", 10.0, [outcome([6.0] * 100, late_ms=5.5, waited=3)])
    assert latency.verdicts([in_time])[0].endswith("reached")
    assert "NOT REACHED" in latency.verdicts([late])[0]
    assert (round(late.service_p99_ms, 6), round(late.late_p99_ms, 6), late.waited) == (0.5, 5.5, 0.03)
    assert len(latency.verdicts([in_time])) == 1
    assert "client itself was late" in latency.verdicts([late])[1]


def test_the_histograms_are_read_back_by_another_program(tmp_path: Path) -> None:
    path = tmp_path / "latency.hlog"
    taken = {"Turnout": np.array([0.001] * 98 + [0.050, 0.120]), "nginx": np.array([0.0])}
    hdr_log.write(path, taken, 10.0)
    with closing(HistogramLogReader(str(path), HdrHistogram(1, hdr_log.LONGEST_NS, hdr_log.DIGITS))) as reader:
        ours, theirs, none = (reader.get_next_interval_histogram() for _ in range(3))
    assert (ours.get_tag(), ours.get_total_count(), theirs.get_tag(), theirs.get_total_count()) == (
        "Turnout", 100, "nginx", 1,
    )  # fmt: skip
    for percentile, seconds in ((50, 0.001), (99, 0.050), (100, 0.120)):
        assert abs(ours.get_value_at_percentile(percentile) / 1e9 / seconds - 1) < 0.001
    assert none is None


def test_costs_stand_beside_nginx_in_the_same_situation() -> None:
    turns = [
        Turn("Turnout, one worker", "few", 10.0, 5), Turn("Turnout, one worker", "many", 30.0, 5),
        Turn("Turnout, one worker", "few", 12.0, 5), Turn("nginx, empty 204", "few", 8.0, 5),
        Turn("nginx, empty 204", "many", 20.0, 5),
    ]  # fmt: skip
    growths = [Growth("silent connection", 10, Memory(20_000, 10_000, 15_000))]
    text = connections.markdown(connections.summarise(turns), growths)
    assert "| few | Turnout, one worker | 11.00 µs (10.00 to 12.00) | 1.38 × | 10 |" in text
    assert "| many | Turnout, one worker | 30.00 µs (30.00 to 30.00) | 1.50 × | 5 |" in text
    assert connections.verdict(growths[0]).endswith("2,000 found, reached")
    assert connections.verdict(Growth("one", 10, Memory(20_490, 0, 0))).endswith("2,049 found, NOT REACHED")
    assert "| silent connection | 10 | 1,500 bytes | 2,000 bytes | 1,000 bytes |" in text


def test_memory_is_that_of_the_process() -> None:
    before = processes.memory(os.getpid())
    # Pages of its own: what the allocator gives may have been the process' before.
    with mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        held.write(os.urandom(len(held)))
        grown = processes.memory(os.getpid()) - before
        assert grown.own >= len(held) * 0.9
        assert grown.resident >= len(held) * 0.9
    assert before.resident >= before.proportional > 0


def test_latency_is_measured_for_real_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: Needed) -> None:
    for program in ("wrk", "nginx"):
        needed(program)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(latency, "SATURATING_S", 1)
    monkeypatch.setattr(latency, "SATURATING_RUNS", 1)
    arguments = ["latency", "--rounds", "1", "--seconds", "1", "--connections", "16", "--save", "small"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    saved = json.loads((tmp_path / "latency-small.json").read_text())
    ours, floor = saved["latencies"]
    assert (ours["server"], floor["server"]) == ("Turnout, one worker", "nginx, empty 204")
    assert ours["answered"] == floor["answered"] == round(saved["saturation"] / 2)
    assert (tmp_path / "latency-small.hlog").read_text().count("Tag=") == 2


def test_connections_are_measured_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: Needed) -> None:
    needed("nginx")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(connections, "WARM_JOINS", 10)
    monkeypatch.setattr(connections, "SETTLE_S", 0.1)
    arguments = [
        "connections",
        "--open",
        "300",
        "--viewers",
        "50",
        "--rounds",
        "1",
        "--seconds",
        "1",
        "--save",
        "small",
    ]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    saved = json.loads((tmp_path / "connections-small.json").read_text())
    assert len(saved["turns"]) == 6
    assert all(turn["requests"] > 0 for turn in saved["turns"])
    assert [growth["count"] for growth in saved["growths"]] == [300, 300, 300, 50]
