"""A dashboard as one picture: its panels on their grid, with a heading that says what this is and is not."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from metrics.dashboards.panel import COLUMNS, Colour, Dashboard, Panel, Place, Shape, arranged
from metrics.preview import svg
from metrics.preview.asking import Asking, Line
from metrics.preview.drawing import Box, drawn

WIDTH: Final = 1600.0
MARGIN: Final = 12.0
GAP: Final = 8.0
CELL: Final = 38.0
"""The height of a cell of Grafana's grid, its gap included."""
TOP: Final = 74.0
ROW: Final = 22.0


def picture(dashboard: Dashboard, asking: Asking, caption: str) -> str:
    """Return a dashboard as SVG, its panels filled from Prometheus.

    Raises:
        AnswerError: Prometheus refused a query, or did not answer.
    """
    variables = asking.variables(dashboard)
    parts, bottom = [*_heading(dashboard, asking, caption)], 0.0
    for row, heading, panels in arranged(dashboard):
        at = _box(heading)
        parts.append(svg.text((at.x + 2, at.y + ROW), row.title, 15, svg.FAINT, weight=600))
        for panel, place in panels:
            box = _box(place)
            parts += drawn(panel, _answered(panel, asking, variables), box, asking.span)
            bottom = max(bottom, box.bottom)
    return svg.document(parts, WIDTH, bottom + MARGIN, f"{dashboard.title}: {caption}")


def _answered(panel: Panel, asking: Asking, variables: Mapping[str, str]) -> list[Line]:
    ask = asking.latest if panel.shape is Shape.BARS else asking.lines
    return [line for series in panel.series for line in ask(series, variables)]


def _box(place: Place) -> Box:
    column = (WIDTH - 2 * MARGIN + GAP) / COLUMNS
    x, y = MARGIN + place.x * column, TOP + place.y * CELL
    return Box(x, y, place.width * column - GAP, place.height * CELL - GAP)


def _heading(dashboard: Dashboard, asking: Asking, caption: str) -> list[str]:
    begins, ends = (datetime.fromtimestamp(at, UTC) for at in (asking.span.begins_s, asking.span.ends_s))
    when = f"{asking.event}   {begins:%Y-%m-%d %H:%M} to {ends:%H:%M} UTC"
    return [
        svg.text((MARGIN + 2, 34), dashboard.title, 24, weight=700),
        svg.text((WIDTH - MARGIN - 2, 34), when, 15, svg.INK, "end"),
        svg.text((MARGIN + 2, 58), dashboard.says, 14, svg.FAINT),
        svg.text((WIDTH - MARGIN - 2, 58), caption, 14, svg.MEANING[Colour.WARN], "end"),
    ]
