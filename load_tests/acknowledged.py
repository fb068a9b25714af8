"""What the gateway said yes to, and who was therefore present in which minute.

A presence key is `person << 32 | minute`. Sorted keys make "there a minute ago" a look at the neighbour on the left.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from load_tests.scenario import Programme

MINUTE_S: Final = 60
PERSON_SHIFT: Final = 32
"""Leaves a person's index to the left of a minute."""
MINUTE_BITS: Final = 26
"""Minutes since 1970, until 2097."""
SESSION_BITS: Final = 16
"""A session number (docs/event-file.md); 21 bits are left for people, which is far above any replay."""

Keys = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AcceptedScan:
    """A scan whose outcome was `accepted`, in the order of the answers."""

    person: int
    session: int  # number of the session that the person went to, or comes from; a gateway knows gate and time only
    gate: str
    nonce: str
    direction: str
    scanned_at: int  # unix s


@dataclass(slots=True)
class Acknowledged:
    """What the gateway said yes to. The replay is its one writer."""

    beats: list[tuple[int, Keys, Keys]] = field(default_factory=list)  # unix s, persons, sessions; no pauses
    views: list[tuple[int, int, int]] = field(default_factory=list)  # unix s, person, session
    scans: list[AcceptedScan] = field(default_factory=list)

    def beat(self, at: int, persons: Collection[int], sessions: Collection[int]) -> None:
        """Note the playing and background heartbeats of one step that were answered 204."""
        self.beats.append(
            (at, np.fromiter(persons, np.int64, len(persons)), np.fromiter(sessions, np.int64, len(sessions)))
        )

    def watching(self, since: int, until: int) -> int:
        """Return how many people sent a heartbeat in [since, until], staff included: what the live view estimates."""
        recent = [persons for at, persons, _ in self.beats[-10:] if since <= at <= until]
        return len(np.unique(np.concatenate(recent))) if recent else 0


def onsite_minutes(scans: Collection[AcceptedScan], programme: Programme) -> list[tuple[int, int, int]]:
    """Return (person, session, minute) of everybody on site.

    A scan is known by gate and nonce; the first answer counts. Presence runs from the minute of the in-scan to that of
    the out-scan, at most to the last scheduled minute. A scan that has no partner counts for its own minute.

    Both are for the session that the person went to, though it may not have begun: where an early visitor leaves again
    in the break, the gateway writes down the session before, and the certificate has to know better. The truth does
    not repeat that rule (docs/formats.md); it knows what the rule has to find out.
    """
    last_minute = {session.number: (session.ends_at - 1) // MINUTE_S for session in programme.sessions}
    once: dict[tuple[str, str], AcceptedScan] = {}
    for scan in scans:
        once.setdefault((scan.gate, scan.nonce), scan)
    visits: dict[tuple[int, int], list[AcceptedScan]] = {}
    for scan in sorted(once.values(), key=lambda scan: scan.scanned_at):
        visits.setdefault((scan.person, scan.session), []).append(scan)
    present: list[tuple[int, int, int]] = []
    for (person, session), passed in visits.items():
        entered: int | None = None
        for scan in passed:
            minute = scan.scanned_at // MINUTE_S
            minutes = range(minute, minute + 1)
            if scan.direction == "in":
                entered = minute
            elif entered is not None:
                minutes = range(entered, min(minute, last_minute[session]) + 1)
                entered = None
            present.extend((person, session, each) for each in minutes)
    return present


def distinct(values: Keys) -> Keys:
    """Return the different values, ascending; numpy.unique hashes first, which takes several times as long."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


@dataclass(frozen=True, slots=True)
class Presence:
    """Who was present where in which minute, each (person, session, minute) once: four columns of one table."""

    person: Keys
    session: Keys
    minute: Keys
    day: Keys  # index of the minute's local date

    def where(self, rows: npt.NDArray[np.bool_]) -> "Presence":
        """Return the rows for which the array, as long as they are, is true."""
        return Presence(self.person[rows], self.session[rows], self.minute[rows], self.day[rows])

    def plus(self, other: "Presence") -> "Presence":
        """Return the rows of both, one after the other."""
        return Presence(
            np.concatenate([self.person, other.person]),
            np.concatenate([self.session, other.session]),
            np.concatenate([self.minute, other.minute]),
            np.concatenate([self.day, other.day]),
        )

    def people(self) -> Keys:
        """Return who was present at all, ascending."""
        return distinct(self.person)

    def keys(self) -> Keys:
        """Return the presence keys, ascending, each once."""
        return distinct(self.person << PERSON_SHIFT | self.minute)
