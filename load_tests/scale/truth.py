"""What the made-up visits amount to, counted apart from counters: numpy over persons, no sets, no evidence.

Counted a range of persons at a time; `Truth` of two ranges add up. All of it is net (without staff and guests) unless
it says gross. On-site visits (`onsite`) are counted in by `add_onsite`, one by one.
"""

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from load_tests.scale.onsite import OnsiteVisit
from load_tests.scale.people import CATEGORIES, COUNTRIES, OUTLETS, Numbers, People
from load_tests.scale.programme import DAYS, SESSIONS, Programme
from load_tests.scale.visits import VISITS_A_DAY, Stays, Visits, stays_of, visits_of

Counts = npt.NDArray[np.int64]
ANY: Final = 0
"""Row of the whole event in counts by session, which are numbered from 1."""
ONLINE, ONSITE, EITHER = 0, 1, 2
RUNS: Final = (2, 3)


def _zeros(*shape: int) -> Any:
    return np.zeros(shape, np.int64)


@dataclass(slots=True)
class Truth:
    """Counts. The first axis of those by channel is online, on site, either."""

    sessions: Counts  # people by channel and session number; in row 0 by any
    days: Counts  # people by channel and day
    countries: Counts  # people by channel and country
    categories: Counts  # the same by category
    outlets: Counts
    days_by_country: Counts  # person-days by channel and country
    sessions_by_country: Counts  # person-sessions by channel and country
    sessions_by_day: Counts  # person-sessions by channel and day
    both: Counts  # people on both channels, [any]
    both_by_country: Counts
    views_by_session: Counts
    views_by_day: Counts
    views_by_country: Counts
    present: Counts  # people by channel (online, on site), session and window
    arrived: Counts  # those of them online who were not there in the window before, by session and window
    present_by_country: Counts  # online, by country and window
    arrived_by_country: Counts
    onsite_by_country: Counts  # on site, by country and window
    minutes: Counts  # how many people were online in exactly so many windows of the event
    minutes_by_session: Counts  # the same by session
    runs: Counts  # people online in 2, and in 3 windows running
    gross: Counts  # identities online or on site, of them excluded, guests, and gross views

    @classmethod
    def empty(cls, programme: Programme) -> "Truth":
        """Start with nobody."""
        among, windows = len(COUNTRIES), programme.windows + 1
        return cls(
            sessions=_zeros(3, SESSIONS + 1),
            days=_zeros(3, DAYS),
            countries=_zeros(3, among),
            categories=_zeros(3, len(CATEGORIES)),
            outlets=_zeros(3, len(OUTLETS)),
            days_by_country=_zeros(3, among),
            sessions_by_country=_zeros(3, among),
            sessions_by_day=_zeros(3, DAYS),
            both=_zeros(1),
            both_by_country=_zeros(among),
            views_by_session=_zeros(SESSIONS + 1),
            views_by_day=_zeros(DAYS),
            views_by_country=_zeros(among),
            present=_zeros(2, SESSIONS + 1, windows),
            arrived=_zeros(SESSIONS + 1, windows),
            present_by_country=_zeros(among, windows),
            arrived_by_country=_zeros(among, windows),
            onsite_by_country=_zeros(among, windows),
            minutes=_zeros(windows),
            minutes_by_session=_zeros(SESSIONS + 1, windows),
            runs=_zeros(len(RUNS)),
            gross=_zeros(4),
        )

    def __iadd__(self, other: Self) -> Self:
        """Count in other persons."""
        for field in fields(self):
            getattr(self, field.name).__iadd__(getattr(other, field.name))
        return self


