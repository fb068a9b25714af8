"""A window of millions of heartbeats, stored by a real tally: what a very busy worker leaves, without the hour of load.

The exception to the rule that load_tests is an outsider: nine million heartbeats a minute is more than this machine can
send, but not more than a gateway of many workers has to seal. `write` makes the spool folder of a worker that died;
`longest_beats` closes such a window in a worker that goes on, and says how long its heartbeats were held up.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from counters.cells import Cells
from counters.event import load_event
from counters.segment import WINDOW_S
from counters.spool import SpoolIdentity
from counters.spool_lock import create_worker_folder
from counters.tally import BUCKET_S, Accepted, Tally

FIRST_SEAT: Final = 1 << 26
"""Far above the seats of whoever joins meanwhile."""
BEATS_A_VIEWER: Final = 2
"""In a minute, at an interval of 30 s."""
BLOCK: Final = 100_000
GATEWAY: Final = "large-window"
AFTER_S: Final = 4.0
"""How long heartbeats are watched after a window closed: the tally's thread has let go of it by then."""


Beat = tuple[int, int, int]
"""place, attendee, view: the arguments of Tally.beat"""


@dataclass(slots=True)
class _Clock:
    """A clock that is set by hand."""

    at: float

    def now(self) -> float:
        return self.at

    def ticks(self) -> Callable[[], float]:
        return self.now

    def tick_at(self, at: float) -> float:
        return at


@dataclass(frozen=True, slots=True)
class LongestBeats:
    """The longest that one heartbeat took in the tally, in seconds."""

    before_s: float  # while the window filled
    closing_s: float  # the heartbeat that closed it and opened the next
    after_s: float  # in the seconds after


def write(spool: Path, event_file: Path, window: int, records: int) -> Path:
    """Write the folder of a worker that accepted so many heartbeats in a window, and died. Raises OSError."""
    clock = _Clock(window)
    folder, lock, tally, numbers = _worker(spool, event_file, clock)
    beat = tally.beat
    for block in _blocks(clock, numbers, window, records):
        for place, attendee, view in block:
            if beat(place, attendee, view) is not Accepted.YES:
                raise OSError(f"the tally has no room in {folder}")
    os.close(lock)
    return folder


def longest_beats(spool: Path, event_file: Path, window: int, records: int) -> LongestBeats:
    """Fill a window, let time pass its end, and go on; return what a heartbeat took at the longest. Raises OSError."""
    clock = _Clock(window)
    _, lock, tally, numbers = _worker(spool, event_file, clock)
    stop = threading.Event()
    keeper = threading.Thread(target=tally.keep, args=(stop,))
    keeper.start()
    before_s = max(_longest(tally, block) for block in _blocks(clock, numbers, window, records))
    following = _blocks(clock, numbers, window + WINDOW_S, records)
    first = next(following)
    closing_s = _longest(tally, first[:1])
    ends, after_s = time.perf_counter() + AFTER_S, 0.0
    while time.perf_counter() < ends:
        after_s = max(after_s, _longest(tally, first[:1000]))
        time.sleep(0.001)  # a worker waits for its next requests now and then
    stop.set()
    keeper.join()
    os.close(lock)
    return LongestBeats(before_s, closing_s, after_s)


def _worker(spool: Path, event_file: Path, clock: _Clock) -> tuple[Path, int, Tally, Sequence[int]]:
    event = load_event(event_file)
    numbers = tuple(session.number for session in event.sessions)
    identity = SpoolIdentity(os.urandom(8).hex(), GATEWAY, event.digest, len(numbers))
    folder, lock = create_worker_folder(spool, identity)
    cells = Cells(folder / "cells", ("beat.playing",))
    return folder, lock, Tally(folder, identity, clock, numbers, cells, event.day), numbers


def _blocks(clock: _Clock, numbers: Sequence[int], window: int, records: int) -> Iterator[list[Beat]]:
    """Yield the heartbeats of a window in their order, and set the clock for each block.

    A viewer's second heartbeat is half a minute after the first. Whole ones only: `records` is rounded down.
    """
    random = np.random.default_rng(1)
    viewers = records // BEATS_A_VIEWER
    seats = np.arange(FIRST_SEAT, FIRST_SEAT + viewers, dtype=np.uint64)
    random.shuffle(seats)
    places = seats | random.choice(np.array(numbers, np.uint64), viewers) << np.uint64(32)
    attendees, views = _positions(random, viewers), _positions(random, viewers)
    for number in range(BEATS_A_VIEWER):
        for start in range(0, viewers, BLOCK):
            passed_s = (number * viewers + start) * WINDOW_S // (BEATS_A_VIEWER * viewers)
            clock.at = window + passed_s // BUCKET_S * BUCKET_S
            part = slice(start, start + BLOCK)
            yield list(zip(places[part].tolist(), attendees[part].tolist(), views[part].tolist(), strict=True))


def _positions(random: np.random.Generator, count: int) -> npt.NDArray[np.uint32]:
    """Return sketch positions as hashing gives them: any register, any selector, rank r with probability 2^-r."""
    ranks = np.minimum(random.geometric(0.5, count), 51).astype(np.uint32)
    positions: npt.NDArray[np.uint32] = random.integers(0, 1 << 24, count, np.uint32) | ranks << np.uint32(24)
    return positions


def _longest(tally: Tally, block: list[Beat]) -> float:
    beat, clock = tally.beat, time.perf_counter
    longest = 0.0
    for place, attendee, view in block:
        began = clock()
        outcome = beat(place, attendee, view)
        took = clock() - began
        if took > longest:  # noqa: PLR1730 - max() would be most of the loop
            longest = took
        if outcome is not Accepted.YES:
            raise OSError("the tally has no room")
    return longest
