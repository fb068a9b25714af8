"""Sealing: from hand-overs to leaves. The core of the ledger; it owns the data directory.

    DIR/log/                 the public tlog (counters.ledger)
    DIR/evidence/            segments and manifests, by digest
    DIR/ledger/grants.jsonl  seat blocks (counters.seat_grants)
    DIR/ledger/reports.jsonl every hand-over that was accepted: what is not yet in a leaf is found here after a crash

A hand-over is accepted when its segments lie in `evidence` and its line in `reports.jsonl`, both synced; accepting it
again changes nothing. A window is sealed in the order of time, when every worker that holds seats has reported past its
end, or a grace after it; who is missing is named in the leaf. What comes for a sealed window becomes a late leaf.

Everything here runs in one thread. An OSError on the way leaves disk and memory apart: the process then ends, and the
next one starts from the disk, by the same code.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from counters import canonical_json, evidence
from counters.disk import DISK, Disk
from counters.durable_lines import DurableLines
from counters.event import Event
from counters.evidence import JournalSegment, PresenceSegment, SegmentError, SessionPresence
from counters.evidence_store import EvidenceStore
from counters.handover import HandOver
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.log import Log
from counters.ledger.note import Signer
from counters.log_entries import read_steering
from counters.manifest import Granted, Manifest
from counters.seat_grants import SeatGrants
from counters.segment import WINDOW_S
from counters.software import SOFTWARE
from counters.steering import Change, Steering, SteeringLeaf, apply, replay, revocations_file, steering_entry
from counters.window_leaf import (
    ExclusionsSoFar,
    StoredSegment,
    build_late_leaf,
    build_leaf,
    build_manifest,
    merge_presence,
)

GRACE_S: Final = 8.0
"""How long after its end a window waits for workers that have not reported (DESIGN.md §5)."""
GROUP: Final = 64
"""Leaves in one commit at most: after an outage the backlog is sealed in groups, not one sync at a time."""


class OtherEventError(Exception):
    """The data directory holds the log of another event file."""


class EvidenceRefusedError(Exception):
    """A hand-over is no sound evidence of this event."""


@dataclass(frozen=True, slots=True)
class SealingState:
    """What /metrics shows of the ledger."""

    size: int
    sealed_window: int  # unix seconds; 0 = none yet
    unsealed: int  # windows that have ended and wait
    seal_lag_s: float | None  # from the end of the last sealed window to its leaf; None = none yet
    checkpoint_s: float | None  # when the newest checkpoint was signed, unix seconds; None = before this start
    missing_workers: int  # workers named missing so far, counted once for each window
    attendees: dict[str, int | None]  # last sealed window: present by session id, "" = event; None = suppressed


def event_entry(event: Event, pseudonym_commitment: str, locked_at: str) -> bytes:
    """Return leaf 0: the event file, locked before the doors open."""
    return canonical_json.encode(
        {
            "type": "event",
            "version": 1,
            "event": json.loads(event.canonical()),
            "event_sha256": event.digest,
            "pseudonym_key_sha256": pseudonym_commitment,
            "software": SOFTWARE,
            "simulated": event.simulated,
            "locked_at": locked_at,
        }
    )


class Sealer:
    """The state of one ledger. Owned by one thread of the ledger's process."""

    def __init__(
        self,
        data: Path,
        event: Event,
        pseudonym_commitment: str,
        signer: Signer,
        now: float,
        disk: Disk = DISK,
    ) -> None:
        """Open the data directory, or begin it with leaf 0.

        Raises:
            OtherEventError: the log was begun with another event file or pseudonym key.
            LogLockedError: another ledger owns this directory.
            LogCorruptError: the log on disk is not what was signed.
        """
        self.event = event
        self._commitment = pseudonym_commitment
        self.disk = disk
        self.log = Log.open(data / "log", signer, disk=disk)
        self.evidence = EvidenceStore(data / "evidence", disk)
        self.evidence.sweep()
        self._grants = SeatGrants(data / "ledger" / "grants.jsonl", disk)
        self._reports = DurableLines(data / "ledger" / "reports.jsonl", disk)
        self._exclusions = ExclusionsSoFar(event)
        self._pending: defaultdict[int, dict[str, StoredSegment]] = defaultdict(dict)
        self._late: list[tuple[int, float, tuple[StoredSegment, ...]]] = []
        self._known: set[str] = set()
        self._through: dict[str, int] = {}
        self._ended: set[str] = set()
        self._noticed: dict[int, float] = {}
        self._heard: dict[str, tuple[int, float]] = {}
        self._before: tuple[int, dict[int, SessionPresence]] = (0, {})
        self._schedule = event.scheduled_windows()
        self.steering = Steering.of(event)
        self.changes: list[SteeringLeaf] = []
        """The changes of steering so far, in the order of the log."""
        self.sealed_window = 0
        self._seal_lag_s: float | None = None
        self._checkpoint_s: float | None = None
        self.missing_workers = 0
        self.attendees: dict[str, int | None] = {}
        try:
            if self.log.size == 0:
                self.log.append([event_entry(event, pseudonym_commitment, event.iso(now))])
            self._recover()
        except BaseException:
            self.close()
            raise

    # What is there already.

    def _recover(self) -> None:
        first = json.loads(self.log.entry(0))
        if (first["event_sha256"], first["pseudonym_key_sha256"]) != (self.event.digest, self._commitment):
            raise OtherEventError(
                "this data directory was begun with another event file or pseudonym key: rules are locked once the "
                "log has begun. Start with the file that leaf 0 holds, or in a new directory"
            )
        last: tuple[dict[str, Any], Manifest] | None = None
        for index, entry in enumerate(self.log.entries(1), start=1):
            leaf = json.loads(entry)
            if leaf["type"] == "steering":
                self.changes.append(read_steering(self.event, index, leaf))
            if leaf["type"] not in {"window", "late"}:
                continue
            manifest = Manifest.decode(self.evidence.get(leaf["manifest_sha256"]))
            self._known.update(file.sha256 for file in manifest.evidence)
            self._exclusions.add(_journals(self._stored_of(manifest, "journal")))
            if leaf["type"] == "window":
                last = leaf, manifest
                self.missing_workers += len(leaf["missing"])
        if last is not None:
            leaf, manifest = last
            window = int(datetime.fromisoformat(leaf["window"]).timestamp())
            self._remember_sealed(window, leaf, _merged(self._stored_of(manifest, "presence")))
        self.steering = replay(self.event, self.changes, self.evidence.get)
        for row in self._reports.records:
            self._take_promises(row["workers"])
            fresh = [digest for digest in row["segments"] if digest not in self._known]
            stored = [self._stored(digest, self.evidence.get(digest)) for digest in fresh]
            self._sort_in(row["window"], row["received_at"], stored)

    def _stored_of(self, manifest: Manifest, kind: str) -> list[StoredSegment]:
        digests = [file.sha256 for file in manifest.evidence if file.kind == kind]
        return [self._stored(digest, self.evidence.get(digest)) for digest in digests]

    def _stored(self, digest: str, data: bytes) -> StoredSegment:
        return StoredSegment(digest, len(data), evidence.decode(data))

    # What comes in.

    def grant(self, worker: str, gateway: str, blocks: int, now: float) -> list[int]:
        """Grant blocks of seats to a worker, durably, and expect its reports from the current window on."""
        return self._grants.grant(worker, gateway, blocks, _window_of(now))

    def accept(self, bundle: HandOver, now: float, tick: float) -> str:
        """Take a hand-over; when this returns it survives a power cut.

        Args:
            bundle: what a gateway reports.
            now: unix seconds on the event's clock.
            tick: seconds on a monotonic clock.

        Returns:
            "new", "late" (its window is sealed), "known" (nothing in it is new) or "promise" (it holds no evidence).

        Raises:
            EvidenceRefusedError: a segment is unsound, of another event or window, or of the future; nothing was taken.
        """
        if bundle.segments and bundle.window > now + WINDOW_S:
            raise EvidenceRefusedError("it is of a window that has not begun: set the gateway's clock right")
        stored = [self._check(bundle, data) for data in bundle.segments]
        self._heard[bundle.gateway] = (bundle.window, tick)
        fresh = [file for file in stored if file.sha256 not in self._known]
        by_digest = {hashlib.sha256(data).hexdigest(): data for data in bundle.segments}
        for file in fresh:
            self.evidence.put(by_digest[file.sha256])
        # A crash here leaves evidence files that no report names: the gateway got no answer and hands over again.
        promises = [{"worker": r.worker, "through": r.through, "ended": r.ended} for r in bundle.workers]
        row = {
            "window": bundle.window,
            "gateway": bundle.gateway,
            "workers": promises,
            "segments": [file.sha256 for file in fresh],
            "received_at": now,
        }
        if fresh or self._says_more(promises):
            self._reports.add(row)
        # A crash here leaves an accepted hand-over whose gateway got no answer: the same one is "known" then.
        self._take_promises(promises)
        late = self._sort_in(bundle.window, now, fresh)
        if not stored:
            return "promise"
        return ("late" if late else "new") if fresh else "known"

    def _check(self, bundle: HandOver, data: bytes) -> StoredSegment:
        try:
            stored = self._stored(hashlib.sha256(data).hexdigest(), data)
        except SegmentError as error:
            raise EvidenceRefusedError(f"a segment cannot be read: {error}") from error
        head = stored.segment.head
        if (head.event_sha256, head.window) != (self.event.digest, bundle.window):
            raise EvidenceRefusedError("a segment is of another event or window than its bundle")
        if head.interval_s not in {self.event.interval_s, *(change.interval_s for change in self.changes)}:
            # Sealed, it would be a leaf that no verifier accepts (counters.log_entries).
            raise EvidenceRefusedError(f"a segment is of a heartbeat interval that never was: {head.interval_s} s")
        return stored

    def _says_more(self, promises: Sequence[dict[str, Any]]) -> bool:
        return any(
            row["through"] > self._through.get(row["worker"], 0) or (row["ended"] and row["worker"] not in self._ended)
            for row in promises
        )

    def _take_promises(self, promises: Sequence[dict[str, Any]]) -> None:
        for row in promises:
            self._through[row["worker"]] = max(row["through"], self._through.get(row["worker"], 0))
            if row["ended"]:
                self._ended.add(row["worker"])

    def _sort_in(self, window: int, received_at: float, fresh: Sequence[StoredSegment]) -> bool:
        """Put new evidence where it belongs; whether it is late."""
        self._known.update(file.sha256 for file in fresh)
        late = window <= self.sealed_window
        if fresh and late:
            self._late.append((window, received_at, tuple(fresh)))
        elif fresh:
            self._pending[window].update((file.sha256, file) for file in fresh)
        return late

    # Sealing.

    def _candidates(self, now: float) -> list[int]:
        """The windows that have ended and have no leaf: all scheduled ones, and others with evidence; ascending."""
        waiting = {window for window in self._schedule if window > self.sealed_window} | self._pending.keys()
        return sorted(window for window in waiting if window + WINDOW_S <= now)

    def unsealed(self, now: float) -> int:
        """How many windows have ended by `now` and have no leaf yet, and how many late hand-overs wait."""
        return len(self._candidates(now)) + len(self._late)

    def _missing(self, window: int, tick: float) -> list[str] | None:
        """The workers that have not reported past a window's end; None while there is still time for them."""
        absent = [
            holder
            for worker, holder in self._grants.holders.items()
            if holder.since <= window and worker not in self._ended
            and self._through.get(worker, 0) < window + WINDOW_S
        ]  # fmt: skip
        if not absent:
            return []
        # A gateway hands over its oldest window first: while it works off a backlog it is waited for, and once it is
        # heard of a later window it has no more of this one.
        heard = [self._heard.get(holder.gateway, (0, 0.0)) for holder in absent]
        since = max(self._noticed[window], *(at for of, at in heard if of <= window), 0.0)
        if tick - since < GRACE_S:
            return None
        return sorted(holder.worker for holder in absent)

    def seal(self, now: float, tick: float) -> int:
        """Seal what can be sealed, as one group; return how many leaves were appended."""
        entries = [self._late_leaf(*late) for late in self._late[:GROUP]]
        late_done = len(entries)
        candidates = self._candidates(now)
        for window in candidates:
            self._noticed.setdefault(window, tick)
        for window in candidates[: GROUP - late_done]:
            missing = self._missing(window, tick)
            if missing is None:
                break
            entries.append(self._window_leaf(window, missing))
        # A crash up to here leaves manifests that no leaf names; the reports are worked off again.
        if entries:
            self.log.append(entries)
            del self._late[:late_done]
            self._checkpoint_s = now
            if len(entries) > late_done:
                self._seal_lag_s = max(now - self.sealed_window - WINDOW_S, 0.0)
        return len(entries)

    def _window_leaf(self, window: int, missing: list[str]) -> bytes:
        stored = list(self._pending.pop(window, {}).values())
        segments = [file.segment for file in stored]
        self._exclusions.add(_journals(stored))
        manifest = build_manifest(self.event, window, stored, missing, SOFTWARE, granted=self._granted())
        self.evidence.put(manifest.encode())
        previous, presence = self._before
        before = presence if previous == window - WINDOW_S else {}
        merged = _merged(stored)
        entry = build_leaf(self.event, window, segments, before, self._exclusions.excluded, manifest, merged=merged)
        self.missing_workers += len(missing)
        self._noticed.pop(window, None)
        self._remember_sealed(window, json.loads(entry), merged)
        return entry

    def _remember_sealed(self, window: int, leaf: dict[str, Any], merged: dict[int, SessionPresence]) -> None:
        self.sealed_window = max(window, self.sealed_window)
        self._before = (window, merged)
        self.attendees = {row["session"]: row["present"] for row in leaf["totals"] if row["channel"] == "online"}

    def _granted(self) -> list[Granted]:
        return [Granted(one.worker, one.since, one.blocks) for one in self._grants.holders.values()]

    def _late_leaf(self, window: int, received_at: float, stored: Sequence[StoredSegment]) -> bytes:
        self._exclusions.add(_journals(stored))
        manifest = build_manifest(self.event, window, stored, (), SOFTWARE, granted=self._granted())
        self.evidence.put(manifest.encode())
        return build_late_leaf(self.event, window, manifest, received_at)

    # Steering.

    def steer(self, change: Change, now: float) -> Change:
        """Put a change into force; when this returns, it survives a power cut and is in the log.

        Returns:
            The change without what was so already; if nothing is left of it, nothing was logged.

        Raises:
            SteeringError: it makes no sense.
            RevokedLimitError: the list would be too long.
        """
        steering, effective = apply(self.steering, change)
        if steering == self.steering:
            return effective
        revocations = revocations_file(self.event.digest, os.urandom(16), effective)
        if revocations is not None:
            self.evidence.put(revocations)
        # A crash here leaves a file that no leaf names: the change is not in force, and nobody was told that it is.
        entry = steering_entry(self.event, steering, now, revocations, SOFTWARE)
        index = self.log.size
        self.log.append([entry])
        # A crash here leaves a change in force whose organiser got no answer: asked for again, it changes nothing.
        self.changes.append(read_steering(self.event, index, json.loads(entry)))
        self.steering = steering
        return effective

    # What else goes into the log.

    def append(self, entry: bytes) -> Checkpoint:
        """Append another entry, for example a certificate's."""
        return self.log.append([entry])

    def state(self, now: float) -> SealingState:
        """Return what /metrics shows."""
        return SealingState(
            size=self.log.size,
            sealed_window=self.sealed_window,
            unsealed=self.unsealed(now),
            seal_lag_s=self._seal_lag_s,
            checkpoint_s=self._checkpoint_s,
            missing_workers=self.missing_workers,
            attendees=self.attendees,
        )

    def close(self) -> None:
        """Let go of the data directory."""
        self.log.close()


def _journals(stored: Sequence[StoredSegment]) -> list[JournalSegment]:
    return [file.segment for file in stored if isinstance(file.segment, JournalSegment)]


def _merged(stored: Sequence[StoredSegment]) -> dict[int, SessionPresence]:
    return merge_presence(file.segment for file in stored if isinstance(file.segment, PresenceSegment))


def _window_of(now: float) -> int:
    return int(now) // WINDOW_S * WINDOW_S
