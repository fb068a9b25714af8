"""What the evidence lacks, named: a certificate prints every gap, and an empty list where there is none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from counters.attendance import Attendance
from counters.event_keys import LONGEST_INTERVAL_S
from counters.ledger.note import encode_base64
from counters.log_entries import SealedLog
from counters.sealed_evidence import LeafEvidence
from counters.segment import WINDOW_S, Coverage

TICK_S: Final = 1.0
"""A quiet worker closes and opens its windows some moments after the clock minute turns; it accepts all the while."""


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
    # Only where there was one, so that the certificates of before this was known stay what they were.
    return ({"log_restored_from_backup": restored} if restored else {}) | {
        # Windows are sealed in the order of time: before the last leaf an absent one is lost, after it not over yet.
        "scheduled_windows_without_leaf": [event.iso(window) for window in absent if window < last],
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


@dataclass(slots=True)
class Gaps:
    """Collects gaps as evidence is read. Owned by whoever reads it."""

    log: SealedLog
    _coverage: dict[tuple[int, Coverage], None] = field(default_factory=dict)  # in the order of the log, each once

    def add(self, evidence: LeafEvidence) -> None:
        """Take in the coverage of a leaf."""
        for row in evidence.manifest.coverage:
            self._coverage[evidence.leaf.window, row] = None

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


def uncovered_s(window: int, rows: Iterable[Coverage]) -> float:
    """Return how many seconds of a window (unix seconds of its start) none of the workers covers."""
    reached, uncovered = window * 1000, 0
    for row in sorted(rows, key=lambda row: row.from_ms):
        uncovered += max(row.from_ms - reached, 0)
        reached = max(reached, row.until_ms)
    return (uncovered + max((window + WINDOW_S) * 1000 - reached, 0)) / 1000


def _long_intervals(intervals_s: Mapping[int, int]) -> list[int]:
    return sorted(window for window, interval_s in intervals_s.items() if interval_s > LONGEST_INTERVAL_S)
