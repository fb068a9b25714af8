"""The audience: who does what when, decided before the first request from the scenario's seed.

The plan says what people intend; what counts is only what the gateway acknowledged (load_tests.ground_truth). Times
are unix seconds of the simulated clock, on a grid of `interval_s`: a view joins, beats and leaves on the grid, and a
badge is scanned at any second and uploaded on the grid. Nobody watches outside a session's schedule, because the stream
stops.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import accumulate
from typing import Final

from load_tests.scenario import ProgrammeItem, Scenario

PUNCTUAL: Final = 0.35
"""Share of views that begin with the session, within the first minutes; the others come at any time."""
PUNCTUAL_MEAN_S: Final = 90.0
LAST_JOIN_S: Final = 180
"""Nobody starts watching in the last three minutes."""
VIEW_STEPS_MIN: Final = 2
"""A view of one heartbeat would be a click, not a view; the second one lets it be paused."""
GAP_STEPS: Final = 2
"""Steps between one view's end and the same person's next join."""
EARLY_IN_S: Final = 600
LATE_IN_S: Final = 1500
"""People enter a hall from ten minutes before a session to twenty-five into it."""
LATE_OUT_S: Final = 420
"""A hall has emptied seven minutes after the session, before the next audience is let in."""
STAY_MIN_S: Final = 180
GIVE_UP_MIN_S: Final = 60
"""Who gives up on a session needs a minute before its start for going in and out again."""
OFFLINE_S: Final = (1200, 5400)
"""A scanner without network uploads after twenty to ninety minutes."""


class Ending(Enum):
    """How a view stops."""

    LEAVE = "leave"  # the player says goodbye
    SILENCE = "silence"  # nothing more arrives
    ENDED = "ended"  # the stream stopped; the player reports it once and falls silent


@dataclass(frozen=True, slots=True)
class Person:
    """One attendee, as the ticket describes it."""

    number: int  # index in the plan
    subject: str
    country: str  # "" = the ticket names none
    category: str
    outlet: str = ""  # media outlet whose page they watch on; "" = the organiser's own


@dataclass(frozen=True, slots=True)
class View:
    """One playback session: joins at `joins_at`, beats every `interval_s` until before `leaves_at`."""

    person: int
    device: int  # 0 or 1
    session: int  # session number
    outlet: str
    joins_at: int
    leaves_at: int
    paused: tuple[int, int]  # [from, until), (0, 0) = never
    background: tuple[int, int]
    reloads_at: int  # joins the same session again with its viewing token; 0 = never
    ending: Ending
    with_ticket: bool  # joins with the JWT; otherwise with the device's last viewing token

    def state(self, at: int) -> str:
        """Return the heartbeat's state letter at a step: p playing, b background, a paused."""
        if self.paused[0] <= at < self.paused[1]:
            return "a"
        return "b" if self.background[0] <= at < self.background[1] else "p"


@dataclass(frozen=True, slots=True)
class PlannedScan:
    """One badge scan, sent at `uploaded_at` (and again at `again_at`, with the same nonce, if that is not 0)."""

    person: int
    session: int  # session number that the person goes to
    gate: str
    direction: str  # "in" or "out"
    nonce: str
    scanned_at: int  # any second
    uploaded_at: int  # on the grid
    forced: bool  # uploaded late, as having happened
    again_at: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will be tried."""

    people: tuple[Person, ...]
    views: tuple[View, ...]  # by joins_at
    scans: tuple[PlannedScan, ...]  # by uploaded_at

    def heartbeats(self, interval_s: int) -> int:
        """Return how many heartbeats the views will send, paused ones included."""
        return sum((view.leaves_at - view.joins_at) // interval_s for view in self.views)

    def joins(self) -> int:
        """Return how many joins there will be, reloads included."""
        return len(self.views) + sum(view.reloads_at > 0 for view in self.views)


class _Draw:
    """Seeded draws that do not depend on the order in which a mapping was written down."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._names = sorted(weights)
        self._cumulated = list(accumulate(weights[name] for name in self._names))

    def one(self, rng: random.Random) -> str:
        return self._names[min(bisect_left(self._cumulated, rng.random() * self._cumulated[-1]), len(self._names) - 1)]


def _how_many(shares: Sequence[float], rng: random.Random) -> int:
    """Return 1 with the first share's probability, 2 with the second's, and so on."""
    return rng.choices(range(1, len(shares) + 1), shares)[0]


def _weighted_sample(
    items: Sequence[tuple[float, ProgrammeItem]], count: int, rng: random.Random
) -> list[ProgrammeItem]:
    """Draw without replacement, likelier by weight (Efraimidis and Spirakis 2006), in order of their start."""
    ranked = sorted(items, key=lambda item: rng.random() ** (1.0 / item[0]), reverse=True)
    return sorted((item for _, item in ranked[:count]), key=lambda item: (item.starts_at, item.number))


