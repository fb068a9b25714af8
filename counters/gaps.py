"""What the evidence lacks, named: a certificate prints every gap, and an empty list where there is none.

What a gap may hide, and why no more, is docs/gaps.md's to explain and `counters.bounds`' to compute.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pyroaring import BitMap

from counters.attendance import Attendance
from counters.event import Event
from counters.event_keys import LONGEST_INTERVAL_S
from counters.evidence import JournalSegment, PresenceSegment
from counters.ledger.note import encode_base64
from counters.log_entries import SealedLog
from counters.manifest import Manifest
from counters.sealed_evidence import LeafEvidence, LeafOutline
from counters.segment import WINDOW_S, Coverage

TICK_S: Final = 1.0
"""A quiet worker closes and opens its windows some moments after the clock minute turns; it accepts all the while."""
USUAL_OFFSET_MS: Final = 2000
"""A worker's clock that is further from the ledger's may have counted somebody in a neighbouring window."""


class GapKind(StrEnum):
    """What is wrong with a window, as the certificate names it."""

    MISSING = "worker-missing"  # a worker that held seats has never reported it
    UNREADABLE = "unreadable"  # a worker's files of it cannot be read
    UNSYNCED = "unsynced"  # power was lost before all of it had reached the disk
    NO_LEAF = "no-leaf"  # it is scheduled, and the log passes over it
    RESTORED = "log-restored"  # from here on the ledger may have lost what it had been handed over
    UNCOVERED = "nobody-there"  # for some seconds no worker was there to accept anything
    LATE = "late-not-counted"  # evidence for it came after the event's `late_until`
    CLOCK = "clock"  # a worker's clock was off


LOSSES: Final = (GapKind.MISSING, GapKind.UNREADABLE, GapKind.UNSYNCED)
"""Gaps in which what a worker had accepted is lost: heartbeats, joins and scans."""
BOUNDLESS: Final = (GapKind.NO_LEAF, GapKind.RESTORED)
"""Gaps of which nobody knows what was lost, nor whose it was."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One gap in one window."""

    kind: GapKind
    window: int  # unix seconds
    seconds: float  # how much of the window, or of what follows, it concerns; of a clock, by how much it is off
    worker: str = ""
    gateway: str = ""

    def as_json(self, event: Event) -> dict[str, Any]:
        """Return it as the certificate prints it, beside what it may hide."""
        return {
            "gap": self.kind.value,
            "window": event.iso(self.window),
            "seconds": self.seconds,
            "worker": self.worker or None,
            "gateway": self.gateway or None,
        }


@dataclass(slots=True)
class OffClock:
    """What gateways with a worker whose clock is off saw in one window, and what the others saw."""

    back: int = 0  # by how many windows it may truly have been earlier …
    ahead: int = 0  # … or later
    seen: dict[int, BitMap] = field(default_factory=dict)  # by session number
    certain: dict[int, BitMap] = field(default_factory=dict)


def gaps_in_log(log: SealedLog) -> dict[str, Any]:
    """Return the gaps that the public leaves show to anybody."""
    event, windows = log.event, log.windows
    last = max(windows, default=-1)
    absent = [window for window in event.scheduled_windows() if window not in windows]
    to_come = [window for window in absent if window > last]  # then averages are over time that is not over
    restored = [
        {
            "number": leaf.number,
            "evidence_may_be_lost_from": event.iso(leaf.since),
            "evidence_may_be_lost_until": event.iso(leaf.at),
            "log_seen_by": [
                {"gateway": seen.gateway, "size": seen.size, "root": encode_base64(seen.root), "reports": seen.reports}
                for seen in leaf.seen
            ],
        }
        for leaf in log.restored
    ]
    retired = [
        {"gateway": leaf.gateway, "at": event.iso(leaf.at), "workers": list(leaf.workers)} for leaf in log.retired
    ]
    # Only where there was one, so that the certificates of before this was known stay what they were.
    rare = {"log_restored_from_backup": restored, "gateways_retired": retired}
    return {name: rows for name, rows in rare.items() if rows} | {
        # Windows are sealed in the order of time: before the last leaf an absent one is lost, after it not over yet.
        "scheduled_windows_without_leaf": [event.iso(window) for window in windows_without_leaf(log)],
        "scheduled_windows_to_come": len(to_come),
        "windows_with_missing_workers": [
            {"window": event.iso(leaf.window), "missing": list(leaf.missing)}
            for leaf in windows.values()
            if leaf.missing
        ],
        "late_evidence": [
            {
                "window": event.iso(leaf.window),
                "received_at": event.iso(leaf.received_at),
                "manifest_sha256": leaf.manifest_sha256,
                "counted": leaf.counted,
            }
            for leaf in log.late
        ],
    }


def windows_without_leaf(log: SealedLog) -> list[int]:
    """Return the scheduled windows that the log passes over (unix seconds, ascending)."""
    windows = log.windows
    last = max(windows, default=-1)
    return [window for window in log.event.scheduled_windows() if window < last and window not in windows]


