"""Latencies as HdrHistograms, in the log format that HdrHistogram's own tools read and merge (version 1.2).

A histogram keeps every value to three significant digits, so that anyone can ask it for another percentile than we did.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

LONGEST_NS: Final = 3_600 * 10**9
DIGITS: Final = 3


def write(path: Path, latencies_s: Mapping[str, npt.NDArray[np.float64]], duration_s: float) -> None:
    """Write one histogram (ns) a tag; `duration_s` is how long was measured. Raises OSError."""
    lines = ["#[Histogram log format version 1.2]", '"StartTimestamp","Interval_Length","Interval_Max","Histogram"']
    for tag, values_s in latencies_s.items():
        histogram = HdrHistogram(1, LONGEST_NS, DIGITS)
        values, counts = np.unique(np.maximum(np.rint(values_s * 1e9), 1).astype(np.int64), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            histogram.record_value(value, count)
        largest_ms = histogram.get_max_value() / 1e6
        payload = histogram.encode().decode("ascii")
        lines.append(f"Tag={tag},0.000,{duration_s:.3f},{largest_ms:.6f},{payload}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
