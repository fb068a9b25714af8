"""What the log says so far, as far as the leaves to come depend on it: taken in leaf by leaf.

The same code reads the leaves when a ledger starts and after each of its own appends. So the ledger's memory follows
from what is durable: after an append that failed it may be behind the disk for a while, and is never ahead of it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from counters import audit_entries
from counters.audit_entries import AuditTrail
from counters.corrections import CertificateLeaf, CorrectionLeaf, read_correction
from counters.event import Event
from counters.evidence import JournalSegment, PresenceSegment, SessionPresence
from counters.exclusions_so_far import ExclusionsSoFar, views_left_out
from counters.gaps import has_gap
from counters.keys_in_force import TYPE as ISSUER_KEY
from counters.keys_in_force import IssuerKeys, KeyLeaf
from counters.log_entries import read_key_change, read_retirement, read_steering, read_time
from counters.manifest import Manifest
from counters.segment import WINDOW_S
from counters.steering import Steering, SteeringLeaf, replay
from counters.window_leaf import StoredSegment, merge_presence


@dataclass(slots=True)
class Basis:
    """What a window's leaf depends on besides its own evidence. Owned by whoever builds the next group of leaves."""

    exclusions: ExclusionsSoFar
    window: int  # the last window that has a leaf, unix seconds; 0 = none
    presence: Mapping[int, SessionPresence]  # in that window, by session number

    def before(self, window: int) -> Mapping[int, SessionPresence]:
        """Presence in the clock minute before a window; empty if that has no leaf."""
        return self.presence if self.window == window - WINDOW_S else {}


@dataclass(frozen=True, slots=True)
class SealedCounts:
    """How much is in the log."""

    windows: int = 0
    with_gaps: int = 0  # windows (counters.gaps.has_gap)
    late: int = 0  # leaves
    missing_workers: int = 0  # named missing, counted once for each window
    evidence_bytes: int = 0  # files that leaves name, each once, and their manifests


class SealedSoFar:
    """Owned by the sealer."""

    def __init__(self, event: Event, read: Callable[[str], bytes], decoded: Callable[[str], StoredSegment]) -> None:
        """Start before leaf 0.

        Args:
            event: whose log.
            read: from a digest to the file of evidence.
            decoded: from a digest to a segment.
        """
        self._event = event
        self._read = read
        self._decoded = decoded
        self.leaves = 0
        """How many leaves were taken in."""
        self.known: set[str] = set()
        """Digests of the segments that are in leaves."""
        self.changes: list[SteeringLeaf] = []
        """The changes of steering so far, in the order of the log."""
        self.steering = Steering.of(event)
        """What is in force; replaced whole."""
        self.key_changes: list[KeyLeaf] = []
        """The changes of issuers' keys so far, in the order of the log."""
        self.issuer_keys = IssuerKeys.of(event)
        """The keys that are and were in force; replaced whole."""
        self.restored = 0
        """How often the log says that it was restored from a backup (counters.setback)."""
        self.retired: dict[str, int] = {}
        """Workers that are waited for no more, and the last window (unix seconds) that they are expected for."""
        self.certificates: list[CertificateLeaf] = []
        """The certificates so far, in the order of the log."""
        self.corrections: list[CorrectionLeaf] = []
        """Which of them were superseded."""
        self.window = 0
        """The last window that has a leaf, unix seconds; 0 = none yet."""
        self.counts = SealedCounts()
        """How much there is so far; replaced whole."""
        self.attendees: dict[str, int | None] = {}
        """Last window: present by session id, "" = event; None = suppressed."""
        self.audits = AuditTrail()
        """The rolls so far, and their audits."""
        self._exclusions = ExclusionsSoFar(event)
        self._last: Manifest | None = None  # of the last window
        self._presence: Mapping[int, SessionPresence] | None = {}  # in it; None = not merged yet

    def take(self, entries: Iterable[bytes]) -> None:
        """Take in the next entries of the log.

        Raises:
            EvidenceError: a file that a leaf stands on is absent or changed.
        """
        changes = len(self.changes)
        for entry in entries:
            leaf = json.loads(entry)
            self.restored += leaf["type"] == "restored"
            if leaf["type"] == "steering":
                self.changes.append(read_steering(self._event, self.leaves, leaf))
            if leaf["type"] == ISSUER_KEY:
                self.key_changes.append(read_key_change(self._event, self.leaves, leaf, self.key_changes))
                self.issuer_keys = self.issuer_keys.after(self.key_changes[-1].change)
            if leaf["type"] in audit_entries.TYPES:
                self.audits.take(self._event, self.leaves, leaf, lambda text: read_time(self._event, text))
            if leaf["type"] in {"window", "late"}:
                self._take_evidence(leaf)
            if leaf["type"] == "retired":
                retired = read_retirement(self._event, self.leaves, leaf)
                self.retired.update(dict.fromkeys(retired.workers, retired.window))
            if leaf["type"] == "certificate":
                self.certificates.append(CertificateLeaf(self.leaves, leaf["certificate_sha256"]))
            if leaf["type"] == "correction":
                self.corrections.append(read_correction(self.leaves, leaf))
            self.leaves += 1
        if len(self.changes) > changes:
            self.steering = replay(self._event, self.changes, self._read)

    def _take_evidence(self, leaf: dict[str, Any]) -> None:
        raw = self._read(leaf["manifest_sha256"])
        manifest = Manifest.decode(raw)
        fresh_bytes = len(raw) + sum(file.bytes for file in manifest.evidence if file.sha256 not in self.known)
        self.known.update(file.sha256 for file in manifest.evidence)
        journals = journals_of(self._decoded(file.sha256) for file in manifest.evidence if file.kind == "journal")
        self._exclusions.add(journals)
        if leaf["type"] == "window":
            self._exclusions.leave_out(views_left_out(journals, self._exclusions.excluded))
            self.window = int(datetime.fromisoformat(leaf["window"]).timestamp())
            self.attendees = {row["session"]: row["present"] for row in leaf["totals"] if row["channel"] == "online"}
            self._last, self._presence = manifest, None
        self._count(leaf, manifest, fresh_bytes)

    def _count(self, leaf: dict[str, Any], manifest: Manifest, fresh_bytes: int) -> None:
        is_window, so_far = leaf["type"] == "window", self.counts
        self.counts = SealedCounts(
            windows=so_far.windows + is_window,
            with_gaps=so_far.with_gaps + (is_window and has_gap(self._event, self.window, manifest)),
            late=so_far.late + (not is_window),
            missing_workers=so_far.missing_workers + len(leaf.get("missing", ())),
            evidence_bytes=so_far.evidence_bytes + fresh_bytes,
        )

    def basis(self) -> Basis:
        """Return what the next group of leaves is built upon; building it changes nothing here."""
        if self._presence is None:
            files = self._last.evidence if self._last else ()
            self._presence = merged_presence(self._decoded(file.sha256) for file in files if file.kind == "presence")
        return Basis(self._exclusions.copy(), self.window, self._presence)

    def remember(self, basis: Basis) -> None:
        """Keep what was merged for a group that has just been taken in, so that it need not be merged again."""
        if basis.window == self.window:
            self._presence = basis.presence


def journals_of(stored: Iterable[StoredSegment]) -> list[JournalSegment]:
    """Return the journals among segments."""
    return [file.segment for file in stored if isinstance(file.segment, JournalSegment)]


def merged_presence(stored: Iterable[StoredSegment]) -> dict[int, SessionPresence]:
    """Return who was present, by session number, as all presence segments among these together say."""
    return merge_presence(file.segment for file in stored if isinstance(file.segment, PresenceSegment))