@dataclass(slots=True)
class Gaps:
    """Collects gaps as evidence is read. Owned by whoever reads it."""

    log: SealedLog
    blocks: dict[str, frozenset[int]] = field(default_factory=dict)
    """Blocks of seats, by worker, of those whose evidence is not all there."""
    off_clocks: dict[int, OffClock] = field(default_factory=dict)
    """By window."""
    off_journals: list[tuple[JournalSegment, int, int]] = field(default_factory=list)
    """Journals of workers whose clock was off, and the least and greatest offset (ms), 0 among them."""
    not_counted: list[LeafEvidence] = field(default_factory=list)
    """Evidence that came after `late_until`."""
    _coverage: dict[tuple[int, Coverage], None] = field(default_factory=dict)  # in the order of the log, each once
    _since: dict[str, int] = field(default_factory=dict)
    _unlisted: set[str] = field(default_factory=set)  # workers with gaps of whose seats version 1 says nothing

    def add(self, leaf: LeafOutline, journals: Iterable[JournalSegment]) -> None:
        """Take in the coverage of a leaf, in the order of the log, and its journals of clocks that were off."""
        manifest, window = leaf.manifest, leaf.leaf.window
        for row in manifest.coverage:
            self._coverage[window, row] = None
        for granted in manifest.granted:
            self.blocks[granted.worker] = self.blocks.get(granted.worker, frozenset()) | set(granted.blocks)
            self._since[granted.worker] = granted.since
        if manifest.version == 1:
            self._unlisted |= {*manifest.missing, *(row.worker for row in manifest.coverage if row.wanting)}
        for journal in journals if leaf.counted else ():
            least, greatest = _offsets(journal.head.workers)
            if least or greatest:
                self.off_journals.append((journal, least, greatest))

    def seats_unknown(self, gap: Gap) -> bool:
        """Whether nothing tells which seats the worker of a gap held: version 1 wrote it down, or it is in no leaf."""
        retired = any(gap.worker in leaf.workers for leaf in self.log.retired)
        return (gap.worker in self._unlisted or retired) and gap.worker not in self.blocks

    def found(self) -> list[Gap]:
        """Return the gaps that may hide somebody, by window; one that later evidence has closed is none."""
        found = [Gap(GapKind.NO_LEAF, window, WINDOW_S) for window in windows_without_leaf(self.log)]
        found += [
            Gap(GapKind.RESTORED, leaf.since // WINDOW_S * WINDOW_S, leaf.at - leaf.since) for leaf in self.log.restored
        ]
        found += self._missing() + self._lost()
        found += [Gap(GapKind.UNCOVERED, window, seconds) for window, seconds in self._uncovered_s().items()]
        found += [Gap(GapKind.LATE, evidence.leaf.window, WINDOW_S) for evidence in self.not_counted]
        found += [
            Gap(GapKind.CLOCK, window, abs(row.clock_offset_ms or 0) / 1000, row.worker, row.gateway)
            for window, row in self._coverage
            if any(_offsets((row,)))
        ]
        return sorted(dict.fromkeys(found), key=lambda gap: (gap.window, gap.kind, gap.worker))

    def _missing(self) -> list[Gap]:
        """What missing workers never reported.

        A worker's row promises that everything it accepted before it is handed over. One that ended within a window
        and lost no power accepted nothing after: all that it had accepted is in its row.
        """
        heard: dict[str, int] = {}
        lived: dict[str, int] = {}
        last: dict[str, int] = {}
        for window, row in self._coverage:
            heard[row.worker] = max(window, heard.get(row.worker, 0))
            if not row.wanting:
                rows = last if row.ended_within(window) else lived
                rows[row.worker] = max(window, rows.get(row.worker, 0))
        # A copy of a living worker's spool says that it died.
        ended = {worker for worker, window in last.items() if window > lived.get(worker, -1)}
        absent: dict[str, list[int]] = {}
        for leaf in self.log.windows.values():
            for worker in {*leaf.missing, *self._retired_before(leaf.window)}:
                if worker not in ended and heard.get(worker, 0) < leaf.window:
                    absent.setdefault(worker, []).append(leaf.window)
        gaps = []
        for worker, windows in absent.items():
            begin = max(heard.get(worker, 0) + WINDOW_S, self._since.get(worker, windows[0]))
            without_a_leaf = self._without_a_leaf(begin, windows[-1])
            gaps += [Gap(GapKind.MISSING, window, WINDOW_S, worker) for window in windows + without_a_leaf]
        return gaps

    def _retired_before(self, window: int) -> set[str]:
        """Return the workers that no leaf of a window names because they were retired: that they are gone is asserted.

        Somebody who was cut off from the ledger, and not from the players, went on accepting.
        """
        return {worker for leaf in self.log.retired if leaf.window < window for worker in leaf.workers}

    def _without_a_leaf(self, begin: int, end: int) -> list[int]:
        """Return the last window of each day, out of schedule and between two times, that has no leaf.

        There a worker may have accepted something as well, and what may be hidden in the last one may in the others.
        """
        sealed, scheduled = self.log.windows, set(self.log.event.scheduled_windows())
        days: dict[str, int] = {}
        for window in range(begin, end, WINDOW_S):
            if window not in sealed and window not in scheduled:
                days[self.log.event.day(window)] = window
        return list(days.values())

    def _lost(self) -> list[Gap]:
        """What is unreadable or was not on disk when power was lost."""
        rows = {(window, row.worker) for window, row in self._coverage}
        gaps = []
        for window, row in self._coverage:
            who = (row.worker, row.gateway)
            if row.unreadable:
                gaps.append(Gap(GapKind.UNREADABLE, window, WINDOW_S, *who))
            elif row.wanting:
                unsynced_s = (row.until_ms - row.synced_until_ms) / 1000
                gaps.append(Gap(GapKind.UNSYNCED, window, unsynced_s, *who))
                if (window + WINDOW_S, row.worker) not in rows:
                    # The worker may have begun its next window just then, and no file of that is left to say so.
                    gaps.append(Gap(GapKind.UNSYNCED, window + WINDOW_S, WINDOW_S, *who))
        return gaps

    def as_json(self, attendance: Attendance) -> dict[str, Any]:
        """Return the gaps that only evidence shows, as the certificate prints them beside `gaps_in_log`."""
        event = self.log.event
        crashed = [(window, row) for window, row in self._coverage if row.crashed]
        return {
            "scheduled_windows_not_wholly_covered": [
                {"window": event.iso(window), "uncovered_s": uncovered}
                for window, uncovered in self._uncovered_s().items()
            ],
            "crashed_workers": [
                {"window": event.iso(window), "worker": row.worker, "gateway": row.gateway} for window, row in crashed
            ],
            "unsynced_intervals": [
                {
                    "window": event.iso(window),
                    "worker": row.worker,
                    "from_ms": row.synced_until_ms,
                    "until_ms": row.until_ms,
                }
                for window, row in crashed
                if row.synced_until_ms < row.until_ms
            ],
            "windows_with_interval_over_54_s": [
                event.iso(window) for window in _long_intervals(attendance.intervals_s)
            ],
            "attendees_present_without_journal_entry": attendance.without_journal,
            "seats_with_contradictory_pseudonyms": attendance.roll.contradictory_seats,
            "session_numbers_not_in_the_event": list(attendance.unknown_sessions),
            "scans_more_than_a_day_from_the_event": attendance.scans_outside_event,
        }

    def _uncovered_s(self) -> dict[int, float]:
        """For how long of each sealed, scheduled window no worker at all was there to accept heartbeats."""
        rows: dict[int, list[Coverage]] = {}
        for window, row in self._coverage:
            rows.setdefault(window, []).append(row)
        sealed = self.log.windows
        uncovered = {
            window: uncovered_s(window, rows.get(window, []))
            for window in self.log.event.scheduled_windows()
            if window in sealed
        }
        return {window: seconds for window, seconds in uncovered.items() if seconds > TICK_S}


def has_gap(event: Event, window: int, manifest: Manifest) -> bool:
    """Whether evidence was wanting when a window (unix seconds) was sealed; other leaves may add some, or show more."""
    wanting = bool(manifest.missing) or any(row.wanting for row in manifest.coverage)
    return wanting or (bool(event.scheduled(window)) and uncovered_s(window, manifest.coverage) > TICK_S)


def add_clocks(off_clocks: dict[int, OffClock], window: int, segments: Iterable[PresenceSegment]) -> None:
    """Add what a leaf's segments tell of clocks that were off; leaves of one window come in the order of the log."""
    offsets = [(segment, *_offsets(segment.head.workers)) for segment in segments]
    if window not in off_clocks and not any(least or greatest for _, least, greatest in offsets):
        return
    here = off_clocks.setdefault(window, OffClock())
    for segment, least, greatest in offsets:
        here.back = max(here.back, _windows(greatest))
        here.ahead = max(here.ahead, _windows(-least))
        parts = here.seen if least or greatest else here.certain
        for session in segment.sessions:
            parts[session.session] = parts.get(session.session, BitMap()) | session.playing


def uncovered_s(window: int, rows: Iterable[Coverage]) -> float:
    """Return how many seconds of a window (unix seconds of its start) none of the workers covers."""
    reached, uncovered = window * 1000, 0
    for row in sorted(rows, key=lambda row: row.from_ms):
        uncovered += max(row.from_ms - reached, 0)
        reached = max(reached, row.until_ms)
    return (uncovered + max((window + WINDOW_S) * 1000 - reached, 0)) / 1000


def _long_intervals(intervals_s: Mapping[int, int]) -> list[int]:
    return sorted(window for window, interval_s in intervals_s.items() if interval_s > LONGEST_INTERVAL_S)


def _offsets(rows: Iterable[Coverage]) -> tuple[int, int]:
    """Return the least and the greatest offset of clocks that are off, 0 among them (ms)."""
    offsets = [row.clock_offset_ms or 0 for row in rows]
    off = [offset_ms for offset_ms in offsets if abs(offset_ms) > USUAL_OFFSET_MS]
    return min([0, *off]), max([0, *off])


def _windows(offset_ms: int) -> int:
    """Return into how many windows a clock's offset reaches."""
    return max(0, -(-offset_ms // (WINDOW_S * 1000)))
