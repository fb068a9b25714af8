"""A chart of curves on logarithmic axes, as SVG: each curve with its own dashed reference line.

Text and lines are grey enough to be read on a white page and on a dark one; nothing has a background.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 820
HEIGHT: Final = 460
LEFT: Final = 70
RIGHT: Final = 120  # room for the curves' names
TOP: Final = 48
BOTTOM: Final = 56
INK: Final = "#7d8590"
GRID: Final = "#7d859040"
COLOURS: Final = ("#2f81f7", "#c2571a", "#2ea043", "#a371f7", "#bf8700", "#db61a2", "#1f9ca8")


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve: points (x, y), all above 0, and the height of its reference line."""

    name: str
    points: Sequence[tuple[float, float]]
    reference: float


def _ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten between two numbers."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def curves(title: str, x_name: str, y_name: str, drawn: Sequence[Curve]) -> str:
    """Return the chart. Raises ValueError without a point, or for a point that no logarithm has."""
    xs = [x for curve in drawn for x, _ in curve.points]
    ys = [y for curve in drawn for y in (*(y for _, y in curve.points), curve.reference)]
    if not xs or min(*xs, *ys) <= 0:
        raise ValueError("there is nothing to draw on logarithmic axes")
    low_x, high_x, low_y, high_y = min(xs), max(xs), min(ys) / 1.2, max(ys) * 1.2

    def across(x: float) -> float:
        share = math.log(x / low_x) / math.log(high_x / low_x) if high_x > low_x else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - math.log(y / low_y) / math.log(high_y / low_y) * (HEIGHT - TOP - BOTTOM)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"',
        f'  role="img" font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
        f"<title>{escape(title)}</title>",
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_name)}</text>',
        f'<g transform="rotate(-90 16 {HEIGHT / 2:.0f})">',
        f'<text x="16" y="{HEIGHT / 2:.0f}" text-anchor="middle">{escape(y_name)}</text></g>',
    ]
    for x in (tick for tick in _ticks(low_x, high_x) if math.log10(tick) == round(math.log10(tick))):
        lines.append(f'<path d="M{across(x):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{GRID}"/>')
        lines.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_shown(x)}</text>')
    for y in _ticks(low_y, high_y):
        lines.append(f'<path d="M{LEFT} {up(y):.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{up(y) + 4:.1f}" text-anchor="end">{_shown(y)}</text>')
    for index, curve in enumerate(drawn):
        colour, height = COLOURS[index % len(COLOURS)], up(curve.reference)
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in curve.points)
        lines.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="{colour}" stroke-dasharray="5 4"/>')
        lines.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        lines += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>' for x, y in curve.points]
        lines.append(f'<text x="{WIDTH - RIGHT + 8}" y="{height + 4:.1f}" fill="{colour}">{escape(curve.name)}</text>')
    return "\n".join([*lines, "</svg>", ""])
