"""What the ledger knows of the newest sealed window for /metrics."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from metrics import catalogue
from metrics.catalogue import Metric
from metrics.readings import WHOLE_EVENT, Reading, of_sessions


@dataclass(frozen=True, slots=True)
class WindowSnapshot:
    """The newest sealed window; "" is the whole event among sessions. What must not be shown is left out."""

    attendees: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by session id and channel
    countries: Mapping[str, int] = field(default_factory=dict)
    differences: Mapping[str, float] = field(default_factory=dict)  # standard errors, by session id
    compared: int = 0  # windows whose two paths were compared

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield what is known of every metric of the newest window."""
        sessions = {place: number for place, number in self.attendees.items() if place[0] != WHOLE_EVENT}
        event = {channel: number for (session, channel), number in self.attendees.items() if session == WHOLE_EVENT}
        yield catalogue.WINDOW_ATTENDEES, sessions
        yield catalogue.WINDOW_EVENT_ATTENDEES, event
        yield catalogue.WINDOW_COUNTRY_ATTENDEES, self.countries
        yield catalogue.WINDOW_DIFFERENCE, of_sessions(self.differences)
        yield catalogue.WINDOW_EVENT_DIFFERENCE, self.differences.get(WHOLE_EVENT)
        yield catalogue.WINDOWS_COMPARED, self.compared
