"""PromQL over the catalogue: selectors and rates that can name only a metric, a label and a value that exist.

An expression is a plain string. What is checked is what a rename would break: that a metric has the label that an
expression asks for, and the value if the catalogue fixes the set; that only counters and histograms are rated, and only
histograms have quantiles. Whether the expression is PromQL is promtool's to say. Everything here must be understood by
Prometheus 2.42, Debian's: no histogram_avg, sort_by_label, info().
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from metrics.catalogue import Kind, Metric

INSTANCE: Final = "instance"
JOB: Final = "job"
"""The labels that Prometheus adds itself. No expression selects by jobs, because whoever configures the scraping names
them; a legend may say them."""
EVENT: Final = "event"
"""The label by which events in one Prometheus are told apart: whoever configures the scraping gives it to the targets
of each. Where there is one event alone nobody need."""


class PromqlError(ValueError):
    """An expression asks a metric for something that the catalogue does not know."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Matches a label that has one of these values; `but` matches all others."""

    values: tuple[str, ...]
    but: bool = False

    def __str__(self) -> str:
        several = len(self.values) > 1
        operator = ("!~" if several else "!=") if self.but else ("=~" if several else "=")
        return f'{operator}"{"|".join(self.values)}"'


def one_of(*values: str) -> AnyOf:
    """Match one of these values."""
    return AnyOf(values)


def none_of(*values: str) -> AnyOf:
    """Match every value but these."""
    return AnyOf(values, but=True)


@dataclass(frozen=True, slots=True)
class Like:
    """Matches a label by a regular expression (RE2, anchored): for sets that the catalogue leaves open, and codes."""

    pattern: str

    def __str__(self) -> str:
        return f'=~"{self.pattern}"'


Matcher = str | AnyOf | Like


