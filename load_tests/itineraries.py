"""Itineraries: which device of whom watches what when, drawn from the scenario's seed before the run.

The schedule says what people intend. How it goes is the gateway's doing too: a join may be told to wait, a connection
may break. What counts is what was acknowledged (load_tests.acknowledgements). Times are seconds from the start.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from load_tests.audience import Ending, Person
from load_tests.crowd_scenario import CrowdScenario, CrowdSession

STAFF: Final = "staff"
VISITOR: Final = "visitor"
BREAK_S: Final = (3.0, 20.0)
"""How long somebody is away before coming back or going on."""
STRETCHES_LIMIT: Final = 4
FEWEST_BEATS: Final = 2
"""Nobody comes for less than two heartbeats."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """One device watching one session without interruption."""

    place: int  # of the session, among those of the event by their number, from 0
    joins_at: float
    leaves_at: float
    paused: tuple[float, float]  # [from, until), (0, 0) = never
    background: tuple[float, float]
    ending: Ending
    with_ticket: bool  # joins with the JWT; otherwise with the device's viewing token

    def state(self, at: float) -> str:
        """Return the heartbeat's state letter: p playing, b background, a paused."""
        if self.paused[0] <= at < self.paused[1]:
            return "a"
        return "b" if self.background[0] <= at < self.background[1] else "p"


@dataclass(frozen=True, slots=True)
class Itinerary:
    """What one device does."""

    person: int
    device: int  # 0 or 1
    stretches: tuple[Stretch, ...]  # one after the other


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that will be tried."""

    people: tuple[Person, ...]
    itineraries: tuple[Itinerary, ...]  # by the first join


def draw(scenario: CrowdScenario, *, batch: str = "") -> Schedule:
    """Return the schedule of a scenario: the same one each time.

    Args:
        scenario: what the crowd is like.
        batch: goes into the subjects, so that a second run against the same event brings other people.
    """
    return _Draw(scenario, batch).schedule()


def _weighted(weights: Mapping[str, float], rng: random.Random) -> str:
    names = sorted(weights)
    return rng.choices(names, cum_weights=list(accumulate(weights[name] for name in names)))[0]


class _Draw:
    """One pass over the people, with one source of randomness."""

    def __init__(self, scenario: CrowdScenario, batch: str) -> None:
        self._scenario = scenario
        self._rng = random.Random(scenario.seed)
        self._batch = batch

    def schedule(self) -> Schedule:
        people: list[Person] = []
        itineraries: list[Itinerary] = []
        for number in range(self._scenario.people):
            country = _weighted(self._scenario.countries, self._rng)
            category = STAFF if number < self._scenario.staff else VISITOR
            people.append(Person(number, f"player-{self._batch}{number:06d}", country, category))
            stretches = self._watch(self._arrival())
            if not stretches:
                continue
            itineraries.append(Itinerary(number, 0, stretches))
            if self._rng.random() < self._scenario.habits.second_device:
                itineraries.append(Itinerary(number, 1, (self._beside(stretches[0]),)))
        itineraries.sort(key=lambda one: (one.stretches[0].joins_at, one.person, one.device))
        return Schedule(tuple(people), tuple(itineraries))

    def _arrival(self) -> float:
        arrivals = self._scenario.arrivals
        span = self._rng.choices(arrivals, [each.share for each in arrivals])[0]
        return self._rng.uniform(span.from_s, span.until_s)

    @property
    def _shortest_s(self) -> float:
        return FEWEST_BEATS * 1.1 * self._scenario.interval_s

    def _open(self, at: float, but: int = -1) -> Sequence[tuple[int, CrowdSession]]:
        """Return the sessions that somebody can still watch for a while, but for one."""
        return [
            (place, session)
            for place, session in enumerate(self._scenario.sessions)
            if place != but
            and session.from_s <= at
            and min(session.until_s, self._scenario.lasts_s) - at >= self._shortest_s
        ]

    def _watch(self, arrives_at: float) -> tuple[Stretch, ...]:
        rng, habits = self._rng, self._scenario.habits
        stretches: list[Stretch] = []
        at, place, with_ticket = arrives_at, -1, True
        while len(stretches) < STRETCHES_LIMIT:
            session = dict(self._open(at)).get(place)
            if session is None:
                choice = self._open(at, but=place)
                if not choice:
                    break
                place, session = rng.choices(choice, [each.weight for _, each in choice])[0]
            stretch = self._stretch(place, session, at, with_ticket=with_ticket)
            stretches.append(stretch)
            at = stretch.leaves_at + rng.uniform(*BREAK_S)
            with_ticket = rng.random() < habits.fresh_ticket
            what_next = rng.random()
            if what_next >= habits.returns + habits.switches:
                break
            if what_next >= habits.returns:
                others = self._open(at, but=place)
                if not others:
                    break
                place = rng.choices([each for each, _ in others], [each.weight for _, each in others])[0]
        return tuple(stretches)

    def _stretch(self, place: int, session: CrowdSession, at: float, *, with_ticket: bool) -> Stretch:
        rng, habits = self._rng, self._scenario.habits
        stay_s = max(self._shortest_s, rng.lognormvariate(0.0, habits.stay_spread) * habits.median_stay_s)
        until = min(session.until_s, self._scenario.lasts_s)
        leaves_at = min(at + stay_s, until)
        if leaves_at == until:
            ending = Ending.ENDED
        else:
            ending = Ending.LEAVE if rng.random() < habits.leaves else Ending.SILENCE
        paused = self._phase(at, leaves_at) if rng.random() < habits.pauses else (0.0, 0.0)
        background = self._phase(at, leaves_at) if rng.random() < habits.background else (0.0, 0.0)
        return Stretch(place, at, leaves_at, paused, background, ending, with_ticket)

    def _phase(self, since: float, until: float) -> tuple[float, float]:
        """Return a part of a stretch, at most half of it; the first heartbeat is always playing."""
        since += 0.5 * self._scenario.interval_s
        length_s = self._rng.uniform(0.1, 0.5) * (until - since)
        start = self._rng.uniform(since, until - length_s)
        return start, start + length_s

    def _beside(self, stretch: Stretch) -> Stretch:
        """Return what a second device watches: the same session, within the first one's time."""
        session = self._scenario.sessions[stretch.place]
        latest = max(stretch.joins_at, stretch.leaves_at - self._shortest_s)
        return self._stretch(stretch.place, session, self._rng.uniform(stretch.joins_at, latest), with_ticket=True)
