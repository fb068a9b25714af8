"""A measurement that was taken several times: its median and its range."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, lowest and highest of some values, in their unit."""

    median: float
    low: float
    high: float

    def shown(self, digits: int = 2, unit: str = "") -> str:
        """Return "12.34 µs (12.00 to 13.00)"."""
        behind = f" {unit}" if unit else ""
        return f"{self.median:,.{digits}f}{behind} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def spread(values: Iterable[float]) -> Spread:
    """Return median and range. Raises ValueError if there are no values."""
    taken = sorted(values)
    if not taken:
        raise ValueError("no values")
    return Spread(statistics.median(taken), taken[0], taken[-1])
