"""The keynote rush: what it says of phases that are given, and that a small one harms no heartbeat."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from load_tests.bench import servers
from load_tests.bench.open_loop import Outcome
from load_tests.bench.rush import Rush, markdown, measure, phase, verdicts


def outcome(status: list[int], latency_s: float) -> Outcome:
    """An outcome in which everything was answered after the same time."""
    scheduled = np.arange(len(status), dtype=float)
    return Outcome(
        began_at=0.0, scheduled_s=scheduled, sent_s=scheduled, answered_s=scheduled + latency_s,
        status=np.array(status, np.int16), waited=np.zeros(len(status), bool), turns_s=np.array([0.001]), opened=1,
    )  # fmt: skip


def test_a_heartbeat_that_failed_is_said_and_so_is_a_late_p99() -> None:
    good = phase("rush", outcome([204] * 100, 0.004), 10, 4_000, 36_000)
    assert (good.failed, good.taken, good.refused) == (0, 400, 3_600)
    assert not any("NOT REACHED" in sentence for sentence in verdicts([good]))
    bad = phase("rush", outcome([204] * 99 + [503], 0.060), 10, 4_000, 36_000)
    assert bad.failed == 1
    assert all("NOT REACHED" in sentence for sentence in verdicts([bad]))
    assert "4,000 (10.0 × capacity)" in markdown([good], 400)


def test_a_small_rush_is_refused_in_part_and_no_heartbeat_fails(tmp_path: Path, needed: Callable[[str], str]) -> None:
    needed("wrk")
    with servers.turnout(tmp_path) as turnout:
        phases, capacity = measure(turnout, Rush(turnout, tmp_path, 1_000), rate=50, seconds=2)
    assert capacity > 0
    assert [one.failed for one in phases] == [0, 0, 0]
    assert [one.heartbeats for one in phases] == [100, 100, 100]
    assert phases[1].taken > 0
    assert phases[1].refused > 0
