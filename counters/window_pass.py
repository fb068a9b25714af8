"""The pass over the presence of all windows: read, checked, merged, made canonical and reckoned, once each.

Windows are divided into stretches, each of which a process of its own can take: what it finds adds up. A process is
given who is who (counters.audience), what the journals have told of each leaf, and where the evidence is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap

from counters.apart import Foreground
from counters.audience import Audience
from counters.cross_check import SketchUnions
from counters.event import Event
from counters.evidence import SessionPresence
from counters.evidence_store import EvidenceError
from counters.gaps import OffClock, add_clocks
from counters.log_entries import WindowLeaf
from counters.reckoner import Totals
from counters.sealed_evidence import LeafEvidence, LeafOutline, ReadEvidence, read_presence
from counters.segment import WINDOW_S
from counters.window_estimates import WindowEstimates
from counters.window_leaf import JournalCounts, build_leaf, merge_presence


@dataclass(frozen=True, slots=True)
class LeafJournals:
    """What the journals say of one leaf that is to be rebuilt."""

    counted: JournalCounts
    excluded: BitMap  # seats that they exclude besides those excluded before
    left_out: Mapping[int, int]  # `ExclusionsSoFar.leave_out`


@dataclass(frozen=True, slots=True)
class Window:
    """What there is of one window: its leaf and late leaves that count, in the order of the log."""

    start: int  # unix seconds
    leaves: tuple[LeafOutline, ...]

    @property
    def presence_bytes(self) -> int:
        """How much there is to be read."""
        return sum(leaf.presence_bytes for leaf in self.leaves)


@dataclass(slots=True)
class Passed:
    """What a pass over a stretch of windows has found."""

    totals: Totals
    sketches: SketchUnions
    foreground: Foreground = field(default_factory=Foreground)
    views: dict[int, dict[int, int]] = field(default_factory=dict)  # estimates, by window and session
    unknown: set[int] = field(default_factory=set)  # session numbers that the event does not have
    off_clocks: dict[int, OffClock] = field(default_factory=dict)  # by window

    def add(self, other: "Passed") -> None:
        """Add what was found in other windows."""
        self.totals.add(other.totals)
        self.sketches.add_all(other.sketches)
        self.foreground.add(other.foreground)
        self.views |= other.views
        self.unknown |= other.unknown
        self.off_clocks |= other.off_clocks


@dataclass(frozen=True, slots=True)
class WindowPass:
    """Reads windows and reckons them. Holds nothing of them."""

    audience: Audience
    read: ReadEvidence
    journals: Mapping[int, LeafJournals] | None = None
    """By index of the leaf in the log, if leaves are to be rebuilt from their evidence."""

    @property
    def warm_up(self) -> int:
        """How many windows before a stretch have to be read as well."""
        return max(self.audience.asked.longest_run - 1, 1)

    def over(self, windows: Sequence[Window], first: int, end: int, told: Callable[[], None]) -> Passed:
        """Return what is found in some of the windows.

        Args:
            windows: all of them, ascending.
            first: position of the first.
            end: position after the last.
            told: is called after each leaf.

        Raises:
            EvidenceError: evidence is absent, contradicts the log, or gives another leaf.
        """
        event, reckoner = self.audience.event, self.audience.reckoner()
        passed, views = Passed(Totals(), SketchUnions(event)), WindowEstimates(event, ())
        rebuilding = None if self.journals is None else _Rebuilding(event, self.journals)
        earliest = windows[first].start - self.warm_up * WINDOW_S if first < end else 0
        for position in range(max(first - self.warm_up, 0), end):
            window, counting = windows[position], position >= first
            if window.start < earliest:
                continue
            found = []
            for outline in window.leaves:
                leaf = read_presence(event, outline, self.read)
                if rebuilding is not None and isinstance(leaf.leaf, WindowLeaf):
                    rebuilding.go_on(leaf, leaf.leaf, checked=counting)
                if counting:
                    told()
                found.append(leaf)
            merged = (
                found[0].merged if len(found) == 1 else merge_presence(part for leaf in found for part in leaf.presence)
            )
            reckoner.take(window.start, self.audience.gross(merged), counting=counting)
            if counting:
                passed.sketches.add(window.start, merged)
                passed.foreground.take(event, merged, self.audience)
                views.add(window.start, {number: row.views for number, row in merged.items()})
                passed.unknown |= self.audience.unknown(merged)
                for leaf in found:
                    add_clocks(passed.off_clocks, window.start, leaf.presence)
        passed.totals, passed.views = reckoner.totals(), views.estimates()
        return passed

    def net(self, windows: Iterable[Window]) -> Iterator[tuple[int, dict[int, BitMap]]]:
        """Yield window and by session who was online and counts."""
        for window in windows:
            leaves = [read_presence(self.audience.event, outline, self.read) for outline in window.leaves]
            merged = merge_presence(part for leaf in leaves for part in leaf.presence)
            yield window.start, self.audience.net(self.audience.gross(merged))


class _Rebuilding:
    """Rebuilds window leaves in the order of the log. Owned by who reads their evidence."""

    def __init__(self, event: Event, journals: Mapping[int, LeafJournals]) -> None:
        """Start before the first leaf."""
        self._event, self._journals = event, journals
        self._to_come = iter(sorted(journals))
        self._next = next(self._to_come, None)
        self._excluded = BitMap()
        self._before = -1, dict[int, SessionPresence]()

    def go_on(self, evidence: LeafEvidence, leaf: WindowLeaf, *, checked: bool) -> None:
        """Go on to a leaf.

        Raises:
            EvidenceError: its evidence gives another one, if that is to be checked.
        """
        while self._next is not None and self._next <= leaf.index:
            self._excluded |= self._journals[self._next].excluded
            self._next = next(self._to_come, None)
        window, merged = self._before
        self._before = leaf.window, dict(evidence.merged)
        if not checked:
            return
        rebuilt = build_leaf(
            self._event,
            leaf.window,
            [*evidence.presence, *evidence.journals],
            merged if window == leaf.window - WINDOW_S else {},
            self._excluded,
            evidence.manifest,
            merged=evidence.merged,
            counted=self._journals[leaf.index].counted,
            views_left_out=None if leaf.left_out is None else self._journals[leaf.index].left_out,
        )
        if rebuilt != leaf.raw:
            raise EvidenceError(f"entry {leaf.index}, {self._event.iso(leaf.window)}: its evidence gives another leaf")
