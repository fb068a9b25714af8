"""A few words of SVG: rectangles, lines, paths and texts, in the colours of a control room."""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from metrics.dashboards.panel import Colour

PAGE: Final = "#0f1318"
PANEL: Final = "#181d24"
EDGE: Final = "#2a313b"
GRID: Final = "#262d37"
INK: Final = "#e6e9ee"
FAINT: Final = "#8d97a5"
FONT: Final = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
MEANING: Final[dict[Colour, str]] = {
    Colour.GOOD: "#3fae6a",
    Colour.WARN: "#e8912d",
    Colour.BAD: "#e0474c",
    Colour.PLAIN: INK,
    Colour.AUDIENCE: "#5aa9f0",
}
SERIES: Final = (
    "#5aa9f0", "#f2b84b", "#58c28a", "#e5727c", "#a68be0", "#4fc3c7", "#ee9450", "#b7cb5a",
    "#d87fc0", "#8fa3bd", "#c9a27a", "#7fb2ff",
)  # fmt: skip
Point = tuple[float, float]


def rectangle(x: float, y: float, width: float, height: float, fill: str, edge: str = "", radius: float = 0) -> str:
    """Return a rectangle."""
    stroke = f' stroke="{edge}"' if edge else ""
    rounded = f' rx="{radius:g}"' if radius else ""
    size = f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size}{rounded} fill="{fill}"{stroke}/>'


def line(begin: Point, end: Point, stroke: str, dashes: str = "") -> str:
    """Return a straight line."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    ends = f'x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{stroke}"{dashed}/>'


def curve(points: Sequence[Point], stroke: str, width: float = 1.6) -> str:
    """Return a line through points."""
    return f'<path d="{_path(points)}" fill="none" stroke="{stroke}" stroke-width="{width}" stroke-linejoin="round"/>'


def area(points: Sequence[Point], below: Sequence[Point], fill: str, opacity: float) -> str:
    """Return the area between two lines."""
    return f'<path d="{_path([*points, *reversed(below)])}Z" fill="{fill}" fill-opacity="{opacity}"/>'


def text(at: Point, said: str, size: float, fill: str = INK, anchor: str = "start", weight: int = 400) -> str:
    """Return a text; `at` is the left, middle or right end of its base line."""
    heavy = f' font-weight="{weight}"' if weight != 400 else ""
    aligned = f' text-anchor="{anchor}"' if anchor != "start" else ""
    place = f'x="{at[0]:.1f}" y="{at[1]:.1f}"'
    return f'<text {place} font-size="{size:g}" fill="{fill}"{aligned}{heavy}>{escape(said)}</text>'


def wide(said: str, size: float) -> float:
    """Return about how wide a text is: fonts differ, so that a little is added."""
    narrow = sum(said.count(letter) for letter in "iljt.,:;'|()[] ftr1")
    return size * (0.6 * (len(said) - narrow) + 0.36 * narrow)


def shortened(said: str, size: float, room: float) -> str:
    """Return a text that fits, with … where something is missing."""
    if wide(said, size) <= room:
        return said
    while said and wide(said + "…", size) > room:
        said = said[:-1]
    return said.rstrip() + "…"


def document(parts: Sequence[str], width: float, height: float, title: str) -> str:
    """Return a whole picture."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="{FONT}" role="img">\n'
        f"<title>{escape(title)}</title>\n{rectangle(0, 0, width, height, PAGE)}\n{body}\n</svg>\n"
    )


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
