"""Sealing: from hand-overs to leaves. The core of the ledger; it owns the data directory.

    DIR/log/                 the public tlog (counters.ledger)
    DIR/evidence/            segments and manifests, by digest
    DIR/ledger/grants.jsonl  seat blocks (counters.seat_grants)
    DIR/ledger/reports.jsonl every hand-over that was accepted: what is not yet in a leaf is found here after a crash

A hand-over is accepted when its segments lie in `evidence` and its line in `reports.jsonl`, both synced; accepting it
again changes nothing. A window is sealed in the order of time, when every worker that holds seats has reported past its
end, or a grace after it; who is missing is named in the leaf. What comes for a sealed window becomes a late leaf.

What goes first is durable before what refers to it: evidence, report, promise to the gateway, manifest, leaf. Memory is
changed last, and follows from the disk: a ledger that starts and one that goes on take in leaves by the same code
(counters.sealed_so_far). So a disk that refuses costs the call in which it did, and nothing else: the next call settles
what was under way and tries again.

Everything here runs in one thread.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from counters import canonical_json, evidence
from counters.disk import DISK, Disk
from counters.durable_lines import DurableLines
from counters.event import Event
from counters.event_rules import other_event
from counters.evidence import SegmentError
from counters.evidence_store import EvidenceStore
from counters.expected_reports import ExpectedReports
from counters.handover import HandOver
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.log import Log
from counters.ledger.note import Signer
from counters.manifest import Granted
from counters.retirement import retired_entries
from counters.sealed_so_far import Basis, SealedSoFar, journals_of, merged_presence
from counters.sealing_state import OVERDUE_S, SealingState
from counters.seat_grants import SeatGrants
from counters.segment import WINDOW_S
from counters.sighting import Sighting
from counters.software import SOFTWARE
from counters.steering import Change, Steering, SteeringLeaf, apply, revocations_file, steering_entry
from counters.waiting_evidence import Waiting, WaitingEvidence
from counters.window_leaf import StoredSegment, build_late_leaf, build_leaf, build_manifest, count_journals

PROBE_BYTES: Final = 16 * 1024 * 1024
"""More than a full gateway's minute, which is about 10 MB: a disk that takes this takes the hand-overs that wait."""
GROUP: Final = 64
"""Leaves in one commit at most: after an outage the backlog is sealed in groups, not one sync at a time."""


class OtherEventError(Exception):
    """The data directory holds the log of another event file."""


class UnknownGatewayError(Exception):
    """Nobody of that name ever had seats."""


