"""What the panels ask, as Prometheus gets it: with the values that Grafana would put in for its variables."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from metrics.dashboards.panel import Dashboard

EVERY_PROCESS = ".+"


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One expression, where it is from, and why a healthy event may have no series for it."""

    dashboard: str
    panel: str
    expression: str
    only_when: str


def panel_queries(
    dashboards: Sequence[Dashboard], event: str = "expo", rate: str = "1m", reach: str = "1h"
) -> Iterator[PanelQuery]:
    """Every expression of the dashboards' panels, then those of their variables."""
    values = {"__rate_interval": rate, "__range": reach, "event": event}

    def filled(text: str) -> str:
        return re.sub(r"\$(\w+)", lambda found: values.get(found[1], EVERY_PROCESS), text)

    for dashboard in dashboards:
        for panel in dashboard.panels:
            for series in panel.series:
                yield PanelQuery(dashboard.uid, panel.title, filled(series.expression), panel.only_when)
        for variable in dashboard.variables:
            yield PanelQuery(dashboard.uid, f"${variable.name}", filled(asked(variable.query)), "")


def asked(query: str) -> str:
    """The PromQL within a variable's query: label_values(X, label) asks for X, query_result(X) for X."""
    inner = query.partition("(")[2].removesuffix(")")
    return inner.rpartition(",")[0] if query.startswith("label_values") else inner
