"""Charts of a certificate as SVG text: plain shapes, no script, the same bytes for the same certificate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final
from xml.sax.saxutils import escape

from gateway.report.tables import lines_of

WIDTH: Final = 1000
INK: Final = "#1c2733"
FAINT: Final = "#c9d2da"
ONLINE: Final = "#1f6f8b"
ONSITE: Final = "#d1751f"
FONT: Final = "Libertinus Serif, Georgia, serif"
_LEFT: Final = 92
_RIGHT: Final = 12
_DAY_GAP: Final = 14


@dataclass(frozen=True, slots=True)
class _Scale:
    """From a number of people to a height."""

    top: float
    bottom: float
    most: int

    def __call__(self, people: float) -> float:
        return self.bottom - (self.bottom - self.top) * people / self.most


def round_steps(most: float, steps: int = 4) -> list[int]:
    """Return evenly spaced round numbers from 0 to at least `most`: about `steps` of them."""
    raw = max(most, 1) / steps
    power = 10 ** (len(str(int(raw))) - 1)
    step = next(int(step) for factor in (1, 2, 2.5, 5, 10) if (step := factor * power) >= raw and step == int(step))
    return list(range(0, int(max(most, 1) + step - 1) // step * step + 1, step))


def curve_chart(curve: Mapping[str, Any], height: int = 340) -> str:
    """Return the audience minute by minute, the days side by side, as SVG.

    Args:
        curve: `windows` (ISO 8601 times, ascending), `online` and `onsite` (people; None = withheld), as long as them;
            of several namespaces a shape for each, of which none is the sum.
        height: of the picture; its width is `WIDTH`.
    """
    windows = list(curve["windows"])
    series = [
        (name, [value or 0 for value in values])
        for name in ("online", "onsite")
        for _, values in lines_of(curve.get(name) or (), name)
        if any(values)
    ]
    ticks = round_steps(max((max(values) for _, values in series), default=1))
    scale = _Scale(18, height - 50, ticks[-1])
    days = [(day, [at for at, _ in group]) for day, group in groupby(enumerate(windows), key=lambda item: item[1][:10])]
    minute = (WIDTH - _LEFT - _RIGHT - _DAY_GAP * (len(days) - 1)) / max(len(windows), 1)
    parts = [_text(_LEFT - 8, scale(tick) + 6, f"{tick:,}", "end") for tick in ticks]
    parts += [_line(_LEFT, scale(tick), WIDTH - _RIGHT, scale(tick), FAINT) for tick in ticks]
    left = float(_LEFT)
    for day, members in days:
        at = {member: left + minute * place for place, member in enumerate(members)}
        parts.append(_text(left, height - 8, day, "start"))
        parts += [
            _text(at[member], height - 28, windows[member][11:16], "start", size=16)
            for before, member in zip([None, *members], members, strict=False)
            if before is None
            or (
                int(windows[member][11:13]) % 3 == 0
                and (before is None or windows[before][:13] != windows[member][:13])
            )
        ]
        for name, values in series:
            line = [(at[member], scale(values[member])) for member in members]
            parts.append(_shape(line, scale.bottom, filled=name == "online"))
        left += minute * len(members) + _DAY_GAP
    return _svg(parts, height, "The audience minute by minute")


def bars_chart(bars: Sequence[tuple[str, int | None]], height: int = 260) -> str:
    """Return labelled bars as SVG; one of None is withheld, and hatched out."""
    ticks = round_steps(max((value or 0 for _, value in bars), default=1))
    scale = _Scale(14, height - 30, ticks[-1])
    parts = [_text(_LEFT - 8, scale(tick) + 6, f"{tick:,}", "end") for tick in ticks]
    parts += [_line(_LEFT, scale(tick), WIDTH - _RIGHT, scale(tick), FAINT) for tick in ticks]
    width = (WIDTH - _LEFT - _RIGHT) / max(len(bars), 1)
    for place, (label, value) in enumerate(bars):
        left = _LEFT + width * place
        top = scale(value or 0)
        if value is None:
            parts.append(_text(left + width / 2, scale.bottom - 6, "withheld", "middle", size=16))
        parts.append(
            f'<rect x="{left + width * 0.12:.1f}" y="{top:.1f}" width="{width * 0.76:.1f}" '
            f'height="{scale.bottom - top:.1f}" fill="{ONLINE}"/>'
        )
        parts.append(_text(left + width / 2, height - 10, label, "middle", size=18))
    return _svg(parts, height, "How many people, by minutes attended")


def _shape(line: Sequence[tuple[float, float]], bottom: float, *, filled: bool) -> str:
    path = " L".join(f"{x:.1f} {y:.1f}" for x, y in line)
    if not filled:
        return f'<path d="M{path}" fill="none" stroke="{ONSITE}" stroke-width="2"/>'
    area = f"M{line[0][0]:.1f} {bottom:.1f} L{path} L{line[-1][0]:.1f} {bottom:.1f} Z"
    return (
        f'<path d="{area}" fill="{ONLINE}" fill-opacity="0.22"/>'
        f'<path d="M{path}" fill="none" stroke="{ONLINE}" stroke-width="1.6"/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1"/>'


def _text(x: float, y: float, text: str, anchor: str, size: int = 19) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-family="{FONT}" font-size="{size}" fill="{INK}">'
        f"{escape(text)}</text>"
    )


def _svg(parts: Sequence[str], height: int, title: str) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n{body}\n</svg>\n"
    )
