"""Announcements: which heartbeat intervals players were told and when; from it the I of a window, and of live now.

A player that was told I seconds may be silent for all of them, however soon another interval was announced to others.
So an interval matters while it is announced and for 2·I seconds after that, and what counts for a span of time is the
longest that matters in it. Where it is not certain that nobody announces an interval any more, it counts as announced:
too long an I finds everybody, too short a one loses people.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

KEPT: Final = 256
"""Changes that are remembered one by one; an organiser makes a handful. Older ones melt into one that covers them."""


@dataclass(frozen=True, slots=True)
class Announced:
    """One interval that players were told."""

    interval_s: int
    since: float  # unix seconds of the event's clock; 0 = from the beginning
    until: float | None  # None = perhaps still


@dataclass(frozen=True, slots=True)
class Announcements:
    """All that players were told so far; the last row is what they are told now."""

    rows: tuple[Announced, ...]

    @classmethod
    def of(cls, interval_s: int) -> "Announcements":
        """Return the beginning: one interval, in seconds, always announced."""
        return cls((Announced(interval_s, 0.0, None),))

    @property
    def current_s(self) -> int:
        """The interval that is announced now."""
        return self.rows[-1].interval_s

    def announce(self, interval_s: int, now: float) -> "Announcements":
        """Players are told another interval from now on; some may be told the earlier one until `settle`."""
        if interval_s == self.current_s:
            return self
        rows = (*self.rows, Announced(interval_s, now, None))
        if len(rows) > KEPT:
            first, second, *rest = rows
            merged = Announced(max(first.interval_s, second.interval_s), first.since, second.until)
            return Announcements((merged, *rest))
        return Announcements(rows)

    @property
    def settled(self) -> bool:
        """Whether it is certain that nobody announces an earlier interval any more."""
        return all(row.until is not None for row in self.rows[:-1])

    def settle(self, now: float) -> "Announcements":
        """Everybody has announced nothing but the current interval since `now` at the latest."""
        *earlier, current = self.rows
        ended = (row if row.until is not None else replace(row, until=now) for row in earlier)
        return Announcements((*ended, current))

    def longest_s(self, start: float, end: float | None = None) -> int:
        """Return the longest I announced between 2·I before `start` and `end` (None: at the instant `start`)."""
        matters = [
            row.interval_s
            for row in self.rows
            if (row.since < end if end is not None else row.since <= start)
            and (row.until is None or start - row.until <= 2 * row.interval_s)
        ]
        return max(matters, default=self.rows[0].interval_s)

    def as_json(self) -> list[list[Any]]:
        """Return the rows as JSON carries them: [interval_s, since, until]."""
        return [[row.interval_s, row.since, row.until] for row in self.rows]

    @classmethod
    def from_json(cls, rows: Any) -> "Announcements":
        """Read such rows.

        Raises:
            ValueError, TypeError: they are none.
        """
        read = tuple(
            Announced(int(interval_s), float(since), None if until is None else float(until))
            for interval_s, since, until in rows
        )
        if not read:
            raise ValueError("no interval was ever announced")
        return cls(read)
