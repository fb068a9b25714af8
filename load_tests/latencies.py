"""Latencies as HDR histograms: microseconds, three significant digits, from a microsecond to a minute.

Every latency is charged from the time for which the request was scheduled, so that a stalled server (or a stalled load
generator) is charged for the requests that had to wait meanwhile. The whole histogram is kept, as a histogram log that
the tools of HdrHistogram read: percentiles of percentiles are not needed.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogWriter

LOWEST_US: Final = 1
HIGHEST_US: Final = 60_000_000
DIGITS: Final = 3
PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)


def _histogram() -> Any:
    return HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)


@dataclass(slots=True)
class Latency:
    """One histogram. Its one writer is the event loop that measures."""

    name: str
    _histogram: Any = field(default_factory=_histogram)

    @property
    def count(self) -> int:
        """How many were recorded."""
        return int(self._histogram.get_total_count())

    def record(self, seconds: float) -> None:
        """Record one latency; what lies outside the range is recorded at its edge."""
        self._histogram.record_value(min(max(int(seconds * 1e6), LOWEST_US), HIGHEST_US))

    def milliseconds(self) -> dict[str, float]:
        """Return the percentiles and the maximum in ms, empty if nothing was recorded."""
        if not self.count:
            return {}
        found = {f"p{each:g}": self._histogram.get_value_at_percentile(each) / 1e3 for each in PERCENTILES}
        return found | {"max": self._histogram.get_max_value() / 1e3}

    def write(self, path: Path, since: float, until: float) -> None:
        """Write a histogram log of one interval (unix s)."""
        with path.open("w", encoding="utf-8") as file:
            writer = HistogramLogWriter(file)
            writer.output_comment(f"{self.name}: microseconds from the scheduled time to the answer")
            writer.output_log_format_version()
            writer.output_legend()
            writer.output_interval_histogram(self._histogram, since, until, max_value_unit_ratio=1e6)
