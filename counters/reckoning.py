"""The reckoning: from a log and its evidence to everything that a certificate counts.

First all journals, since who is who has to be known before presence is counted; then the presence of all windows in one
pass (counters.window_pass). Where there is much of it the windows are divided among processes: for each as many bytes,
one stretch after another in time.
"""

import os
import pickle
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from pyroaring import BitMap

from counters.apart import Foreground
from counters.attendance import Attendance, JournalReader
from counters.counted import CountedPresence
from counters.cross_check import SketchUnions
from counters.event import Event
from counters.event_rules import rules_of
from counters.evidence import JournalSegment
from counters.exclusions_so_far import ExclusionsSoFar
from counters.gaps import Gaps
from counters.log_entries import SealedLog, WindowLeaf
from counters.reckoner import Asked, Run
from counters.scratch import scratch_folder
from counters.sealed_evidence import LeafOutline, ReadEvidence, read_journals_of, read_presence
from counters.window_leaf import count_journals
from counters.window_pass import LeafJournals, Passed, Window, WindowPass

WORTH_A_PROCESS: Final = 64_000_000
"""Bytes of presence: with less than that for each process, one alone is done before others have begun."""
LOOK_S: Final = 0.2
"""How often it is looked how far the processes are."""
WORK: Final = "work"
TOLD: Final = ".told"
PASSED: Final = ".passed"
"""Files by which this process and those that it starts hear of each other; `.told` has a byte for each leaf."""

Progress = Callable[[int, int], None]
"""Called with how many leaves have been read, of how many."""


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What a certificate is made of."""

    attendance: Attendance
    net: CountedPresence  # of the attendance
    gaps: Gaps
    sketches: SketchUnions
    foreground: Foreground
    journals: "JournalsAgain"  # that count
    files: frozenset[str]  # digests of all evidence that was read
    asked: Asked  # of the pass
    windows: "WindowsAgain"


@dataclass(frozen=True, slots=True)
class JournalsAgain:
    """Reads the journals that count once more, as often as it is gone through: only gaps make that necessary."""

    log: SealedLog
    read: ReadEvidence

    def __iter__(self) -> Iterator[JournalSegment]:
        """Yield them in the order of the log."""
        for outline, journals in read_journals_of(self.log, self.read):
            if outline.counted:
                yield from journals


@dataclass(frozen=True, slots=True)
class WindowsAgain:
    """Reads some windows once more: only gaps make that necessary."""

    windows: dict[int, Window]
    window_pass: WindowPass

    def net(self, starts: Iterable[int]) -> Iterator[tuple[int, dict[int, BitMap]]]:
        """Yield each of these windows (unix s) and by session who was online and counts; nobody without a leaf."""
        return self.window_pass.net(self.windows.get(start, Window(start, ())) for start in starts)


def reckon(
    log: SealedLog,
    read: ReadEvidence,
    *,
    rebuild: bool = False,
    progress: Progress | None = None,
    processes: int | None = None,
    beside: Callable[[LeafOutline, Sequence[JournalSegment]], None] | None = None,
) -> Reckoning:
    """Return all that is counted in a log and its evidence.

    Args:
        log: as read from its entries.
        read: from a digest to the file; whatever it returns is checked. Other processes get a copy of it.
        rebuild: whether each leaf of a window is built again from its evidence, and must come out the same.
        progress: is told how far the reading is; a leaf counts half when its journals have been read.
        processes: how many to divide the windows among; None: as many as the machine has, where it is worth it.
        beside: is given the journals of each leaf, in the order of the log.

    Raises:
        EvidenceError: evidence is absent, contradicts the log, or gives another leaf.
    """
    event, told = log.event, _Told(len(log.leaves), progress)
    reader, gaps = JournalReader(event), Gaps(log)
    exclusions, journals_of = ExclusionsSoFar(event), dict[int, LeafJournals]()
    windows, files = dict[int, Window](), set[str]()
    for outline, journals in read_journals_of(log, read):
        leaf = outline.leaf
        gaps.add(outline, journals)
        if beside is not None:
            beside(outline, journals)
        files |= {leaf.manifest_sha256, *(file.sha256 for file in outline.manifest.evidence)}
        if rebuild:
            before = exclusions.excluded.copy()
            exclusions.add(journals)
            counted = count_journals(journals, exclusions.excluded)
            left_out = exclusions.leave_out(counted.left_out) if isinstance(leaf, WindowLeaf) else {}
            journals_of[leaf.index] = LeafJournals(counted, exclusions.excluded - before, left_out)
        if outline.counted:
            here = windows.get(leaf.window, Window(leaf.window, ()))
            windows[leaf.window] = replace(here, leaves=(*here.leaves, outline))
            if outline.manifest.evidence:
                reader.add_interval(leaf.window, outline.manifest.interval_s)
            for journal in journals:
                reader.add(journal)
        else:
            gaps.not_counted.append(replace(read_presence(event, outline, read), journals=journals))
            told.half()
        told.half()
    as_of = log.ended
    journaled = reader.close(as_of, runs_of(event))
    window_pass = WindowPass(journaled.audience, read, journals_of if rebuild else None)
    ordered = [windows[start] for start in sorted(windows)]
    passed = _over(window_pass, ordered, processes, told)
    gaps.off_clocks = passed.off_clocks
    gross, net = journaled.presence(passed.totals)
    attendance = journaled.attendance(gross, net, passed.unknown, passed.views)
    again = WindowsAgain(windows, replace(window_pass, journals=None))
    asked = journaled.audience.asked
    journals_again = JournalsAgain(log, read)
    return Reckoning(
        attendance, net, gaps, passed.sketches, passed.foreground, journals_again, frozenset(files), asked, again
    )


def runs_of(event: Event) -> set[Run]:
    """Return the runs that the event's rules ask for."""
    runs = set[Run]()
    for threshold in (rule.threshold for rule in rules_of(event) if rule.threshold is not None):
        for session in event.sessions if threshold.consecutive else ():
            if threshold.in_schedule:
                runs.add((session.number, threshold.least(len(event.session_windows(session))), True))
            else:
                runs |= {(number, threshold.windows, False) for number in (None, session.number)}
    return runs


