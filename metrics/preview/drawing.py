"""Draws one panel into its box: a large number, lines over time, a stack, bars or a heat map."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import Final

from metrics.dashboards.panel import Colour, Panel, Shape, Unit
from metrics.preview import svg
from metrics.preview.asking import Line, Span
from metrics.preview.wording import round_ticks, worded

TITLE: Final = 13.0
SMALL: Final = 11.0
PAD: Final = 10.0
HEAD: Final = 28.0
LEGEND_LINE: Final = 17.0
LEGEND_LINES: Final = 3
BARS: Final = 12


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of the picture, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height


def drawn(panel: Panel, lines: Sequence[Line], box: Box, span: Span) -> list[str]:
    """Return the SVG of a panel with the series that it shows."""
    parts = [svg.rectangle(box.x, box.y, box.width, box.height, svg.PANEL, svg.EDGE, 4)]
    inner = Box(box.x + PAD, box.y + HEAD, box.width - 2 * PAD, box.height - HEAD - PAD)
    if not lines:
        parts += [*_title(panel, box), _nothing(panel, inner)]
    elif panel.shape is Shape.NUMBER:
        parts += _numbers(panel, lines, box, inner)
    else:
        draw = {Shape.LINES: _lines, Shape.STACK: _stack, Shape.BARS: _bars, Shape.HEAT: _heat}[panel.shape]
        parts += [*_title(panel, box), *draw(panel, lines, inner, span)]
    return parts


def _title(panel: Panel, box: Box, ink: str = svg.INK) -> list[str]:
    said = svg.shortened(panel.title, TITLE, box.width - 2 * PAD)
    return [svg.text((box.x + PAD, box.y + 19), said, TITLE, ink, weight=600)]


def _nothing(panel: Panel, box: Box) -> str:
    return svg.text((box.x + box.width / 2, box.y + box.height / 2 + 10), panel.none, 28, svg.FAINT, "middle")


def colour_of(panel: Panel, value: float) -> Colour:
    """Return what a value means: by the panel's words, else by its thresholds."""
    for word in panel.words:
        if word.value == value:
            return word.colour
    reached = [colour for at, colour in panel.thresholds.steps if value >= at]
    return reached[-1] if reached else panel.thresholds.base


def _said(panel: Panel, value: float) -> str:
    words = {word.value: word.text for word in panel.words}
    return words.get(int(value), "") or worded(value, panel.unit, panel.decimals)


# Numbers.


def _numbers(panel: Panel, lines: Sequence[Line], box: Box, inner: Box) -> list[str]:
    parts: list[str] = []
    if panel.loud and lines[0].last is not None:
        parts.append(
            svg.rectangle(box.x, box.y, box.width, box.height, svg.MEANING[colour_of(panel, lines[0].last)], "", 4)
        )
        parts += _title(panel, box, "#ffffff")
    else:
        parts += _title(panel, box)
    named = len(lines) > 1 or any("{{" in series.legend for series in panel.series)
    width = inner.width / len(lines)
    for place, line in enumerate(lines):
        cell = Box(inner.x + place * width, inner.y, width, inner.height)
        parts += _number(panel, line, cell, named=named)
    return parts


def _number(panel: Panel, line: Line, cell: Box, *, named: bool) -> list[str]:
    if line.last is None:
        return []
    said = _said(panel, line.last)
    name = line.name if named else ""
    size = min(cell.height * (0.44 if name else 0.56), 110, (cell.width - 8) / max(svg.wide(said, 1), 0.1))
    middle = cell.x + cell.width / 2
    base = cell.y + (cell.height + size * 0.7) / 2 - (8 if name else 0)
    ink = "#ffffff" if panel.loud else svg.MEANING[colour_of(panel, line.last)]
    parts = [] if panel.loud or panel.unit is Unit.TIME else _spark(line, cell, ink)
    parts.append(svg.text((middle, base), said, round(size, 1), ink, "middle", 700))
    if name:
        faint = "#ffffff" if panel.loud else svg.FAINT
        parts.append(svg.text((middle, cell.bottom - 3), svg.shortened(name, 12, cell.width - 6), 12, faint, "middle"))
    return parts


def _spark(line: Line, cell: Box, ink: str) -> list[str]:
    """The value's past, faint, behind it."""
    values = [value for value in line.values if value is not None]
    if len(values) < 2 or max(values) == min(values):
        return []
    top, high = cell.y + cell.height * 0.45, max(values)
    low = min(0.0, *values)
    step = cell.width / (len(values) - 1)
    points = [
        (cell.x + index * step, cell.bottom - (cell.bottom - top) * (value - low) / (high - low))
        for index, value in enumerate(values)
    ]
    return [svg.area(points, [(cell.x, cell.bottom), (cell.right, cell.bottom)], ink, 0.13)]


