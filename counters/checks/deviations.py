"""The cross-check against the leaves: what is said of the two paths must be what estimates and counts there allow.

A leaf has the estimate of each session's sketch, and how many were online without those who do not count. Exact counts
of the cross-check have everybody: so they lie between these, less second seats, and as many more as are excluded or are
guests. From that follows how far estimates deviate at least and at most: no larger deviation is hidden, none is made
up. The estimates of unions over windows, only the evidence shows.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from counters.attendance import ONLINE
from counters.checks.told import Told, has_only, is_count
from counters.cross_check import DECIMALS, LARGEST_USUAL, RELATIVE_ERROR, RUNNING, STATEMENT, deviation, interval95
from counters.segment import WINDOW_S

RULE: Final = "unique-attendees-online"
TOLERANCE: Final = 0.001
"""A printed deviation is rounded to three decimals."""
COMPARED: Final = ("estimate", "exact", "difference_in_standard_errors")
Place = tuple[int, str]
"""Window (unix seconds) and session id."""


def wrong(told: Told) -> Iterator[str]:
    """Yield in words what cannot be."""
    said = told.document["cross_check"]
    fixed = {"statement": STATEMENT, "rule": RULE, "unit": "identities", "standard_error": float(RELATIVE_ERROR)}
    if not has_only(said, *fixed, "unions", "windows") or any(said[name] != value for name, value in fixed.items()):
        yield "the certificate's 'cross_check' says something else than what it compares"
        return
    yield from _unions(told, said["unions"])
    yield from _windows(told, said["windows"])


def _others(told: Told) -> int:
    """Return how many identities are in gross counts and not in the leaves', by what the certificate says of them."""
    said = told.document["exclusions"]
    return int(said["excluded"]) + int(said["guests"])


def _unions(told: Told, rows: Sequence[Any]) -> Iterator[str]:
    event = told.log.event
    scopes = [{name: value for name, value in row["scope"].items() if name != "channel"} for row in rows]
    sessions: list[dict[str, str]] = [{}, *({"session": session.id} for session in event.sessions)]
    days = [scope.get("day") for scope in scopes[len(sessions) :]]
    in_order = all(isinstance(day, str) for day in days) and days == sorted({*map(str, days)})
    there = {event.day(leaf.window) for leaf, row in told.leaves_of("") if row["present"]}
    if scopes[: len(sessions)] != sessions or not in_order or not there <= {*days}:
        yield "the cross-check is not of the event, each of its sessions and each day"
        return
    for row, scope in zip(rows, scopes, strict=True):
        where = " ".join(scope.values()) or "the event"
        suppressed = "suppressed" in row
        more = ("suppressed",) if suppressed else ("interval95",)
        if not has_only(row, "scope", *COMPARED, *more) or row["scope"].get("channel") != ONLINE:
            yield f"the cross-check of {where} has other members than it must"
            return
        number = told.printed(RULE, scope)
        net = sum(number[1:]) if isinstance(number, list) else number
        if suppressed:
            silent = row["suppressed"] is True and row["estimate"] is row["exact"] is None
            if not silent or not scope or (net is not None and net >= told.below):
                yield f"the cross-check of {where} is withheld, and must not be"
            continue
        if not (is_count(row["estimate"]) and is_count(row["exact"])) or wrongly_compared(row):
            yield f"the cross-check of {where}: the difference is not that of estimate and exact count"
        elif row["interval95"] != interval95(row["estimate"]):
            yield f"the cross-check of {where}: the interval is not that of the estimate"
        elif told.is_withheld(RULE, scope):
            yield f"the cross-check of {where} tells what is withheld as {RULE}"
        elif net is not None and not net <= row["exact"] <= net + _others(told):
            yield f"the cross-check of {where} counts {row['exact']} online, {RULE} {net} of them"


def wrongly_compared(row: Mapping[str, Any]) -> bool:
    """Whether a difference is not that of the estimate and the exact count beside it."""
    return bool(row[COMPARED[2]] != float(round(deviation(row["estimate"], row["exact"]), DECIMALS)))


