"""What a dashboard is made of, as plain values: panels that answer a question, in rows, with their thresholds.

Nothing of Grafana here: metrics/dashboards/grafana.py turns these into its JSON, and metrics/preview draws them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from metrics.promql import Query, Scope

COLUMNS: Final = 24
"""The width of Grafana's grid."""
IN_PANELS: Final = Scope("$__rate_interval", "$instance", "$__range")
"""A panel's expressions look at the processes that the dashboard's variables select, at its resolution."""
IN_FIVE_MINUTES: Final = Scope("5m", "$instance", "$__range")
"""For what happens once a minute, when a window closes: at a panel's resolution it would be spikes and holes."""


class Shape(StrEnum):
    """How a panel shows its series."""

    NUMBER = "number"  # the latest value, as large as the panel allows
    LINES = "lines"  # over time
    STACK = "stack"  # over time, on top of each other: parts of a whole
    BARS = "bars"  # the latest values side by side
    HEAT = "heat"  # how a histogram's buckets fill over time


class Unit(StrEnum):
    """A unit, by the name that Grafana has for it. Prometheus holds base units; scaling is the panel's."""

    COUNT = "short"  # 12.3 K
    EXACT = "locale"  # 12,345: for numbers that somebody will quote
    SECONDS = "s"
    BYTES = "bytes"
    BYTES_PER_S = "Bps"
    SHARE = "percentunit"  # 0 to 1
    PER_S = "ops"
    REQUESTS_PER_S = "reqps"
    ERRORS = "none"  # standard errors: a plain number
    TIME = "dateTimeAsIso"  # of unix milliseconds


class Colour(StrEnum):
    """What a value means."""

    GOOD = "green"
    WARN = "orange"
    BAD = "red"
    PLAIN = "text"  # says nothing of good and bad
    AUDIENCE = "blue"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which value on a colour holds, ascending; `base` below the first."""

    base: Colour = Colour.GOOD
    steps: tuple[tuple[float, Colour], ...] = ()


def high_is_bad(warn: float | None = None, bad: float | None = None) -> Thresholds:
    """Good below `warn`, bad from `bad` on."""
    named = ((warn, Colour.WARN), (bad, Colour.BAD))
    return Thresholds(Colour.GOOD, tuple((value, colour) for value, colour in named if value is not None))


def low_is_bad(bad: float, warn: float | None = None) -> Thresholds:
    """Bad below `bad`, not quite good below `warn`."""
    middle = () if warn is None else ((bad, Colour.WARN),)
    return Thresholds(Colour.BAD, (*middle, (bad if warn is None else warn, Colour.GOOD)))


NEUTRAL: Final = Thresholds(Colour.PLAIN)
AUDIENCE: Final = Thresholds(Colour.AUDIENCE)


@dataclass(frozen=True, slots=True)
class Word:
    """A value that is better said in a word."""

    value: int
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class Series:
    """One expression of a panel; `legend` names its series, with {{label}} for a label's value."""

    query: Query
    legend: str
    scope: Scope = IN_PANELS

    @property
    def expression(self) -> str:
        """The PromQL, with Grafana's variables in it."""
        return self.query(self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One question and where its answer comes from."""

    title: str
    says: str  # what the number is, and what to do if it is not as it should be
    shape: Shape
    series: tuple[Series, ...]
    unit: Unit
    width: int
    height: int = 8
    thresholds: Thresholds = NEUTRAL
    words: tuple[Word, ...] = ()
    decimals: int | None = None
    centred: bool = False  # the axis runs as far below zero as above
    loud: bool = False  # a coloured background, to be seen from across the room
    none: str = "–"  # what stands where there is no series
    only_when: str = ""  # why a healthy event may have no series here


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard, filled by Prometheus."""

    name: str
    label: str
    query: str  # as Grafana's Prometheus data source understands it
    several: bool = False
    hidden: bool = False
    regex: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard. `uid` is its address in Grafana and never changes."""

    uid: str
    title: str
    says: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]
    refresh: str = "10s"
    reach: str = "now-1h"

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in reading order."""
        return tuple(panel for row in self.rows for panel in row.panels)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands on the grid."""

    x: int
    y: int
    width: int
    height: int


def arranged(dashboard: Dashboard) -> tuple[tuple[Row, Place, tuple[tuple[Panel, Place], ...]], ...]:
    """Give each row's heading and each panel its place: as high as there is room for it, and there as far left."""
    placed, y = [], 0
    for row in dashboard.rows:
        heading = Place(0, y, COLUMNS, 1)
        ground, inside = [y + 1] * COLUMNS, []
        for panel in row.panels:
            rooms = ((max(ground[x : x + panel.width]), x) for x in range(COLUMNS - panel.width + 1))
            top, x = min(rooms)
            ground[x : x + panel.width] = [top + panel.height] * panel.width
            inside.append((panel, Place(x, top, panel.width, panel.height)))
        y = max(ground)
        placed.append((row, heading, tuple(inside)))
    return tuple(placed)


EVENT: Final = Variable("event", "Event", "label_values(turnout_event_info, event)")
PROCESSES: Final = Variable(
    "instance", "Process", 'label_values(turnout_event_info{event="$event"}, instance)', several=True, hidden=True
)
"""Every gateway and ledger of the event: no other metric names the event, so all others are found by their instance."""
