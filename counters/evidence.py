"""Segments of evidence: who was present in a window, and the journal of who joined.

A segment is a container (counters.segment) of one kind. A presence segment's header adds `refusals`, an object from the
label of a reason to how many heartbeats and requests it refused in the window. Its sections, each with a session
number 1 … 65535, each left out when it would be empty:

    type 1  playing     seats with an accepted heartbeat in a playing state (counters.roaring); background included
    type 2  background  those of them that were heard only from players in the background: a subset of type 1
    type 3  attendees   registers of the sketch of attendees
    type 4  views       registers of the sketch of views

Registers are either 12,288 bytes (counters.hyperloglog.pack) or, if fewer than 4,096 registers are not zero, one triple
of u16 register, u8 rank for each of those, ascending, little-endian. Hand-worked: register 5 with rank 3 is `0500 03`.

A journal segment's sections are in counters.journal_segment. The manifest that names a window's segments is in
counters.manifest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from counters import hyperloglog, journal_segment, roaring, segment
from counters.hyperloglog import Registers
from counters.journal_segment import JournalSegment, journal_segments
from counters.segment import Coverage, Section, SegmentError, SegmentHead

__all__ = [
    "Coverage",
    "JournalSegment",
    "PresenceSegment",
    "SegmentError",
    "SegmentHead",
    "SessionPresence",
    "decode",
    "decode_registers",
    "encode",
    "encode_registers",
    "journal_segments",
]

SECTION_PLAYING: Final = 1
SECTION_BACKGROUND: Final = 2
SECTION_ATTENDEES: Final = 3
SECTION_VIEWS: Final = 4

_SPARSE_DTYPE: Final = np.dtype([("register", "<u2"), ("rank", "u1")])
SPARSE_LIMIT: Final = hyperloglog.PACKED_BYTES // _SPARSE_DTYPE.itemsize
"""From this many registers on the packed form is not longer."""


@dataclass(frozen=True, slots=True, eq=False)
class SessionPresence:
    """Who was present in one session's stream in one window, as one gateway saw it."""

    session: int  # number, 1 … 65535
    playing: BitMap  # all seats present
    background: BitMap  # those seen only in the background
    attendees: Registers  # 16,384 uint8
    views: Registers  # 16,384 uint8

    def __eq__(self, other: object) -> bool:
        """Whether session, sets and registers are the same."""
        if not isinstance(other, SessionPresence):
            return NotImplemented
        return (
            (self.session, self.playing, self.background) == (other.session, other.playing, other.background)
            and np.array_equal(self.attendees, other.attendees)
            and np.array_equal(self.views, other.views)
        )

    __hash__ = None  # type: ignore[assignment] # arrays have no hash

    @property
    def empty(self) -> bool:
        """Whether nothing was seen: such a session is not written."""
        return not (self.playing or self.background or self.attendees.any() or self.views.any())


@dataclass(frozen=True, slots=True)
class PresenceSegment:
    """Who was present in one window, as one gateway saw it."""

    head: SegmentHead
    refusals: Mapping[str, int]  # label of the reason -> how many
    sessions: tuple[SessionPresence, ...]  # ascending by number, none of them empty

    @classmethod
    def of(
        cls, head: SegmentHead, refusals: Mapping[str, int], sessions: Iterable[SessionPresence]
    ) -> "PresenceSegment":
        """Return the segment with empty sessions and zero refusals left out and the rest in order."""
        seen = sorted((session for session in sessions if not session.empty), key=lambda session: session.session)
        return cls(head, {label: count for label, count in sorted(refusals.items()) if count}, tuple(seen))


def encode(evidence: PresenceSegment | JournalSegment) -> bytes:
    """Return the one canonical file of a segment; its SHA-256 is its name in the evidence.

    Raises:
        SegmentError: the value is not what `decode` would accept.
    """
    if isinstance(evidence, JournalSegment):
        return segment.pack(segment.KIND_JOURNAL, evidence.head, {}, journal_segment.pack(evidence))
    _check_refusals(evidence.refusals)
    sections: list[Section] = []
    for session in evidence.sessions:
        if not 1 <= session.session <= 0xFFFF or session.empty:
            raise SegmentError(f"session {session.session} is empty or has no number from 1 to 65535")
        _check_seats(session.playing, session.background)
        sections += [
            (SECTION_PLAYING, session.session, roaring.encode(session.playing) if session.playing else b""),
            (SECTION_BACKGROUND, session.session, roaring.encode(session.background) if session.background else b""),
            (SECTION_ATTENDEES, session.session, encode_registers(session.attendees)),
            (SECTION_VIEWS, session.session, encode_registers(session.views)),
        ]
    written = sorted(section for section in sections if section[2])
    return segment.pack(segment.KIND_PRESENCE, evidence.head, {"refusals": dict(evidence.refusals)}, written)


