"""Acknowledgements: what a real clock lets the players know of what the gateway has counted.

A heartbeat counts in the minute in which the gateway took it, which lies between sending and answer. Where both are in
the same minute the truth is certain. Where a minute's edge lies between them, or no answer came, it is not: then the
heartbeat is possible in each of those minutes and certain in none, and the certificate is held against bounds.
"""

from collections import defaultdict
from typing import Final

from load_tests.acknowledged import MINUTE_S, Acknowledged
from load_tests.ground_truth import Bounds, Recount
from load_tests.itineraries import Schedule
from load_tests.scenario import Programme

LINGER_S: Final = 5.0
"""A gateway may still read, so long after it broke, what came over a connection."""

Sighting = tuple[int, int, int]
"""person, session number, minute since 1970"""


class Acknowledgements:
    """Collects answers. The players of one run are its writers."""

    def __init__(self, clock_slack_s: float) -> None:
        """Allow the gateway's clock to be so far from ours, either way."""
        self._slack_s = clock_slack_s
        self._certain: set[Sighting] = set()
        self._possible: set[Sighting] = set()
        self._views: list[tuple[int, int, int]] = []
        self._possible_views: list[tuple[int, int, int]] = []
        self.ambiguous = 0
        """Heartbeats that were answered after a minute's edge and sent before it."""
        self.unanswered = 0
        """Heartbeats of playing players without an answer."""
        self.unanswered_joins = 0
        """Joins without an answer that would have opened a view."""

    def heartbeat(self, person: int, session: int, sent_at: float, answered_at: float) -> None:
        """Note a playing or background heartbeat that was answered 204 (unix s)."""
        minutes = self._minutes(sent_at, answered_at)
        if len(minutes) == 1:
            self._certain.add((person, session, minutes[0]))
        else:
            self.ambiguous += 1
            self._possible.update((person, session, minute) for minute in minutes)

    def unanswered_heartbeat(self, person: int, session: int, sent_at: float, broke_at: float) -> None:
        """Note a playing or background heartbeat that got no answer: it may have counted."""
        self.unanswered += 1
        minutes = self._minutes(sent_at, broke_at + LINGER_S)
        self._possible.update((person, session, minute) for minute in minutes)

    def view(self, person: int, session: int, answered_at: float) -> None:
        """Note a join that opened a view and was answered 201."""
        self._views.append((int(answered_at), person, session))

    def unanswered_view(self, person: int, session: int, broke_at: float) -> None:
        """Note a join that would have opened a view and got no answer: it may have counted."""
        self.unanswered_joins += 1
        self._possible_views.append((int(broke_at), person, session))

    def truth(self, schedule: Schedule, programme: Programme) -> Recount | Bounds:
        """Return the ground truth: exact if everything was certain, otherwise bounds."""
        surely = Recount(self._acknowledged(self._certain, self._views), schedule.people, programme)
        if not self._possible <= self._certain or self._possible_views:
            views = self._views + self._possible_views
            possibly = self._acknowledged(self._certain | self._possible, views)
            return Bounds(surely, Recount(possibly, schedule.people, programme))
        return surely

    def _minutes(self, since: float, until: float) -> range:
        return range(int(since - self._slack_s) // MINUTE_S, int(until + self._slack_s) // MINUTE_S + 1)

    @staticmethod
    def _acknowledged(sightings: set[Sighting], views: list[tuple[int, int, int]]) -> Acknowledged:
        by_minute: dict[int, list[Sighting]] = defaultdict(list)
        for sighting in sightings:
            by_minute[sighting[2]].append(sighting)
        acknowledged = Acknowledged(views=views)
        for minute, there in sorted(by_minute.items()):
            acknowledged.beat(minute * MINUTE_S, [each[0] for each in there], [each[1] for each in there])
        return acknowledged
