"""Who was present long enough, over sorted presence keys `person << 32 | minute` (load_tests.ground_truth)."""

import re
from typing import Final

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int64]

PERSON_SHIFT: Final = 32
_IN_A_ROW: Final = re.compile(r"reach-(\d+)min")
_PERCENT: Final = re.compile(r"attended-(\d+)-percent")
_CREDIT_MINUTES: Final = {"credit-50min": 50}


def minutes_in_a_row(rule: str) -> int:
    """Return N of `reach-Nmin`; 0 for any other rule."""
    found = _IN_A_ROW.fullmatch(rule)
    return int(found[1]) if found else 0


def asks_for_minutes(rule: str) -> bool:
    """Return whether a rule asks for so many, or such a part, of a session's scheduled minutes."""
    return rule in _CREDIT_MINUTES or _PERCENT.fullmatch(rule) is not None


def minutes_of_session(rule: str, scheduled: int) -> int:
    """Return how many of a session's scheduled minutes such a rule asks for."""
    found = _PERCENT.fullmatch(rule)
    return (scheduled * int(found[1]) + 99) // 100 if found else _CREDIT_MINUTES[rule]


def ends_of_rows(keys: Keys, minutes: int) -> Keys:
    """Return the keys at which somebody has been present in so many consecutive minutes."""
    last, first = keys[minutes - 1 :], keys[: max(len(keys) - minutes + 1, 0)]
    found: Keys = last[last - first == minutes - 1]
    return found


def often(keys: Keys, minutes: int) -> Keys:
    """Return the persons who are in at least so many keys."""
    persons, times = np.unique(keys >> PERSON_SHIFT, return_counts=True)
    found: Keys = persons[times >= minutes]
    return found
