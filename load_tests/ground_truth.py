"""The ground truth: what really happened, recounted from what was acknowledged, with nothing of Turnout's in it.

A heartbeat is in it when its 204 came back, a view when its 201 did, a scan when its outcome was `accepted`. The
recount knows people by their index in the plan and minutes by their number since 1970; every rule of the certificate is
written down here a second time, from the words of docs and standards and not from the code in `counters`, over plain
sorted arrays of (person, minute) instead of bitmaps. Where certificate and truth differ, one of the two is wrong.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from load_tests.acknowledged import (
    MINUTE_BITS,
    MINUTE_S,
    PERSON_SHIFT,
    SESSION_BITS,
    Acknowledged,
    Keys,
    Presence,
    distinct,
    onsite_minutes,
)
from load_tests.audience import Person
from load_tests.long_enough import asks_for_minutes, ends_of_rows, minutes_in_a_row, minutes_of_session, often
from load_tests.scenario import Programme

Scope = Mapping[str, str]

CHANNELS: Final = ("online", "onsite")


@dataclass(frozen=True, slots=True)
class Truth:
    """The true value of one rule in one scope; the least it can be, where even the truth is not certain (`Bounds`)."""

    value: int | float
    at: str = ""  # window of a peak, ISO; empty for every other rule
    highest: int | float | None = None  # the most it can be; None: it is `value`

    def admits(self, value: float | None) -> bool:
        """Return whether a value can be the true one."""
        if value is None or self.highest is None:
            return value == self.value
        return self.value <= value <= self.highest

    def __str__(self) -> str:
        return f"{self.value}" if self.highest is None else f"{self.value} to {self.highest}"


def _seconds(keys: Keys, minutes: Keys, interval_s: int) -> Fraction:
    """Return the person-time in the given minutes: 60 s each, less 60 − I/2 for everyone who has just arrived."""
    before = np.empty_like(keys)
    before[:1], before[1:] = -1, keys[:-1]
    counted = np.isin(keys & ((1 << PERSON_SHIFT) - 1), minutes)
    arrived = int(np.count_nonzero(counted & (before != keys - 1)))
    return MINUTE_S * int(np.count_nonzero(counted)) - (MINUTE_S - Fraction(interval_s, 2)) * arrived


class Recount:
    """Every number of a certificate, counted again."""

    def __init__(self, acknowledged: Acknowledged, people: Collection[Person], programme: Programme) -> None:
        self._programme = programme
        self._number = {session.id: session.number for session in programme.sessions}
        self._attributes = {
            "country": np.array([person.country or "unknown" for person in people]),
            "category": np.array([person.category or "unknown" for person in people]),
            "outlet": self._outlets(acknowledged, people),
        }
        self._counted = np.array([person.category not in programme.excluded for person in people])
        self._day_index = {day: index for index, day in enumerate(self._days(acknowledged))}
        self._online = self._online_presence(acknowledged)
        self._onsite = self._onsite_presence(acknowledged)
        rows = [(self._day_index[programme.day(at)], person, session) for at, person, session in acknowledged.views
                if self._counted[person]]  # fmt: skip
        self._views = np.array(rows, np.int64).reshape(-1, 3)
        # The same scope is asked for under every rule.
        self._cut = cache(self._cut_presence)
        self._keys = cache(lambda *scope: self._cut(*scope).keys())

    def value(self, rule: str, scope: Scope) -> Truth:
        """Return the true value of a rule in a scope. Raises KeyError for a rule or a session that is not known."""
        counters = {
            "unique-attendees": self._unique,
            "unique-attendees-online": self._unique,
            "unique-attendees-onsite": self._unique,
            "unique-attendees-both": self._unique,
            "daily-attendance-sum": self._daily_sum,
            "session-attendance-sum": self._session_sum,
            "views": self._view_count,
            "peak-concurrent-attendees": self._peak,
            "inside-count": lambda _rule, _scope: Truth(0),  # at the end of the last session everybody is out
            "average-minute-audience": self._person_time,
            "hours-viewed": self._person_time,
        }
        if minutes_in_a_row(rule):
            return self._reach(rule, scope)
        if asks_for_minutes(rule):
            return self._attended(rule, scope)
        return counters[rule](rule, scope)

    def attributes(self) -> dict[str, list[str]]:
        """Return by attribute its values among everybody who was present, "unknown" among them.

        Without those that nobody has another value of than "unknown".
        """
        present = np.union1d(self._online.people(), self._onsite.people())
        found = {name: sorted(set(values[present].tolist())) for name, values in self._attributes.items()}
        return {name: values for name, values in found.items() if name == "country" or values not in ([], ["unknown"])}

    # What happened, as arrays.

    @staticmethod
    def _outlets(acknowledged: Acknowledged, people: Collection[Person]) -> npt.NDArray[np.str_]:
        """Return the outlet of each person who opened a view: nobody else came through one."""
        watched = {person for _, person, _ in acknowledged.views}
        return np.array([(person.number in watched and person.outlet) or "unknown" for person in people])

    def _days(self, acknowledged: Acknowledged) -> list[str]:
        times = {at for at, _, _ in acknowledged.beats} | {at for at, _, _ in acknowledged.views}
        times |= {scan.scanned_at for scan in acknowledged.scans}
        return sorted({self._programme.day(at) for at in times})

    def _online_presence(self, acknowledged: Acknowledged) -> Presence:
        beats = acknowledged.beats or [(0, np.empty(0, np.int64), np.empty(0, np.int64))]
        return self._presence(
            np.concatenate([persons for _, persons, _ in beats]),
            np.concatenate([sessions for _, _, sessions in beats]),
            np.concatenate([np.full(len(persons), at // MINUTE_S, np.int64) for at, persons, _ in beats]),
        )

    def _onsite_presence(self, acknowledged: Acknowledged) -> Presence:
        rows = np.array(onsite_minutes(acknowledged.scans, self._programme), np.int64).reshape(-1, 3)
        return self._presence(rows[:, 0], rows[:, 1], rows[:, 2])

    def _presence(self, person: Keys, session: Keys, minute: Keys) -> Presence:
        """Return each (person, session, minute) once, without people who are not counted."""
        counted = self._counted[person]
        triples = (person << (SESSION_BITS + MINUTE_BITS) | session << MINUTE_BITS | minute)[counted]
        triples = distinct(triples)
        minute = triples & ((1 << MINUTE_BITS) - 1)
        minutes = distinct(minute)
        days = [self._day_index[self._programme.day(one * MINUTE_S)] for one in minutes.tolist()]
        return Presence(
            triples >> (SESSION_BITS + MINUTE_BITS),
            triples >> MINUTE_BITS & ((1 << SESSION_BITS) - 1),
            minute,
            np.array(days, np.int64)[np.searchsorted(minutes, minute)],
        )

    def _cut_presence(self, channel: str, session: str, day: str, attribute: str, value: str) -> Presence:
        """Return the presence in a scope; "" leaves a key of the scope open."""
        if channel == "any":
            rest = (session, day, attribute, value)
            return self._cut("online", *rest).plus(self._cut("onsite", *rest))
        presence = self._online if channel == "online" else self._onsite
        if session:
            presence = presence.where(presence.session == self._number[session])
        if day:
            presence = presence.where(presence.day == self._day_index.get(day, -1))
        if attribute:
            presence = presence.where(self._attributes[attribute][presence.person] == value)
        return presence

    def _asked(self, scope: Scope, channel: str = "") -> tuple[str, str, str, str, str]:
        """Return a scope as it is cached: channel, session, day, attribute and its value."""
        attributes = sorted(scope.keys() & self._attributes.keys())
        if not scope.keys() <= {"session", "day", "channel", *attributes[:1]}:
            raise KeyError(f"scope {dict(scope)}")
        where = channel or scope.get("channel", "any")
        attribute = attributes[0] if attributes else ""
        return where, scope.get("session", ""), scope.get("day", ""), attribute, scope.get(attribute, "")

    def _present(self, scope: Scope, channel: str = "") -> Presence:
        return self._cut(*self._asked(scope, channel))

    def _minutes(self, scope: Scope, channel: str = "") -> Keys:
        """Return the presence keys of a scope, ascending: each (person, minute) once, in whatever session."""
        return self._keys(*self._asked(scope, channel))

    # The rules.

    def _unique(self, rule: str, scope: Scope) -> Truth:
        online, onsite = (self._present(scope, channel).people() for channel in CHANNELS)
        people = {
            "unique-attendees": np.union1d(online, onsite),
            "unique-attendees-online": online,
            "unique-attendees-onsite": onsite,
            "unique-attendees-both": np.intersect1d(online, onsite),
        }[rule]
        return Truth(len(people))

    def _daily_sum(self, _rule: str, scope: Scope) -> Truth:
        present = self._present(scope)
        return Truth(len(distinct(present.person << PERSON_SHIFT | present.day)))

    def _session_sum(self, _rule: str, scope: Scope) -> Truth:
        present = self._present(scope)
        return Truth(len(distinct(present.person << PERSON_SHIFT | present.session)))

    def _view_count(self, _rule: str, scope: Scope) -> Truth:
        day, person, session = self._views[:, 0], self._views[:, 1], self._views[:, 2]
        rows = np.ones(len(self._views), np.bool_)
        if "session" in scope:
            rows &= session == self._number[scope["session"]]
        if "day" in scope:
            rows &= day == self._day_index.get(scope["day"], -1)
        for attribute in scope.keys() & self._attributes.keys():
            rows &= self._attributes[attribute][person] == scope[attribute]
        return Truth(int(np.count_nonzero(rows)))

    def _reach(self, rule: str, scope: Scope) -> Truth:
        """Count people with so many minutes in a row; those across midnight are of the day of the last one."""
        keys = self._minutes({key: value for key, value in scope.items() if key != "day"})
        ends = ends_of_rows(keys, minutes_in_a_row(rule))
        if "day" in scope:
            minutes, at = np.unique(ends & ((1 << PERSON_SHIFT) - 1), return_inverse=True)
            days = np.array([self._programme.day(minute * MINUTE_S) for minute in minutes.tolist()], "U10")
            ends = ends[days[at] == scope["day"]]
        return Truth(len(distinct(ends >> PERSON_SHIFT)))

    def _attended(self, rule: str, scope: Scope) -> Truth:
        """Count people who were there long enough in the session, or in any one of them."""
        found = [np.empty(0, np.int64)]
        for session in self._programme.sessions:
            if scope.get("session", session.id) == session.id:
                one = {**scope, "session": session.id}
                scheduled = np.array(sorted(self._scheduled(one)), np.int64)
                keys = self._minutes(one)
                keys = keys[np.isin(keys & ((1 << PERSON_SHIFT) - 1), scheduled)]
                found.append(often(keys, minutes_of_session(rule, len(scheduled))))
        return Truth(len(distinct(np.concatenate(found))))

    def _peak(self, _rule: str, scope: Scope) -> Truth:
        counts = self.by_minute(scope)
        if not counts:
            return Truth(0)
        highest = max(counts, key=lambda at: counts[at])  # the first of several
        return Truth(counts[highest], self.iso(highest))

    def iso(self, at: int) -> str:
        """Return a time (unix s) as a certificate prints it."""
        return self._programme.iso(at)

    def by_minute(self, scope: Scope) -> dict[int, int]:
        """Return how many people of a scope were present in each minute (unix s) in which anybody was, ascending."""
        minutes, counts = np.unique(self._minutes(scope) & ((1 << PERSON_SHIFT) - 1), return_counts=True)
        return dict(zip((minutes * MINUTE_S).tolist(), counts.tolist(), strict=True))

    def can_peak(self, scope: Scope, value: float, at: str) -> bool:
        """Return whether the peak of a scope can be `value`, and first in the minute `at` (ISO)."""
        return Bounds(self, self).can_peak(scope, value, at)

    def _person_time(self, rule: str, scope: Scope) -> Truth:
        minutes = np.array(sorted(self._scheduled(scope)), np.int64)
        seconds = _seconds(self._minutes(scope, "online"), minutes, self._programme.interval_s)
        if rule == "hours-viewed":
            return Truth(float(round(seconds / 3600, 6)))
        return Truth(float(round(seconds / (MINUTE_S * len(minutes)), 6)))

    def _scheduled(self, scope: Scope) -> set[int]:
        """Return the scheduled minutes of the scope: of its session or of every session, on its day if it has one."""
        minutes: set[int] = set()
        for session in self._programme.sessions:
            if scope.get("session", session.id) == session.id:
                minutes.update(range(session.starts_at // MINUTE_S, (session.ends_at - 1) // MINUTE_S + 1))
        if "day" in scope:
            minutes = {minute for minute in minutes if self._programme.day(minute * MINUTE_S) == scope["day"]}
        return minutes


class Bounds:
    """The truth where it is not certain: recounted once from what surely happened, and once from all that can have.

    Every rule only grows with presence and views, so each number lies between the two recounts. It answers as a
    `Recount` does.
    """

    def __init__(self, surely: Recount, possibly: Recount) -> None:
        self._surely = surely
        self._possibly = possibly

    def value(self, rule: str, scope: Scope) -> Truth:
        """Return the bounds of a rule in a scope. Raises KeyError for a rule or a session that is not known."""
        least, most = self._surely.value(rule, scope), self._possibly.value(rule, scope)
        return least if least == most else Truth(least.value, most.at or least.at, most.value)

    def attributes(self) -> dict[str, list[str]]:
        """Return by attribute its values among everybody who was surely present."""
        return self._surely.attributes()

    def can_peak(self, scope: Scope, value: float, at: str) -> bool:
        """Return whether the peak of a scope can be `value`, and first in the minute `at` (ISO)."""
        least, most = self._surely.by_minute(scope), self._possibly.by_minute(scope)
        minute = next((each for each in most if self._surely.iso(each) == at), None)
        if minute is None or not least.get(minute, 0) <= value <= most[minute]:
            return False
        return all(count < value if each < minute else count <= value for each, count in least.items())
