"""The container of a segment: one sealed file of evidence, a header that says whose, and typed sections.

Little-endian, version 2 (version 1 is read as well):

    offset  size  field
    0       8     magic     "TURNSEG" and a zero byte
    8       2     version   2
    10      2     kind      1 presence, 2 journal
    12      4     header    bytes of the header
    16      n     the header, canonical JSON: event_sha256, gateway, window (unix s), interval_s, workers; what else
                  it holds depends on the kind
    16+n    …     sections to the end of the file: u16 type, u16 session number, u32 payload bytes, payload;
                  strictly ascending by (type, session)

In version 1 a worker's row ends with `records`: clocks were not measured, and a window that could not be read was not
mentioned.

Hand-worked, a section of type 1 for session 7 with the payload `aa bb`: `0100 0700 02000000 aabb`.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from counters import canonical_json

MAGIC: Final = b"TURNSEG\0"
VERSION: Final = 2
VERSIONS: Final = (1, 2)
"""What is read; only the newest is written."""
KIND_PRESENCE: Final = 1
KIND_JOURNAL: Final = 2
WINDOW_S: Final = 60
"""A window is a clock minute."""

_SINCE_VERSION_2: Final = ("clock_offset_ms", "unreadable")
_DIGEST = re.compile("[0-9a-f]{64}")
_PREFIX = struct.Struct("<8sHHI")
_SECTION = struct.Struct("<HHI")


class SegmentError(ValueError):
    """The bytes are not a sound segment, or the value cannot be one."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What one worker incarnation can vouch for in one window."""

    worker: str  # 16 hex digits: one incarnation of a worker
    gateway: str
    from_ms: int  # unix ms of the server's clock: it recorded from here …
    until_ms: int  # … to here; if it was killed: to where it is last known to have been there
    synced_until_ms: int  # what was recorded before this had reached the disk
    crashed: bool  # its spool was adopted, not handed over
    records: int  # heartbeats, joins and scans recorded
    clock_offset_ms: int | None = None  # its clock minus the ledger's; None = not measured
    unreadable: bool = False  # its files could not be read and are kept aside: nothing of it is in the evidence

    @property
    def wanting(self) -> bool:
        """Whether some of what this worker accepted may not be in the evidence: power was lost, or it is unreadable."""
        return self.unreadable or (self.crashed and self.synced_until_ms < self.until_ms)

    def ended_within(self, window: int) -> bool:
        """Whether this is the worker's last row: it died, or closed the window (unix seconds) before that was over.

        One that goes on closes a window when the next one has begun (counters.tally).
        """
        return self.crashed or self.until_ms < (window + WINDOW_S) * 1000

    def as_json(self, version: int) -> dict[str, Any]:
        """The row as it stands in headers and manifests of a version."""
        row = asdict(self)
        return {name: row[name] for name in _fields_of(version)}


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """Whose evidence this is, and of which window."""

    event_sha256: str  # hex digest of the canonical event file
    gateway: str
    window: int  # start of the clock minute, unix seconds
    interval_s: int  # the longest heartbeat interval in force in the window
    workers: tuple[Coverage, ...]
    version: int = VERSION  # of the segment that it heads


Section = tuple[int, int, bytes]
"""(type, session number, payload)."""


