"""One pass over the windows: everything that counting rules ask about presence online, in bounded memory.

Windows are taken in the order of time, each once, with the set of attendees of each session. What is kept of a window
is a few numbers; its sets are let go of when the next one is there. Nearly all work is done on who came and who went
since the window before: a small part of who is present.

- present, arrived: per window, session and part of the audience (counters.partition).
- within: who was present on a day in a session, as unions.
- runs: somebody present in window w was there in n windows running unless they arrived in one of the last n − 1 of
  these. So who completes n minutes in w is who arrived in w − n + 1, is present in w, and did not arrive since.
- minutes: counters.stays, in schedule and outside apart.

People who were ever on site are few: of them every set is kept (`Totals.aside`), and nothing else is counted here, so
that presence on both channels can be laid over each other afterwards (counters.counted).

A reckoner may begin anywhere after windows that only warm it up, as many as the longest run needs: totals of parts of
an event add up to those of the whole, wherever it was divided.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pyroaring import BitMap

from counters.event import Event
from counters.partition import Counts, Partition
from counters.segment import WINDOW_S
from counters.stays import Minutes, Seats, Stays
from counters.window_leaf import FIRST_GUEST_SEAT, SEATS_END

Sets = Mapping[int, BitMap]
"""By session number."""
Place = tuple[int | None, int]
"""Session number, or None for all sessions together, and window (unix seconds)."""
Run = tuple[int | None, int, bool]
"""Session number or None, length in windows, and whether only presence in schedule counts."""
NOBODY: Final = BitMap()
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Asked:
    """What will be asked: known before the first window is read."""

    runs: frozenset[Run] = frozenset()
    minutes: bool = True
    of_event: tuple[Partition, ...] = ()  # whoever is present in any session is counted by these parts …
    of_sessions: tuple[Partition, ...] = ()  # … and whoever is present in one session by these

    @property
    def longest_run(self) -> int:
        """In windows; as many, less one, warm a reckoner up."""
        return max((length for _, length, _ in self.runs), default=1)


@dataclass(slots=True)
class Totals:
    """What a pass has found. All but `gross` and `within` is without whoever does not count, or was ever on site."""

    present: dict[Place, int] = field(default_factory=dict)
    arrived: dict[Place, int] = field(default_factory=dict)
    parts: dict[Place, list[tuple[Counts, Counts]]] = field(default_factory=dict)  # present, arrived; by partition
    gross: dict[Place, int] = field(default_factory=dict)
    within: dict[tuple[int, str], BitMap] = field(default_factory=dict)  # by session and day, gross
    runs: dict[tuple[Run, str], BitMap] = field(default_factory=dict)  # by day of their last window
    minutes: dict[tuple[int | None, bool], list[tuple[Seats, Minutes]]] = field(default_factory=dict)
    """By session and whether in its schedule; packed counters, to be added up modulo 2^16."""
    aside: dict[int, dict[int, BitMap]] = field(default_factory=dict)  # by window and session: people once on site

    def add(self, other: "Totals") -> None:
        """Add those of other windows."""
        for name in ("present", "arrived", "parts", "gross", "aside"):
            getattr(self, name).update(getattr(other, name))
        _unite(self.within, other.within)
        _unite(self.runs, other.runs)
        for line, packed in other.minutes.items():
            self.minutes.setdefault(line, []).extend(packed)


def _unite(into: dict[K, BitMap], more: Mapping[K, BitMap]) -> None:
    for key, attendees in more.items():
        if key in into:
            into[key] |= attendees
        else:
            into[key] = attendees


@dataclass(slots=True)
class _Track:
    """Follows one sequence of sets: of one session or all, in schedule or outside or both. Owned by a reckoner."""

    hidden: BitMap  # who is not counted here, besides guests
    partitions: tuple[Partition, ...] | None = None  # None: who is present is not counted
    lengths: tuple[int, ...] = ()  # of runs
    stays: Stays | None = None
    here: BitMap = NOBODY  # of the last window, those hidden among them
    present: int = 0
    parts: list[Counts] = field(default_factory=list)
    arrived_parts: list[Counts] = field(default_factory=list)
    begun: bool = False  # whether `present`, `parts` and `stays` count who is here
    arrivals: dict[int, BitMap] = field(default_factory=dict)  # by window, as far back as runs need it

    def people(self, attendees: BitMap) -> BitMap:
        """Return who of them is counted here."""
        net = attendees - self.hidden if self.hidden else attendees
        if net and net.max() >= FIRST_GUEST_SEAT:
            net = net.copy()
            net.remove_range(FIRST_GUEST_SEAT, SEATS_END)
        return net

    def change(self, now: BitMap) -> tuple[BitMap, BitMap]:
        """Return who has come and who has gone since the last window."""
        if now is self.here:
            return NOBODY, NOBODY
        return self.people(now - self.here), self.people(self.here - now)

    def warm_up(self, window: int, now: BitMap, arrived: BitMap) -> None:
        """Go on to a window that is not counted."""
        self.here, self.begun = now, False
        self._remember(window, arrived)

    def take(self, window: int, now: BitMap, arrived: BitMap, left: BitMap) -> None:
        """Go on to the next window: who is in it, and who of those counted here came and went."""
        number, partitions = window // WINDOW_S, self.partitions or ()
        self.arrived_parts = [partition.counts(arrived) for partition in partitions]
        if self.begun:
            self.present += len(arrived) - len(left)
            for at, partition in enumerate(partitions):
                self.parts[at] = self.parts[at] + self.arrived_parts[at] - partition.counts(left)
            if self.stays is not None:
                self.stays.leave(left, number)
                self.stays.arrive(arrived, number)
                self.stays.pack_if_idle(number)
        else:
            everybody = self.people(now)
            self.present, self.begun = len(everybody), True
            self.parts = [partition.counts(everybody) for partition in partitions]
            if self.stays is not None:
                self.stays.arrive(everybody, number)
        self.here = now
        self._remember(window, arrived)

    def _remember(self, window: int, arrived: BitMap) -> None:
        if self.lengths:
            oldest = window - (max(self.lengths) - 1) * WINDOW_S
            self.arrivals = {at: seats for at, seats in self.arrivals.items() if at >= oldest}
            self.arrivals[window] = arrived

    def running(self, window: int, length: int) -> BitMap:
        """Return who was present in as many windows running, this the last of them."""
        recent = [seats for at, seats in self.arrivals.items() if at > window - (length - 1) * WINDOW_S]
        return _less(self.people(self.here), recent)

    def completing(self, window: int, length: int) -> BitMap:
        """Return who of them was not yet one window ago."""
        first = self.arrivals.get(window - (length - 1) * WINDOW_S, NOBODY)
        recent = [seats for at, seats in self.arrivals.items() if at > window - (length - 1) * WINDOW_S]
        return _less(first & self.here, recent)

    def interrupt(self, window: int) -> None:
        """Let everybody go: the next window is not this one, which follows on the last."""
        if self.begun and self.stays is not None:
            self.stays.leave(self.people(self.here), window // WINDOW_S)
        self.here, self.begun, self.arrivals = NOBODY, False, {}


def _less(attendees: BitMap, without: Iterable[BitMap]) -> BitMap:
    for some in without:
        if not attendees:
            break
        if some:
            attendees = attendees - some
    return attendees


class Reckoner:
    """Takes windows in ascending order. Owned by whoever reads them; the sets that it is given are not changed."""

    def __init__(self, event: Event, asked: Asked, uncounted: BitMap, aside: BitMap) -> None:
        """Start before the first window.

        Args:
            event: of leaf 0.
            asked: what will be.
            uncounted: seats besides guests' of whoever is in no number of people.
            aside: people who were ever on site.
        """
        self._event, self._asked, self._aside = event, asked, aside
        self._counted = _Track(uncounted)
        self._hidden = uncounted | aside
        self._totals = Totals()
        self._last: int | None = None
        self._tracks: dict[tuple[int | None, bool | None], _Track] = {}
        """By session number, and whether it is what is in its schedule, outside of it, or both (None)."""

    def take(self, window: int, sets: Sets, *, counting: bool = True) -> None:
        """Take a window with the canonical seats of everybody online, by number of the event's sessions.

        Those that only warm the reckoner up (not `counting`) come first.
        """
        if self._last is not None and window != self._last + WINDOW_S:
            self._interrupt()
        self._last = window
        on = {session.number for session in self._event.scheduled(window)}
        came, went = [NOBODY], [NOBODY]
        for session in sorted(sets.keys() | {number for number, _ in self._tracks if number is not None}):
            track, now = self._track(session, None), sets.get(session, NOBODY)
            if not now and not track.here:
                continue
            before = track.here
            come, gone = (NOBODY, NOBODY) if now is before else (now - before, before - now)
            if counting:
                self._take_gross(window, session, now, come)
            change = track.people(come), track.people(gone)
            arrived, left = self._follow(window, (session, None), now, change, counting=counting)
            for inside in (True, False):
                there = now if inside == (session in on) else NOBODY
                same = there is now and self._track(session, inside).here is before
                self._follow(window, (session, inside), there, change if same else None, counting=counting)
            came.append(arrived)
            went.append(left)
        self._take_all(window, sets, (BitMap.union(*came), BitMap.union(*went)), on, counting=counting)

    def totals(self) -> Totals:
        """Return what was found; nothing may be taken after."""
        self._interrupt()
        for (session, inside), track in self._tracks.items():
            if track.stays is not None and inside is not None and (packed := track.stays.packed()):
                self._totals.minutes[session, inside] = packed
        return self._totals

    def _track(self, session: int | None, inside: bool | None) -> _Track:
        key = session, inside
        if key not in self._tracks:
            asked = self._asked
            lengths = tuple(
                length for of, length, in_schedule in asked.runs if of == session and in_schedule is bool(inside)
            )
            self._tracks[key] = _Track(
                self._hidden,
                None if inside is not None else asked.of_event if session is None else asked.of_sessions,
                () if inside is False else lengths,
                Stays() if inside is not None and asked.minutes else None,
            )
        return self._tracks[key]

    def _take_gross(self, window: int, session: int, now: BitMap, come: BitMap) -> None:
        totals, key = self._totals, (session, self._event.day(window))
        totals.gross[session, window] = len(now)
        if key in totals.within:
            totals.within[key] |= come
        else:
            totals.within[key] = now.copy()
        if aside := self._counted.people(now & self._aside):
            totals.aside.setdefault(window, {})[session] = aside

    def _follow(
        self,
        window: int,
        key: tuple[int | None, bool | None],
        now: BitMap,
        change: tuple[BitMap, BitMap] | None,
        *,
        counting: bool,
    ) -> tuple[BitMap, BitMap]:
        """Go on to the next window in one sequence of sets; return who came and who went."""
        session, inside = key
        track, totals = self._track(session, inside), self._totals
        arrived, left = track.change(now) if change is None else change
        if not counting:
            track.warm_up(window, now, arrived)
            return arrived, left
        if not now and not track.here:
            return arrived, left
        track.take(window, now, arrived, left)
        if track.partitions is not None:
            totals.present[session, window], totals.arrived[session, window] = track.present, len(arrived)
            totals.parts[session, window] = list(zip(track.parts, track.arrived_parts, strict=True))
        day = self._event.day(window)
        for length in track.lengths:
            of = (session, length, bool(inside)), day
            if of in totals.runs:
                totals.runs[of] |= track.completing(window, length)
            else:  # whoever is in a run that began on the day before is in one of this day as well
                totals.runs[of] = track.running(window, length).copy()
        return arrived, left

    def _take_all(
        self, window: int, sets: Sets, change: tuple[BitMap, BitMap], on: set[int], *, counting: bool
    ) -> None:
        """Take whoever is present in any session."""
        before = self._track(None, None).here
        came, went = change
        arrived = came - before
        stay = BitMap.union(NOBODY, *(went & seats for seats in sets.values())) if went else NOBODY
        left = went - stay
        everybody = before
        if arrived:
            everybody = everybody | arrived
        if left:
            everybody = everybody - left
        self._follow(window, (None, None), everybody, (arrived, left), counting=counting)
        present = {session for session, seats in sets.items() if seats}
        if present <= on:
            inside, outside = everybody, NOBODY
        else:
            seats = [sets[session] for session in present & on]
            inside = BitMap.union(NOBODY, *seats) & everybody if seats else NOBODY
            outside = everybody - inside
        for there, is_inside in ((inside, True), (outside, False)):
            same = there is everybody and self._track(None, is_inside).here is before
            self._follow(window, (None, is_inside), there, (arrived, left) if same else None, counting=counting)

    def _interrupt(self) -> None:
        if self._last is not None:
            for track in self._tracks.values():
                track.interrupt(self._last + WINDOW_S)