class Audience:
    """Draws the plan of a scenario. The same scenario gives the same plan."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._rng = random.Random(scenario.seed)
        self._step_s = scenario.programme.interval_s
        self._outlets = _Draw(scenario.outlets)
        self._outlet_of: dict[int, str] = {}
        by_day: dict[str, list[tuple[float, ProgrammeItem]]] = {}
        for session in scenario.programme.sessions:
            by_day.setdefault(session.day, []).append((scenario.popularity.get(session.id, 1.0), session))
        self._by_day = by_day
        self._views: list[View] = []
        self._scans: list[PlannedScan] = []

    def plan(self) -> Plan:
        """Return who does what when."""
        scenario = self._scenario
        counts = scenario.people
        people = self._people()
        attending = counts.online + counts.onsite - counts.both
        staff_watching = range(attending, attending + counts.staff // 2)
        loyal = self._loyal(range(counts.online))
        for person in (*range(counts.online), *staff_watching):
            self._watch(person, loyal.get(person, []))
        for person in range(counts.online - counts.both, attending + counts.staff):
            if person not in staff_watching:
                self._visit(person)
        return Plan(
            tuple(replace(person, outlet=self._outlet_of.get(person.number, "")) for person in people),
            tuple(sorted(self._views, key=lambda view: (view.joins_at, view.person, view.device))),
            tuple(sorted(self._scans, key=lambda scan: (scan.uploaded_at, scan.scanned_at, scan.nonce))),
        )

    def _people(self) -> tuple[Person, ...]:
        """Online attendees first, the last of them also on site, then those only on site, then staff."""
        counts, rng = self._scenario.people, self._rng
        countries, categories = _Draw(self._scenario.countries), _Draw(self._scenario.categories)
        attending = counts.online + counts.onsite - counts.both
        staff = min(self._scenario.programme.excluded, default="")
        return tuple(
            Person(
                number,
                subject=f"{self._scenario.programme.event}-{number:06d}",
                country=countries.one(rng),
                category=categories.one(rng) if number < attending else staff,
            )
            for number in range(attending + counts.staff)
        )

    def _loyal(self, watching: Sequence[int]) -> dict[int, list[ProgrammeItem]]:
        """Choose for every session those who watch it whole: nobody two sessions that overlap."""
        loyal: dict[int, list[ProgrammeItem]] = {}
        needed = self._scenario.people.loyal_per_session
        asked = min(len(watching), 20 * needed)
        for session in sorted(self._scenario.programme.sessions, key=lambda item: (item.starts_at, item.number)):
            free = [
                person
                for person in self._rng.sample(watching, asked)
                if all(other.ends_at + GAP_STEPS * self._step_s <= session.starts_at for other in loyal.get(person, []))
            ]
            for person in free[:needed]:
                loyal.setdefault(person, []).append(session)
        return loyal

    def _days(self) -> list[str]:
        """Choose the days on which somebody comes, busier days likelier."""
        rng = self._rng
        weights = {day: sum(weight for weight, _ in sessions) for day, sessions in self._by_day.items()}
        ranked = sorted(weights, key=lambda day: rng.random() ** (1.0 / weights[day]), reverse=True)
        return sorted(ranked[: _how_many(self._scenario.people.days, rng)])

    # Watching.

    def _watch(self, person: int, loyal_to: Sequence[ProgrammeItem]) -> None:
        for day in sorted({*self._days(), *(session.day for session in loyal_to)}):
            whole = [session for session in loyal_to if session.day == day]
            chosen = whole or _weighted_sample(
                self._by_day[day], _how_many(self._scenario.people.sessions_a_day, self._rng), self._rng
            )
            free_from, first = 0, True
            for session in chosen:
                view = self._whole(person, session, first) if whole else self._part(person, session, free_from, first)
                if view is None:
                    continue
                self._views.append(view)
                if not whole and self._rng.random() < self._scenario.viewing.second_device:
                    self._views.append(self._second(view, session))
                free_from, first = view.leaves_at + GAP_STEPS * self._step_s, False

    def _whole(self, person: int, session: ProgrammeItem, first: bool) -> View:
        return View(person, 0, session.number, self._outlet(person), session.starts_at, session.ends_at,
                    (0, 0), (0, 0), 0, Ending.ENDED, first)  # fmt: skip

    def _part(self, person: int, session: ProgrammeItem, free_from: int, first: bool) -> View | None:
        """Return a view of a part of a session; None if the person is not free early enough."""
        rng, step_s = self._rng, self._step_s
        latest = session.ends_at - min(LAST_JOIN_S, (session.ends_at - session.starts_at) // 2)
        earliest = max(session.starts_at, free_from)
        if earliest > latest:
            return None
        wait_s = rng.expovariate(1 / PUNCTUAL_MEAN_S) if rng.random() < PUNCTUAL else rng.random() * (latest - earliest)
        joins_at = min(earliest + int(wait_s), latest) // step_s * step_s
        joins_at = max(joins_at, session.starts_at)
        length_s = rng.lognormvariate(0.0, self._scenario.viewing.view_spread) * self._scenario.viewing.median_view_s
        steps = max(VIEW_STEPS_MIN, round(length_s / step_s))
        return self._view(person, 0, session, joins_at, steps, with_ticket=first)

    def _second(self, view: View, session: ProgrammeItem) -> View:
        """Return the view of a second device in the same session, within the first one's time."""
        steps = (view.leaves_at - view.joins_at) // self._step_s
        later = self._rng.randrange(steps - VIEW_STEPS_MIN + 1)
        joins_at = view.joins_at + later * self._step_s
        length = self._rng.randint(VIEW_STEPS_MIN, steps - later)
        return self._view(view.person, 1, session, joins_at, length, with_ticket=True)

    def _view(
        self, person: int, device: int, session: ProgrammeItem, joins_at: int, steps: int, *, with_ticket: bool
    ) -> View:
        rng, step_s, habits = self._rng, self._step_s, self._scenario.viewing
        leaves_at = min(joins_at + steps * step_s, session.ends_at)
        if leaves_at == session.ends_at:
            ending = Ending.ENDED
        else:
            ending = Ending.LEAVE if rng.random() < habits.leaves else Ending.SILENCE
        inner = range(joins_at + step_s, leaves_at, step_s)  # the first heartbeat is always playing
        paused = self._phase(inner) if rng.random() < habits.pauses else (0, 0)
        background = self._phase(inner) if rng.random() < habits.background else (0, 0)
        reloads_at = rng.choice(inner) if rng.random() < habits.reloads else 0
        return View(person, device, session.number, self._outlet(person), joins_at, leaves_at, paused, background,
                    reloads_at, ending, with_ticket)  # fmt: skip

    def _outlet(self, person: int) -> str:
        """Return the outlet on whose page a person watches, always the same."""
        return self._outlet_of.setdefault(person, self._outlets.one(self._rng))

    def _phase(self, steps: range) -> tuple[int, int]:
        """Return a stretch [from, until) somewhere in the steps, at most half of them and at least one."""
        length = self._rng.randint(1, max(1, len(steps) // 2))
        start = self._rng.choice(steps[: len(steps) - length + 1])
        return start, start + length * self._step_s

    # Badges.

    def _visit(self, person: int) -> None:
        for day in self._days():
            halls = _weighted_sample(
                self._by_day[day], _how_many(self._scenario.badges.sessions_a_day, self._rng), self._rng
            )
            free_from = 0
            for session in halls:
                left_at = self._pass_gates(person, session, free_from)
                free_from = max(free_from, left_at)

    def _pass_gates(self, person: int, session: ProgrammeItem, free_from: int) -> int:
        """Plan one visit to a hall; returns when the person is free again, unix s."""
        rng = self._rng
        late_s = min(LATE_IN_S, (session.ends_at - session.starts_at) // 2)
        entered_at = max(session.starts_at - EARLY_IN_S + rng.randrange(EARLY_IN_S + late_s), free_from + 60)
        if entered_at >= session.ends_at - STAY_MIN_S:
            return free_from
        self._scan(person, session, "in", entered_at)
        if entered_at <= session.starts_at - GIVE_UP_MIN_S and rng.random() < self._scenario.badges.give_up:
            left_at = rng.randrange(entered_at + 1, session.starts_at)
            self._scan(person, session, "out", left_at)
            return left_at
        stays_until = max(entered_at, session.starts_at) + STAY_MIN_S
        left_at = rng.randint(stays_until, session.ends_at + LATE_OUT_S)
        if rng.random() >= self._scenario.badges.never_out:
            self._scan(person, session, "out", left_at)
        return left_at

    def _scan(self, person: int, session: ProgrammeItem, direction: str, scanned_at: int) -> None:
        rng, step_s = self._rng, self._step_s
        uploaded_at = -(-scanned_at // step_s) * step_s
        forced = rng.random() < self._scenario.badges.offline
        if forced:
            last_step = self._scenario.programme.ends_at + LATE_OUT_S + step_s
            uploaded_at = min(uploaded_at + rng.randint(*OFFLINE_S) // step_s * step_s, last_step // step_s * step_s)
        again = rng.random() < self._scenario.badges.retried
        self._scans.append(
            PlannedScan(
                person,
                session.number,
                rng.choice(session.gates),
                direction,
                f"{rng.getrandbits(64):016x}",
                scanned_at,
                uploaded_at,
                forced,
                uploaded_at + step_s if again else 0,
            )
        )


def steps(plan: Plan, step_s: int) -> Iterator[int]:
    """Yield every time at which the plan has something to send, ascending, unix s."""
    times: set[int] = set()
    for view in plan.views:
        times.update(range(view.joins_at, view.leaves_at + 1, step_s))
    for scan in plan.scans:
        times.update((scan.uploaded_at, scan.again_at) if scan.again_at else (scan.uploaded_at,))
    yield from sorted(times)