class _Leaves:
    """Between what and what the deviations are that leaves show, in standard errors, unsigned."""

    def __init__(self, told: Told) -> None:
        self.told, self.rows = told, set[Place]()
        self.unsure = set[Place]()
        """Withheld, and without a sketch: nobody with a few views, or a few people whose sketch was lost."""
        self._between: dict[Place, tuple[float, float | None]] = {}
        for session in told.log.event.sessions:
            for leaf, counts in told.leaves_of(session.id):
                sketched = (session.id, "attendees") in leaf.estimates
                if sketched or counts["present"] != 0:
                    place = leaf.window, session.id
                    (self.rows if sketched or counts["present"] else self.unsure).add(place)
                    estimate = leaf.estimates.get((session.id, "attendees"), 0)
                    exact = self.exact(place)
                    if estimate is not None and exact is not None and not told.reasons.came_late(leaf.window):
                        ends = [abs(float(deviation(estimate, each))) for each in exact]
                        least = 0.0 if exact[0] <= estimate <= exact[1] else min(ends)
                        self._between[place] = least, max(ends)

    def exact(self, place: Place) -> tuple[int, int] | None:
        """Return between what and what the exact count is; None if late evidence is of that window."""
        leaf = self.told.log.windows.get(place[0])
        if leaf is None or self.told.reasons.came_late(place[0]):
            return None
        present = leaf.totals.get(place[1], {"present": 0})["present"]
        least, most = (0, self.told.below - 1) if present is None else (present, present)
        aliases = self.told.reasons.aliases
        # Leaves leave out a seat of an excluded category, and its attendee may count by another.
        more = aliases if self.told.log.event.counting.exclude_categories else 0
        return max(least - aliases, 0), most + more + _others(self.told)

    def least(self, place: Place) -> float:
        return self._between.get(place, (0.0, None))[0]

    def may_be_over(self, place: Place, limit: float) -> bool:
        least_most = self._between.get(place)
        if least_most is None:
            return place in self.rows or self.told.reasons.came_late(place[0])
        return least_most[1] is None or least_most[1] > limit

    def places(self) -> Iterator[Place]:
        """Yield every place of which the leaves tell a deviation."""
        yield from self._between


def _windows(told: Told, said: Mapping[str, Any]) -> Iterator[str]:
    running_name = "over_5_standard_errors_in_3_windows_running"
    if not has_only(said, "compared", "largest_deviation", running_name) or not is_count(said["compared"]):
        yield "the cross-check of windows has other members than it must"
        return
    leaves = _Leaves(told)
    more = len(leaves.unsure) + len(told.reasons.late) * len(told.log.event.sessions)
    if not len(leaves.rows) <= said["compared"] <= len(leaves.rows) + more:
        yield f"the cross-check compares {said['compared']} windows, the leaves have sketches of {len(leaves.rows)}"
    largest = said["largest_deviation"]
    if (largest is None) is not (said["compared"] == 0):
        yield "the cross-check has a largest deviation without windows, or windows without one"
    if largest is not None:
        yield from _largest(told, leaves, largest)
    yield from _alarms(told, leaves, {(row["window"], row["session"]) for row in said[running_name]})


def _alarms(told: Told, leaves: _Leaves, running: Collection[tuple[str, str]]) -> Iterator[str]:
    iso = told.log.event.iso
    windows = {iso(window): window for window in {*told.log.windows, *told.reasons.late}}
    sessions = {session.id for session in told.log.event.sessions}
    for here, session in running:
        steps = [(windows.get(here, 0) + step * WINDOW_S, session) for step in range(RUNNING)]
        if session not in sessions or not all(leaves.may_be_over(place, LARGEST_USUAL) for place in steps):
            yield f"the cross-check has an alarm in the window {here} that the leaves do not bear out"
    for window, session in leaves.places():
        steps = [(window + step * WINDOW_S, session) for step in range(RUNNING)]
        if all(leaves.least(place) > LARGEST_USUAL for place in steps) and (iso(window), session) not in running:
            yield f"from {iso(window)} leaves deviate by over {LARGEST_USUAL} standard errors, and no alarm says so"


def _largest(told: Told, leaves: _Leaves, largest: Mapping[str, Any]) -> Iterator[str]:
    suppressed = ("suppressed",) if "suppressed" in largest else ()
    if not has_only(largest, "window", "session", *COMPARED, *suppressed):
        yield "the largest deviation has other members than it must"
        return
    windows = {told.log.event.iso(window): window for window in {*told.log.windows, *told.reasons.late}}
    place = windows.get(largest["window"], 0), largest["session"]
    difference = largest[COMPARED[2]]
    if place not in leaves.rows | leaves.unsure and not told.reasons.came_late(place[0]):
        yield "the largest deviation is of a window and a session of which no leaf has a sketch"
        return
    if type(difference) not in (int, float):
        yield "the largest deviation is no number"
        return
    if not suppressed:
        yield from _shown(leaves, place, largest)
    elif largest["estimate"] is not None or largest["exact"] is not None or largest["suppressed"] is not True:
        yield "the largest deviation is withheld, and says something all the same"
    for place in leaves.places():
        if leaves.least(place) > abs(difference) + TOLERANCE:
            here = told.log.event.iso(place[0])
            yield f"the largest deviation is {difference}, the leaf of {here} has {leaves.least(place):.3f} at least"


def _shown(leaves: _Leaves, place: Place, largest: Mapping[str, Any]) -> Iterator[str]:
    exact, leaf = leaves.exact(place), leaves.told.log.windows.get(place[0])
    estimate = leaf.estimates.get((place[1], "attendees")) if leaf and exact else None
    if not (is_count(largest["estimate"]) and is_count(largest["exact"])) or wrongly_compared(largest):
        yield "the largest deviation is not that of its estimate and its exact count"
    elif estimate is not None and largest["estimate"] != estimate:
        yield f"the largest deviation has the estimate {largest['estimate']}, its leaf {estimate}"
    elif exact is not None and not exact[0] <= largest["exact"] <= exact[1]:
        yield f"the largest deviation has {largest['exact']} online, its leaf between {exact[0]} and {exact[1]}"
