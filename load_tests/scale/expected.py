"""The numbers that the truth says a certificate must print, by rule and scope."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from load_tests.scale.people import COUNTRIES
from load_tests.scale.programme import DAYS, INTERVAL_S, SESSIONS, WINDOW_S, Programme, day_name
from load_tests.scale.truth import ANY, EITHER, ONLINE, ONSITE, RUNS, Counts, Truth

Scope = dict[str, str]
Row = tuple[str, Scope, Any]
"""Rule, scope, value: an exact count, or a float."""

_CHANNELS: Final = ((EITHER, dict[str, str]()), (ONLINE, {"channel": "online"}), (ONSITE, {"channel": "onsite"}))
_PLACES: Final = tuple((code, {"country": name or "unknown"}) for code, name in enumerate(COUNTRIES))
_DAYS: Final = tuple((day, {"day": day_name(day)}) for day in range(DAYS))


def numbers(truth: Truth, programme: Programme) -> list[dict[str, Any]]:
    """Return rows {"rule", "scope", "value"}, those of peaks with `at` (unix seconds)."""
    sessions = [(ANY, dict[str, str]()), *((item.number, {"session": item.id}) for item in programme.items())]
    counts = [*_unique(truth, sessions), *_sums(truth), *_views(truth, sessions), *_times(truth, programme)]
    rows: list[dict[str, Any]] = [
        {"rule": rule, "scope": scope, "value": value if isinstance(value, float) else int(value)}
        for rule, scope, value in counts
    ]
    for scope, present, first in _audiences(truth, programme, sessions):
        best = int(present.argmax())
        at = {"at": programme.unix_s(first + best)} if present[best] else {}
        rows.append({"rule": "peak-concurrent-attendees", "scope": scope, "value": int(present[best])} | at)
    return rows


def _unique(truth: Truth, sessions: list[tuple[int, Scope]]) -> Iterator[Row]:
    for channel, rule in enumerate(("unique-attendees-online", "unique-attendees-onsite", "unique-attendees")):
        yield from ((rule, scope, truth.sessions[channel, number]) for number, scope in sessions)
        yield from ((rule, scope, truth.days[channel, day]) for day, scope in _DAYS)
        yield from ((rule, scope, truth.countries[channel, code]) for code, scope in _PLACES)
    yield "unique-attendees-both", {}, truth.both[0]
    yield from (("unique-attendees-both", scope, truth.both_by_country[code]) for code, scope in _PLACES)


def _sums(truth: Truth) -> Iterator[Row]:
    for channel, more in _CHANNELS:
        yield "daily-attendance-sum", more, truth.days[channel].sum()
        yield "session-attendance-sum", more, truth.sessions[channel, 1:].sum()
        for day, scope in _DAYS:
            yield "session-attendance-sum", {**scope, **more}, truth.sessions_by_day[channel, day]
        for code, scope in _PLACES:
            yield "daily-attendance-sum", {**scope, **more}, truth.days_by_country[channel, code]
            yield "session-attendance-sum", {**scope, **more}, truth.sessions_by_country[channel, code]


def _views(truth: Truth, sessions: list[tuple[int, Scope]]) -> Iterator[Row]:
    yield from (("views", scope, truth.views_by_session[number]) for number, scope in sessions)
    yield from (("views", scope, truth.views_by_day[day]) for day, scope in _DAYS)
    yield from (("views", scope, truth.views_by_country[code]) for code, scope in _PLACES)


def _audiences(
    truth: Truth, programme: Programme, sessions: list[tuple[int, Scope]]
) -> Iterator[tuple[Scope, Counts, int]]:
    """Yield (scope, people by window, the first of these windows)."""
    channels = (truth.present[ONLINE], truth.present[ONSITE], truth.present[ONLINE] + truth.present[ONSITE])
    for channel, more in _CHANNELS:
        yield from (({**scope, **more}, channels[channel][number], 0) for number, scope in sessions)
        for day, scope in _DAYS:
            first = day * programme.windows_a_day
            yield {**scope, **more}, channels[channel][ANY, first : first + programme.windows_a_day], first
    for code, scope in _PLACES:
        yield scope, truth.present_by_country[code] + truth.onsite_by_country[code], 0


def _times(truth: Truth, programme: Programme) -> Iterator[Row]:
    scheduled = np.zeros((SESSIONS + 1, programme.windows + 1), bool)
    online = {"channel": "online"}
    for item in programme.items():
        scheduled[item.number, item.first : item.last + 1] = True
    scheduled[ANY] = scheduled.any(axis=0)
    scopes = [dict[str, str](), *({"session": item.id} for item in programme.items())]
    for scope, present, arrived, within in zip(scopes, truth.present[ONLINE], truth.arrived, scheduled, strict=True):
        yield from _of_time({**scope, **online}, present, arrived, within)
    for code, scope in _PLACES:
        places = truth.present_by_country[code], truth.arrived_by_country[code]
        yield from _of_time({**scope, **online}, *places, scheduled[ANY])
    for position, least in enumerate(RUNS):
        yield f"reach-{least}min", online, truth.runs[position]


def _of_time(scope: Scope, present: Counts, arrived: Counts, within: npt.NDArray[np.bool_]) -> Iterator[Row]:
    seconds = WINDOW_S * int(present[within].sum()) - (WINDOW_S - INTERVAL_S / 2) * int(arrived[within].sum())
    yield "average-minute-audience", scope, seconds / (WINDOW_S * int(within.sum()))
    yield "hours-viewed", scope, seconds / 3600
