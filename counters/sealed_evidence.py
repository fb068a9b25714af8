"""From the log to the evidence behind it: the manifests and segments of each leaf, every digest checked on the way."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from counters import evidence
from counters.event import Event
from counters.evidence import JournalSegment, PresenceSegment, SegmentError, SessionPresence
from counters.evidence_store import EvidenceError
from counters.log_entries import LateLeaf, SealedLog, WindowLeaf
from counters.manifest import Manifest, ManifestError
from counters.window_leaf import LeafError, StoredSegment, build_manifest, merge_presence

ReadEvidence = Callable[[str], bytes]
"""From a SHA-256 in hex to the bytes of that file."""


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
    try:
        manifest = Manifest.decode(_checked(read, leaf.manifest_sha256))
        files = [(file.sha256, _checked(read, file.sha256)) for file in manifest.evidence]
        stored = [StoredSegment(digest, len(data), evidence.decode(data)) for digest, data in files]
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
    except (EvidenceError, ManifestError, SegmentError, LeafError) as error:
        raise EvidenceError(f"entry {leaf.index}, window {event.iso(leaf.window)}: {error}") from error
    if rebuilt != manifest:
        raise EvidenceError(f"entry {leaf.index}: its manifest does not describe the segments that it names")
    journals = tuple(file.segment for file in stored if isinstance(file.segment, JournalSegment))
    return LeafEvidence(leaf, manifest, presence, journals, merged)
