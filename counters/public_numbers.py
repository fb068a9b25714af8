"""What anybody can recompute from the public leaves alone: views, peaks online, average audience and hours viewed.

A number of the certificate says `checkable_by: log` if and only if this gives the same number. It does not where cells
that the leaves withhold are needed, where late evidence or an alias changed what the leaves say, or per country.
"""

from fractions import Fraction
from typing import Any, Final

from counters.attendance import ONLINE, scheduled_windows
from counters.cross_check import RELATIVE_ERROR
from counters.left_out import at_least as left_out_at_least
from counters.log_entries import SealedLog
from counters.measures import HOUR_S, Cell, Measure, doubled_person_seconds, largest_of_estimates
from counters.rules import OF_TIME, Rule
from counters.segment import WINDOW_S

SURE: Final = 5
"""Standard errors: an estimate is further off than this less than once in a million windows."""
_NOTHING: Final = {"present": 0, "arrived": 0, "background": 0, "views": 0}
"""A row that a leaf leaves out; a window without a leaf counts as nothing, too, and is a printed gap."""


class PublicNumbers:
    """The window leaves of a log, as counting rules see them."""

    def __init__(self, log: SealedLog, *, arrivals: bool = True) -> None:
        """Take the log; without `arrivals`, as if nobody had arrived: as if every seat went on another's time."""
        self._event = log.event
        self._arrivals = arrivals
        self._windows = log.windows
        self._ids = {session.number: session.id for session in log.event.sessions}
        self._days = {window: log.event.day(window) for window in self._windows}

    def measure(self, rule: Rule, cell: Cell) -> Measure | None:
        """Return the number by this rule, or None if the public leaves do not hold it."""
        by_rule = {
            "views": self._views,
            "peak-concurrent-attendees": self._peak,
            "peak-concurrent-views": self._peak_views,
            "average-minute-audience": self._average,
            "hours-viewed": self._hours,
        }
        held = cell.channel == ONLINE or not rule.of_people
        return by_rule[rule.id](cell) if held and rule.id in by_rule and cell.among is None else None

    def most(self, rule: Rule, cell: Cell, seats: int) -> Fraction:
        """Return what a peak online, or person-time online, may be at most if leaves left out so many `seats`.

        In each window as many were online as its leaf has and all those seats, and no more than its sketches say. They
        have everybody in them, whoever counts; an estimate is taken as `SURE` standard errors more than it says.
        """
        windows = scheduled_windows(self._event, cell.session, cell.day) if rule.id in OF_TIME else self._sealed(cell)
        present = [self._most_online(window, cell, seats) for window in windows]
        if rule.id not in OF_TIME:
            return max(present, default=Fraction(0))
        unit_s = HOUR_S if rule.unit == "hours" else WINDOW_S * max(len(windows), 1)
        return sum(present, Fraction(0)) * WINDOW_S / unit_s

    def most_views(self, cell: Cell) -> int | None:
        """Return how many views there may be at most, with those that leaves left out; None: leaves do not bound them.

        Leaves of version 2 say how many were left out so far (counters.left_out): before the cell's first window at
        least, and up to its last one at most.
        """
        below, inside = self._event.counting.suppress_below, self._sealed(cell)
        counted = [self._row(window, cell)["views"] for window in inside]
        if None in counted:
            return None
        telling = [
            (window, leaf.left_out) for window, leaf in sorted(self._windows.items()) if leaf.left_out is not None
        ]
        until = [said for window, said in telling if inside and window >= inside[-1]]
        since = [said for window, said in telling if inside and window < inside[0]]
        if inside and not until:
            return None
        ids = self._ids.values() if cell.session is None else [self._ids[cell.session]]
        left_out = sum(until[0][session] for session in ids) if until else 0
        earlier = sum(left_out_at_least(since[-1][session], below) for session in ids) if since else 0
        return int(sum(counted)) + left_out - earlier

    def _most_online(self, window: int, cell: Cell, seats: int) -> Fraction:
        counted = self._row(window, cell)["present"]
        most = Fraction((self._event.counting.suppress_below - 1 if counted is None else counted) + seats)
        leaf, estimated = self._windows.get(window), Fraction(0)
        for session in self._ids.values() if cell.session is None else [self._ids[cell.session]]:
            estimate = leaf.estimates.get((session, "attendees"), 0) if leaf else 0
            if estimate is None:
                return most
            estimated += estimate + (SURE * max(RELATIVE_ERROR * estimate, Fraction(1)) if estimate else 0)
        return min(most, estimated)

    def _row(self, window: int, cell: Cell) -> dict[str, Any]:
        leaf = self._windows.get(window)
        session = "" if cell.session is None else self._ids[cell.session]
        return dict(leaf.totals.get(session, _NOTHING)) if leaf else dict(_NOTHING)

    def _sealed(self, cell: Cell) -> list[int]:
        return [window for window, day in sorted(self._days.items()) if cell.day is None or day == cell.day]

    def _views(self, cell: Cell) -> Measure | None:
        counts = [self._row(window, cell)["views"] for window in self._sealed(cell)]
        return None if None in counts else Measure(sum(counts))

    def _peak(self, cell: Cell) -> Measure | None:
        best, withheld = Measure(0), False
        for window in self._sealed(cell):
            present = self._row(window, cell)["present"]
            if present is None:
                withheld = True
            elif present > best.value:
                best = Measure(present, window)
        # A withheld row is under the threshold: it cannot be the peak, nor tie with it, if the peak is not.
        return None if withheld and best.value < self._event.counting.suppress_below else best

    def _peak_views(self, cell: Cell) -> Measure:
        # An estimate that a leaf withholds, of a session with few people, is taken for none.
        ids = self._ids.values() if cell.session is None else [self._ids[cell.session]]
        return largest_of_estimates(
            (window, [self._windows[window].estimates.get((session, "views")) or 0 for session in ids])
            for window in self._sealed(cell)
        )

    def withholds_estimates(self, cell: Cell) -> bool:
        """Whether some leaf does not say how many views there were in a session that somebody watched."""
        ids = self._ids.values() if cell.session is None else [self._ids[cell.session]]
        return any(
            self._windows[window].estimates.get((session, "views"), 0) is None
            for window in self._sealed(cell)
            for session in ids
        )

    def _seconds(self, cell: Cell) -> Fraction | None:
        doubled = 0
        for window in scheduled_windows(self._event, cell.session, cell.day):
            row = self._row(window, cell)
            if row["present"] is None:
                return None
            leaf = self._windows.get(window)
            interval_s = leaf.interval_s if leaf else self._event.interval_s
            doubled += doubled_person_seconds(interval_s, row["present"], row["arrived"] if self._arrivals else 0)
        return Fraction(doubled, 2)

    def _average(self, cell: Cell) -> Measure | None:
        seconds, windows = self._seconds(cell), len(scheduled_windows(self._event, cell.session, cell.day))
        if seconds is None:
            return None
        return Measure(seconds / (WINDOW_S * windows) if windows else Fraction(0))

    def _hours(self, cell: Cell) -> Measure | None:
        seconds = self._seconds(cell)
        return None if seconds is None else Measure(seconds / HOUR_S)
