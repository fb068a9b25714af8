"""How soon after its end each window was in a state of the log that somebody outside has dated."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from counters.log_entries import SealedLog
from counters.segment import WINDOW_S


@dataclass(frozen=True, slots=True)
class Soonest:
    """What the times of dated states say of the windows."""

    delay_s: int  # the largest, from a window's end to the first dated state that holds its leaf
    window: int  # of which it is, unix seconds
    undated: int  # windows that no dated state holds

    def said(self, log: SealedLog) -> str:
        """The same in words."""
        left = f"; {self.undated} windows are in none" if self.undated else ""
        return f"{self.delay_s:,} s, of the window {log.event.iso(self.window)}{left}"


def soonest(log: SealedLog, times: Mapping[int, int]) -> Soonest | None:
    """Return the largest delay, or None if no dated state holds any window.

    Args:
        log: the windows, each at its place.
        times: by size of the log, when that state was dated (unix seconds).
    """
    sizes, dated = sorted(times), list[int]()
    # A later state that was dated earlier, by another witness, holds the windows of this one as well.
    for size in reversed(sizes):
        dated.append(min(times[size], dated[-1]) if dated else times[size])
    dated.reverse()
    worst, undated = (-1, 0), 0
    for leaf in log.windows.values():
        at = bisect_right(sizes, leaf.index)
        if at == len(sizes):
            undated += 1
        else:
            worst = max(worst, (max(dated[at] - leaf.window - WINDOW_S, 0), leaf.window))
    return Soonest(*worst, undated) if worst[0] >= 0 else None
