"""Views: every playback session once, by the join that opened it; and how many of them a crowd opened.

A view is a (session, view id); of several joins that name it the earliest counts, then that of the lowest seat. Views
are kept as sets of attendees: by session and day who opened one, who opened a second one, and so on. So forty million
attendees with a hundred million views take some 300 MB, and views of a country are a few intersections.

`ViewsReader` takes journals in one by one, so that they need not be in memory. Until it has them all it keeps 20 bytes
a join: only then is known which are of one view.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.event import Event
from counters.invalid_attendees import reasons_of
from counters.invalid_traffic import flags_of
from counters.journal_segment import JournalSegment
from counters.partition import seats_in, set_of
from counters.roll import Roll, Seats

BATCH: Final = 1 << 22
"""Joins that are gathered before they are put away by session: journals are small, and there are thousands of them."""
_MINUTE_MS: Final = 60_000
_FLAGGED: Final = ("seat", "session", "view", "joined_at_ms", "filters")

Cell = tuple[int, str]
"""Session number and day ("2023-11-19")."""
Layers = tuple[BitMap, ...]
"""Who opened at least one view, at least two, …; canonical seats."""


class Views:
    """Every view once. Sets in it are shared: read them only."""

    def __init__(self, cells: Mapping[Cell, Layers]) -> None:
        """Take who opened views, by session and day."""
        self._cells = {cell: layers for cell, layers in cells.items() if layers and layers[0]}
        self._together: dict[tuple[int | None, str | None], Layers] = {}

    @classmethod
    def of(cls, seats: Seats, sessions: npt.NDArray[np.uint16], days: npt.NDArray[np.str_]) -> "Views":
        """Return the views of these columns of equal length: canonical seat, session number, day."""
        cells = {}
        for number in np.unique(sessions).tolist():
            here = sessions == number
            for day in np.unique(days[here]).tolist():
                cells[number, day] = _layers(seats[here & (days == day)])
        return cls(cells)

    def __len__(self) -> int:
        """Return how many there are."""
        return self.count(None, None, None)

    @property
    def days(self) -> tuple[str, ...]:
        """The days on which views were opened, ascending."""
        return tuple(sorted({day for _, day in self._cells}))

    def count(self, session: int | None, day: str | None, among: BitMap | None) -> int:
        """Return how many views: of a session, opened on a day, by some attendees (None: all)."""
        if among is None:
            return sum(len(layer) for cell in self._chosen(session, day) for layer in self._cells[cell])
        return sum(layer.intersection_cardinality(among) for layer in self._joined(session, day))

    def among(self, attendees: BitMap) -> "Views":
        """Return the views that these attendees opened."""
        return Views({cell: tuple(layer & attendees for layer in layers) for cell, layers in self._cells.items()})

    def without(self, attendees: BitMap) -> "Views":
        """Return the views that none of these attendees opened."""
        return Views({cell: tuple(layer - attendees for layer in layers) for cell, layers in self._cells.items()})

    def _chosen(self, session: int | None, day: str | None) -> list[Cell]:
        return [cell for cell in self._cells if session in (None, cell[0]) and day in (None, cell[1])]

    def _joined(self, session: int | None, day: str | None) -> Layers:
        """Return the layers of several cells as one: each set of attendees is asked about this many times over."""
        key = session, day
        if key not in self._together:
            chosen = [self._cells[cell] for cell in self._chosen(session, day)]
            seats = [seats_in(layer) for layers in chosen for layer in layers]
            alone = len(chosen) == 1
            self._together[key] = chosen[0] if alone else _layers(np.concatenate([np.empty(0, np.uint32), *seats]))
        return self._together[key]


def _layers(seats: Seats) -> Layers:
    """Return the layers of attendees who each opened as many views as they are named times."""
    layers, rest = [], np.sort(seats)
    while len(rest):
        first = np.ones(len(rest), bool)
        first[1:] = rest[1:] != rest[:-1]
        layers.append(set_of(rest[first]))
        rest = rest[~first]
    return tuple(layers)


@dataclass(frozen=True, slots=True)
class Opened:
    """Joins that name a view of one session; columns of equal length."""

    seats: Seats
    views: npt.NDArray[np.uint64]
    joined_at_ms: npt.NDArray[np.uint64]

    def only(self, kept: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Opened":
        """Return those that are chosen."""
        return Opened(self.seats[kept], self.views[kept], self.joined_at_ms[kept])

    @classmethod
    def all(cls, parts: Iterable["Opened"]) -> "Opened":
        """Return those of all parts."""
        parts = list(parts)
        return cls(
            np.concatenate([np.empty(0, np.uint32), *(part.seats for part in parts)]),
            np.concatenate([np.empty(0, np.uint64), *(part.views for part in parts)]),
            np.concatenate([np.empty(0, np.uint64), *(part.joined_at_ms for part in parts)]),
        )


class ViewsReader:
    """Takes journals in, in any order. Owned by its caller."""

    def __init__(self, event: Event) -> None:
        """Start without any."""
        self._event = event
        self._excluded = np.uint32(flags_of(event.counting.exclude_traffic))
        self._flagged: list[npt.NDArray[np.void]] = []  # joins that are invalid traffic
        self.sound = Views({})
        """Once built: the views that were not opened by invalid traffic."""
        self.invalid: dict[str, int] = {}
        """Once built: how many views were, by the reason that takes them out."""
        self._by_session: dict[int, list[Opened]] = {session.number: [] for session in event.sessions}
        self._sessions: list[npt.NDArray[np.uint16]] = []
        self._batch: list[Opened] = []
        self._waiting = 0

    def add(self, journal: JournalSegment) -> None:
        """Take in a journal."""
        joins = journal.joins
        named = joins["view"] != 0
        if self._excluded and (flagged := named & ((joins["filters"] & self._excluded) != 0)).any():
            self._flagged.append(joins[flagged][list(_FLAGGED)])
        self._sessions.append(joins["session"][named])
        self._batch.append(Opened(joins["seat"][named], joins["view"][named], joins["joined_at_ms"][named]))
        self._waiting += len(self._sessions[-1])
        if self._waiting >= BATCH:
            self._put_away()

    def build(self, roll: Roll) -> Views:
        """Return every view once. Takes what was gathered: only to be called once, when all journals are in."""
        self._put_away()
        cells: dict[Cell, Layers] = {}
        sound: dict[Cell, Layers] = {}
        for number in sorted(self._by_session):
            opened = _once(Opened.all(self._by_session.pop(number)))
            for day, seats in self._by_day(opened):
                cells[number, day] = _layers(roll.canonical_seats(seats))
            kept = self._sound(number, opened)
            for day, seats in self._by_day(opened if kept is None else opened.only(kept)):
                sound[number, day] = cells[number, day] if kept is None else _layers(roll.canonical_seats(seats))
        self.sound = Views(sound)
        return Views(cells)

    def _sound(self, session: int, opened: Opened) -> npt.NDArray[np.bool_] | None:
        """Return which views were not opened by invalid traffic, None for all of them; count the others."""
        parts = [part[part["session"] == session] for part in self._flagged]
        if not any(map(len, parts)):
            return None
        flagged: npt.NDArray[np.void] = np.concatenate(parts)
        # The join that opened a view is known by its time and seat: of two in one millisecond either is as good.
        by_view = np.argsort(opened.views, kind="stable")
        at = np.minimum(np.searchsorted(opened.views[by_view], flagged["view"]), len(by_view) - 1)
        row = by_view[at]
        opener = (
            (opened.views[row] == flagged["view"])
            & (opened.joined_at_ms[row] == flagged["joined_at_ms"])
            & (opened.seats[row] == flagged["seat"])
        )
        filters = np.zeros(len(opened.views), np.uint32)
        np.bitwise_or.at(filters, row[opener], flagged["filters"][opener])
        kept = np.ones(len(filters), bool)
        for reason, under in reasons_of(self._event, filters):
            self.invalid[reason] = self.invalid.get(reason, 0) + int(np.count_nonzero(under))
            kept &= ~under
        return kept

    def _put_away(self) -> None:
        """Sort the batch by session. Joins of sessions that the event does not have open no view."""
        sessions, batch = np.concatenate([np.empty(0, np.uint16), *self._sessions]), Opened.all(self._batch)
        order = np.argsort(sessions, kind="stable")
        ends = np.searchsorted(sessions[order], np.array(list(self._by_session), np.int64) + 1)
        starts = np.searchsorted(sessions[order], np.array(list(self._by_session), np.int64))
        for parts, start, end in zip(self._by_session.values(), starts.tolist(), ends.tolist(), strict=True):
            if end > start:
                parts.append(batch.only(order[start:end]))
        self._sessions, self._batch, self._waiting = [], [], 0

    def _by_day(self, opened: Opened) -> Iterable[tuple[str, Seats]]:
        if not len(opened.seats):
            return
        minutes = opened.joined_at_ms // _MINUTE_MS
        first, last = (self._event.day(int(minute) * 60) for minute in (minutes.min(), minutes.max()))
        if first == last:  # almost every session is on one day
            yield first, opened.seats
            return
        distinct, at = np.unique(minutes, return_inverse=True)
        days = np.array([self._event.day(int(minute) * 60) for minute in distinct.tolist()], "U10")[at.reshape(-1)]
        for day in np.unique(days).tolist():
            yield day, opened.seats[days == day]


def _once(opened: Opened) -> Opened:
    """Return each view once, by its earliest join, then that of the lowest seat."""
    ascending = np.sort(opened.views)
    again = np.unique(ascending[1:][ascending[1:] == ascending[:-1]])
    del ascending
    if not len(again):
        return opened
    several = np.isin(opened.views, again)
    doubtful = np.flatnonzero(several)
    views, times, seats = opened.views[doubtful], opened.joined_at_ms[doubtful], opened.seats[doubtful]
    order = np.lexsort((seats, times, views))
    first = np.ones(len(order), bool)
    first[1:] = views[order][1:] != views[order][:-1]
    kept = ~several
    kept[doubtful[order[first]]] = True
    return opened.only(kept)
