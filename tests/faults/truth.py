"""What players know of an event, seat by seat: what was acknowledged to them, and what they so much as attempted.

A heartbeat counts in the window of the server's clock. Between sending and answer the clock may move on; then it is in
one of the windows from the one to the other. One that was broken off may have been recorded or not, until then; one
that nobody heard of again, at any time since. What was refused was not attempted: it must not be found.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus

from counters.segment import WINDOW_S

Place = tuple[int, int]
"""(session number, window)."""


@dataclass(frozen=True, slots=True)
class Straddling:
    """An acknowledged heartbeat that is in one of several windows."""

    session: int
    seat: int
    sent: int  # window
    answered: int  # window


@dataclass(slots=True)
class Truth:
    """What the players of one crowd know. Owned by the crowd, which locks it."""

    acknowledged: defaultdict[Place, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Seats with a heartbeat that was answered 204, where there is no doubt about the window."""
    attempted: defaultdict[Place, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Seats with a heartbeat that may be in the window, the acknowledged included."""
    straddling: list[Straddling] = field(default_factory=list)
    given_up: dict[tuple[int, int], int] = field(default_factory=dict)
    """(session, seat) -> the first window from which on a heartbeat may be recorded of which nobody heard again."""
    joined: set[int] = field(default_factory=set)  # seats whose join was answered 201
    people: dict[int, str] = field(default_factory=dict)  # seat -> name
    unanswered_joins: int = 0
    answers: Counter[int] = field(default_factory=Counter)  # heartbeats by status
    broken: int = 0  # heartbeats that were sent and never answered
    refused_connections: int = 0  # heartbeats that were not sent, since nobody listened

    @property
    def beats(self) -> int:
        """Heartbeats that were acknowledged."""
        return self.answers[HTTPStatus.NO_CONTENT]

    def may_be(self, session: int, window: int, seat: int) -> bool:
        """Whether a seat may be in the evidence of a window."""
        return seat in self.attempted[session, window] or self.given_up.get((session, seat), window + 1) <= window

    def note_answered(self, session: int, seat: int, sent: int, answered: int, status: int) -> None:
        """Note the answer to a heartbeat, and between which windows it came."""
        self.answers[status] += 1
        if status != HTTPStatus.NO_CONTENT:
            return
        if sent == answered:
            self.acknowledged[session, sent].add(seat)
        else:
            self.straddling.append(Straddling(session, seat, sent, answered))
        self._note_attempted(session, seat, sent, answered)

    def note_broken(self, session: int, seat: int, sent: int, broken: int) -> None:
        """Note a heartbeat that no answer will come to."""
        self.broken += 1
        self._note_attempted(session, seat, sent, broken)

    def note_given_up(self, session: int, seat: int, sent: int) -> None:
        """Note a heartbeat that lies in the socket of somebody who hangs to the end."""
        self.broken += 1
        self.given_up[session, seat] = min(sent, self.given_up.get((session, seat), sent))

    def note_joined(self, seat: int, name: str) -> None:
        """Note a join that was answered 201."""
        self.joined.add(seat)
        self.people[seat] = name

    def _note_attempted(self, session: int, seat: int, first: int, last: int) -> None:
        for window in range(first, last + 1, WINDOW_S):
            self.attempted[session, window].add(seat)