def decode(data: bytes) -> PresenceSegment | JournalSegment:
    """Return the segment in a file of evidence; `encode` gives the same bytes again.

    Raises:
        SegmentError: anything else, however slightly.
    """
    kind, head, more, sections = segment.unpack(data)
    if kind == segment.KIND_JOURNAL:
        if more:
            raise SegmentError(f"a journal's header has no {sorted(more)}")
        return journal_segment.unpack(head, sections)
    refusals = more.pop("refusals", None)
    if more:
        raise SegmentError(f"a presence segment's header has no {sorted(more)}")
    _check_refusals(refusals)
    return PresenceSegment(head, refusals, _read_sessions(sections))


def _check_refusals(refusals: object) -> None:
    if not isinstance(refusals, Mapping) or not all(isinstance(label, str) for label in refusals):
        raise SegmentError("the refusals are no object")
    if not all(segment.is_count(count) and count > 0 for count in refusals.values()):
        raise SegmentError("a count of refusals is not a positive whole number")


def _check_seats(playing: BitMap, background: BitMap) -> None:
    if 0 in playing:
        raise SegmentError("seat 0 does not exist")
    if not background.issubset(playing):
        raise SegmentError("a seat is in the background without being present")


def _read_sessions(sections: Iterable[Section]) -> tuple[SessionPresence, ...]:
    payloads: dict[int, dict[int, bytes]] = {}
    for section, session, payload in sections:
        if not SECTION_PLAYING <= section <= SECTION_VIEWS or session == 0 or not payload:
            raise SegmentError(f"a presence segment has no section {section} for session {session}")
        payloads.setdefault(session, {})[section] = payload
    return tuple(_read_session(session, parts) for session, parts in sorted(payloads.items()))


def _read_session(session: int, parts: Mapping[int, bytes]) -> SessionPresence:
    playing, background = (_read_seats(parts.get(section)) for section in (SECTION_PLAYING, SECTION_BACKGROUND))
    _check_seats(playing, background)
    return SessionPresence(
        session,
        playing,
        background,
        decode_registers(parts.get(SECTION_ATTENDEES, b"")),
        decode_registers(parts.get(SECTION_VIEWS, b"")),
    )


def _read_seats(payload: bytes | None) -> BitMap:
    if payload is None:
        return BitMap()
    try:
        seats = roaring.decode(payload)
    except roaring.RoaringError as error:
        raise SegmentError(str(error)) from error
    if not seats:
        raise SegmentError("an empty set of seats is written as no section")
    return seats


def encode_registers(registers: Registers) -> bytes:
    """Return the shorter of the sparse and the packed form; of the empty sketch, no bytes.

    Raises:
        SegmentError: the array is no sketch.
    """
    try:
        packed = hyperloglog.pack(registers)
    except hyperloglog.SketchError as error:
        raise SegmentError(str(error)) from error
    filled = np.flatnonzero(registers)
    if len(filled) >= SPARSE_LIMIT:
        return packed
    sparse = np.empty(len(filled), _SPARSE_DTYPE)
    sparse["register"], sparse["rank"] = filled, registers[filled]
    return sparse.tobytes()


def decode_registers(payload: bytes) -> Registers:
    """Return the registers that `encode_registers` wrote.

    Raises:
        SegmentError: no sketch, or one that is not in its shorter form.
    """
    if len(payload) == hyperloglog.PACKED_BYTES:
        try:
            registers = hyperloglog.unpack(payload)
        except hyperloglog.SketchError as error:
            raise SegmentError(str(error)) from error
        if np.count_nonzero(registers) < SPARSE_LIMIT:
            raise SegmentError("registers are packed although the sparse form is shorter")
        return registers
    if len(payload) % _SPARSE_DTYPE.itemsize or len(payload) > hyperloglog.PACKED_BYTES:
        raise SegmentError("registers are neither sparse nor packed")
    sparse: Any = np.frombuffer(payload, _SPARSE_DTYPE)
    order = sparse["register"].astype(np.int64)
    if np.any(np.diff(order) <= 0) or np.any(order >= hyperloglog.REGISTERS):
        raise SegmentError("sparse registers are not in ascending order")
    if np.any(sparse["rank"] == 0) or np.any(sparse["rank"] > hyperloglog.MAX_RANK):
        raise SegmentError(f"a sparse register holds no rank from 1 to {hyperloglog.MAX_RANK}")
    registers = hyperloglog.empty()
    registers[order] = sparse["rank"]
    return registers
