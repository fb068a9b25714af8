"""What a process knows of its metrics at one moment: the values that the exposition puts names to."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from metrics.catalogue import BUILD_INFO, EVENT_INFO, SESSION_ENDS, SESSION_STARTS, Metric, Process

WHOLE_EVENT: Final = ""
"""The key that means the event in a mapping by session, as in a window's leaf."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took, as counts per bucket: one for each of the ascending bounds (s), and one above them."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float = 0.0

    @classmethod
    def none(cls, bounds: tuple[float, ...]) -> "Durations":
        """Return the durations of nothing yet."""
        return cls(bounds, (0,) * (len(bounds) + 1))

    def observed(self, seconds: float) -> "Durations":
        """Return these durations and one more."""
        at = bisect_left(self.bounds, seconds)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Durations(self.bounds, counts, self.sum_s + seconds)


Reading = (
    float | Durations | Mapping[str, float | None] | Mapping[str, Durations] | Mapping[tuple[str, str], float] | None
)
"""A number, durations, either by one label's values, numbers by two labels' values, or None: nothing is known yet.

Within a mapping, too, None is what is not known or not said: it has no sample.
"""


class Snapshot(Protocol):
    """A process at one moment."""

    process: ClassVar[Process]

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield what is known of every metric that the catalogue declares for the process, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process is: version of the software, id of the event, and whether its clock is simulated.

    `sessions` says by id when each begins and ends, unix seconds on the event's clock.
    """

    version: str
    event: str
    simulated: bool
    sessions: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield them."""
        yield BUILD_INFO, {self.version: 1}
        yield EVENT_INFO, {(self.event, str(self.simulated).lower()): 1}
        yield SESSION_STARTS, {session: starts_s for session, (starts_s, _) in self.sessions.items()}
        yield SESSION_ENDS, {session: ends_s for session, (_, ends_s) in self.sessions.items()}


def of_sessions(by_session: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the sessions' numbers, without the whole event's."""
    return {session: number for session, number in by_session.items() if session != WHOLE_EVENT}
