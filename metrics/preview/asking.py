"""What a Prometheus answers to a panel's expressions, with Grafana's variables filled in."""

import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metrics.dashboards.panel import Dashboard, Series

POINTS: Final = 160
"""Across a picture that is some 500 pixels wide at most: more are not seen."""
RATE_SCRAPES: Final = 4
"""Grafana's $__rate_interval is at least four scrapes, so that one that fails leaves enough for a rate."""
ANSWER_S: Final = 30.0


class AnswerError(Exception):
    """Prometheus refused a query, or did not answer; the text says which."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its name by the panel's legend, its labels, and its values at `Span.times` (None = no sample)."""

    name: str
    labels: Mapping[str, str]
    values: tuple[float | None, ...]

    @property
    def last(self) -> float | None:
        """The newest value."""
        return next((value for value in reversed(self.values) if value is not None), None)


@dataclass(frozen=True, slots=True)
class Span:
    """A time range to look at: unix seconds, inclusive."""

    begins_s: float
    ends_s: float
    scrape_s: float

    @property
    def step_s(self) -> float:
        """Seconds between two values, whole."""
        return max(1.0, math.ceil((self.ends_s - self.begins_s) / POINTS))

    @property
    def times(self) -> tuple[float, ...]:
        """The times of the values."""
        count = int((self.ends_s - self.begins_s) / self.step_s) + 1
        return tuple(self.begins_s + index * self.step_s for index in range(count))


@dataclass(frozen=True, slots=True)
class Asking:
    """A Prometheus, the time that is looked at, and one event."""

    url: str
    span: Span
    event: str

    def variables(self, dashboard: Dashboard) -> dict[str, str]:
        """Return the value of each of a dashboard's variables, all of its choices taken, and of Grafana's own.

        Raises:
            AnswerError: Prometheus did not answer.
        """
        span = self.span
        rate = max(RATE_SCRAPES * span.scrape_s, span.step_s + span.scrape_s)
        found = {"__rate_interval": f"{rate:.0f}s", "__range": f"{span.ends_s - span.begins_s:.0f}s"}
        for variable in dashboard.variables:
            if variable.name == "event":
                found["event"] = self.event
                continue
            inner, _, label = variable.query.partition("(")[2].removesuffix(")").rpartition(", ")
            expression = inner if variable.query.startswith("label_values") else f"{inner}, {label}".lstrip(", ")
            series = self._series(filled(expression, found), at_s=span.ends_s)
            values = sorted({one["metric"].get("instance", "") for one in series})
            found[variable.name] = "|".join(map(re.escape, values))
        return found

    def lines(self, series: Series, variables: Mapping[str, str]) -> list[Line]:
        """Return the series of one expression over the span, those without a sample left out; raises AnswerError."""
        span = self.span
        times = {round(at * 1000): index for index, at in enumerate(span.times)}
        answer = self._get(
            "query_range", query=filled(series.expression, variables), start=f"{span.times[0]:.3f}",
            end=f"{span.times[-1]:.3f}", step=f"{span.step_s:.3f}",
        )  # fmt: skip
        lines = []
        for one in answer["result"]:
            values: list[float | None] = [None] * len(times)
            for at, value in one["values"]:
                number = float(value)
                if (index := times.get(round(at * 1000))) is not None and math.isfinite(number):
                    values[index] = number
            if any(value is not None for value in values):
                lines.append(Line(named(series.legend, one["metric"]), one["metric"], tuple(values)))
        return lines

    def latest(self, series: Series, variables: Mapping[str, str]) -> list[Line]:
        """Return the series of one expression at the end of the span, in Prometheus' order; raises AnswerError."""
        found = self._series(filled(series.expression, variables), at_s=self.span.ends_s)
        numbers = [(one["metric"], float(one["value"][1])) for one in found]
        return [
            Line(named(series.legend, labels), labels, (value,)) for labels, value in numbers if math.isfinite(value)
        ]

    def _series(self, expression: str, at_s: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get("query", query=expression, time=f"{at_s:.3f}")["result"]
        return found

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:  # noqa: S310 - the caller's own Prometheus
                found: dict[str, Any] = json.load(answer)["data"]
        except OSError as error:
            raise AnswerError(f"{parameters['query']}: {error}") from None
        return found


def filled(text: str, variables: Mapping[str, str]) -> str:
    """Put the values of Grafana's variables in. A backslash of a pattern is doubled, as PromQL's strings want it."""
    return re.sub(r"\$(\w+)", lambda found: variables[found[1]].replace("\\", "\\\\"), text)


def named(legend: str, labels: Mapping[str, str]) -> str:
    """Return a series' name: the legend with its labels' values."""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)
