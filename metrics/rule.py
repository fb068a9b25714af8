"""A rule of Prometheus: one that records, or one that alerts, with the cases that hold it.

A page wakes somebody: viewers, numbers or evidence suffer while nobody acts. A ticket is looked at before the doors
open again. Every alert has a section in docs/runbooks.md under its name, and at least one case of each kind; promtool
runs them all (deploy/prometheus/turnout.tests.yml).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from metrics.catalogue import Metric

RUNBOOKS: Final = "docs/runbooks.md"
RUNBOOKS_LABEL: Final = "turnout_runbooks"
"""The external label of Prometheus by which whoever runs it says where that page is: nothing else that a plain
Prometheus is configured with reaches an annotation."""
_VALUE: Final = re.compile(r"\{\{ \$value[^}]*\}\}")


class Severity(StrEnum):
    """How soon somebody must act."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule. The name is level:metric:operations (prometheus.io/docs/practices/rules)."""

    name: str
    expression: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fired:
    """One alert that fires: the labels of what it is about, and its value as the description writes it."""

    labels: Mapping[str, str] = field(default_factory=dict)
    value: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One promtool test of one alert.

    Series are in promtool's notation, a sample each 15 s from time 0 (`1x20` is 1 and 20 times 1 again, `_x4` nothing
    four times); `at` is a PromQL duration after it. No `fires`: nothing does, at any time up to then. What fires is
    over at `over_at`, if that is said.
    """

    sentence: str
    series: Mapping[str, str]
    at: str
    fires: tuple[Fired, ...] = ()
    over_at: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule. `lasting` is how long the expression must hold, a PromQL duration.

    `summary` has no values in it, so that notifications can be grouped by it; `description` is a template with them.
    """

    name: str
    expression: str
    lasting: str
    severity: Severity
    summary: str
    description: str
    cases: tuple[Case, ...]

    @property
    def runbook(self) -> str:
        """Where the runbook's section is, in this repository."""
        return f"{RUNBOOKS}#{self.name.lower()}"

    @property
    def runbook_url(self) -> str:
        """The same as Prometheus fills it in: on the page that its external label names, if it has one."""
        page = f"{{{{ with $externalLabels.{RUNBOOKS_LABEL} }}}}{{{{ . }}}}{{{{ else }}}}{RUNBOOKS}{{{{ end }}}}"
        return f"{page}#{self.name.lower()}"

    def said(self, fired: Fired) -> str:
        """Return the description of one that fires: what Prometheus is to make of the template."""
        said = self.description
        for name, value in fired.labels.items():
            said = said.replace(f"{{{{ $labels.{name} }}}}", value)
        return _VALUE.sub(fired.value, said)


def series(metric: Metric, part: str = "", **labels: str) -> str:
    """Return the name of one input series: a metric, or `part` of a histogram ("_bucket"), with its labels."""
    inner = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{metric.name}{part}" + (f"{{{inner}}}" if inner else "")
