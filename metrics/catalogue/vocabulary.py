"""What a metric is: its kind, the processes that expose it, and labels whose values form closed sets.

The rules of naming are Prometheus' ("Metric and label naming", https://prometheus.io/docs/practices/naming/). A label
never says anything about one viewer: no seat, pseudonym, view, token or address, and no attribute of an attendee but
the country, of which a cell of few people is not shown.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """A Prometheus metric type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Process(StrEnum):
    """Which process exposes a metric on its ops port."""

    GATEWAY = "gateway"
    LEDGER = "ledger"
    WITNESS = "witness"


class Open(StrEnum):
    """A closed set of label values that is known when a process starts, and then never grows."""

    REFUSALS = "refusals"  # the labels of every reason for which a gateway says no
    SESSIONS = "sessions"  # the ids of the event's sessions
    IDENTITY = "identity"  # one value: what this process is
    WITNESSES = "witnesses"  # the names of the event's witnesses
    COUNTRIES = "countries"  # ISO 3166-1 alpha-2, and what is none of them
    WORKERS = "workers"  # the places of a gateway's workers: 0, 1, 2 …


@dataclass(frozen=True, slots=True)
class Label:
    """One label: its name, the values that the catalogue fixes, and the set that joins them at start, if any."""

    name: str
    values: tuple[str, ...] = ()
    more: Open | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family as Prometheus sees it.

    `unit` is a base unit ("seconds", "bytes") or "" for plain numbers. `buckets` are a histogram's upper bounds in that
    unit, ascending, without +Inf. A `sparse` counter has samples only for the combinations of label values that the
    process names; any other has all of them from the start, at 0.
    """

    name: str
    kind: Kind
    help: str
    processes: tuple[Process, ...]
    labels: tuple[Label, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    sparse: bool = False


SESSION: Final = Label("session", more=Open.SESSIONS)


def outcome(values: tuple[str, ...], more: Open | None = None) -> tuple[Label, ...]:
    """Return the one label of a counter that counts by what became of something."""
    return (Label("outcome", values, more),)


def metrics_in(module: dict[str, object]) -> tuple[Metric, ...]:
    """Return the metrics that a module declares, in the order in which it does."""
    return tuple(value for value in module.values() if isinstance(value, Metric))
