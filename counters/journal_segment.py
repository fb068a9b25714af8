"""The journal of a window as columns: joins and scans as fixed records over one table of texts.

Three sections of a segment (counters.segment), all with session number 0; a section without records is left out:

    type 16  texts  each one byte of length and UTF-8; strictly ascending by bytes, every one used by some record
    type 17  joins  98 bytes each, little-endian, fields in the order of `JOIN_DTYPE`
    type 18  scans  30 bytes each, fields in the order of `SCAN_DTYPE`

A text field holds the position of its text in the table (u16). Records keep the order in which the worker wrote them.
The fields mean what counters.journal.Join and Scan say. Hand-worked: the texts "" and "FR" are `00 02 4652`; a join
whose country is "FR" has `0100` there.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from counters.journal import TEXT_LIMIT_BYTES, Assurance, Direction, Join, JoinKind, Scan
from counters.segment import Section, SegmentError, SegmentHead

SECTION_TEXTS: Final = 16
SECTION_JOINS: Final = 17
SECTION_SCANS: Final = 18
TEXTS_LIMIT: Final = 65_536
"""A text's position is a u16. What needs more texts is spread over several segments (`journal_segments`)."""

TABLES_KEPT: Final = 8
"""Tables of texts that are remembered: one window's are mostly those of the window before it."""
JOIN_TIME_LIMIT_MS: Final = 1 << 42
"""May 2109: a join is dated by the server's clock, and a date beyond has no day in a calendar."""

Records = npt.NDArray[np.void]

JOIN_DTYPE: Final = np.dtype(
    [
        ("seat", "<u4"),
        ("session", "<u2"),
        ("kind", "u1"),
        ("assurance", "u1"),
        ("filters", "<u4"),
        ("view", "<u8"),
        ("joined_at_ms", "<u8"),
        ("pseudonym", "V16"),
        ("token_digest", "V32"),
        ("address", "V8"),
        ("issuer", "<u2"),
        ("key_thumbprint", "<u2"),
        ("country", "<u2"),
        ("category", "<u2"),
        ("outlet", "<u2"),
        ("network", "<u2"),
        ("agent", "<u2"),
    ]
)
SCAN_DTYPE: Final = np.dtype(
    [
        ("seat", "<u4"),
        ("session", "<u2"),
        ("direction", "u1"),
        ("forced", "u1"),
        ("scanned_at_ms", "<u8"),
        ("received_at_ms", "<u8"),
        ("gate", "<u2"),
        ("nonce", "<u2"),
        ("refusal", "<u2"),
    ]
)
JOIN_TEXTS: Final = ("issuer", "key_thumbprint", "country", "category", "outlet", "network", "agent")
SCAN_TEXTS: Final = ("gate", "nonce", "refusal")


def _are(values: Iterable[int]) -> npt.NDArray[np.bool_]:
    """Return which bytes are one of these values: there are a hundred million joins to be looked at."""
    known = np.zeros(256, bool)
    known[list(values)] = True
    return known


_ARE_KINDS: Final = _are(JoinKind)
_ARE_ASSURANCES: Final = _are(Assurance)
_ARE_DIRECTIONS: Final = _are(Direction)


def _texts(record: Join | Scan) -> set[str]:
    return {_cut(getattr(record, name)) for name in (JOIN_TEXTS if isinstance(record, Join) else SCAN_TEXTS)}


def _cut(text: str) -> str:
    raw = text.encode()
    return text if len(raw) <= TEXT_LIMIT_BYTES else raw[:TEXT_LIMIT_BYTES].decode(errors="ignore")


@dataclass(frozen=True, slots=True, eq=False)
class JournalSegment:
    """The joins and scans that one gateway accepted, or refused, in one window."""

    head: SegmentHead
    texts: tuple[str, ...]  # ascending by UTF-8 bytes
    joins: Records  # JOIN_DTYPE, in the order of writing
    scans: Records  # SCAN_DTYPE, in the order of writing

    def __eq__(self, other: object) -> bool:
        """Whether heads, texts and records are the same."""
        if not isinstance(other, JournalSegment):
            return NotImplemented
        mine = (self.head, self.texts, self.joins.tobytes(), self.scans.tobytes())
        return mine == (other.head, other.texts, other.joins.tobytes(), other.scans.tobytes())

    __hash__ = None  # type: ignore[assignment] # arrays have no hash

    @classmethod
    def of(cls, head: SegmentHead, records: Iterable[Join | Scan]) -> "JournalSegment":
        """Return the segment of these records; texts over 255 bytes are cut at a character.

        Raises:
            SegmentError: the records hold more than 65,536 different texts (use `journal_segments`).
        """
        records = list(records)
        joins = [record for record in records if isinstance(record, Join)]
        scans = [record for record in records if isinstance(record, Scan)]
        used = {text for record in records for text in _texts(record)}
        texts = tuple(sorted(used, key=str.encode))
        if len(texts) > TEXTS_LIMIT:
            raise SegmentError(f"a journal segment holds at most {TEXTS_LIMIT} different texts")
        index = {text: position for position, text in enumerate(texts)}
        return cls(head, texts, _rows(joins, JOIN_DTYPE, index), _rows(scans, SCAN_DTYPE, index))

    def records(self) -> Iterator[Join | Scan]:
        """Yield the joins, then the scans, each in the order in which they were written."""
        for row in self.joins.tolist():
            seat, session, kind, assurance, *rest = row[: -len(JOIN_TEXTS)]
            texts = (self.texts[position] for position in row[-len(JOIN_TEXTS) :])
            yield Join(seat, session, JoinKind(kind), Assurance(assurance), *rest, *texts)
        for row in self.scans.tolist():
            seat, session, direction, forced, scanned, received = row[: -len(SCAN_TEXTS)]
            texts = (self.texts[position] for position in row[-len(SCAN_TEXTS) :])
            yield Scan(seat, session, Direction(direction), bool(forced), scanned, received, *texts)


