"""A gateway's counters never fall: not when a worker goes, not over a restart, not when it dies in between."""

import os
from pathlib import Path

import pytest

from counters.cells import Cells
from counters.spool import SpoolIdentity
from counters.spool_lock import create_worker_folder
from gateway import worker_counters
from gateway.worker import cell_names
from gateway.worker_counters import CELLS, MEASURES, RETIRED, WorkerCounters, outcomes
from gateway.worker_folders import WorkerFolder, WorkerFolders
from gateway.worker_measures import NAMES

EVENT = "ab" * 32


class Worker:
    """A worker as far as its counters go."""

    def __init__(self, spool: Path, number: int, *, measures: bool = True) -> None:
        identity = SpoolIdentity(f"{number:016x}", "g0", EVENT, 1)
        self.folder, self._lock = create_worker_folder(spool, identity, None)
        self.cells = Cells(self.folder / CELLS, ("beat.playing", "seats.leased"))
        if measures:
            self.measures = Cells(self.folder / MEASURES, ("log.200",))

    def die(self) -> WorkerFolder:
        """As after kill -9, with nothing left to carry."""
        os.close(self._lock)
        return WorkerFolder(self.folder, self.folder.name, dead=True, power_lost=False, windows={})


@pytest.fixture(autouse=True)
def nothing_is_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_counters, "RECENT_S", 0.0)
    monkeypatch.setattr("gateway.worker_folders.RECENT_S", 0.0)


def counters(spool: Path, event: str = EVENT) -> WorkerCounters:
    return WorkerCounters(WorkerFolders(spool, event), event)


def test_the_sum_is_over_all_workers_and_both_files(tmp_path: Path) -> None:
    of, one, two = counters(tmp_path), Worker(tmp_path, 1), Worker(tmp_path, 2, measures=False)
    one.cells.add("beat.playing", 3)
    two.cells.add("beat.playing", 4)
    one.measures.add("log.200", 2)
    assert of.totals()[0] == {"beat.playing": 7, "seats.leased": 0, "log.200": 2}


def test_counters_stay_when_a_worker_goes_and_over_restarts(tmp_path: Path) -> None:
    of, one, two = counters(tmp_path), Worker(tmp_path, 1), Worker(tmp_path, 2)
    one.cells.add("beat.playing", 3)
    one.cells.add("seats.leased", 100)
    two.cells.add("beat.playing", 4)
    of.retire(one.die())
    assert not one.folder.exists()
    for again in (of, counters(tmp_path)):
        totals, living = again.totals()
        assert (totals["beat.playing"], totals["seats.leased"]) == (7, 100)
        assert (living["beat.playing"], living["seats.leased"]) == (4, 0), "what the dead had is not what is there"


def test_a_crash_between_the_two_steps_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of, one = counters(tmp_path), Worker(tmp_path, 1)
    one.cells.add("beat.playing", 3)
    gone = one.die()
    with monkeypatch.context() as crash:
        crash.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError("crash")))
        with pytest.raises(OSError, match="crash"):
            of.retire(gone)
    assert (one.folder / CELLS).exists()
    of = counters(tmp_path)
    assert of.totals()[0]["beat.playing"] == 3
    of.retire(gone)
    assert not one.folder.exists()
    assert counters(tmp_path).totals()[0]["beat.playing"] == 3


def test_a_full_disk_does_not_keep_a_folder_from_going(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of, one = counters(tmp_path), Worker(tmp_path, 1)
    one.cells.add("beat.playing", 3)
    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        of.retire(one.die())
    assert not one.folder.exists()
    assert of.totals()[0]["beat.playing"] == 3


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"version":1,"event_sha256":"cd"}', b'{"version":2}'])
def test_a_file_of_another_event_or_version_is_not_believed(tmp_path: Path, text: bytes) -> None:
    (tmp_path / RETIRED).write_bytes(text)
    assert counters(tmp_path).totals() == ({}, {})


def test_what_was_summed_a_moment_ago_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_counters, "RECENT_S", 3600.0)
    of, one = counters(tmp_path), Worker(tmp_path, 1)
    assert of.totals()[0]["beat.playing"] == 0
    one.cells.add("beat.playing")
    assert of.totals()[0]["beat.playing"] == 0
    of.retire(one.die())
    assert of.totals()[0]["beat.playing"] == 1, "but nothing is old that has changed hands"


def test_outcomes_are_those_that_this_version_has_words_for() -> None:
    totals = {"beat.playing": 3, "refused.beat.token_forged": 2, "refused.leave.token_forged": 1, "beat.ns": 9}
    older = {"beat.dancing": 1, "refused.beat.out_of_fashion": 1}
    assert outcomes(totals | older, "beat", ("playing", "paused")) == {"playing": 3, "token_forged": 2}


def test_no_cell_of_one_file_has_the_name_of_one_in_the_other() -> None:
    assert len({*cell_names(), *NAMES}) == len(cell_names()) + len(NAMES)
