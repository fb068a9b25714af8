"""The manifest of a window: which files of evidence there are, what they cover, and whose evidence is missing.

A file of evidence itself: canonical JSON, named by its SHA-256, which the window's leaf (or a late leaf) carries.

    type, version   "manifest", 2 (version 1, whose coverage rows end with `records` and which has no
                    `granted`, is read as well)
    event_sha256    hex digest of the canonical event file
    window          ISO 8601 with the event's offset; window_s, interval_s integers
    evidence        ascending by sha256: {"sha256", "kind": "presence" or "journal", "bytes", "gateway"}
    coverage        the workers' rows (counters.segment.Coverage), ascending by worker, then from_ms
    missing         ids of workers that hold seats and did not report, ascending
    granted         {"worker", "since", "blocks"} of those of them, and of the workers in `coverage` whose records did
                    not all reach the disk or cannot be read, that hold seats: since which window (unix seconds), and
                    which blocks, ascending; ascending by worker. Whom only they seated has a seat out of these blocks
    registers       {"session", "sketch": "attendees" or "views", "sha256"} of the canonical 12,288 bytes of the merged
                    sketch, ascending by session, then sketch
    software        "turnout 0.1.0"
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from counters import canonical_json
from counters.attendee import HIGHEST_BLOCK
from counters.segment import VERSIONS, WINDOW_S, Coverage, SegmentError, coverage_rows, is_count, is_digest

VERSION: Final = 2
"""The same as the segments' whose coverage rows it holds."""
MEMBERS: Final = frozenset(
    ("type", "version", "event_sha256", "window", "window_s", "interval_s", "evidence", "coverage", "missing",
     "registers", "software")
)  # fmt: skip
"""Of version 1; version 2 has `granted` besides."""
KINDS: Final = ("journal", "presence")
SKETCHES: Final = ("attendees", "views")


class ManifestError(ValueError):
    """The bytes are not a sound manifest."""


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """One file of evidence."""

    sha256: str  # hex
    kind: str  # "presence" or "journal"
    bytes: int
    gateway: str


@dataclass(frozen=True, slots=True)
class SketchDigest:
    """The digest of one merged sketch of the window."""

    session: str  # id in the event file
    sketch: str  # "attendees" or "views"
    sha256: str  # hex, of the canonical 12,288 bytes


@dataclass(frozen=True, slots=True)
class Granted:
    """The seats of a worker whose evidence is not all there."""

    worker: str
    since: int  # unix seconds
    blocks: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """The row as it stands in manifests."""
        return {"worker": self.worker, "since": self.since, "blocks": list(self.blocks)}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a window's leaf stands on."""

    event_sha256: str
    window: str  # ISO 8601 with the event's offset
    interval_s: int
    evidence: tuple[EvidenceFile, ...]
    coverage: tuple[Coverage, ...]
    missing: tuple[str, ...]
    registers: tuple[SketchDigest, ...]
    software: str
    version: int = VERSION
    granted: tuple[Granted, ...] = ()

    def encode(self) -> bytes:
        """Return the canonical JSON of this manifest, in its version."""
        granted = {"granted": [row.as_json() for row in self.granted]} if self.version > 1 else {}
        return canonical_json.encode(
            granted
            | {
                "type": "manifest",
                "version": self.version,
                "event_sha256": self.event_sha256,
                "window": self.window,
                "window_s": WINDOW_S,
                "interval_s": self.interval_s,
                "evidence": [asdict(file) for file in self.evidence],
                "coverage": [row.as_json(self.version) for row in self.coverage],
                "missing": list(self.missing),
                "registers": [asdict(row) for row in self.registers],
                "software": self.software,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """Return the manifest in a file of evidence.

        Raises:
            ManifestError: anything but what `encode` writes.
        """
        try:
            return _read(canonical_json.decode(data))
        except (canonical_json.CanonicalJsonError, SegmentError) as error:
            raise ManifestError(f"manifest: {error}") from error


def _read(value: Any) -> Manifest:
    version = value.get("version") if isinstance(value, dict) else None
    members = MEMBERS if version == 1 else MEMBERS | {"granted"}
    if not isinstance(value, dict) or set(value) != members or value["type"] != "manifest":
        raise ManifestError("not a manifest, or one with other members than it must have")
    if type(version) is not int or version not in VERSIONS or value["window_s"] != WINDOW_S:
        raise ManifestError("a manifest of another version or length of window")
    texts = [value.get(name) for name in ("window", "software")]
    missing = value.get("missing")
    if not isinstance(missing, list) or not all(isinstance(text, str) for text in texts + missing):
        raise ManifestError("window, software or a missing worker is not text")
    if not is_digest(value.get("event_sha256")) or not is_count(value.get("interval_s")):
        raise ManifestError("the manifest names no event digest or no interval")
    evidence = tuple(EvidenceFile(**row) for row in _rows(value.get("evidence"), EvidenceFile))
    for file in evidence:
        if file.kind not in KINDS or not is_count(file.bytes) or not is_digest(file.sha256):
            raise ManifestError("a file of evidence has an unknown kind, no length or no digest")
    if [file.sha256 for file in evidence] != sorted({file.sha256 for file in evidence}):
        raise ManifestError("the files of evidence are not in ascending order")
    registers = tuple(SketchDigest(**row) for row in _rows(value.get("registers"), SketchDigest))
    if any(row.sketch not in SKETCHES or not is_digest(row.sha256) for row in registers):
        raise ManifestError("a sketch has an unknown name or no digest")
    coverage = coverage_rows(value.get("coverage"), version)
    return Manifest(
        value["event_sha256"],
        value["window"],
        value["interval_s"],
        evidence,
        coverage,
        tuple(missing),
        registers,
        value["software"],
        version,
        _granted(value.get("granted", [])),
    )


def _granted(rows: object) -> tuple[Granted, ...]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ManifestError("the seats granted are not a list")
    for row in rows:
        if set(row) != {"worker", "since", "blocks"} or not isinstance(row["worker"], str):
            raise ManifestError("a row of seats granted has other fields than it must, or names no worker")
        blocks = row["blocks"]
        if not isinstance(blocks, list) or not all(is_count(number) for number in (row["since"], *blocks)):
            raise ManifestError("seats were granted at no time, or in no blocks")
        if blocks != sorted(set(blocks)) or not blocks or blocks[-1] > HIGHEST_BLOCK:
            raise ManifestError("blocks of seats are not in ascending order, or there is no such block")
    workers = [row["worker"] for row in rows]
    if workers != sorted(set(workers)):
        raise ManifestError("the workers to whom seats were granted are not in ascending order")
    return tuple(Granted(row["worker"], row["since"], tuple(row["blocks"])) for row in rows)


def _rows(rows: object, of: type[EvidenceFile | SketchDigest]) -> list[Mapping[str, Any]]:
    names = {field.name for field in fields(of)}
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(row) == names for row in rows):
        raise ManifestError("a list in the manifest holds rows of other fields than it must")
    for row in rows:
        if not all(isinstance(row[name], str) for name in names - {"bytes"}):
            raise ManifestError("a row in the manifest names something by other than text")
    return rows