# Over time.


@dataclass(frozen=True, slots=True)
class _Axes:
    """From times and values to pixels."""

    box: Box
    span: Span
    low: float
    high: float

    def x(self, at_s: float) -> float:
        times = self.span.times
        return self.box.x + self.box.width * (at_s - times[0]) / (times[-1] - times[0])

    def y(self, value: float) -> float:
        return self.box.bottom - self.box.height * (value - self.low) / (self.high - self.low)


def _axes(panel: Panel, low: float, high: float, inner: Box, span: Span, legend: int) -> tuple[_Axes, list[str]]:
    height = inner.height - legend * LEGEND_LINE - 22
    ticks = round_ticks(low, high, 4 if height > 110 else 2, panel.unit)
    labels = [worded(tick, panel.unit, panel.decimals) for tick in ticks]
    left = max(svg.wide(label, SMALL) for label in labels) + 8
    box = Box(inner.x + left, inner.y + 6, inner.width - left - 6, height - 6)
    axes = _Axes(box, span, ticks[0], ticks[-1])
    parts = []
    for tick, label in zip(ticks, labels, strict=True):
        parts.append(svg.line((box.x, axes.y(tick)), (box.right, axes.y(tick)), svg.GRID))
        parts.append(svg.text((box.x - 6, axes.y(tick) + 4), label, SMALL, svg.FAINT, "end"))
    parts += _times(axes)
    for at, colour in panel.thresholds.steps:
        if axes.low <= at <= axes.high:
            parts.append(
                svg.line((box.x, axes.y(at)), (box.right, axes.y(at)), svg.MEANING[_beyond(colour, at)], "6 5")
            )
    return axes, parts


def _beyond(colour: Colour, at: float) -> Colour:
    """A line is drawn in the colour of its bad side."""
    return Colour.BAD if colour is Colour.GOOD and at else colour


def _times(axes: _Axes) -> list[str]:
    times = axes.span.times
    every = next(
        step for step in (30, 60, 120, 300, 600, 1800, 3600, 10800, 86400) if (times[-1] - times[0]) / step <= 6
    )
    first = math.ceil(times[0] / every) * every
    marks = [first + index * every for index in range(int((times[-1] - first) / every) + 1)]
    wording = "%H:%M:%S" if every < 60 else "%H:%M"
    return [
        svg.text(
            (axes.x(at), axes.box.bottom + 15),
            f"{datetime.fromtimestamp(at, UTC):{wording}}",
            SMALL,
            svg.FAINT,
            "middle",
        )
        for at in marks
        if axes.box.x + 14 <= axes.x(at) <= axes.box.right - 10
    ]