def journal_segments(head: SegmentHead, records: Iterable[Join | Scan]) -> list[JournalSegment]:
    """Return as few segments as hold the records in their order; none for no records."""
    segments: list[JournalSegment] = []
    pending: list[Join | Scan] = []
    texts: set[str] = set()
    for record in records:
        mine = _texts(record)
        if len(texts) + len(mine - texts) > TEXTS_LIMIT:
            segments.append(JournalSegment.of(head, pending))
            pending, texts = [], set()
        pending.append(record)
        texts |= mine
    if pending:
        segments.append(JournalSegment.of(head, pending))
    return segments


def _rows(records: Iterable[Any], dtype: np.dtype[np.void], index: dict[str, int]) -> Records:
    names = [field.name for field in fields(Join if dtype is JOIN_DTYPE else Scan)]
    rows = []
    for record in records:
        values = (getattr(record, name) for name in names)
        rows.append(tuple(index[_cut(value)] if isinstance(value, str) else value for value in values))
    try:
        return np.array(rows, dtype)
    except (OverflowError, ValueError) as error:
        raise SegmentError(f"a record does not fit its fields: {error}") from error


def pack(segment: JournalSegment) -> list[Section]:
    """Return the sections of a journal segment.

    Raises:
        SegmentError: the segment is not what `unpack` accepts.
    """
    raw = [text.encode() for text in segment.texts]
    table = b"".join(bytes((len(text),)) + text for text in raw)
    sections = [
        (number, 0, payload)
        for number, payload in (
            (SECTION_TEXTS, table),
            (SECTION_JOINS, segment.joins.tobytes()),
            (SECTION_SCANS, segment.scans.tobytes()),
        )
        if payload
    ]
    _check(segment)
    return sections


def unpack(head: SegmentHead, sections: Iterable[Section]) -> JournalSegment:
    """Return the journal of these sections.

    Raises:
        SegmentError: a section or record is not sound.
    """
    payloads: dict[int, bytes] = {}
    for section, session, payload in sections:
        if section not in (SECTION_TEXTS, SECTION_JOINS, SECTION_SCANS) or session or not payload:
            raise SegmentError(f"a journal segment has no section {section} for session {session}")
        payloads[section] = payload
    segment = JournalSegment(
        head,
        _read_texts(payloads.get(SECTION_TEXTS, b"")),
        _read_rows(payloads.get(SECTION_JOINS, b""), JOIN_DTYPE),
        _read_rows(payloads.get(SECTION_SCANS, b""), SCAN_DTYPE),
    )
    _check(segment)
    return segment


def _read_rows(payload: bytes, dtype: np.dtype[np.void]) -> Records:
    if len(payload) % dtype.itemsize:
        raise SegmentError("a section of records ends within a record")
    return np.frombuffer(payload, dtype)


@lru_cache(maxsize=TABLES_KEPT)
def _read_texts(table: bytes) -> tuple[str, ...]:
    texts: list[str] = []
    at = 0
    while at < len(table):
        end = at + 1 + table[at]
        if end > len(table):
            raise SegmentError("the table of texts ends within a text")
        try:
            texts.append(table[at + 1 : end].decode())
        except UnicodeDecodeError as error:
            raise SegmentError("a text is not UTF-8") from error
        at = end
    return tuple(texts)


@lru_cache(maxsize=TABLES_KEPT)
def _are_ascending(texts: tuple[str, ...]) -> bool:
    raw = [text.encode() for text in texts]
    return all(earlier < later for earlier, later in itertools.pairwise(raw))


def _check(segment: JournalSegment) -> None:
    """Raise unless texts are canonical and every record's values are ones that exist."""
    joins, scans, texts = segment.joins, segment.scans, segment.texts
    if not _are_ascending(texts):
        raise SegmentError("the texts are not in ascending order")
    used = np.zeros(TEXTS_LIMIT, bool)
    for rows, names in ((joins, JOIN_TEXTS), (scans, SCAN_TEXTS)):
        for name in names:
            used[rows[name]] = True
    if len(texts) > TEXTS_LIMIT or not used[: len(texts)].all() or used[len(texts) :].any():
        raise SegmentError("the records and the table of texts do not belong together")
    if not joins["seat"].all() or not _ARE_KINDS[joins["kind"]].all():
        raise SegmentError("a join has no seat or is of no known kind")
    if not _ARE_ASSURANCES[joins["assurance"]].all() or np.any(joins["joined_at_ms"] >= JOIN_TIME_LIMIT_MS):
        raise SegmentError("a join has no known assurance, or a time beyond all calendars")
    if not _ARE_DIRECTIONS[scans["direction"]].all() or np.any(scans["forced"] > 1):
        raise SegmentError("a scan has no known direction, or 'forced' is neither 0 nor 1")
    accepted = scans["refusal"] == texts.index("") if "" in texts else np.zeros(len(scans), bool)
    if np.any(accepted & (scans["seat"] == 0)):
        raise SegmentError("an accepted scan has no seat")