def truth_of(people: People, persons: Numbers, visits: Visits) -> Truth:
    """Return the truth about these persons, whose visits these are (`visits_of`)."""
    truth, staff, guest = Truth.empty(people.programme), people.staff(persons), people.guest(persons)
    first = int(persons[0])
    row = visits["person"].astype(np.int64) - first
    came = np.bincount(row, minlength=len(persons)) > 0
    truth.gross[:] = came.sum(), (came & staff & ~guest).sum(), (came & guest).sum(), len(visits)
    counts = ~staff & ~guest
    kept = visits[counts[row]]
    _count(truth, people, persons, kept, kept["person"].astype(np.int64) - first)
    # Views are no people: those of guests count.
    opened = visits[~staff[row]]
    truth.views_by_session[:] = np.bincount(opened["session"], minlength=SESSIONS + 1)
    truth.views_by_session[ANY] = len(opened)
    truth.views_by_day[:] = np.bincount(opened["ordinal"] // VISITS_A_DAY, minlength=DAYS)
    return truth


def _count(truth: Truth, people: People, persons: Numbers, visits: Visits, row: Counts) -> None:
    size, session = len(persons), visits["session"].astype(np.int64)
    day = visits["ordinal"].astype(np.int64) // VISITS_A_DAY
    country = people.countries(persons)
    came = np.bincount(row, minlength=size) > 0
    in_session = np.bincount(row * (SESSIONS + 1) + session, minlength=size * (SESSIONS + 1)).reshape(size, -1) > 0
    on_day = np.bincount(row * DAYS + day, minlength=size * DAYS).reshape(size, -1) > 0
    truth.sessions[ONLINE] = in_session.sum(axis=0)
    truth.sessions[ONLINE, ANY] = came.sum()
    truth.days[ONLINE] = on_day.sum(axis=0)
    truth.countries[ONLINE] = _by(country, came, len(COUNTRIES))
    truth.categories[ONLINE] = _by(people.categories(persons), came, len(CATEGORIES))
    truth.outlets[ONLINE] = _by(people.outlets(persons), came, len(OUTLETS))
    truth.days_by_country[ONLINE] = _by(country, on_day.sum(axis=1), len(COUNTRIES))
    truth.sessions_by_country[ONLINE] = _by(country, in_session.sum(axis=1), len(COUNTRIES))
    # The sessions of a day are that day's only.
    day_of_session = [0, *(item.first // people.programme.windows_a_day for item in people.programme.items())]
    for number in range(1, SESSIONS + 1):
        truth.sessions_by_day[ONLINE, day_of_session[number]] += in_session[:, number].sum()
    truth.views_by_country[:] = np.bincount(country[row], minlength=len(COUNTRIES))
    _count_minutes(truth, visits, row, stays_of(people, visits), country)


def _by(code: Counts, count: npt.NDArray[Any], size: int) -> Counts:
    return np.bincount(code, weights=count, minlength=size).astype(np.int64)


def _count_minutes(truth: Truth, visits: Visits, row: Counts, stays: Stays, country: Counts) -> None:
    order = np.lexsort((stays.start, row[stays.visit]))
    visit, start, end = stays.visit[order], stays.start[order], stays.end[order]
    person, session = row[visit], visits["session"].astype(np.int64)[visit]
    same = np.zeros(len(order), bool)
    same[1:] = person[1:] == person[:-1]
    before = np.where(same, np.roll(end, 1), -2)
    twice = before == start  # switched session within that minute
    arrives = before < start - 1
    windows = len(truth.minutes)
    truth.present[ONLINE] += _sums(session, start, end, truth.present[ONLINE].shape)
    truth.present_by_country += _sums(country[person], start, end, truth.present_by_country.shape)
    truth.present[ONLINE, ANY] = truth.present[ONLINE, 1:].sum(axis=0) - np.bincount(start[twice], minlength=windows)
    twice_by_country = np.bincount(country[person[twice]] * windows + start[twice], minlength=len(COUNTRIES) * windows)
    truth.present_by_country -= twice_by_country.reshape(-1, windows)
    truth.arrived[:] = np.bincount(session * windows + start, minlength=(SESSIONS + 1) * windows).reshape(-1, windows)
    truth.arrived[ANY] = np.bincount(start[arrives], minlength=windows)
    truth.arrived_by_country[:] = np.bincount(
        country[person[arrives]] * windows + start[arrives], minlength=len(COUNTRIES) * windows
    ).reshape(-1, windows)
    size = len(country)
    lasts = end - start + 1
    in_session = np.bincount(person * (SESSIONS + 1) + session, weights=lasts, minlength=size * (SESSIONS + 1))
    for number, minutes in enumerate(in_session.reshape(size, -1).T.astype(np.int64)):
        truth.minutes_by_session[number] = np.bincount(minutes, minlength=windows)
    in_all = np.bincount(person, weights=lasts - twice, minlength=size).astype(np.int64)
    truth.minutes[:] = np.bincount(in_all, minlength=windows)
    truth.minutes_by_session[ANY], truth.minutes_by_session[:, 0], truth.minutes[0] = truth.minutes, 0, 0
    runs = np.flatnonzero(arrives)
    ends = np.maximum.reduceat(end, runs) if len(runs) else np.empty(0, np.int64)
    for position, least in enumerate(RUNS):
        long = person[runs][ends - start[runs] + 1 >= least]
        truth.runs[position] = len(np.unique(long))


def _sums(key: Counts, start: Counts, end: Counts, shape: tuple[int, ...]) -> Counts:
    """Return how many stays there are, by key and window."""
    size, windows = shape
    begun = np.bincount(key * windows + start, minlength=size * windows)
    over = np.bincount(key * windows + end + 1, minlength=size * windows)
    return (begun - over).reshape(shape).cumsum(axis=1)


def add_onsite(truth: Truth, people: People, visits: list[OnsiteVisit]) -> None:
    """Count in who was on site; nobody of them is online on the same day."""
    persons = np.unique(np.array([visit.person for visit in visits], np.int64))
    staff = set(persons[people.staff(persons)].tolist())
    truth.gross[0] += sum(1 for person in persons.tolist() if person >= people.online)
    truth.gross[1] += sum(1 for person in persons.tolist() if person >= people.online and person in staff)
    country = dict(zip(persons.tolist(), people.countries(persons).tolist(), strict=True))
    category = dict(zip(persons.tolist(), people.categories(persons).tolist(), strict=True))
    outlet = dict(zip(persons.tolist(), people.outlets(persons).tolist(), strict=True))
    net = [visit for visit in visits if visit.person not in staff]
    for person in {visit.person for visit in net}:
        truth.sessions[ONSITE, ANY] += 1
        truth.countries[ONSITE, country[person]] += 1
        truth.categories[ONSITE, category[person]] += 1
        truth.outlets[ONSITE, outlet[person]] += 1
        if person < people.online:
            truth.both += 1
            truth.both_by_country[country[person]] += 1
    for person, session in {(visit.person, visit.session) for visit in net}:
        truth.sessions[ONSITE, session] += 1
        truth.sessions_by_country[ONSITE, country[person]] += 1
    for person, day in {(visit.person, visit.day) for visit in net}:
        truth.days[ONSITE, day] += 1
        truth.days_by_country[ONSITE, country[person]] += 1
    for _, _, day in {(visit.person, visit.session, visit.day) for visit in net}:
        truth.sessions_by_day[ONSITE, day] += 1
    for visit in net:
        truth.present[ONSITE, visit.session, visit.first : visit.last + 1] += 1
    for person, window in {(v.person, window) for v in net for window in range(v.first, v.last + 1)}:
        truth.present[ONSITE, ANY, window] += 1
        truth.onsite_by_country[country[person], window] += 1
    # Either channel: the sessions of one day are no other day's, and days are on one channel each for everybody.
    for name in ("sessions", "days", "countries", "categories", "outlets", "days_by_country", "sessions_by_country",
                 "sessions_by_day"):  # fmt: skip
        rows = getattr(truth, name)
        rows[EITHER] = rows[ONLINE] + rows[ONSITE]
    truth.sessions[EITHER, ANY] -= truth.both[0]
    truth.countries[EITHER] -= truth.both_by_country
    both = np.array(sorted({visit.person for visit in net if visit.person < people.online}), np.int64)
    truth.categories[EITHER] -= np.bincount(people.categories(both), minlength=len(CATEGORIES))
    truth.outlets[EITHER] -= np.bincount(people.outlets(both), minlength=len(OUTLETS))


def count(people: People, first: int, end: int) -> tuple[Visits, Truth]:
    """Return the visits of a range of persons online, and the truth about them."""
    persons = np.arange(first, end)
    visits = visits_of(people, persons)
    return visits, truth_of(people, persons, visits)
