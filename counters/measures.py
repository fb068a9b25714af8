"""The measures: what each counting rule computes. Pure functions of the attendance and a cell of it.

counters.rules gives them their names and definitions; docs/counting-rules.md says what they mean in each scope.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from pyroaring import BitMap

from counters.attendance import ONLINE, ONSITE, Attendance, scheduled_windows, size
from counters.hyperloglog import StandardError, standard_error
from counters.segment import WINDOW_S

HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Cell:
    """Which part of the attendance is counted; None = all of it."""

    session: int | None = None  # number
    day: str | None = None  # "2023-11-19"
    channel: str | None = None  # "online" or "onsite"
    among: BitMap | None = None  # only these attendees
    by_join: bool = False  # whether another join, if there was one, would tell that they are others


@dataclass(frozen=True, slots=True)
class Measure:
    """One number."""

    value: int | Fraction
    at: int | None = None  # the window (unix seconds) at which it occurred, for rules that look for one
    error: StandardError | None = None  # of an estimate; None = exact


@dataclass(frozen=True, slots=True)
class Threshold:
    """How much presence somebody needs to count: `windows` of them, or `percent` of a session's scheduled ones."""

    windows: int = 0
    percent: int = 0
    consecutive: bool = False
    in_schedule: bool = False  # only presence in a session while it is scheduled; always so for a percentage
    categories: tuple[str, ...] = ()  # only attendees of these; () = of any

    def least(self, scheduled: int) -> int:
        """Return how many windows somebody needs, given how many the session has scheduled."""
        return self.windows or -(-self.percent * scheduled // 100)


def _unique(attendance: Attendance, cell: Cell, channel: str | None) -> Measure:
    return Measure(size(attendance.net.within(channel, cell.session, cell.day), cell.among))


def unique_attendees(attendance: Attendance, cell: Cell) -> Measure:
    """Count who was present at all."""
    return _unique(attendance, cell, None)


def unique_attendees_onsite(attendance: Attendance, cell: Cell) -> Measure:
    """Count who was present on site."""
    return _unique(attendance, cell, ONSITE)


def unique_attendees_online(attendance: Attendance, cell: Cell) -> Measure:
    """Count who was present online."""
    return _unique(attendance, cell, ONLINE)


def unique_attendees_both(attendance: Attendance, cell: Cell) -> Measure:
    """Count who was present on both channels, each at any time of the scope."""
    online, onsite = (attendance.net.within(channel, cell.session, cell.day) for channel in (ONLINE, ONSITE))
    return Measure(size(online & onsite, cell.among))


def daily_attendance_sum(attendance: Attendance, cell: Cell) -> Measure:
    """Add up the days' unique attendees."""
    net = attendance.net
    return Measure(sum(size(net.within(cell.channel, cell.session, day), cell.among) for day in net.days))


def session_attendance_sum(attendance: Attendance, cell: Cell) -> Measure:
    """Add up the sessions' unique attendees."""
    net, sessions = attendance.net, attendance.event.sessions
    return Measure(sum(size(net.within(cell.channel, one.number, cell.day), cell.among) for one in sessions))


def views(attendance: Attendance, cell: Cell) -> Measure:
    """Count views by the join that opened them."""
    return Measure(attendance.net_views.count(cell.session, cell.day, cell.among))


def peak_concurrent_attendees(attendance: Attendance, cell: Cell) -> Measure:
    """Find the window with most attendees, the earliest of several."""
    net = attendance.net
    present, _ = net.counts(cell.channel, cell.session, cell.among)
    if cell.day is not None:
        present = np.where(np.isin(net.windows, net.windows_of(cell.day)), present, 0)
    first = int(present.argmax()) if len(present) else 0
    return Measure(int(present[first]), net.windows[first]) if present.any() else Measure(0)


def largest_of_estimates(estimates: Iterable[tuple[int, Sequence[int]]]) -> Measure:
    """Find the window with the largest sum of estimates, the earliest of several; (window, one for each sketch)."""
    best = Measure(0, error=standard_error(()))
    for window, parts in estimates:
        if sum(parts) > best.value:
            best = Measure(sum(parts), window, standard_error(parts))
    return best


def peak_concurrent_views(attendance: Attendance, cell: Cell) -> Measure:
    """Find the window with most views; a view is of one session, so the sessions' estimates add up."""
    event = attendance.event
    return largest_of_estimates(
        (window, [count for number, count in sessions.items() if cell.session in (None, number)])
        for window, sessions in sorted(attendance.views_by_window.items())
        if cell.day is None or event.day(window) == cell.day
    )


def those_who_meet(threshold: Threshold, attendance: Attendance, cell: Cell) -> BitMap:
    """Return who was present long enough, of whatever attendees.

    In schedule that is in one session: over the event, in at least one.
    """
    net, event = attendance.net, attendance.event
    if not threshold.in_schedule:
        if threshold.consecutive:
            return net.runs(threshold.windows, cell.channel, cell.session, cell.day)
        return net.attended(threshold.windows, cell.session, cell.channel, in_schedule=False)
    found = []
    for session in event.sessions:
        if cell.session in (None, session.number):
            least = threshold.least(len(event.session_windows(session)))
            if threshold.consecutive:
                found.append(net.runs(least, cell.channel, session.number, cell.day, in_schedule=True))
            else:
                found.append(net.attended(least, session.number, cell.channel))
    return BitMap.union(BitMap(), *found)


def long_enough(threshold: Threshold, attendance: Attendance, cell: Cell) -> Measure:
    """Count who was present long enough."""
    who = those_who_meet(threshold, attendance, cell)
    if threshold.categories:
        categories = (attendance.categories.get(name, BitMap()) for name in threshold.categories)
        who = who & BitMap.union(BitMap(), *categories)
    return Measure(size(who, cell.among))


def inside_count(attendance: Attendance, cell: Cell) -> Measure:
    """Count who is inside."""
    rooms = [seats for number, seats in attendance.inside.items() if cell.session in (None, number)]
    return Measure(size(BitMap.union(BitMap(), *rooms), cell.among))


def doubled_person_seconds(interval_s: int, present: int, arrived: int) -> int:
    """Return twice the person-time of one window: 2·(60·|B| − (60 − I/2)·|B \\ B−1|), a whole number of seconds."""  # noqa: D301
    return 2 * WINDOW_S * present - (2 * WINDOW_S - interval_s) * arrived


def _person_seconds(attendance: Attendance, cell: Cell) -> tuple[Fraction, int]:
    """Return the person-time online within the schedule, in seconds, and how many windows are scheduled."""
    net, event = attendance.net, attendance.event
    scheduled = scheduled_windows(event, cell.session, cell.day)
    present, arrived = net.counts(ONLINE, cell.session, cell.among)
    doubled = 0
    for at in np.flatnonzero(np.isin(net.windows, scheduled) & (present > 0)).tolist():
        interval_s = attendance.intervals_s.get(net.windows[at], event.interval_s)
        doubled += doubled_person_seconds(interval_s, int(present[at]), int(arrived[at]))
    return Fraction(doubled, 2), len(scheduled)


def average_minute_audience(attendance: Attendance, cell: Cell) -> Measure:
    """Divide the person-time by the scheduled time."""
    seconds, windows = _person_seconds(attendance, cell)
    return Measure(seconds / (WINDOW_S * windows) if windows else Fraction(0))


def hours_viewed(attendance: Attendance, cell: Cell) -> Measure:
    """Express the person-time in hours."""
    return Measure(_person_seconds(attendance, cell)[0] / HOUR_S)