def is_digest(value: object) -> bool:
    """Whether the value is a SHA-256 in lower-case hex."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def is_count(value: object) -> bool:
    """Whether the value is a non-negative integer that JSON can carry exactly."""
    return type(value) is int and 0 <= value <= canonical_json.INTEGER_LIMIT


def _fields_of(version: int) -> tuple[str, ...]:
    names = tuple(field.name for field in fields(Coverage))
    return names if version > 1 else names[: -len(_SINCE_VERSION_2)]


def coverage_rows(rows: object, version: int) -> tuple[Coverage, ...]:
    """Read the coverage rows of a header or manifest of a version.

    Raises:
        SegmentError: a row is not what `Coverage.as_json` writes.
    """
    names = set(_fields_of(version))
    if not isinstance(rows, list):
        raise SegmentError("coverage is not a list")
    for row in rows:
        if not isinstance(row, dict) or set(row) != names:
            raise SegmentError("a coverage row has other fields than it must")
        if not isinstance(row["worker"], str) or not isinstance(row["gateway"], str):
            raise SegmentError("a coverage row names its worker or gateway by something other than text")
        if type(row["crashed"]) is not bool:
            raise SegmentError("'crashed' in a coverage row is neither true nor false")
        if not all(is_count(row[name]) for name in ("from_ms", "until_ms", "synced_until_ms", "records")):
            raise SegmentError("a coverage row holds a time or count that is no whole number")
    read = tuple(Coverage(**row) for row in rows)
    for row in read:
        offset_ms = row.clock_offset_ms
        if offset_ms is not None and (type(offset_ms) is not int or not is_count(abs(offset_ms))):
            raise SegmentError("the clock's offset in a coverage row is neither null nor a whole number")
        if type(row.unreadable) is not bool or (row.unreadable and row.records):
            raise SegmentError(
                "'unreadable' in a coverage row is neither true nor false, or it has records all the same"
            )
    return read


def pack(kind: int, head: SegmentHead, more: Mapping[str, Any], sections: Iterable[Section]) -> bytes:
    """Return the bytes of a segment; `more` are the header fields that only this kind has.

    Raises:
        SegmentError: the header or the order of sections is not what `unpack` accepts.
    """
    header = {
        "event_sha256": head.event_sha256,
        "gateway": head.gateway,
        "window": head.window,
        "interval_s": head.interval_s,
        "workers": [worker.as_json(head.version) for worker in head.workers],
        **more,
    }
    if head.version not in VERSIONS or _read_head(header, head.version)[0] != head:
        raise SegmentError(f"a segment of version {head.version} cannot say what the header says")
    try:
        text = canonical_json.encode(header)
    except canonical_json.CanonicalJsonError as error:
        raise SegmentError(f"header: {error}") from error
    parts = [_PREFIX.pack(MAGIC, head.version, kind, len(text)), text]
    before = (-1, -1)
    for section, session, payload in sections:
        if (section, session) <= before:
            raise SegmentError("sections are not in ascending order")
        before = (section, session)
        parts += [_SECTION.pack(section, session, len(payload)), payload]
    return b"".join(parts)


def unpack(data: bytes) -> tuple[int, SegmentHead, dict[str, Any], list[Section]]:
    """Return kind, head, the header's further fields and the sections of a segment.

    Raises:
        SegmentError: anything but a sound segment of a version in `VERSIONS`.
    """
    if len(data) < _PREFIX.size:
        raise SegmentError("shorter than a segment's first 16 bytes")
    magic, version, kind, header_bytes = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise SegmentError("this is no segment: wrong magic")
    if version not in VERSIONS or kind not in (KIND_PRESENCE, KIND_JOURNAL):
        raise SegmentError(f"unknown segment version {version} or kind {kind}")
    at = _PREFIX.size + header_bytes
    if at > len(data):
        raise SegmentError("the header runs past the end")
    try:
        header = canonical_json.decode(data[_PREFIX.size : at])
    except canonical_json.CanonicalJsonError as error:
        raise SegmentError(f"header: {error}") from error
    if not isinstance(header, dict):
        raise SegmentError("the header is no JSON object")
    head, more = _read_head(header, version)
    return kind, head, more, _read_sections(data, at)


def _read_sections(data: bytes, at: int) -> list[Section]:
    sections: list[Section] = []
    before = (-1, -1)
    while at < len(data):
        if at + _SECTION.size > len(data):
            raise SegmentError("a section's head runs past the end")
        section, session, payload_bytes = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        if at + payload_bytes > len(data):
            raise SegmentError("a section runs past the end")
        if (section, session) <= before:
            raise SegmentError("sections are not in ascending order")
        before = (section, session)
        sections.append((section, session, data[at : at + payload_bytes]))
        at += payload_bytes
    return sections


def _read_head(header: dict[str, Any], version: int) -> tuple[SegmentHead, dict[str, Any]]:
    more = dict(header)
    try:
        event_sha256, gateway = more.pop("event_sha256"), more.pop("gateway")
        window, interval_s = more.pop("window"), more.pop("interval_s")
        workers = coverage_rows(more.pop("workers"), version)
    except KeyError as error:
        raise SegmentError(f"the header lacks {error}") from error
    if not is_digest(event_sha256) or not isinstance(gateway, str):
        raise SegmentError("the header names no event digest or no gateway")
    if not is_count(window) or window % WINDOW_S or not is_count(interval_s) or interval_s == 0:
        raise SegmentError("the header's window is no clock minute, or its interval no number of seconds")
    return SegmentHead(event_sha256, gateway, window, interval_s, workers, version), more
