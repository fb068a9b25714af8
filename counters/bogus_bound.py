"""How many entries of the roll can be bogus, given how many of those drawn were: the exact bound, and the plain words.

k of n leaves are drawn, each set of k as likely as any other, and b of them are bogus. If M of the n are bogus, the
number among the drawn is hypergeometric. The bound is the largest M for which finding b or fewer still has a
probability of at least 5 %: were more than that bogus, fewer than one audit in twenty would have found so few. It is
exact at every size; for large n and b = 0 it is close to the "rule of three", 3·n/k.

Computed in whole numbers, so that everybody gets the same. Worked example: n = 10, k = 4, b = 0. With M = 4 bogus, none
is found with C(6,4)/C(10,4) = 15/210 = 7.1 %; with M = 5, with C(5,4)/C(10,4) = 5/210 = 2.4 %. The bound is 4.
"""

from functools import lru_cache
from math import comb
from typing import Final

CONFIDENCE_PERCENT: Final = 95
DRAWN_LIMIT: Final = 20_000
"""Leaves that one audit opens at most: the bound is 0.015 % then, and its whole numbers still take only seconds."""


@lru_cache(64)
def bogus_at_most(size: int, drawn: int, bogus: int) -> int:
    """Return the upper bound on bogus entries among `size`, `bogus` of `drawn` being so, at 95 % confidence."""
    everything = comb(size, drawn) * (100 - CONFIDENCE_PERCENT)
    low, high = bogus, size - drawn + bogus
    while low < high:
        middle = (low + high + 1) // 2
        if 100 * _ways(size, middle, drawn, bogus) >= everything:
            low = middle
        else:
            high = middle - 1
    return low


def _ways(size: int, among: int, drawn: int, most: int) -> int:
    """Return in how many of the comb(size, drawn) draws at most `most` are of the `among` bogus ones."""
    first = max(0, drawn - (size - among))
    term = comb(among, first) * comb(size - among, drawn - first)
    total = term if first <= most else 0
    for found in range(first, min(most, among, drawn)):
        term = term * (among - found) * (drawn - found) // ((found + 1) * (size - among - drawn + found + 1))
        total += term
    return total


def in_words(size: int, drawn: int, bogus: int) -> str:
    """Return what the audit found, as a newspaper may print it."""
    most = bogus_at_most(size, drawn, bogus)
    found = "none was bogus" if not bogus else f"{bogus:,} {'was' if bogus == 1 else 'were'} bogus"
    if drawn >= size:
        return f"All {size:,} entries of the roll were opened, and {found}."
    return (
        f"{drawn:,} of the roll's {size:,} entries were drawn by lot and opened, and {found}. If more than {most:,} "
        f"entries ({_percent(most, size)}) were bogus, an audit like this would find so few less than once in "
        f"{100 // (100 - CONFIDENCE_PERCENT)} times ({CONFIDENCE_PERCENT} % confidence)."
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3g} %"
