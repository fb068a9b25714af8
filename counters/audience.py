"""The audience as whoever reads presence has to know it: canonical seats, who counts, and what will be asked of them.

Small enough to be handed to another process: the roll has done its work before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from pyroaring import BitMap

from counters.event import Event
from counters.evidence import SessionPresence
from counters.partition import seats_in, set_of
from counters.presence import Seats
from counters.reckoner import Asked, Reckoner
from counters.roll import Roll
from counters.window_leaf import people


@dataclass(frozen=True, slots=True)
class Aliases:
    """Seats that are not their attendee's canonical seat."""

    aliases: BitMap
    seats: Seats  # the same, ascending
    canonical_seats: Seats  # of each

    @classmethod
    def of(cls, roll: Roll) -> Self:
        """Return those of a roll."""
        return cls(roll.aliases, roll.alias_seats, roll.alias_of)

    def canonical(self, seats: BitMap) -> BitMap:
        """Return the attendees in these seats: every alias replaced by its canonical seat."""
        hits = seats & self.aliases
        if not hits:
            return seats
        found = self.canonical_seats[np.searchsorted(self.seats, seats_in(hits))]
        return (seats - hits) | set_of(np.unique(found))

    def canonical_of_each(self, seats: Seats) -> Seats:
        """Return the canonical seat of each seat."""
        if not len(self.seats):
            return seats
        at = np.minimum(np.searchsorted(self.seats, seats), len(self.seats) - 1)
        return np.where(self.seats[at] == seats, self.canonical_seats[at], seats)


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is who."""

    event: Event
    aliases: Aliases
    asked: Asked
    uncounted: BitMap  # attendees, besides guests that bit 31 marks, who are in no number of people
    aside: BitMap  # people who were ever on site

    def reckoner(self) -> Reckoner:
        """Return one that has not taken any window."""
        return Reckoner(self.event, self.asked, self.uncounted, self.aside)

    def canonical(self, seats: BitMap) -> BitMap:
        """Return the attendees in these seats."""
        return self.aliases.canonical(seats)

    def people(self, attendees: BitMap) -> BitMap:
        """Return who of them counts."""
        return people(attendees, self.uncounted)

    def unknown(self, sessions: Iterable[int]) -> set[int]:
        """Return the session numbers that the event does not have."""
        return {*sessions} - {session.number for session in self.event.sessions}

    def gross(self, merged: Mapping[int, SessionPresence]) -> dict[int, BitMap]:
        """Return by session of the event who was present, as all gateways together saw it."""
        known = {session.number for session in self.event.sessions}
        return {number: self.canonical(row.playing) for number, row in merged.items() if number in known}

    def net(self, gross: Mapping[int, BitMap]) -> dict[int, BitMap]:
        """Return who of them counts."""
        return {number: self.people(seats) for number, seats in gross.items()}
