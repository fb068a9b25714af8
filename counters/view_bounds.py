"""Bounds of views: how many there may truly have been, given what gaps may hide (counters.bounds, docs/gaps.md).

Views are not people: where a journal is lost, nothing bounds how many of them one person opened.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.attendance import Attendance
from counters.gaps import Gap, GapKind, Gaps
from counters.journal_segment import JournalSegment
from counters.measures import Cell, peak_concurrent_views
from counters.possible_presence import PresenceAtMost
from counters.roll import Seats
from counters.rules import Rule
from counters.views import Views

Value = int | Fraction
Interval = tuple[Value, Value | None]
"""The least and the most that a number may truly be; None: nothing bounds it."""


class ViewBounds:
    """What the gaps of one event may hide of its views."""

    def __init__(
        self,
        attendance: Attendance,
        gaps: Gaps,
        found: Sequence[Gap],
        losses: Sequence[Gap],
        late_journals: Sequence[JournalSegment],
        known: BitMap,
        strangers: BitMap,
        at_most: PresenceAtMost,
        *,
        unbounded: bool,
    ) -> None:
        """Take what is known.

        Args:
            attendance: as counted.
            gaps: the evidence that is not counted, and clocks that were off.
            found: the gaps that may hide somebody.
            losses: those of them in which records are lost.
            late_journals: journals that came too late to count.
            known: attendees of whom a journal that counts says who they are.
            strangers: whoever else may have been there.
            at_most: whoever may have been present.
            unbounded: whether seats of which nobody knows anything may have been used.
        """
        self._counted, self._event, self._gaps = attendance, attendance.event, gaps
        self._found, self._losses, self._late_journals = found, losses, late_journals
        self._strangers, self._at_most, self._unbounded = strangers, at_most, unbounded
        self._views = attendance.net_views.among(known), attendance.net_views.without(known)

    def of(self, _rule: Rule, cell: Cell) -> Interval:
        """Return the bounds of views: nothing bounds how many views a person opens where a journal is lost."""
        within = (cell.session, cell.day)
        among = None if cell.among is None else cell.among | self._strangers
        # Who opened a view and stands in no journal may be of an excluded category, or of another country.
        known, unknown = self._views
        least, most = known.count(*within, cell.among), known.count(*within, cell.among) + unknown.count(*within, None)
        for journal in self._late_journals:
            most += Views.of(*self._opened(journal)).count(*within, among)
        for journal, *offsets_ms in self._gaps.off_journals:
            seats, sessions, said = self._opened(journal)
            for offset_ms in offsets_ms:
                _, _, truly = self._opened(journal, -offset_ms)
                moved = said != truly
                least -= Views.of(seats[moved], sessions[moved], said[moved]).count(*within, cell.among)
                most += Views.of(seats[moved], sessions[moved], truly[moved]).count(*within, among)
        lost = any(cell.day in (None, self._event.day(gap.window)) for gap in self._losses)
        return max(least, 0), None if lost or self._unbounded else most

    def of_peak(self, cell: Cell) -> Interval:
        """Return the bounds of the largest estimate: nothing bounds how many views a person has open at once."""
        lost = [*self._losses, *(late.leaf for late in self._gaps.not_counted)]
        # While nobody was there, nobody opened a view: only those of people who had joined can have been playing.
        lost += [
            gap
            for gap in self._found
            if gap.kind is GapKind.UNCOVERED and self._at_most.adds_anybody(gap.window, cell.session)
        ]
        certain = {
            window: sessions
            for window, sessions in self._counted.views_by_window.items()
            if window not in self._gaps.off_clocks
        }
        least = peak_concurrent_views(replace(self._counted, views_by_window=certain), cell).value
        touched = any(cell.day in (None, self._event.day(gap.window)) for gap in lost) or self._gaps.off_clocks
        counted = peak_concurrent_views(self._counted, cell).value
        return least, None if touched or self._unbounded else counted

    def _opened(
        self, journal: JournalSegment, by_ms: int = 0
    ) -> tuple[Seats, npt.NDArray[np.uint16], npt.NDArray[np.str_]]:
        """Return seats, sessions and days of a journal's views, as if its clock had said something else."""
        known = [session.number for session in self._event.sessions]
        joins = journal.joins[(journal.joins["view"] != 0) & np.isin(journal.joins["session"], known)]
        minutes, at = np.unique((joins["joined_at_ms"].astype(np.int64) + by_ms) // 60_000, return_inverse=True)
        days = np.array([self._event.day(minute * 60) for minute in minutes.tolist()], "U10")
        seats = self._counted.roll.canonical_seats(joins["seat"])
        return seats, joins["session"], days[at.reshape(-1)]
