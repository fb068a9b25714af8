"""Cases of two events that one Prometheus watches: of each alert the event that it is about fires, and no other.

They are made of an alert's own cases: what makes it fire, scraped of one event, beside what keeps it quiet, scraped of
another. Both have the same processes by name, so that nothing but the event tells them apart.
"""

import re
from typing import Final

from metrics.promql import EVENT, INSTANCE
from metrics.rule import Alert, Case, Fired, Severity

BURNING: Final = "expo"
WELL: Final = "forum"
OF_NO_EVENT: Final = frozenset(("TurnoutWitnessDown",))
"""Alerts on what belongs to no event: they are told once, whatever runs."""
_OF_ONE_PROCESS: Final = f"by ({EVENT}, {INSTANCE}"
_OWN: Final = re.compile(rf'\b{EVENT}="[^"]*",?')


def of_event(series: dict[str, str], event: str) -> dict[str, str]:
    """Return input series as they are when their targets have a label for their event; it replaces their own."""
    return {_labelled(name, event): values for name, values in series.items()}


def _labelled(name: str, event: str) -> str:
    metric, _, labels = name.removesuffix("}").partition("{")
    others = _OWN.sub("", labels).rstrip(",")
    return f'{metric}{{{others}{"," if others else ""}{EVENT}="{event}"}}'


def seconds(duration: str) -> int:
    """Return how long a PromQL duration of minutes and seconds is."""
    return sum(int(number) * {"m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([ms])", duration))


def needed(alert: Alert) -> bool:
    """Whether a case of two events can show anything that others do not: each takes promtool a third of a second.

    What is told of each process is told of one event's; and a ticket about an objective asks what its page asks.
    """
    asks_again = alert.severity is Severity.TICKET and "slo:" in alert.expression
    return not (alert.name in OF_NO_EVENT or _OF_ONE_PROCESS in alert.expression or asks_again)


def case_of(alert: Alert) -> Case:
    """Return the case of two events: the first that fires, and one that is known to stay quiet for as long.

    Raises:
        StopIteration: no case that fires has one that stays quiet beside it.
    """
    fires, quiet = next(
        (burning, well)
        for burning in alert.cases
        if burning.fires
        for well in alert.cases
        if not well.fires and seconds(well.at) >= seconds(burning.at)
    )
    return Case(
        f"{fires.sentence}, of the event that it is about alone",
        of_event(dict(fires.series), BURNING) | of_event(dict(quiet.series), WELL),
        fires.at,
        tuple(Fired({**fired.labels, EVENT: BURNING}, fired.value) for fired in fires.fires),
        fires.over_at,
    )
