"""Who watches what and when: up to three visits a day, in numbers of windows, for any range of persons.

Everybody comes for the first time on one of the days, in the order of their numbers, and again with probability 0.45 on
each later day. A third of them come in the first minutes of a session. A visit lasts 48 minutes in the mean, at most
to the end of its session and some minutes more; every second one is followed by another, often in the same minute.
A tenth of the longer visits have a pause. Nobody is in one session twice without a window between.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from load_tests.scale.people import Draws, Numbers, People, draw, fractions
from load_tests.scale.programme import CLOSING, DAYS, FORUMS, MARGIN, Programme

VISITS_A_DAY: Final = 3
_STAYS: Final = 0.1
"""The mean visit, as a share of a day's programme."""
GOES_ON: Final = 0.5
COMES_AGAIN: Final = 0.45
TICKET_AGAIN: Final = 0.6
"""How many show their ticket on another day, and not the viewing token of the day before."""
ROAMS: Final = 0.05
"""How many visits are at another gateway than where the attendee was seated."""
_FIRST_DAYS: Final = np.array((0.5, 0.78))
_FORUMS: Final = np.cumsum((0.3, 0.22, 0.17, 0.14, 0.1))
_LINGER: Final = 5
_PAUSED: Final = 0.1
_LONG: Final = 20
"""Windows: shorter visits have no pause."""

VISIT: Final = np.dtype(
    [("person", "<u4"), ("ordinal", "u1"), ("session", "u1"), ("start", "<u2"), ("end", "<u2"), ("ticket", "u1")]
)
"""`ordinal` counts a person's visits by day and place in it; `end` is the last window; `ticket`: joined by the JWT."""
Visits = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Stays:
    """Unbroken presence: a visit, or its parts before and after a pause. Columns of equal length."""

    visit: npt.NDArray[np.int64]  # position of its visit
    start: npt.NDArray[np.int64]  # window
    end: npt.NDArray[np.int64]  # last window


def _arrivals(programme: Programme) -> Draws:
    """Return the cumulated share of arrivals by window of a day; the last windows have none."""
    weights = np.zeros(programme.windows_a_day)
    weights[: programme.ends - 5] = 0.67 / (programme.ends - 5)
    for begins in (MARGIN, programme.first_plenary_ends, programme.plenaries_end):
        weights[begins - 5 : begins + 5] += 0.33 / 3 / 10
    return np.asarray(np.cumsum(weights) / weights.sum())


def visits_of(people: People, persons: Numbers) -> Visits:
    """Return the visits of these persons, person by person, in the order of time."""
    table = np.zeros((len(persons), DAYS * VISITS_A_DAY), VISIT)
    table["person"] = persons[:, None]
    table["ordinal"] = np.arange(DAYS * VISITS_A_DAY)
    there = np.zeros(table.shape, bool)
    alike = np.where(persons < people.attendees, persons / people.attendees, 0.0)
    share = np.where(people.guest(persons), (persons - people.attendees + 0.5) / max(people.guests, 1), alike)
    first_day = np.searchsorted(_FIRST_DAYS, share, "right")
    arrivals = _arrivals(people.programme)
    since = np.concatenate(([0.0], _FIRST_DAYS, [1.0]))
    within = (share - since[first_day]) / (since[first_day + 1] - since[first_day])
    for day in range(DAYS):
        again = fractions(people.purpose(20 + day), persons)
        comes = (first_day == day) | ((first_day < day) & (again < COMES_AGAIN))
        # What is left of the draw is as random as the draw.
        arrival = np.where(first_day == day, within, again / COMES_AGAIN)
        start = np.searchsorted(arrivals, np.where(comes, arrival, 0.0), "right")
        showed = (first_day == day) | people.has_alias(persons)
        showed |= fractions(people.purpose(30 + day), persons) < TICKET_AGAIN
        _one_day(people, day, table, there, (comes, start, showed))
    return table[there]