@dataclass(frozen=True, slots=True)
class Scope:
    """Which processes an expression looks at, and how far back its rates reach.

    The same named expression serves a rule, `in_rules("5m")`, and a panel, whose scope has Grafana's variables.
    """

    window: str
    """A PromQL duration, or Grafana's `$__rate_interval`."""
    instances: str = ""
    """A regular expression for the `instance` label, or a variable; "" = every process that Prometheus scrapes."""
    reach: str = "1d"
    """How far back `peak` looks: all that a panel shows."""
    by_event: bool = False
    """Whether everything is told for each event: a rule sees all that Prometheus watches, a panel one event."""

    def of(self, metric: Metric, **labels: Matcher) -> str:
        """Return the selector of a metric's series. A label's matcher is a value, `one_of`, `none_of` or `Like`.

        Raises:
            PromqlError: the metric is a histogram or lacks such a label or value.
        """
        if metric.kind is Kind.HISTOGRAM:
            raise PromqlError(f"{metric.name} is a histogram: ask for its buckets, its rate or a quantile")
        return self._selector(metric, "", labels)

    def rate(self, metric: Metric, **labels: Matcher) -> str:
        """Return the per-second increase of a counter, or of a histogram's count, over the window.

        Raises:
            PromqlError: the metric is a gauge or lacks such a label or value.
        """
        return f"rate({self._selector(metric, _counted(metric), labels)}[{self.window}])"

    def increase(self, metric: Metric, **labels: Matcher) -> str:
        """Return how much a counter, or a histogram's count, grew within the window; raises as `rate`."""
        return f"increase({self._selector(metric, _counted(metric), labels)}[{self.window}])"

    def peak(self, metric: Metric, **labels: Matcher) -> str:
        """Return the largest value of each series of a gauge within the scope's reach; raises as `of`."""
        return f"max_over_time({self.of(metric, **labels)}[{self.reach}])"

    def quantile(self, share: float, metric: Metric, by: tuple[str, ...] = (), **labels: Matcher) -> str:
        """Return a quantile of a histogram over the window, all processes of an event together, by some labels.

        Raises:
            PromqlError: the metric is no histogram or lacks such a label or value.
        """
        buckets = self._selector(metric, _part(metric, "_bucket"), labels)
        grouped = ", ".join(("le", *self._kept(metric, by)))
        return f"histogram_quantile({share}, sum by ({grouped}) (rate({buckets}[{self.window}])))"

    def within(self, bound: str, metric: Metric, **labels: Matcher) -> str:
        """Return the share of a histogram's observations over the window that are at most `bound` (its `le`)."""
        buckets = self._selector(metric, _part(metric, "_bucket"), labels, f'le="{bound}"')
        by = self.by(metric)
        return f"sum{by}(rate({buckets}[{self.window}])) / sum{by}({self.rate(metric, **labels)})"

    def buckets(self, metric: Metric, **labels: Matcher) -> str:
        """Return the rate of each of a histogram's buckets, by `le`: what a heat map draws."""
        buckets = self._selector(metric, _part(metric, "_bucket"), labels)
        return f"sum by ({', '.join(('le', *self._kept(metric, ())))}) (rate({buckets}[{self.window}]))"

    def by(self, metric: Metric, *labels: str) -> str:
        """Return ` by (a, b) `, to stand between an aggregation and its parenthesis; "" if nothing is kept apart.

        Raises:
            PromqlError: the metric lacks such a label.
        """
        kept = self._kept(metric, labels)
        return f" by ({', '.join(kept)}) " if kept else ""

    def _kept(self, metric: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
        kept = _labels_of(metric, labels)
        return (EVENT, *kept) if self.by_event and EVENT not in kept else kept

    def _selector(self, metric: Metric, suffix: str, labels: dict[str, Matcher], *more: str) -> str:
        matchers = [f'{INSTANCE}=~"{self.instances}"'] if self.instances else []
        matchers += [_matcher(metric, name, matcher) for name, matcher in labels.items()]
        inner = ",".join((*matchers, *more))
        return f"{metric.name}{suffix}" + (f"{{{inner}}}" if inner else "")


def in_rules(window: str) -> Scope:
    """Return the scope of a rule: all that Prometheus watches, each event by itself."""
    return Scope(window, by_event=True)


@dataclass(frozen=True, slots=True)
class Query:
    """One named expression: call it with a scope. A fault in it is raised when it is declared, not when it is used."""

    in_scope: Callable[[Scope], str]

    def __post_init__(self) -> None:
        self.in_scope(Scope("5m"))

    def __call__(self, scope: Scope) -> str:
        """Return the PromQL."""
        return self.in_scope(scope)


def summed_rate(metric: Metric, *labels: str, **matchers: Matcher) -> Query:
    """Per second, all processes together: what counters of several gateways add up to."""
    return Query(lambda scope: f"sum{scope.by(metric, *labels)}({scope.rate(metric, **matchers)})")


def summed_increase(metric: Metric, *labels: str, **matchers: Matcher) -> Query:
    """How many within the scope's window, all processes together: for what happens once a minute."""
    return Query(lambda scope: f"sum{scope.by(metric, *labels)}({scope.increase(metric, **matchers)})")


def summed(metric: Metric, *labels: str, **matchers: Matcher) -> Query:
    """A gauge that each process has its own share of."""
    return Query(lambda scope: f"sum{scope.by(metric, *labels)}({scope.of(metric, **matchers)})")


def largest(metric: Metric, *labels: str, **matchers: Matcher) -> Query:
    """A gauge that all processes tell of the same thing, as live numbers, or whose worst is what matters."""
    return Query(lambda scope: f"max{scope.by(metric, *labels)}({scope.of(metric, **matchers)})")


def smallest(metric: Metric, *labels: str, **matchers: Matcher) -> Query:
    """A gauge whose least is what matters, as room on a disk."""
    return Query(lambda scope: f"min{scope.by(metric, *labels)}({scope.of(metric, **matchers)})")


def at_work(query: Query, label: str) -> Query:
    """Leave out series that are zero, so that of fifty reasons those are seen that happen; `none` is always there."""
    return Query(lambda scope: f'({query(scope)}) > 0 or label_replace(vector(0), "{label}", "none", "", "")')


def _labels_of(metric: Metric, names: tuple[str, ...]) -> tuple[str, ...]:
    known = {label.name for label in metric.labels} | {INSTANCE, JOB}
    if unknown := [name for name in names if name not in known]:
        raise PromqlError(f"{metric.name} has no label {', '.join(unknown)}")
    return names


def _matcher(metric: Metric, name: str, matcher: Matcher) -> str:
    _labels_of(metric, (name,))
    if isinstance(matcher, Like):
        return f"{name}{matcher}"
    match = matcher if isinstance(matcher, AnyOf) else one_of(matcher)
    for label in metric.labels:
        closed = label.name == name and label.more is None
        if closed and (unknown := {*match.values} - {*label.values}):
            raise PromqlError(f"{metric.name} has no {name} {', '.join(sorted(unknown))}")
    return f"{name}{match}"


def _counted(metric: Metric) -> str:
    if metric.kind is Kind.GAUGE:
        raise PromqlError(f"{metric.name} is a gauge: it has no rate")
    return "_count" if metric.kind is Kind.HISTOGRAM else ""


def _part(metric: Metric, suffix: str) -> str:
    if metric.kind is not Kind.HISTOGRAM:
        raise PromqlError(f"{metric.name} is no histogram")
    return suffix
