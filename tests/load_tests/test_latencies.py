"""Latencies: what is recorded can be read again by the tools of HdrHistogram."""

from pathlib import Path

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from load_tests.latencies import DIGITS, HIGHEST_US, LOWEST_US, Latency


def test_percentiles_are_of_what_was_recorded() -> None:
    latency = Latency("heartbeats")
    assert latency.milliseconds() == {}
    for each in range(1, 1001):
        latency.record(each / 1000)
    found = latency.milliseconds()
    assert latency.count == 1000
    assert abs(found["p50"] - 500) <= 1
    assert abs(found["p99"] - 990) <= 1
    assert abs(found["max"] - 1000) <= 1


def test_what_lies_outside_the_range_is_recorded_at_its_edge() -> None:
    latency = Latency("heartbeats")
    latency.record(-1.0)
    latency.record(1e6)
    assert latency.count == 2
    assert latency.milliseconds()["max"] >= HIGHEST_US / 1e3


def test_the_histogram_that_is_kept_is_the_whole_one(tmp_path: Path) -> None:
    latency = Latency("joins")
    for each in (0.001, 0.002, 0.002, 1.5):
        latency.record(each)
    path = tmp_path / "joins.hdr"
    latency.write(path, 1_763_728_000.0, 1_763_728_060.0)
    reader = HistogramLogReader(str(path), HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS))
    kept = reader.get_next_interval_histogram()
    reader.close()
    assert kept.get_total_count() == 4
    assert kept.get_count_at_value(2000) == 2
    assert kept.get_start_time_stamp() == 1_763_728_000_000
