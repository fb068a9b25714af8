"""The counting rules: each a named, versioned definition that turns attendance into one number.

Numbers differ because definitions differ. A rule is a pure function (counters.measures) of the attendance and a cell
(which session, day, channel, attendees); every published number names the rule's id and version. A definition never
changes under its id and version. What each means over each scope, with an example: docs/counting-rules.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from counters import measures
from counters.attendance import ONLINE, ONSITE, Attendance
from counters.measures import HOUR_S, Cell, Measure, Threshold, doubled_person_seconds
from counters.rule_ids import KNOWN_RULES

__all__ = [
    "HOUR_S",
    "OF_TIME",
    "PEOPLE_PARTS",
    "RULES",
    "RULES_BY_ID",
    "Cell",
    "Measure",
    "Rule",
    "attended_percent",
    "doubled_person_seconds",
]

OF_TIME: Final = ("average-minute-audience", "hours-viewed")
"""Rules of person-time."""
_SESSION, _DAY, _OUTLET = frozenset(("session",)), frozenset(("day",)), frozenset(("outlet",))
_ALL: Final = frozenset(("session", "day", "country", "category"))
PEOPLE_PARTS: Final = _ALL - _DAY
"""Over which anything that people do can be counted; over days only what is of one day."""
_EACH_CHANNEL: Final = (None, ONLINE, ONSITE)


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
    by: frozenset[str] = _ALL  # the parts of the event over which it is counted, one at a time
    of_people: bool = True  # whether it counts attendees or their time; not so for views
    estimated: bool = False
    parameters: Mapping[str, Any] | None = None  # of an event's own rule, as they are printed
    threshold: Threshold | None = None  # of a rule that asks for so much presence

    @property
    def kind(self) -> str:
        """What its numbers are: "exact" or "estimate"."""
        return "estimate" if self.estimated else "exact"


_PRESENT: Final = "present in at least one window (clock minute) of the event, in or out of schedule"
_PERSON_TIME: Final = (
    "person-time online within scheduled windows, Σ 60·|Bw| − (60 − I/2)·|Bw \\ Bw−1| seconds with Bw the attendees "
    "present in window w and I the heartbeat interval in seconds"
)

_ONE_SESSION: Final = (
    "of one session's scheduled windows (clock minutes), online or on site, other minutes not counted; on site without "
    "an exit only the minute of the entry"
)
_CREDIT: Final = Threshold(windows=50, in_schedule=True)


def _long_enough(threshold: Threshold) -> Callable[[Attendance, Cell], Measure]:
    return partial(measures.long_enough, threshold)


def _reach(minutes: int, source: str) -> Rule:
    threshold = Threshold(windows=minutes, consecutive=True)
    return Rule(
        f"reach-{minutes}min", 1, "people",
        f"Attendees with heartbeats of a playing player in {minutes} consecutive clock minutes, in or out of schedule, "
        "each counted once.",
        source, _long_enough(threshold), channels=(ONLINE,), by=_ALL | _OUTLET, threshold=threshold,
    )  # fmt: skip


def attended_percent(percent: int) -> Rule:
    """Return the rule `attended-P-percent`; P is 1 to 100."""
    threshold = Threshold(percent=percent, in_schedule=True)
    return Rule(
        f"attended-{percent}-percent", 1, "people",
        f"Attendees present in at least {percent} % {_ONE_SESSION}, each counted once.",
        "hybrid-event and continuing-education practice", _long_enough(threshold), channels=_EACH_CHANNEL,
        by=PEOPLE_PARTS, threshold=threshold,
    )  # fmt: skip


RULES: Final = (
    Rule(
        "unique-attendees", 1, "people",
        f"Attendees {_PRESENT}, online or on site, each counted once.",
        "ABC UK event attendance; ISO 25639-1 vocabulary", measures.unique_attendees,
    ),
    Rule(
        "unique-attendees-onsite", 1, "people",
        f"Attendees {_PRESENT} on site by badge scans, each counted once.",
        "ABC UK hybrid events: in-person figure", measures.unique_attendees_onsite,
    ),
    Rule(
        "unique-attendees-online", 1, "people",
        f"Attendees {_PRESENT} online by heartbeats of a playing player, each counted once.",
        "ABC UK hybrid events: online figure", measures.unique_attendees_online, by=_ALL | _OUTLET,
    ),
    Rule(
        "unique-attendees-both", 1, "people",
        "Attendees counted by unique-attendees-onsite and by unique-attendees-online of the same scope.",
        "ABC UK hybrid events: duplication between channels disclosed", measures.unique_attendees_both,
    ),
    Rule(
        "daily-attendance-sum", 1, "person-days",
        "Each attendee once for every calendar day (in the event's time zone) on which they were present, days added.",
        "French trade-fair rules (sum of daily entries); BPA and UFI visits", measures.daily_attendance_sum,
        channels=_EACH_CHANNEL, by=PEOPLE_PARTS,
    ),
    Rule(
        "session-attendance-sum", 1, "person-sessions",
        "Each attendee once for every session in which they were present, sessions added.",
        "CENTREX and ABC visits", measures.session_attendance_sum, channels=_EACH_CHANNEL,
        by=_ALL - _SESSION,
    ),
    Rule(
        "views", 1, "views",
        "Every join that opened a view (one playback session), counted on the day of the join.",
        "what platforms publish as views", measures.views, by=_ALL | _OUTLET, of_people=False,
    ),
    _reach(3, "BARB reach: at least 3 consecutive minutes"),
    _reach(2, "Triton and IAB 60-second qualification, by its nearest exact statement in clock minutes"),
    Rule(
        "peak-concurrent-attendees", 1, "people",
        "The largest number of attendees present in one and the same window (clock minute), and the first such window.",
        "same-clock-minute concurrency", measures.peak_concurrent_attendees, channels=_EACH_CHANNEL,
    ),
    Rule(
        "peak-concurrent-views", 1, "views",
        "The largest number of views playing in one and the same window (clock minute), guests' and excluded "
        "attendees' among them, estimated by HyperLogLog session by session and added, and the first such window.",
        "AWS IVS concurrent views", measures.peak_concurrent_views, by=_SESSION | _DAY, of_people=False, estimated=True,
    ),
    Rule(
        "average-minute-audience", 1, "people",
        f"The {_PERSON_TIME}, divided by the scheduled seconds (60 for each scheduled window).",
        "BARB and Nielsen average minute audience", measures.average_minute_audience, channels=(ONLINE,),
        by=_ALL | _OUTLET,
    ),
    Rule(
        "hours-viewed", 1, "hours",
        f"The {_PERSON_TIME}, divided by 3600.",
        "platforms' watch time", measures.hours_viewed, channels=(ONLINE,),
        by=_ALL | _OUTLET,
    ),
    attended_percent(80),
    Rule(
        "credit-50min", 1, "people",
        f"Attendees present in at least 50 {_ONE_SESSION}, each counted once.",
        "NASBA-style continuing-education credit of 50 minutes", _long_enough(_CREDIT), channels=_EACH_CHANNEL,
        by=PEOPLE_PARTS, threshold=_CREDIT,
    ),
    Rule(
        "inside-count", 1, "people",
        "Attendees whose last badge scan until as_of is an entry, for a session that is not over at as_of: at its end "
        "everybody is out.",
        "badge scanning practice", measures.inside_count, by=PEOPLE_PARTS,
    ),
)  # fmt: skip
"""Every rule but those with another percentage, in the order in which a certificate prints them."""

RULES_BY_ID: Final = {rule.id: rule for rule in RULES}

if tuple(RULES_BY_ID) != KNOWN_RULES:
    raise ImportError("counters.rules and counters.rule_ids name different rules")
