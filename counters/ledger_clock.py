"""The ledger's clock as a gateway knows it, and by how much a worker's own clock is off.

All processes of a host agree on what has elapsed since its boot, so a clock is one number, its *epoch*: what it says
minus that (counters.clock.WallClock). A worker's stands in its lock file. The ledger's is measured: each of its answers
says what time it was there, somewhere between sending and receiving, so the epoch is known to within half the round
trip (Cristian, "Probabilistic clock synchronization", 1989). The shortest recent round trip is the best.

The supervisor measures and leaves what it found in the spool, `ledger-clock.json`, for its workers; it is written anew
when something better is known, and not synced: after a reboot it is void.

    {"version": 1, "boot": id of this boot, "epoch": unix seconds, "within_s": seconds}
"""

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counters.spool_lock import boot_id

LEDGER_CLOCK_FILE: Final = "ledger-clock.json"
VERSION: Final = 1
REPORTED_S: Final = 2.0
"""A clock that is off by more is in the log of the gateway (DESIGN.md §5)."""
TOLERATED_S: Final = 30.0
"""A worker whose clock is off by more is not ready: half a window is the most that evidence may be out of place."""
RECENT_S: Final = 300.0
"""A measurement counts for so long: in this time two hosts' quartzes drift apart by some 30 ms."""
DRIFT_S: Final = 0.1
"""What two sound measurements may contradict each other by; more, and the ledger's clock was set."""
NEWS_S: Final = 0.005
"""The file is written again if the epoch moved by more, or is known twice as well."""


@dataclass(frozen=True, slots=True)
class LedgerClock:
    """One measurement."""

    epoch: float  # the ledger's unix seconds minus what has elapsed on this host (counters.clock.elapsed)
    within_s: float  # half the round trip: the most that it can be wrong by

    def offset_s(self, epoch: float) -> float:
        """Return by how much a clock of this host, given by its epoch, is ahead of the ledger's."""
        return epoch - self.epoch

    def surely_off_s(self, epoch: float) -> float:
        """Return by how much it is off at least, whatever the round trip hides."""
        return max(abs(self.offset_s(epoch)) - self.within_s, 0.0)


class LedgerClockEstimate:
    """The best recent measurement. Owned by the supervisor's event loop."""

    def __init__(self, spool: Path) -> None:
        """Begin with what was measured since this boot, if there is something."""
        self._path = spool / LEDGER_CLOCK_FILE
        self._recent: deque[tuple[float, LedgerClock]] = deque()
        self.best = self._written = read_ledger_clock(spool)
        """None until the ledger has answered."""

    def heard(self, sent: float, received: float, now: float) -> None:
        """Take in an answer.

        Args:
            sent: when it was asked for, by counters.clock.elapsed.
            received: when it was here.
            now: what the ledger's clock said meanwhile, unix seconds.

        Raises:
            OSError: the file cannot be written; the estimate stands.
        """
        measured = LedgerClock(now - (sent + received) / 2, (received - sent) / 2)
        if self.best is not None and _contradict(self.best, measured):
            self._recent.clear()
        self._recent.append((received, measured))
        while received - self._recent[0][0] > RECENT_S:
            self._recent.popleft()
        self.best = min((clock for _, clock in self._recent), key=lambda clock: clock.within_s)
        if self._written is None or _is_news(self._written, self.best):
            self._write(self.best)

    def _write(self, clock: LedgerClock) -> None:
        document = {"version": VERSION, "boot": boot_id(), "epoch": clock.epoch, "within_s": clock.within_s}
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(document))
        fresh.rename(self._path)
        self._written = clock


def _contradict(one: LedgerClock, other: LedgerClock) -> bool:
    return abs(one.epoch - other.epoch) > one.within_s + other.within_s + DRIFT_S


def _is_news(known: LedgerClock, clock: LedgerClock) -> bool:
    return abs(clock.epoch - known.epoch) > NEWS_S or clock.within_s < known.within_s / 2


def read_ledger_clock(spool: Path) -> LedgerClock | None:
    """Return what the supervisor has measured; None if nothing since this boot."""
    try:
        document = json.loads((spool / LEDGER_CLOCK_FILE).read_bytes())
        if (document["version"], document["boot"]) != (VERSION, boot_id()):
            return None
        return LedgerClock(float(document["epoch"]), float(document["within_s"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class ClockWatch:
    """What one worker knows of its own clock. Owned by the worker's event loop."""

    def __init__(self, spool: Path, epoch: float | None) -> None:
        """Watch a clock by its epoch; None is a simulated clock, which everybody shares."""
        self._spool = spool
        self._epoch = epoch
        self._seen: tuple[int, int] | None = None
        self._ledger: LedgerClock | None = None
        self.look()

    def look(self) -> None:
        """See whether the supervisor measured anew: one `stat`, once a second."""
        try:
            stat = (self._spool / LEDGER_CLOCK_FILE).stat()
        except OSError:
            return
        seen = (stat.st_ino, stat.st_mtime_ns)
        if seen != self._seen:
            self._seen, self._ledger = seen, read_ledger_clock(self._spool)

    @property
    def too_far_off(self) -> str:
        """Why the worker is not ready, in a sentence; "" if its clock is right, or nobody knows."""
        if self._epoch is None or self._ledger is None or self._ledger.surely_off_s(self._epoch) <= TOLERATED_S:
            return ""
        offset_s = self._ledger.offset_s(self._epoch)
        return (
            f"the clock is {abs(offset_s):.0f} s {'ahead of' if offset_s > 0 else 'behind'} the ledger's: "
            "set the host's clock and restart the gateway"
        )
