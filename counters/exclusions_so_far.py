"""Who is excluded, as the log so far knows it, and which views were opened by those who are not."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from counters.event import Event
from counters.journal import JoinKind
from counters.journal_segment import JournalSegment, Records


class ExclusionsSoFar:
    """Which seats the journals sealed so far exclude: a seat's first identity in the log decides.

    The owner is whoever reads windows in the order of the log: the sealer, and the verifier after it. (A certificate
    decides by the attendee's earliest join; where late evidence makes a difference, it says so in `checkable_by`.)
    """

    def __init__(self, event: Event) -> None:
        """Start before the first window."""
        self._categories = event.counting.exclude_categories
        self._known = BitMap()
        self.excluded = BitMap()
        """Seats; to be read, and changed by nobody else."""
        self._views = dict[int, int]()

    def copy(self) -> "ExclusionsSoFar":
        """Return another that starts from here: what is added to it does not show here."""
        other = ExclusionsSoFar.__new__(ExclusionsSoFar)
        other._categories = self._categories  # noqa: SLF001 - the same class
        other._known = self._known.copy()  # noqa: SLF001
        other.excluded = self.excluded.copy()
        other._views = dict(self._views)  # noqa: SLF001
        return other

    def add(self, journals: Iterable[JournalSegment]) -> None:
        """Take in the journals of the next leaf, late leaves included."""
        if not self._categories:
            return
        seats, times, barred = [np.empty(0, np.uint32)], [np.empty(0, np.uint64)], [np.empty(0, bool)]
        for journal in journals:
            joins = journal.joins[journal.joins["kind"] != JoinKind.VIEWING_TOKEN]
            excluded = np.array([text in self._categories for text in journal.texts], bool)
            seats.append(joins["seat"])
            times.append(joins["joined_at_ms"])
            barred.append(excluded[joins["category"]] if len(joins) else np.empty(0, bool))
        seat, time, out = np.concatenate(seats), np.concatenate(times), np.concatenate(barred)
        fresh = set_of(seat) - self._known
        if out.any():
            # Few are of excluded categories: only of their seats it matters which identity came first.
            here = np.isin(seat, np.unique(seat[out]))
            seat, time, out = seat[here], time[here], out[here]
            order = np.lexsort((out, time, seat))  # of two identities in one millisecond, the one that counts
            first, at = np.unique(seat[order], return_index=True)
            self.excluded |= BitMap(first[out[order][at]]) & fresh
        self._known |= fresh

    def leave_out(self, views: Mapping[int, int]) -> Mapping[int, int]:
        """Add the views that the next window leaves out (`Opened`); return those of all windows so far."""
        for number, left_out in views.items():
            self._views[number] = self._views.get(number, 0) + left_out
        return dict(self._views)


@dataclass(frozen=True, slots=True)
class Opened:
    """The different views that joins opened, by session number."""

    counted: Mapping[int, int]
    left_out: Mapping[int, int]  # those that excluded seats opened


def set_of(seats: npt.NDArray[np.uint32]) -> BitMap:
    """Return the set of these seats."""
    # An array goes to the bitmap's own loop; a numpy array's elements would become Python integers one by one.
    return BitMap(array("I", np.sort(seats).tobytes()))


def views_opened(journals: Iterable[JournalSegment], excluded: BitMap) -> Opened:
    """Return how many views the joins of a window opened; a view counts once."""
    counted, left_out = list[Records](), list[Records]()
    for joins in map(_opening, journals):
        out = _are_of(excluded, joins)
        left_out.append(joins[out])
        counted.append(joins[~out] if out.any() else joins)
    return Opened(_counted(counted), _counted(left_out))


def views_left_out(journals: Iterable[JournalSegment], excluded: BitMap) -> Mapping[int, int]:
    """Return `Opened.left_out` alone: where nobody is excluded, as nearly everywhere, it costs nothing."""
    return _counted(joins[_are_of(excluded, joins)] for joins in map(_opening, journals)) if excluded else {}


def _opening(journal: JournalSegment) -> Records:
    """Return the joins of a journal that opened a view."""
    opening: Records = journal.joins[journal.joins["view"] != 0]
    return opening


def _are_of(seats: BitMap, joins: Records) -> npt.NDArray[np.bool_]:
    """Return which joins are of these seats."""
    if not (seats and (here := set_of(joins["seat"]) & seats)):
        return np.zeros(len(joins), bool)
    return np.isin(joins["seat"], np.frombuffer(here.to_array(), np.uint32))


def _counted(parts: Iterable[Records]) -> dict[int, int]:
    """Return by session number how many different views joins opened."""
    sessions, views = [np.empty(0, np.uint16)], [np.empty(0, np.uint64)]
    for joins in parts:
        sessions.append(joins["session"])
        views.append(joins["view"])
    session, view = np.concatenate(sessions), np.concatenate(views)
    order = np.argsort(view)
    if (view[order][1:] == view[order][:-1]).any():  # hardly ever: each join opens a view of its own
        order = np.lexsort((session, view))
        first = np.ones(len(order), bool)
        first[1:] = (view[order][1:] != view[order][:-1]) | (session[order][1:] != session[order][:-1])
        session = session[order][first]
    numbers, counts = np.unique(session, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))
