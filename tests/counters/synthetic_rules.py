"""The truth of rules that ask how long somebody was present, who is inside, and how many views there are at once.

As in tests.counters.synthetic: plain sets of facts, each rule as its definition reads.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from counters import hyperloglog
from counters.event import OwnRule
from counters.journal import Direction

if TYPE_CHECKING:
    from tests.counters.synthetic import World

OWN_RULES: Final = (
    OwnRule("five-minutes", windows=5),
    OwnRule("visitors-three-in-a-row", windows=3, consecutive=True, category=("visitor", "guest of honour")),
    OwnRule("half-online", percent=50, in_schedule=True, channel="online"),
    OwnRule("two-of-a-session", windows=2, in_schedule=True),
    OwnRule("two-in-a-row-on-site", windows=2, consecutive=True, in_schedule=True, channel="onsite"),
)
THRESHOLDS: Final = {
    "reach-3min": (3, 0, True, False),
    "reach-2min": (2, 0, True, False),
    "attended-80-percent": (0, 80, False, True),
    "attended-35-percent": (0, 35, False, True),
    "credit-50min": (50, 0, False, True),
    "five-minutes": (5, 0, False, False),
    "visitors-three-in-a-row": (3, 0, True, False),
    "half-online": (0, 50, False, True),
    "two-of-a-session": (2, 0, False, True),
    "two-in-a-row-on-site": (2, 0, True, True),
}
"""Minutes or percentage that somebody needs; whether consecutive; whether only in schedule."""
ONLINE_RULES: Final = ("unique-attendees-online", "reach-3min", "reach-2min", "average-minute-audience", "hours-viewed")
NOT_BY_DAY: Final = (
    "daily-attendance-sum", "attended-80-percent", "attended-35-percent", "credit-50min", "inside-count",
    "five-minutes", "half-online", "two-of-a-session",
)  # fmt: skip
BY_EACH_CHANNEL: Final = (
    "daily-attendance-sum", "session-attendance-sum", "peak-concurrent-attendees", "credit-50min",
    "attended-80-percent", "attended-35-percent",
)  # fmt: skip


def printed_over(rule: str) -> tuple[set[str], tuple[str, ...]]:
    """Return the parts of an event over which a rule is printed, and the channels ("" = no channel)."""
    if rule == "peak-concurrent-views":
        return {"session", "day"}, ("",)
    parts = {"session", "day", "country", "category"}
    if rule in (*ONLINE_RULES, "views"):
        parts.add("outlet")
    if rule == "session-attendance-sum":
        parts.remove("session")
    if rule in NOT_BY_DAY:
        parts.remove("day")
    if rule in BY_EACH_CHANNEL:
        return parts, ("", "online", "onsite")
    if rule in (*ONLINE_RULES[1:], "half-online"):
        return parts, ("online",)
    return parts, ("onsite",) if rule == "two-in-a-row-on-site" else ("",)


def measure_more(
    world: "World", rule: str, scope: dict[str, str], in_scope: Callable[[str], bool]
) -> tuple[int, int | None] | None:
    """Return (value, window of the peak) by one of these rules; None for another."""
    ids = {session.id: session.number for session in world.event.sessions}
    number = ids[scope["session"]] if "session" in scope else None
    day = scope.get("day")
    if rule == "peak-concurrent-views":
        return _peak_views(world, number, day)
    if rule == "inside-count":
        barred = world.barred()
        return len({person for person, session in inside(world)
                    if in_scope(person) and number in (None, session) and person not in barred}), None  # fmt: skip
    if rule not in THRESHOLDS:
        return None
    minutes, percent, consecutive, in_schedule = THRESHOLDS[rule]
    found = set()
    for wanted in list(ids.values()) if in_schedule and number is None else [number]:
        present = {
            (person, window)
            for person, window, session, by in world.net()
            if in_scope(person) and wanted in (None, session) and scope.get("channel") in (None, by)
            and (not in_schedule or window in world.scheduled(wanted))
            and (not rule.startswith("visitors-") or world.category(person) == "visitor")
        }  # fmt: skip
        least = minutes or next(n for n in range(1, 999) if 100 * n >= percent * len(world.scheduled(wanted)))
        found |= _in_a_row(present, least, day) if consecutive else _often(present, least)
    return len(found), None


def _in_a_row(present: set[tuple[str, int]], minutes: int, day: str | None) -> set[str]:
    from tests.counters.synthetic import day_of  # noqa: PLC0415 - the two modules are one

    return {
        person
        for person, last in present
        if day in (None, day_of(last)) and all((person, last - 60 * step) in present for step in range(minutes))
    }


def _often(present: set[tuple[str, int]], minutes: int) -> set[str]:
    people = [person for person, _ in present]
    return {person for person in people if people.count(person) >= minutes}


def inside(world: "World") -> set[tuple[str, int]]:
    """Return (person, session) of everybody whose last scan is an entry, excluded people too."""
    as_of = world.as_of()
    last = {person: (number, scan) for person, number, scan in world.walks(until_ms=as_of * 1000)}
    return {
        (person, number)
        for person, (number, scan) in last.items()
        if scan.direction is Direction.IN and number and max(world.scheduled(number)) + 60 > as_of
    }


def _peak_views(world: "World", number: int | None, day: str | None) -> tuple[int, int | None]:
    from tests.counters.synthetic import day_of  # noqa: PLC0415

    rooms: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    known = {session.number for session in world.event.sessions}
    for _, window, session, seat, _ in world.beats:
        if session in known and number in (None, session) and day in (None, day_of(window)):
            rooms[window][session].add(seat)
    counts = {
        window: sum(hyperloglog.estimate(playing(seats)) for seats in sessions.values())
        for window, sessions in rooms.items()
    }
    best = max(counts.values(), default=0)
    return best, min((window for window, count in counts.items() if count == best), default=None)


def playing(seats: Iterable[int]) -> hyperloglog.Registers:
    """Return a sketch of views, one for each seat in the session."""
    registers = hyperloglog.empty()
    for seat in seats:
        hyperloglog.add(registers, f"view of {seat}".encode())
    return registers
