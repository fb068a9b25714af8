"""The minutes attended against the numbers, against themselves and against the curve and what is apart.

Bands have the edges that bands have, and hold each scope's unique attendees; the mean is all their minutes, which curve
and `apart` add up as well; the median is in the band that it must be in. How people divide among the bands otherwise,
only the evidence shows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from counters.checks.told import Told, is_count
from counters.distribution import BANDS

UNIQUE: Final = "unique-attendees"
ROUNDED: Final = 0.000_001
"""More than what a mean is rounded by."""


def wrong(told: Told) -> Iterator[str]:
    """Yield in words what cannot be."""
    rows, spaces = told.document["minutes"], told.spaces()
    sessions = [{"session": session.id} for session in told.log.event.sessions]
    of_whom = [{"namespace": name} if told.several else {} for name in spaces]
    if [row["scope"] for row in rows] != [scope | of for scope in ({}, *sessions) for of in of_whom]:
        yield "the minutes attended are not of the event and of each of its sessions"
        return
    for at, scope in enumerate(({}, *sessions)):
        here = dict(zip(spaces, rows[at * len(spaces) : (at + 1) * len(spaces)], strict=True))
        yield from _of_scope(told, scope, here)


def _of_scope(told: Told, scope: Mapping[str, str], rows: Mapping[str, Any]) -> Iterator[str]:
    name = scope.get("session", "the event")
    counted: dict[str, int | None] = {}
    for space, row in rows.items():
        if problem := _malformed(told, row):
            yield f"the minutes attended of {name}: {problem}"
            return
        counted[space] = None if row["bands"] is None else sum(band["people"] for band in row["bands"])
    withheld, silent = told.is_withheld(UNIQUE, scope), all(count is None for count in counted.values())
    if (withheld is True and not silent) or (withheld is False and silent and not told.several):
        yield f"the minutes attended of {name} are withheld, or shown, where its {UNIQUE} are not"
    if told.differs(counted, UNIQUE, scope):
        yield f"the minutes attended of {name} are not of its {told.printed(UNIQUE, scope)} unique attendees"
    if not scope:
        net = told.people(told.document["waterfall"]["rows"][-1]["people"], "the waterfall")
        if any(counted[space] != net[space] for space in rows):
            yield "the minutes attended of the event are not of the people that the waterfall leaves"
    yield from _sums(told, scope, rows, counted)


def _malformed(told: Told, row: Mapping[str, Any]) -> str:
    """Return what is wrong with a row by itself; "" if nothing is."""
    bands, median, mean = row["bands"], row["median"], row["mean"]
    if bands is None:
        silent = row.keys() == {"scope", "unit", "bands", "median", "mean", "suppressed"} and median is mean is None
        return "" if silent and row["suppressed"] is True and "session" in row["scope"] else "nothing may be withheld"
    if row.keys() != {"scope", "unit", "bands", "median", "mean"} or row["unit"] != "people":
        return "it has other members than it must"
    edges = [band["from"] for band in bands]
    ends = [band["to"] for band in bands]
    whole = edges[0] == BANDS[0] and ends == [*(first - 1 for first in edges[1:]), None]
    if not whole or not {*edges} <= {*BANDS} or any(band.keys() != {"from", "to", "people"} for band in bands):
        return "its bands do not begin where bands begin, or leave something out"
    people = [band["people"] for band in bands]
    if not all(map(is_count, people)) or any(0 < each < min(told.below, sum(people)) for each in people):
        return "its bands hold so few people that none may be shown"
    return _misplaced(bands, sum(people), median, mean)


def _misplaced(bands: Sequence[Mapping[str, Any]], total: int, median: object, mean: object) -> str:
    if not total:
        return "" if median is mean is None else "nobody has a mean"
    if not is_count(median) or type(mean) not in (int, float):
        return "its median or mean is no number"
    before = 0
    for band in bands:
        reached = before + band["people"]
        if 2 * before < total <= 2 * reached and not _holds(band, median):
            return "its median is in another band than half of the people"
        before = reached
    least = sum(band["from"] * band["people"] for band in bands)
    open_ended = bands[-1]["people"] and bands[-1]["to"] is None
    most = None if open_ended else sum((band["to"] or 0) * band["people"] for band in bands)
    reach = ROUNDED * total
    if mean * total < least - reach or (most is not None and mean * total > most + reach):  # type: ignore[operator]
        return "its mean is not one of its bands"
    return ""


def _holds(band: Mapping[str, Any], median: Any) -> bool:
    return bool(band["from"] <= median and (band["to"] is None or median <= band["to"]))


def _sums(
    told: Told, scope: Mapping[str, str], rows: Mapping[str, Any], counted: Mapping[str, int | None]
) -> Iterator[str]:
    """The mean times the people is all their minutes: those of the curve, or of the session."""
    minutes = {space: (row["mean"] or 0) * (counted[space] or 0) for space, row in rows.items()}
    if scope:
        apart = next(row for row in told.document["apart"]["rows"] if row["scope"] == scope)
        parts = [apart[part]["person_minutes"] for part in ("in_schedule", "outside")]
        known, reach = None not in (*counted.values(), *parts), ROUNDED * sum(each or 0 for each in counted.values())
        if known and abs(sum(minutes.values()) - sum(parts)) > reach:
            yield f"the mean of {scope['session']} is not of the {sum(parts)} person-minutes that stand apart"
        return
    either = told.document["curve"]["either"]
    for space in rows:
        column = either[space] if told.several else either
        shown, reach = sum(each or 0 for each in column), ROUNDED * (counted[space] or 0)
        if minutes[space] < shown - reach or (None not in column and minutes[space] > shown + reach):
            yield f"the mean of the event is not of the {shown} minutes that the curve adds up to"