def _stretches(line: Line, span: Span) -> list[list[tuple[float, float]]]:
    """The parts of a series without a hole."""
    samples = list(zip(span.times, line.values, strict=True))
    runs = groupby(samples, key=lambda sample: sample[1] is not None)
    return [[(at, value) for at, value in run if value is not None] for there, run in runs if there]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One series in a legend."""

    ink: str
    name: str
    value: str

    @property
    def width(self) -> float:
        return svg.wide(self.name, SMALL) + svg.wide(self.value, SMALL) + 42


def _legend(panel: Panel, lines: Sequence[Line], inner: Box) -> list[list[_Entry]]:
    """Names and last values in lines that fit; what does not is counted."""
    rows: list[list[_Entry]] = [[]]
    used = 0.0
    for place, line in enumerate(lines):
        value = "" if line.last is None else worded(line.last, panel.unit, panel.decimals)
        room = inner.width - svg.wide(value, SMALL) - 42
        entry = _Entry(_ink(place), svg.shortened(line.name, SMALL, room), value)
        if rows[-1] and used + entry.width > inner.width:
            if len(rows) == LEGEND_LINES:
                rows[-1][-1] = _Entry(svg.FAINT, f"and {len(lines) - place + 1} more", "")
                break
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += entry.width
    return rows


def _draw_legend(rows: Sequence[Sequence[_Entry]], inner: Box) -> list[str]:
    parts = []
    y = inner.bottom - (len(rows) - 1) * LEGEND_LINE
    for row in rows:
        x = inner.x + 2
        for entry in row:
            parts.append(svg.rectangle(x, y - 7, 12, 4, entry.ink, radius=2))
            parts.append(svg.text((x + 17, y), entry.name, SMALL))
            if entry.value:
                parts.append(svg.text((x + 23 + svg.wide(entry.name, SMALL), y), entry.value, SMALL, svg.FAINT))
            x += entry.width
        y += LEGEND_LINE
    return parts


def _ink(place: int) -> str:
    return svg.SERIES[place % len(svg.SERIES)]


def _lines(panel: Panel, lines: Sequence[Line], inner: Box, span: Span) -> list[str]:
    values = [value for line in lines for value in line.values if value is not None]
    low, high = min(0.0, *values), max(0.0, *values)
    if panel.centred:
        high = max(abs(low), abs(high))
        low = -high
    rows = _legend(panel, lines, inner)
    axes, parts = _axes(panel, low, high if high > low else low + 1, inner, span, len(rows))
    for place, line in enumerate(lines):
        for stretch in _stretches(line, span):
            points = [(axes.x(at), axes.y(value)) for at, value in stretch]
            if len(points) == 1:
                points.append((points[0][0] + 2, points[0][1]))
            if len(lines) <= 3 and not panel.centred:
                ground = [(x, axes.y(0)) for x in (points[0][0], points[-1][0])]
                parts.append(svg.area(points, ground, _ink(place), 0.12))
            parts.append(svg.curve(points, _ink(place)))
    return parts + _draw_legend(rows, inner)


def _stack(panel: Panel, lines: Sequence[Line], inner: Box, span: Span) -> list[str]:
    rows = _legend(panel, lines, inner)
    sums = [[0.0] * len(span.times)]
    for line in lines:
        sums.append([below + (value or 0.0) for below, value in zip(sums[-1], line.values, strict=True)])
    axes, parts = _axes(panel, 0, max(sums[-1]) or 1.0, inner, span, len(rows))
    for place, (below, above) in enumerate(pairwise(sums)):
        upper = [(axes.x(at), axes.y(value)) for at, value in zip(span.times, above, strict=True)]
        lower = [(axes.x(at), axes.y(value)) for at, value in zip(span.times, below, strict=True)]
        if above != below:
            parts += [svg.area(upper, lower, _ink(place), 0.55), svg.curve(upper, _ink(place), 1)]
    return parts + _draw_legend(rows, inner)


# Side by side.


def _bars(panel: Panel, lines: Sequence[Line], inner: Box, span: Span) -> list[str]:  # noqa: ARG001 - as the others
    shown = lines[:BARS]
    most = max((line.last or 0.0 for line in shown), default=0.0) or 1.0
    left = min(max(svg.wide(line.name, 13) for line in shown) + 12, inner.width * 0.4)
    right = max(svg.wide(worded(line.last or 0, panel.unit), 13) for line in shown) + 14
    pitch = min((inner.height - 4) / len(shown), 46)
    room = inner.width - left - right
    parts = []
    for place, line in enumerate(shown):
        value = line.last or 0.0
        y = inner.y + 6 + place * pitch
        ink = svg.MEANING[colour_of(panel, value)]
        middle = y + pitch * 0.4 + 4.5
        parts += [
            svg.text((inner.x + left - 8, middle), svg.shortened(line.name, 13, left - 8), 13, svg.INK, "end"),
            svg.rectangle(inner.x + left, y, room, pitch * 0.8, svg.GRID, radius=2),
            svg.rectangle(inner.x + left, y, room * value / most, pitch * 0.8, ink, radius=2),
            svg.text((inner.right, middle), worded(value, panel.unit), 13, ink, "end", 600),
        ]
    return parts


def _heat(panel: Panel, lines: Sequence[Line], inner: Box, span: Span) -> list[str]:
    """Cumulative buckets, each less the one below it; the darker the more."""
    by_bound = sorted(lines, key=lambda line: float(line.labels["le"]))
    rows: list[tuple[str, list[float]]] = []
    below = [0.0] * len(span.times)
    for line in by_bound:
        values = [value or 0.0 for value in line.values]
        rows.append((line.labels["le"], [max(0.0, value - under) for value, under in zip(values, below, strict=True)]))
        below = values
    used = [place for place, (_, values) in enumerate(rows) if max(values) > 0]
    rows = rows[min(used) : max(used) + 1] if used else rows[:1]
    most = max((max(values) for _, values in rows), default=0.0) or 1.0
    left = 56.0
    box = Box(inner.x + left, inner.y + 4, inner.width - left - 6, inner.height - 26)
    axes = _Axes(box, span, 0, 1)
    height, width = box.height / len(rows), box.width / len(span.times)
    parts = _times(axes)
    for place, (bound, values) in enumerate(rows):
        y = box.bottom - (place + 1) * height
        label = "more" if bound == "+Inf" else f"≤ {worded(float(bound), panel.unit)}"
        if height > 11 or place % 2 == 0:
            parts.append(svg.text((box.x - 6, y + height / 2 + 4), label, SMALL, svg.FAINT, "end"))
        for index, value in enumerate(values):
            if value > 0:
                opacity = 0.12 + 0.88 * math.sqrt(value / most)
                x = box.x + index * width
                cell = svg.rectangle(x, y, width + 0.3, height - 1, svg.SERIES[1])
                parts.append(cell.replace("/>", f' fill-opacity="{opacity:.2f}"/>'))
    return parts