class _Told:
    """Tells how far the reading is."""

    def __init__(self, leaves: int, progress: Progress | None) -> None:
        self._leaves, self._progress, self._halves = leaves, progress, 0

    def half(self, more: int = 1) -> None:
        """Say that for so many leaves journals, or presence, have been read."""
        self._halves += more
        if self._progress is not None and more:
            self._progress(self._halves // 2, self._leaves)


def _over(window_pass: WindowPass, windows: Sequence[Window], processes: int | None, told: _Told) -> Passed:
    """Return what a pass over all windows finds."""
    sizes = [window.presence_bytes for window in windows]
    if processes is None:
        processes = max(min(os.cpu_count() or 1, sum(sizes) // WORTH_A_PROCESS), 1)
    stretches = _stretches(sizes, processes)
    if len(stretches) == 1:
        return window_pass.over(windows, *stretches[0], told.half)
    with scratch_folder("turnout-reckoning-") as folder:
        with (folder / WORK).open("wb") as file:
            pickle.dump((window_pass, list(windows)), file, protocol=5)
        # Not forked: a ledger that certifies has threads, whose locks a forked process would find closed.
        with ProcessPoolExecutor(len(stretches), get_context("spawn")) as pool:
            jobs = [pool.submit(_pass_over_stretch, folder, *stretch) for stretch in stretches]
            heard, waiting = 0, True
            while waiting:
                _, unfinished = wait(jobs, LOOK_S)
                waiting, before = bool(unfinished), heard
                heard = sum(path.stat().st_size for path in folder.glob(f"*{TOLD}"))
                told.half(heard - before)
        for job in jobs:
            job.result()
        passed = _result(folder, stretches[0])
        for stretch in stretches[1:]:
            passed.add(_result(folder, stretch))
    return passed


Stretch = tuple[int, int]
"""Position of the first window and the position after the last."""


def _stretches(sizes: Sequence[int], number: int) -> list[Stretch]:
    """Return stretches of windows that have about as many bytes each: as many as asked for, or fewer; at least one."""
    reached = list(accumulate(sizes, initial=0))
    cuts = [bisect_left(reached, reached[-1] * part / number) for part in range(1, number)]
    return list(pairwise(sorted({0, *cuts, len(sizes)}))) or [(0, 0)]


def _pass_over_stretch(folder: Path, first: int, end: int) -> None:
    """Take a stretch of windows, in a process of its own; leave what is found in the folder."""
    with (folder / WORK).open("rb") as file:
        window_pass, windows = pickle.load(file)  # noqa: S301 - written by the process that started this one
    with (folder / f"{first}{TOLD}").open("ab", buffering=0) as told:
        passed = window_pass.over(windows, first, end, lambda: told.write(b"."))
    with (folder / f"{first}{PASSED}").open("wb") as file:
        pickle.dump(passed, file, protocol=5)


def _result(folder: Path, stretch: Stretch) -> Passed:
    path = folder / f"{stretch[0]}{PASSED}"
    with path.open("rb") as file:
        passed: Passed = pickle.load(file)  # noqa: S301 - written by a process that this one has started
    path.unlink()
    return passed
