"""Who is on site: a few thousand people with badges, one by one, from their scans to what these amount to.

Half of them come to no stream at all; the others watch on the first days and travel to the last one. Everybody goes to
a plenary session and mostly to a forum; some leave without a scan, and then count for one window only.
"""

import random
from dataclasses import dataclass
from typing import Final

import numpy as np

from load_tests.scale.people import People
from load_tests.scale.programme import DAYS
from load_tests.scale.visits import VISITS_A_DAY, visits_of

_COMES: Final = 0.8
_NO_EXIT: Final = 0.1


@dataclass(frozen=True, slots=True)
class OnsiteVisit:
    """One stay behind a gate, from its entry to its exit."""

    person: int
    session: int
    day: int
    gate: str
    enters_ms: int  # within the window `first`
    first: int  # window
    last: int  # of its presence: the exit's window, or the first one
    leaves_ms: int  # within the last window; -1 = left without a scan


def onsite_visits(people: People) -> list[OnsiteVisit]:
    """Return every stay on site, in the order of persons and days."""
    rng = random.Random(people.seed)
    by_day: list[list[tuple[int, int, int, str]]] = [[] for _ in range(DAYS)]
    for item in people.programme.items():
        if item.gate:
            by_day[item.first // people.programme.windows_a_day].append((item.number, item.first, item.last, item.gate))
    visits: list[OnsiteVisit] = []
    for person in range(people.online, people.all):
        for day in range(DAYS):
            if rng.random() < _COMES:
                visits += _one_day(rng, person, day, by_day[day])
    for person in _travellers(people):
        visits += _one_day(rng, person, DAYS - 1, by_day[-1])
    return visits


def _travellers(people: People) -> list[int]:
    """Return attendees, about as many as come on site only, who are not online on the last day."""
    step = max(people.attendees // (2 * people.onsite_only), 1)
    asked = np.arange(0, people.attendees, step)
    asked = asked[~people.has_alias(asked)]
    visits = visits_of(people, asked)
    last = visits["person"][visits["ordinal"] >= (DAYS - 1) * VISITS_A_DAY]
    others = np.setdiff1d(np.unique(visits["person"]), last)
    return [int(person) for person in others[: people.onsite_only]]


def _one_day(rng: random.Random, person: int, day: int, sessions: list[tuple[int, int, int, str]]) -> list[OnsiteVisit]:
    chosen = [sessions[rng.randrange(2)]] + ([sessions[rng.randrange(2, len(sessions))]] if rng.random() < 0.7 else [])
    visits = []
    for number, first, last, gate in chosen:
        enters = rng.randrange(first, (first + last) // 2)
        leaves = -1 if rng.random() < _NO_EXIT else rng.randrange(enters, last + 1)
        until = enters if leaves < 0 else leaves
        visits.append(
            OnsiteVisit(
                person, number, day, gate, rng.randrange(30_000), enters, until,
                -1 if leaves < 0 else rng.randrange(30_000, 60_000),
            )
        )  # fmt: skip
    return visits
