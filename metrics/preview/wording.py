"""Numbers as people read them, by the unit of the panel: 1,234, 12.3 k, 4.5 ms, 3.0 MiB."""

import math
from datetime import UTC, datetime
from typing import Final

from metrics.dashboards.panel import Unit

_SI: Final = ((1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, ""))
_IEC: Final = ((2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B"))
_TIMES: Final = ((86400.0, " d"), (3600.0, " h"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " µs"))
_SCALES: Final = {
    Unit.COUNT: (_SI, ""),
    Unit.SECONDS: (_TIMES, ""),
    Unit.BYTES: (_IEC, ""),
    Unit.BYTES_PER_S: (_IEC, "/s"),
    Unit.SHARE: (((0.01, " %"),), ""),
    Unit.PER_S: (_SI, "/s"),
    Unit.REQUESTS_PER_S: (_SI, " req/s"),
}
"""By unit: factors with their names, the largest first, and what comes after them."""
_OF_A_CLOCK_S: Final = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


def worded(value: float, unit: Unit, decimals: int | None = None) -> str:
    """Return a value with its unit, as short as it is clear."""
    if unit is Unit.TIME:
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if unit in _SCALES:
        scale, after = _SCALES[unit]
        fitting = (step for step in scale if abs(value) >= step[0] * 0.9995)
        factor, name = next(fitting, scale[-1] if value else (1.0, next(name for one, name in scale if one <= 1.0)))
        return f"{_plain(value / factor)}{name}{after}"
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _plain(value: float) -> str:
    """Three figures, no trailing zeros."""
    if abs(value) >= 100 or not value:
        return f"{value:,.0f}"
    figures = 2 - math.floor(math.log10(abs(value)))
    text = f"{value:.{min(max(figures, 0), 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def round_ticks(low: float, high: float, about: int, unit: Unit) -> list[float]:
    """Return evenly spaced round values that enclose [low, high], some `about` of them."""
    base = (
        1024.0 ** max(0, math.floor(math.log(max(high, 1.0), 1024))) if unit in (Unit.BYTES, Unit.BYTES_PER_S) else 1.0
    )
    rough = (high - low) / base / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    steps = _OF_A_CLOCK_S if unit is Unit.SECONDS and rough > 10 else ()
    steps = (*steps, *(power * factor for factor in (1, 2, 2.5, 5, 10)))
    step = base * next(step for step in steps if step >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]