class EvidenceRefusedError(Exception):
    """A hand-over is no sound evidence of this event."""


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
        self._probe = data / "ledger" / "probe"
        self.disk = disk
        # Decided by what is locked: nobody opens such a log in another way.
        self.log = Log.open(data / "log", signer, disk=disk, withhold=event.required_witnesses > 0)
        self.evidence = EvidenceStore(data / "evidence", disk)
        self.so_far = self._sealed = SealedSoFar(event, self.evidence.get, self._decoded)
        self.audits = self._sealed.audits
        self.certificates, self.corrections = self._sealed.certificates, self._sealed.corrections
        self._waiting = WaitingEvidence()
        self._schedule = event.scheduled_windows()
        self._seal_lag_s: float | None = None
        self._checkpoint_s: float | None = None
        try:
            self.grants = SeatGrants(data / "ledger" / "grants.jsonl", disk)
            self._reports = DurableLines(data / "ledger" / "reports.jsonl", disk)
            self._expected = ExpectedReports(self.grants.holders)
            self._begin(now)
        except BaseException:
            self.close()
            raise

    # What is there already.

    def _begin(self, now: float) -> None:
        """Go on from what is on the disk, which a crash may have left at any step."""
        self.evidence.sweep()
        self.disk.remove(self._probe)
        if self.log.size == 0:
            self.log.append([event_entry(self.event, self._commitment, self.event.iso(now))])
        # A crash before this line leaves an empty log: whoever starts next locks its own event file.
        first = json.loads(self.log.entry(0))
        if (first["event_sha256"], first["pseudonym_key_sha256"]) != (self.event.digest, self._commitment):
            raise OtherEventError(other_event(first["event"], self.event))
        self._catch_up()
        self._sealed.basis()  # reads the last window's evidence: if it is gone, that is said at the start
        for number, row in enumerate(self._reports.records):
            self._expected.take(row["workers"])
            fresh = [digest for digest in row["segments"] if digest not in self._sealed.known]
            files = [self._stored(digest, self.evidence.get(digest)) for digest in fresh]
            self._waiting.add(number, row["window"], row["received_at"], files)

    def _catch_up(self) -> None:
        """Take in the leaves that memory does not know yet."""
        if self._sealed.leaves == self.log.size:
            return
        self._sealed.take(self.log.entries(self._sealed.leaves))
        self._waiting.drop(self._sealed.known)
        self._expected.retire(self._sealed.retired)
        self._expected.sealed(self._sealed.window)

    def settle(self) -> None:
        """Bring memory and disk together again after an append that failed on the way: its leaves are in, or not.

        Raises:
            OSError: the disk still refuses. Nothing may be written until it does not.
        """
        self.log.settle()
        self._catch_up()

    def check_disk(self) -> None:
        """Find out whether the disk has room for a full hand-over.

        Raises:
            OSError: it has not.
        """
        try:
            self.disk.write(self._probe, bytes(PROBE_BYTES))
        finally:
            with contextlib.suppress(OSError):
                self.disk.remove(self._probe)

    def _decoded(self, digest: str) -> StoredSegment:
        return self._waiting.find(digest) or self._stored(digest, self.evidence.get(digest))

    def _stored(self, digest: str, data: bytes) -> StoredSegment:
        return StoredSegment(digest, len(data), evidence.decode(data))

    # How far it has come.

    def sighting(self) -> Sighting:
        """Return what others may see of this ledger: all of it is durable, and never becomes less."""
        checkpoint, reports = self.log.checkpoint, len(self._reports.records)
        return Sighting(self._sealed.restored, checkpoint.size, checkpoint.root, self.grants.next_block, reports)

    @property
    def newest_evidence_s(self) -> float | None:
        """When evidence was accepted last, unix seconds; None if none was."""
        return float(self._reports.records[-1]["received_at"]) if self._reports.records else None

    # What comes in.

    def grant(self, worker: str, gateway: str, blocks: int, now: float, after: int | None = None) -> list[int]:
        """Grant blocks of seats to a worker, durably, and expect its reports from the current window on.

        `after` is the last block that it knows it has (counters.seat_grants): asked again, it gets the same answer.
        """
        # No leaf says who holds seats: grants need no settled log.
        return self.grants.grant(worker, gateway, blocks, _window_of(now), after)

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
            OSError: the disk refuses; nothing was taken, and no window is sealed without it while it is tried again.
        """
        if bundle.window > now + WINDOW_S or any(report.through > now + 2 * WINDOW_S for report in bundle.workers):
            raise EvidenceRefusedError("it is of a window that has not begun: set the gateway's clock right")
        files = [self._check(bundle, data) for data in bundle.segments]
        try:
            self.settle()
            outcome = self._keep(bundle, files, now)
        except OSError:
            self._expected.turned_away(tick)
            raise
        self._expected.hear(bundle.gateway, bundle.window, tick)
        return outcome

    def _keep(self, bundle: HandOver, files: Sequence[StoredSegment], now: float) -> str:
        fresh = [file for file in files if file.sha256 not in self._sealed.known and file.sha256 not in self._waiting]
        by_digest = {hashlib.sha256(data).hexdigest(): data for data in bundle.segments}
        for file in fresh:
            self.evidence.put(by_digest[file.sha256])
        # A crash here leaves evidence files that no report names: the gateway got no answer and hands over again.
        promises = [{"worker": r.worker, "through": r.through, "ended": r.ended} for r in bundle.workers]
        number = len(self._reports.records)
        if fresh or self._expected.says_more(promises):
            self._reports.add(
                {
                    "window": bundle.window,
                    "gateway": bundle.gateway,
                    "workers": promises,
                    "segments": [file.sha256 for file in fresh],
                    "received_at": now,
                }
            )
        # A crash here leaves an accepted hand-over whose gateway got no answer: the same one is "known" then.
        self._expected.take(promises)
        self._waiting.add(number, bundle.window, now, fresh)
        if not files:
            return "promise"
        if not fresh:
            return "known"
        return "late" if bundle.window <= self._sealed.window else "new"

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

    # Sealing.

    def _candidates(self, now: float, pending: Collection[int]) -> list[int]:
        """The windows that have ended and have no leaf: all scheduled ones, and others with evidence; ascending."""
        waiting = {window for window in self._schedule if window > self._sealed.window} | set(pending)
        return sorted(window for window in waiting if window + WINDOW_S <= now)

    def unsealed(self, now: float) -> int:
        """How many windows have ended by `now` and have no leaf yet, and how many late hand-overs wait."""
        sealed = self._sealed.window
        return len(self._candidates(now, self._waiting.pending(sealed))) + len(self._waiting.late(sealed))

    def seal(self, now: float, tick: float) -> int:
        """Seal what can be sealed, as one group; return how many leaves were appended.

        Raises:
            OSError: the disk refuses; nothing is lost, and the same is tried again when this is called again.
        """
        self.settle()
        pending = self._waiting.pending(self._sealed.window)
        late = self._waiting.late(self._sealed.window)[:GROUP]
        due: list[tuple[int, list[str]]] = []
        candidates = self._candidates(now, pending)
        for window in candidates:
            self._expected.notice(window, tick)
        for window in candidates[: GROUP - len(late)]:
            missing = self._expected.missing(window, tick)
            if missing is None:
                break
            due.append((window, missing))
        if not late and not due:
            return 0
        basis = self._sealed.basis()
        entries = [self._late_leaf(each, basis) for each in late]
        entries += [self._window_leaf(window, pending[window], missing, basis) for window, missing in due]
        # A crash up to here leaves manifests that no leaf names; the reports are worked off again.
        self._enter(entries)
        self._sealed.remember(basis)
        self._checkpoint_s = now
        if due:
            self._seal_lag_s = max(now - self._sealed.window - WINDOW_S, 0.0)
        return len(entries)

    def _enter(self, entries: Sequence[bytes]) -> Checkpoint:
        """Append to a settled log. What they stand on is durable already."""
        checkpoint = self.log.append(entries)
        # A crash here leaves leaves that nobody was told of: whoever starts next takes them in as this line does.
        self._catch_up()
        return checkpoint

    def _window_leaf(self, window: int, stored: Sequence[StoredSegment], missing: list[str], basis: Basis) -> bytes:
        segments = [file.segment for file in stored]
        basis.exclusions.add(journals := journals_of(stored))
        before, excluded = basis.before(window), basis.exclusions.excluded
        merged, counted = merged_presence(stored), count_journals(journals, excluded)
        manifest = build_manifest(self.event, window, stored, missing, SOFTWARE, merged=merged, granted=self._granted())
        self.evidence.put(manifest.encode())
        out = basis.exclusions.leave_out(counted.left_out)
        entry = build_leaf(
            self.event, window, segments, before, excluded, manifest, merged=merged, counted=counted, views_left_out=out
        )
        basis.window, basis.presence = window, merged
        return entry

    def _late_leaf(self, late: Sequence[Waiting], basis: Basis) -> bytes:
        stored = [each.file for each in late]
        basis.exclusions.add(journals_of(stored))
        manifest = build_manifest(self.event, late[0].window, stored, (), SOFTWARE, granted=self._granted())
        self.evidence.put(manifest.encode())
        return build_late_leaf(self.event, late[0].window, manifest, late[0].received_at)

    def _granted(self) -> list[Granted]:
        return [Granted(one.worker, one.since, one.blocks) for one in self.grants.holders.values()]

    # Retiring.

    def retire(self, gateway: str, now: float) -> list[str]:
        """Wait no more for a gateway whose host is gone for good; when this returns, the log says so.

        Returns:
            Its workers that had not ended, ascending: they are missing up to the window of `now` and not after it.
            None are left if it was retired before, or ended as it should.

        Raises:
            UnknownGatewayError: no gateway of that name ever had seats.
            OSError: the disk refuses; whether it is retired shows when it is asked for again.
        """
        self.settle()
        there_are = {holder.gateway for holder in self.grants.holders.values()}
        if gateway not in there_are:
            known = f"there are {', '.join(sorted(there_are))}" if there_are else "nor had any other"
            raise UnknownGatewayError(f"no gateway {gateway!r} ever had seats of this event; {known}")
        workers = self._expected.living(gateway)
        if workers:
            # A crash in here leaves the leaf or none; asked for again, what is left is done.
            self._enter(retired_entries(self.event, gateway, workers, now, SOFTWARE))
        return workers

    # Steering.

    def steer(self, change: Change, now: float) -> Change:
        """Put a change into force; when this returns, it survives a power cut and is in the log.

        Returns:
            The change without what was so already; if nothing is left of it, nothing was logged.

        Raises:
            SteeringError: it makes no sense.
            RevokedLimitError: the list would be too long.
            OSError: the disk refuses; whether the change is in force shows when it is asked for again.
        """
        self.settle()
        steering, effective = apply(self.steering, change)
        if steering == self.steering:
            return effective
        revocations = revocations_file(self.event.digest, os.urandom(16), effective)
        if revocations is not None:
            self.evidence.put(revocations)
        # A crash here leaves a file that no leaf names: the change is not in force, and nobody was told that it is.
        self._enter([steering_entry(self.event, steering, now, revocations, SOFTWARE)])
        # A crash here leaves a change in force whose organiser got no answer: asked for again, it changes nothing.
        return effective

    @property
    def steering(self) -> Steering:
        """What is in force."""
        return self._sealed.steering

    @property
    def changes(self) -> Sequence[SteeringLeaf]:
        """The changes of steering so far, in the order of the log."""
        return self._sealed.changes

    # What else goes into the log.

    def append(self, *entries: bytes) -> Checkpoint:
        """Append other entries as one group, for example a certificate's: all of them are in, or none.

        Raises:
            OSError: the disk refuses; whether they are in shows in the log once `settle` returns.
        """
        self.settle()
        return self._enter(entries)

    def state(self, now: float) -> SealingState:
        """Return what /metrics shows."""
        return SealingState(
            size=self.log.published.size,
            withheld=self.log.size - self.log.published.size,
            sealed_window=self._sealed.window,
            unsealed=self.unsealed(now),
            overdue=len(self._candidates(now - OVERDUE_S, self._waiting.pending(self._sealed.window))),
            seal_lag_s=self._seal_lag_s,
            checkpoint_s=self._checkpoint_s,
            attendees=self._sealed.attendees,
            counts=self._sealed.counts,
            waiting_bytes=self._waiting.size_bytes,
            gateways=self._expected.gateways(),
        )

    def close(self) -> None:
        """Let go of the data directory."""
        self.log.close()


def _window_of(now: float) -> int:
    return int(now) // WINDOW_S * WINDOW_S