def _one_day(
    people: People,
    day: int,
    table: Visits,
    there: npt.NDArray[np.bool_],
    came: tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.bool_]],
) -> None:
    comes, start, showed = came
    persons, programme = table["person"][:, 0].astype(np.int64), people.programme
    before: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    for place in range(VISITS_A_DAY):
        ordinal = day * VISITS_A_DAY + place
        session = _session(programme, day, start, fractions(people.purpose(40 + ordinal), persons))
        for other, ended in before:
            start = np.where(other == session, np.maximum(start, ended + 2), start)
        # Waiting may have taken them into the next session's time, or past the last one's.
        session_now = _session(programme, day, start, fractions(people.purpose(40 + ordinal), persons))
        comes = comes & (session_now == session) & (start < programme.ends)
        lasts = -np.log1p(-fractions(people.purpose(60 + ordinal), persons)) * _STAYS * programme.minutes_a_day
        linger = (draw(people.purpose(80 + ordinal), persons) % np.uint64(_LINGER)).astype(np.int64)
        latest = np.maximum(_last(programme, session, day) + linger, start)
        end = np.minimum(start + np.maximum(np.ceil(lasts).astype(np.int64), 1) - 1, latest)
        row, at = table[:, ordinal], day * programme.windows_a_day
        row["session"], row["start"], row["end"] = session, at + start, at + end
        row["ticket"] = showed if place == 0 else 0
        there[:, ordinal] = comes
        before.append((session, end))
        goes_on = fractions(people.purpose(100 + ordinal), persons)
        comes = comes & (goes_on < GOES_ON)
        start = end + np.maximum(np.floor(goes_on / GOES_ON * 25).astype(np.int64) - 5, 0)


def _session(programme: Programme, day: int, start: npt.NDArray[np.int64], chance: Draws) -> npt.NDArray[np.int64]:
    """Return which session somebody watches who comes in that window of the day."""
    first = day * (2 + FORUMS)
    forum = first + 3 + np.searchsorted(_FORUMS, chance, "right")
    if day == DAYS - 1:
        forum = np.where((start >= programme.closing_begins) & (chance * 16 % 1 < 0.5), CLOSING, forum)
    plenary = np.where(start < programme.first_plenary_ends, first + 1, first + 2)
    return np.where(start < programme.plenaries_end, plenary, forum)


def _last(programme: Programme, session: npt.NDArray[np.int64], day: int) -> npt.NDArray[np.int64]:
    """Return the last scheduled window of each session, within the day."""
    first = day * (2 + FORUMS)
    plenary = np.where(session == first + 1, programme.first_plenary_ends - 1, programme.plenaries_end - 1)
    return np.where((session <= first + 2), plenary, programme.ends - 1)


def stays_of(people: People, visits: Visits) -> Stays:
    """Return the stays of visits: each visit, or its part before a pause, in their order; then the parts after."""
    persons, ordinal = visits["person"].astype(np.int64), visits["ordinal"].astype(np.int64)
    start, end = visits["start"].astype(np.int64), visits["end"].astype(np.int64)
    chance = fractions(people.purpose(9), persons, ordinal)
    paused = np.flatnonzero((chance < _PAUSED) & (end - start >= _LONG))
    left = start[paused] + 3 + np.floor(chance[paused] / _PAUSED * (end[paused] - start[paused] - 12)).astype(np.int64)
    back = left + 2 + (draw(people.purpose(10), persons[paused]) % np.uint64(8)).astype(np.int64)
    until = end.copy()
    until[paused] = left
    return Stays(
        np.concatenate([np.arange(len(visits)), paused]),
        np.concatenate([start, back]),
        np.concatenate([until, end[paused]]),
    )


def gateways_of(people: People, visits: Visits) -> npt.NDArray[np.int64]:
    """Return the number of the gateway at which each visit is."""
    persons = visits["person"].astype(np.int64)
    home = people.home(persons) % people.gateways
    if people.gateways == 1:
        return home
    chance = fractions(people.purpose(11), persons, visits["ordinal"].astype(np.int64))
    further = 1 + np.floor(chance / ROAMS * (people.gateways - 1)).astype(np.int64)
    return np.where(chance < ROAMS, (home + further) % people.gateways, home)


def seats_of(people: People, visits: Visits) -> npt.NDArray[np.uint32]:
    """Return the seat of each visit: on another day than the first that of the alias, for who has one."""
    persons = visits["person"].astype(np.int64)
    seats = people.seats(persons)
    day = visits["ordinal"] // VISITS_A_DAY
    first = np.searchsorted(_FIRST_DAYS, persons / people.attendees, "right")
    other = people.has_alias(persons) & (day > first)
    seats[other] = people.alias_seats(persons[other])
    return seats


def views_of(people: People, visits: Visits) -> npt.NDArray[np.uint64]:
    """Return the view id that each visit's join opened: random, never below 2^32."""
    persons, ordinal = visits["person"].astype(np.int64), visits["ordinal"].astype(np.int64)
    return draw(people.purpose(12), persons, ordinal) | np.uint64(1 << 32)


def joined_at_ms_of(people: People, visits: Visits) -> npt.NDArray[np.int64]:
    """Return the millisecond within its first window at which each visit was joined."""
    persons, ordinal = visits["person"].astype(np.int64), visits["ordinal"].astype(np.int64)
    return (draw(people.purpose(13), persons, ordinal) % np.uint64(60_000)).astype(np.int64)
