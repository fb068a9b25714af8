"""Complementary suppression: no withheld cell follows from its total and the other cells.

A cell of few people is withheld (counters.numbers). If it were the only one withheld of the cells that add up to a
printed total, a reader would subtract. So in each of these sums either no cell is withheld, or at least two are, which
together hold at least as many people as a cell must; if not, the smallest other cells are withheld as well:

- the cells of one rule over the countries, categories or outlets, which add up to the event's number, but for peaks;
- those of views, hours-viewed, session-attendance-sum and inside-count over days and sessions likewise; and those of
  unique attendees, which add up to the daily-attendance-sum and the session-attendance-sum;
- the four unique-attendees of one scope: all = online + on site − both;
- the three peaks of one scope: leaves say how many were online at the minute of the peak, and the rest was on site;
- average-minute-audience and hours-viewed of one scope, which are one figure in two units; and at an event of one day,
  or one session, its unique attendees and their sum.

Numbers of the whole event are always printed, but for one: its peak, where few people were on site in that minute who
were not online. Leaves say how many were, and the rest would follow; the curve does not show them either. (If no more
than these few were ever on site, their number is printed anyway.) What the public leaves give, everybody knows: it is
never withheld in another's place. What cannot be hidden so, because all other cells are empty, stays: it is the total
itself. A reader may still find limits for a withheld cell, as that it is no larger than those withheld together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from counters.rules import OF_TIME

ATTRIBUTES: Final = ("country", "category", "outlet")
TIMES: Final = ("day", "session")
PEAK: Final = "peak-concurrent-attendees"
NEVER_ADD_UP: Final = (PEAK, "peak-concurrent-views", "average-minute-audience")
UNIQUE: Final = ("unique-attendees", "unique-attendees-online", "unique-attendees-onsite")
ADD_UP_OVER_TIMES: Final = (*UNIQUE, "views", "hours-viewed", "session-attendance-sum", "inside-count")
SUM_OVER: Final = {"day": "daily-attendance-sum", "session": "session-attendance-sum"}
LEFT_OUT: Final = ("at", "bounds", "bounds_with_gaps", "standard_error", "interval95")
"""What a withheld number does not say either."""

Row = dict[str, Any]
_Sum = tuple[Sequence["Number"], int]
"""Numbers of which one follows from the others; what those withheld must hold together."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    row: Row  # as it is printed
    size: int | Fraction  # how large it is, withheld or not
    public: bool  # whether the public leaves tell it, or nearly so


def withhold(row: Row) -> None:
    """Withhold a number, and whatever it says besides."""
    row.update(value=None, suppressed=True)
    for name in LEFT_OUT:
        row.pop(name, None)


def peak_tells(peak: int, online: int, onsite: int, below: int) -> bool:
    """Whether the peak of both channels tells how few were on site in its minute, beside those `online` in leaves."""
    return peak > online and 0 < onsite < below


def withhold_what_follows(numbers: Sequence[Number], below: int) -> None:
    """Withhold, in place, the numbers from which a withheld one would follow.

    Args:
        numbers: all of a certificate; those of small cells are withheld already.
        below: fewer people than this are a small cell.
    """
    if not any("suppressed" in number.row for number in numbers):
        return
    sums = list(_sums(numbers, below))
    again = True
    while again:
        again = sum(_withhold(*one) for one in sums) > 0


def _withhold(together: Sequence[Number], least: int) -> bool:
    """Withhold the smallest numbers of one sum that must be withheld as well, and return whether there were any."""
    held = [number.size for number in together if "suppressed" in number.row]
    if not held:
        return False
    others = [number for number in together if number.size and not number.public and "suppressed" not in number.row]
    before = len(held)
    for number in sorted(others, key=lambda one: (one.size, one.row["rule"], sorted(one.row["scope"].items()))):
        if len(held) > 1 and sum(held) >= least:
            break
        withhold(number.row)
        held.append(number.size)
    return len(held) > before


def _sums(numbers: Sequence[Number], below: int) -> Iterator[_Sum]:
    parts: dict[tuple[str, ...], list[Number]] = {}
    scopes: dict[tuple[tuple[str, str], ...], dict[tuple[str, str], Number]] = {}
    for number in numbers:
        row = number.row
        rule, scope, channel = row["rule"], dict(row["scope"]), row["scope"].get("channel", "")
        scope.pop("channel", None)
        for part in scope:
            if (part in ATTRIBUTES and rule not in NEVER_ADD_UP) or (part in TIMES and rule in ADD_UP_OVER_TIMES):
                parts.setdefault((part, rule, channel), []).append(number)
        if scope:
            scopes.setdefault(tuple(sorted(scope.items())), {})[rule, channel] = number
    for (_, rule, _), cells in parts.items():
        yield cells, 0 if rule in OF_TIME else below
    single = [part for part in TIMES if sum(1 for scope in scopes if scope[0][0] == part) == 1]
    for cell in scopes.values():
        for together in _same_scope(cell, single):
            yield together, 0


def _same_scope(cell: Mapping[tuple[str, str], Number], single: Sequence[str]) -> Iterator[Sequence[Number]]:
    """Yield what follows from each other in one scope; `single` are the parts of which the event has one."""
    sums: list[list[tuple[str, str]]] = [[(rule, "") for rule in (*UNIQUE, "unique-attendees-both")]]
    sums.append([(rule, "online") for rule in OF_TIME])
    sums.append([(PEAK, channel) for channel in ("", "online", "onsite")])
    for part in single:
        sums += [[(unique, ""), (SUM_OVER[part], unique.removeprefix("unique-attendees").lstrip("-"))]
                 for unique in UNIQUE]  # fmt: skip
    for keys in sums:
        if all(key in cell for key in keys):
            yield [cell[key] for key in keys]
