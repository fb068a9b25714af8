"""The counting rules: each a named, versioned definition that turns attendance into one number.

Numbers differ because definitions differ. A rule is a pure function of the attendance and a cell (which session, day,
channel, attendees); every published number names the rule's id and version. A definition never changes under its id and
version. Sources: STANDARDS of the field as named with each rule.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from pyroaring import BitMap

from counters.attendance import ONLINE, ONSITE, Attendance, scheduled_windows, size
from counters.rule_ids import KNOWN_RULES
from counters.segment import WINDOW_S

HOUR_S: Final = 3600
OF_TIME: Final = ("average-minute-audience", "hours-viewed")
"""Rules of person-time."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Which part of the attendance is counted; None = all of it."""

    session: int | None = None  # number
    day: str | None = None  # "2023-11-19"
    channel: str | None = None  # "online" or "onsite"
    among: BitMap | None = None  # only these attendees


@dataclass(frozen=True, slots=True)
class Measure:
    """One number, exact."""

    value: int | Fraction
    at: int | None = None  # the window (unix seconds) at which it occurred, for rules that look for one


@dataclass(frozen=True, slots=True)
class Rule:
    """A counting rule."""

    id: str
    version: int
    unit: str
    definition: str  # one sentence
    source: str
    measure: Callable[[Attendance, Cell], Measure]
    channels: tuple[str | None, ...] = (None,)  # which `channel` a scope may name; None = none
    by_session: bool = True  # whether it is counted per session
    by_day: bool = True
    of_people: bool = True  # whether it counts attendees or their time; not so for views


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


_EACH_CHANNEL: Final = (None, ONLINE, ONSITE)
_PRESENT: Final = "present in at least one window (clock minute) of the event, in or out of schedule"
_PERSON_TIME: Final = (
    "person-time online within scheduled windows, Σ 60·|Bw| − (60 − I/2)·|Bw \\ Bw−1| seconds with Bw the attendees "
    "present in window w and I the heartbeat interval in seconds"
)

RULES: Final = (
    Rule(
        "unique-attendees", 1, "people",
        f"Attendees {_PRESENT}, online or on site, each counted once.",
        "ABC UK event attendance; ISO 25639-1 vocabulary", unique_attendees,
    ),
    Rule(
        "unique-attendees-onsite", 1, "people",
        f"Attendees {_PRESENT} on site by badge scans, each counted once.",
        "ABC UK hybrid events: in-person figure", unique_attendees_onsite,
    ),
    Rule(
        "unique-attendees-online", 1, "people",
        f"Attendees {_PRESENT} online by heartbeats of a playing player, each counted once.",
        "ABC UK hybrid events: online figure", unique_attendees_online,
    ),
    Rule(
        "unique-attendees-both", 1, "people",
        "Attendees counted by unique-attendees-onsite and by unique-attendees-online of the same scope.",
        "ABC UK hybrid events: duplication between channels disclosed", unique_attendees_both,
    ),
    Rule(
        "daily-attendance-sum", 1, "person-days",
        "Each attendee once for every calendar day (in the event's time zone) on which they were present, days added.",
        "French trade-fair rules (sum of daily entries); BPA and UFI visits", daily_attendance_sum,
        channels=_EACH_CHANNEL, by_day=False,
    ),
    Rule(
        "session-attendance-sum", 1, "person-sessions",
        "Each attendee once for every session in which they were present, sessions added.",
        "CENTREX and ABC visits", session_attendance_sum, channels=_EACH_CHANNEL, by_session=False,
    ),
    Rule(
        "views", 1, "views",
        "Every join that opened a view (one playback session), counted on the day of the join.",
        "what platforms publish as views", views, of_people=False,
    ),
    Rule(
        "peak-concurrent-attendees", 1, "people",
        "The largest number of attendees present in one and the same window (clock minute), and the first such window.",
        "same-clock-minute concurrency", peak_concurrent_attendees, channels=_EACH_CHANNEL,
    ),
    Rule(
        "average-minute-audience", 1, "people",
        f"The {_PERSON_TIME}, divided by the scheduled seconds (60 for each scheduled window).",
        "BARB and Nielsen average minute audience", average_minute_audience, channels=(ONLINE,),
    ),
    Rule(
        "hours-viewed", 1, "hours",
        f"The {_PERSON_TIME}, divided by 3600.",
        "platforms' watch time", hours_viewed, channels=(ONLINE,),
    ),
)  # fmt: skip
"""Every rule, in the order in which a certificate prints them."""

RULES_BY_ID: Final = {rule.id: rule for rule in RULES}

if tuple(RULES_BY_ID) != KNOWN_RULES:
    raise ImportError("counters.rules and counters.rule_ids name different rules")
