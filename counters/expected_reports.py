"""Whose reports a window waits for, for how long, and who is missing when it is sealed.

Every worker that ever got seats is expected to report past the end of every window from its first grant on, until it
has ended. A window waits for it as long as the grace lasts; a gateway that is at work on that window or an older one,
and says so, is waited for longer. A worker of a gateway that was retired is expected up to the window of its retirement
and waited for no more; should it report past that after all, it lives, and is expected as before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from counters.seat_grants import Holder
from counters.segment import WINDOW_S

GRACE_S: Final = 8.0
"""How long after its end a window waits for workers that have not reported (DESIGN.md §5)."""
AT_WORK_S: Final = 60.0
"""How long a gateway's signs of life over one and the same window are worth waiting for: a full window takes a few
seconds to hand over, and whoever is not done after a minute holds up the log for everybody."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a gateway was last heard to be at work on. Times are seconds on a monotonic clock."""

    window: int
    first: float
    last: float


_NEVER: Final = _Heard(0, 0.0, 0.0)


class ExpectedReports:
    """Who has reported and who has not. Owned by the sealer; what must survive is in its files."""

    def __init__(self, holders: Mapping[str, Holder]) -> None:
        """Expect the reports of whoever holds seats: `holders` is looked at again for each window."""
        self._holders = holders
        self._through: dict[str, int] = {}
        self._ended: set[str] = set()
        self._retired: dict[str, int] = {}  # worker -> the last window that it is expected for
        self._noticed: dict[int, float] = {}
        self._heard: dict[str, _Heard] = {}
        self._turned_away = 0.0

    # What workers and gateways say.

    def says_more(self, promises: Sequence[Mapping[str, Any]]) -> bool:
        """Whether these promises ({"worker", "through", "ended"}) say anything that was not known."""
        return any(
            row["through"] > self._through.get(row["worker"], 0) or (row["ended"] and row["worker"] not in self._ended)
            for row in promises
        )

    def take(self, promises: Iterable[Mapping[str, Any]]) -> None:
        """Believe these promises; a worker that was said to have ended, and reports further than that, lives."""
        for row in promises:
            if not row["ended"] and row["through"] > self._through.get(row["worker"], 0):
                # Somebody has started a copy of its spool, and taken it for dead.
                self._ended.discard(row["worker"])
            self._through[row["worker"]] = max(row["through"], self._through.get(row["worker"], 0))
            if row["ended"]:
                self._ended.add(row["worker"])

    def hear(self, gateway: str, window: int, tick: float) -> None:
        """Note that a gateway is at work on a window."""
        before = self._heard.get(gateway, _NEVER)
        first = before.first if before.window == window else tick
        self._heard[gateway] = _Heard(window, first, tick)

    def turned_away(self, tick: float) -> None:
        """Note that a hand-over could not be taken, for the disk's sake: its gateway comes again, within seconds."""
        self._turned_away = tick

    def retire(self, workers: Mapping[str, int]) -> None:
        """Wait no more for these workers, and expect each up to its window; said again, it changes nothing."""
        self._retired.update(workers)

    def living(self, gateway: str) -> list[str]:
        """Return the workers of a gateway that are expected for all windows to come."""
        return sorted(
            worker
            for worker, holder in self._holders.items()
            if holder.gateway == gateway and worker not in self._ended and not self._gone(worker)
        )

    def gateways(self) -> frozenset[str]:
        """Return the gateways that have workers which are expected for all windows to come."""
        return frozenset(
            holder.gateway
            for worker, holder in self._holders.items()
            if worker not in self._ended and not self._gone(worker)
        )

    # What a window asks.

    def notice(self, window: int, tick: float) -> None:
        """Note that a window has ended: from the first time on its grace runs."""
        self._noticed.setdefault(window, tick)

    def sealed(self, window: int) -> None:
        """Note that nobody asks for this window any more, nor for those before it."""
        self._noticed = {later: tick for later, tick in self._noticed.items() if later > window}

    def missing(self, window: int, tick: float) -> list[str] | None:
        """Return who has not reported past a window's end, ascending; None while there is still time for them."""
        absent = [
            holder
            for worker, holder in self._holders.items()
            if holder.since <= window and self._expected(worker, window)
            and self._through.get(worker, 0) < window + WINDOW_S
        ]  # fmt: skip
        waited_for = [holder for holder in absent if not self._gone(holder.worker)]
        # A gateway hands over its oldest window first: while it works off a backlog it is waited for, and once it is
        # heard of a later window it has no more of this one.
        heard = [self._heard.get(holder.gateway, _NEVER) for holder in waited_for]
        signs = (min(sign.last, sign.first + AT_WORK_S) for sign in heard if sign.window <= window)
        since = max(self._noticed[window], self._turned_away, *signs)
        if waited_for and tick - since < GRACE_S:
            return None
        return sorted(holder.worker for holder in absent)

    def _expected(self, worker: str, window: int) -> bool:
        return worker not in self._ended and not (self._gone(worker) and window > self._retired[worker])

    def _gone(self, worker: str) -> bool:
        return worker in self._retired and self._through.get(worker, 0) <= self._retired[worker] + WINDOW_S
