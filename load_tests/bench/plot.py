"""A bar chart as SVG: labelled horizontal bars, the range of each measurement as a whisker.

Text and lines are grey enough to be read on a white page and on a dark one; nothing has a background.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from load_tests.bench.spread import Spread

WIDTH: Final = 820
LABELS: Final = 210
VALUES: Final = 190  # room for the figures right of the longest bar
ROW: Final = 34
BAR: Final = 20
TOP: Final = 48
BOTTOM: Final = 30
INK: Final = "#6e7781"  # contrast above 4 on white and on near black
EMPHASISED: Final = "#2f81f7"
PLAIN: Final = "#a0a8b2"
WHISKER: Final = "#c2571a"


@dataclass(frozen=True, slots=True)
class Bar:
    """One measurement."""

    name: str
    value: Spread
    emphasised: bool = False


def bars(title: str, unit: str, measured: Sequence[Bar]) -> str:
    """Return the chart, bars in the order given. Raises ValueError without any bar above 0."""
    highest = max((bar.value.high for bar in measured), default=0.0)
    if highest <= 0:
        raise ValueError("nothing to draw")
    first = measured[0].value.median
    scale = (WIDTH - LABELS - VALUES) / highest
    height = TOP + ROW * len(measured) + BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"',
        f'  role="img" font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
        f"<title>{escape(title)}, {escape(unit)}</title>",
        f'<text x="{LABELS}" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for row, bar in enumerate(measured):
        top, value = TOP + row * ROW, bar.value
        middle, base = top + BAR // 2, top + BAR // 2 + 5
        low, end, high = (LABELS + scale * edge for edge in (value.low, value.median, value.high))
        fill, weight = (EMPHASISED, 600) if bar.emphasised else (PLAIN, 400)
        whisker = f"M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 5}v10M{high:.1f} {middle - 5}v10"
        shown = f"{value.median:.1f} {unit}" + (f", {value.median / first:.1f} ×" if row and first > 0 else "")
        lines += [
            f'<g font-weight="{weight}">',
            f'<text x="{LABELS - 10}" y="{base}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{LABELS}" y="{top}" width="{end - LABELS:.1f}" height="{BAR}" rx="2" fill="{fill}"/>',
            f'<path d="{whisker}" stroke="{WHISKER}" stroke-width="1.5" fill="none"/>',
            f'<text x="{high + 8:.1f}" y="{base}">{escape(shown)}</text>',
            "</g>",
        ]
    foot = f"Bar: median. Line: lowest and highest round. Times: beside {measured[0].name}."
    lines.append(f'<text x="{LABELS}" y="{height - 8}" font-size="11">{escape(foot)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
