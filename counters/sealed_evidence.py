"""From the log to the evidence behind it: the manifests and segments of each leaf, every digest checked on the way."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from counters import evidence
from counters.event import Event
from counters.evidence import JournalSegment, PresenceSegment, SegmentError, SessionPresence
from counters.evidence_store import EvidenceError
from counters.log_entries import LateLeaf, SealedLog, WindowLeaf
from counters.manifest import Manifest, ManifestError
from counters.window_leaf import LeafError, StoredSegment, build_manifest, merge_presence

ReadEvidence = Callable[[str], bytes]
"""From a SHA-256 in hex to the bytes of that file; whoever reads checks them."""
_UNSOUND: Final = (EvidenceError, ManifestError, SegmentError, LeafError)


@dataclass(frozen=True, slots=True)
class LeafEvidence:
    """What one leaf of the log stands on."""

    leaf: WindowLeaf | LateLeaf
    manifest: Manifest
    presence: tuple[PresenceSegment, ...]
    journals: tuple[JournalSegment, ...]
    merged: Mapping[int, SessionPresence]  # by session number, all gateways together

    @property
    def counted(self) -> bool:
        """Whether it enters the numbers: late evidence does until the event's `late_until`."""
        return isinstance(self.leaf, WindowLeaf) or self.leaf.counted


def read_evidence_of(log: SealedLog, read: ReadEvidence) -> Iterator[LeafEvidence]:
    """Yield the evidence of each leaf in the order of the log.

    Raises:
        EvidenceError: a file is absent, has another digest than its name, is malformed or contradicts its manifest, or
            is of a heartbeat interval that no entry announces.
    """
    for leaf in log.leaves:
        evidence_of = _read_leaf(log.event, leaf, read)
        if evidence_of.manifest.interval_s not in log.announced_before(leaf.index):
            # Of a window the log tells it as well; of late evidence, which counts too, only the manifest does.
            raise EvidenceError(f"entry {leaf.index}: no entry before it announces its interval")
        yield evidence_of


def _checked(read: ReadEvidence, digest: str) -> bytes:
    data = read(digest)
    if hashlib.sha256(data).hexdigest() != digest:
        raise EvidenceError(f"evidence {digest} was changed: its bytes have another digest")
    return data


def _read_leaf(event: Event, leaf: WindowLeaf | LateLeaf, read: ReadEvidence) -> LeafEvidence:
    outline, journals = _read_journals(event, leaf, read)
    return replace(read_presence(event, outline, read), journals=journals)


@dataclass(frozen=True, slots=True)
class LeafOutline:
    """A leaf of which the manifest and the journals have been read, and the presence not yet."""

    leaf: WindowLeaf | LateLeaf
    manifest: Manifest
    journals: tuple[StoredSegment, ...]  # without their records

    @property
    def counted(self) -> bool:
        """Whether it enters the numbers."""
        return isinstance(self.leaf, WindowLeaf) or self.leaf.counted

    @property
    def presence_bytes(self) -> int:
        """How much there is still to be read."""
        return sum(file.bytes for file in self.manifest.evidence if file.kind == "presence")


def read_journals_of(log: SealedLog, read: ReadEvidence) -> Iterator[tuple[LeafOutline, tuple[JournalSegment, ...]]]:
    """Yield the journals of each leaf in the order of the log, having checked what `read_evidence_of` checks of them.

    Raises:
        EvidenceError: as `read_evidence_of`.
    """
    for leaf in log.leaves:
        outline, journals = _read_journals(log.event, leaf, read)
        if outline.manifest.interval_s not in log.announced_before(leaf.index):
            # Of a window the log tells it as well; of late evidence, which counts too, only the manifest does.
            raise EvidenceError(f"entry {leaf.index}: no entry before it announces its interval")
        yield outline, journals


def _read_journals(
    event: Event, leaf: WindowLeaf | LateLeaf, read: ReadEvidence
) -> tuple[LeafOutline, tuple[JournalSegment, ...]]:
    try:
        manifest = Manifest.decode(_checked(read, leaf.manifest_sha256))
        files = _segments(manifest, "journal", read)
    except _UNSOUND as error:
        raise _named(event, leaf, error) from error
    journals = tuple(file.segment for file in files if isinstance(file.segment, JournalSegment))
    # Copies: a part of an array, even of no rows, would keep the whole journal in memory.
    headed = (JournalSegment(one.head, (), one.joins[:0].copy(), one.scans[:0].copy()) for one in journals)
    stored = tuple(replace(file, segment=head) for file, head in zip(files, headed, strict=True))
    return LeafOutline(leaf, manifest, stored), journals


def read_presence(event: Event, outline: LeafOutline, read: ReadEvidence) -> LeafEvidence:
    """Return the evidence of a leaf; of its journals only the heads.

    Raises:
        EvidenceError: a file is absent, has another digest than its name, is malformed or contradicts the manifest.
    """
    leaf, manifest = outline.leaf, outline.manifest
    try:
        stored = [*_segments(manifest, "presence", read), *outline.journals]
        presence = tuple(file.segment for file in stored if isinstance(file.segment, PresenceSegment))
        merged = merge_presence(presence)
        rebuilt = build_manifest(
            event,
            leaf.window,
            stored,
            manifest.missing,
            manifest.software,
            merged=merged,
            version=manifest.version,
            granted=manifest.granted,
        )
    except _UNSOUND as error:
        raise _named(event, leaf, error) from error
    if rebuilt != manifest:
        raise EvidenceError(f"entry {leaf.index}: its manifest does not describe the segments that it names")
    journals = tuple(file.segment for file in outline.journals if isinstance(file.segment, JournalSegment))
    return LeafEvidence(leaf, manifest, presence, journals, merged)


def _segments(manifest: Manifest, kind: str, read: ReadEvidence) -> list[StoredSegment]:
    """Return the segments of one kind that a manifest names, every digest checked."""
    stored = []
    for file in manifest.evidence:
        if file.kind == kind:
            data = _checked(read, file.sha256)
            segment = evidence.decode(data)
            if isinstance(segment, JournalSegment) != (kind == "journal"):
                raise EvidenceError(f"evidence {file.sha256} is of another kind than its manifest says")
            stored.append(StoredSegment(file.sha256, len(data), segment))
    return stored


def _named(event: Event, leaf: WindowLeaf | LateLeaf, error: Exception) -> EvidenceError:
    return EvidenceError(f"entry {leaf.index}, window {event.iso(leaf.window)}: {error}")
