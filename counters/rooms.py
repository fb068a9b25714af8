"""Who is on site now: the newest scan of every attendee, whichever gateway took it.

The rule is that of counters.onsite: inside a session is whose last scan, at whatever gate, is an entry for it, until
the session's last scheduled window has ended. So nobody is inside two sessions. Of two scans in one millisecond the
exit is later, as it is there.

A scan is one number that orders like that, 60 bits: the scanner's clock in unix ms (bits 18–59), direction (16–17),
session number (0–15). Example: an exit (2) from session 3 at 1,700,355,600,000 ms is
1,700,355,600,000 · 2^18 + 2 · 2^16 + 3. The newest scan is the largest number, so scans may come in any order, late and
many times: what is known of an attendee only grows, and all who have heard the same scans know the same.

Two things the evidence knows better. An entry without an exit is presence in its own window only, but whether an exit
will come nobody knows yet: here everybody stays until they leave. And where one gate and nonce names two different
scans, as may happen while the registry is away, counting takes the first and this the newest.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np

from counters import hyperloglog
from counters.event import Event
from counters.hyperloglog import RANK_SHIFT, REGISTER_MASK, Registers
from counters.journal import Direction, Scan
from counters.live_counts import WHOLE_EVENT
from counters.segment import WINDOW_S

Passage = tuple[bytes, int]
"""An attendee's pseudonym, and a scan of theirs as a number."""
_TIME_SHIFT: Final = 18
_DIRECTION_SHIFT: Final = 16
_SESSION_MASK: Final = 0xFFFF


def in_order(scan: Scan) -> int:
    """Return a scan as the number that orders it among those of its attendee."""
    return scan.scanned_at_ms << _TIME_SHIFT | scan.direction << _DIRECTION_SHIFT | scan.session


class Rooms:
    """Who is in which session's room. Owned by its caller."""

    def __init__(self, event: Event) -> None:
        """Start with empty rooms."""
        self._ends = {
            session.number: event.session_windows(session)[-1] + WINDOW_S for session in event.sessions if session.gates
        }
        self._newest: dict[bytes, int] = {}
        self._inside: dict[int, dict[bytes, int]] = {number: {} for number in self._ends}  # to sketch positions
        self._sketches: dict[int, Registers] = {}  # those that are not out of date

    def take(self, passages: Iterable[Passage]) -> list[Passage]:
        """Take scans in; return those that were news."""
        return [passage for passage in passages if self._is_news(*passage)]

    def everybody(self) -> Iterator[Passage]:
        """Yield the newest scan of every attendee."""
        yield from self._newest.items()

    def inside(self, now: float) -> Mapping[int, Iterable[bytes]]:
        """Return the pseudonyms in each session's room, for sessions with gates that are not over."""
        return {number: self._inside[number].keys() for number in self._open(now)}

    def sketches(self, now: float) -> dict[int, Registers]:
        """Return the sketch of who is in each room, and of everybody on site (0); rooms of sessions over are empty."""
        found = {}
        for number in self._ends:
            if number not in self._sketches:
                self._sketches[number] = _sketch(self._inside[number].values())
            found[number] = self._sketches[number]
        for number in self._ends.keys() - self._open(now):
            found[number] = hyperloglog.empty()
        return {WHOLE_EVENT: hyperloglog.merge(found.values())} | found

    def over(self, now: float) -> bool:
        """Return whether no room will ever have anybody in it again."""
        return not self._open(now)

    def _open(self, now: float) -> set[int]:
        return {number for number, ends in self._ends.items() if now < ends}

    def _is_news(self, name: bytes, scan: int) -> bool:
        before = self._newest.get(name, 0)
        if scan <= before:
            return False
        self._newest[name] = scan
        self._move(name, _room(before), _room(scan))
        return True

    def _move(self, name: bytes, out_of: int, into: int) -> None:
        if out_of == into:
            return
        for number in (out_of, into):
            self._sketches.pop(number, None)
        position = self._inside.get(out_of, {}).pop(name, None)
        if into in self._inside:
            # A sketch of one shard has no use for the selector.
            self._inside[into][name] = hyperloglog.position(name, 0) if position is None else position


def _room(scan: int) -> int:
    """Return the number of the session that a scan leaves somebody in; 0 = none."""
    entered = scan >> _DIRECTION_SHIFT & 3 == Direction.IN
    return scan & _SESSION_MASK if entered else 0


def _sketch(positions: Iterable[int]) -> Registers:
    """Return the sketch of elements at these positions."""
    packed = np.fromiter(positions, np.uint32)
    registers = hyperloglog.empty()
    np.maximum.at(registers, packed & REGISTER_MASK, (packed >> RANK_SHIFT).astype(np.uint8))
    return registers
