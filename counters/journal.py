"""The journal: who joined and who was scanned, written down before the answer goes out; and their tokens, if kept.

A worker appends one record per join and per badge scan to its spool's journal with a single `write`; what was written
survives `kill -9` of the worker. When the window closes the records become a journal segment (counters.evidence).

Spool record, little-endian, version 1 (all of it is covered by the checksum):

    offset  size  field
    0       2     length   bytes of the whole record, checksum included
    2       1     type     1 join, 2 scan, 3 token
    3       1     version  1
    4       n     of a token: its SHA-256, then the sealed token (counters.sealed_token) up to the checksum. Of the
                  others the fixed part, in the order of the fields of Join or Scan:
                    join, 84 bytes: seat u32, session u16, kind u8, assurance u8, filters u32, view u64,
                      joined_at_ms u64, pseudonym 16, token_digest 32, address 8
                    scan, 24 bytes: seat u32, session u16, direction u8, forced u8, scanned_at_ms u64,
                      received_at_ms u64
    4+n     …     the texts, in field order, each one byte of length and UTF-8
    end−4   4     CRC-32 of everything before it

Hand-worked: seat 70000 going in at gate "a" for session 3, forced, scanned at 1 ms and received at 2 ms, nonce "é",
accepted: `2600 02 01`, `70110100 0300 01 01 0100000000000000 0200000000000000`, `01 61`, `02 c3a9`, `00`, checksum.

A token stands right before the join or badge that shows it, in the same write. It is no evidence: `decode` passes over
it, and `tokens` reads it (counters.retained_tokens).

A record whose length runs past the end of the file or whose checksum is wrong is the torn tail of a write that was
never answered: reading stops there, as at anything else that `encode` does not write.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from counters.sealed_token import OVERHEAD_BYTES

VERSION: Final = 1
TEXT_LIMIT_BYTES: Final = 255
"""A text is counted in one byte; longer ones are cut at a character."""


class JoinKind(IntEnum):
    """What vouched for a join."""

    TICKET = 1  # the issuer's JWT; opens a view
    VIEWING_TOKEN = 2  # a viewing token of the same event; opens a view in another session
    BADGE = 3  # the JWT on a badge, scanned at a gate; opens no view


class Assurance(IntEnum):
    """How well the attendee is known. Never mixed silently."""

    TICKETED = 1
    GUEST = 2


class Direction(IntEnum):
    """Which way a badge passed its gate."""

    IN = 1
    OUT = 2


@dataclass(frozen=True, slots=True)
class Join:
    """One join: the attendee, the view it opened, and what later counting needs."""

    seat: int  # 1 … 2^31 − 1
    session: int  # session number; 0 for a badge at a gate of no running session
    kind: JoinKind
    assurance: Assurance
    filters: int  # bit set of invalid-traffic flags; 0 = none
    view: int  # 64-bit view id; 0 for a badge
    joined_at_ms: int  # unix time in ms, the server's clock
    pseudonym: bytes  # 16 bytes; all zero for VIEWING_TOKEN, which knows only its seat
    token_digest: bytes  # SHA-256 of the JWT; all zero for VIEWING_TOKEN
    address: bytes  # 8 bytes: keyed digest of the client's address prefix
    issuer: str  # the issuer's id in the event file; "" for VIEWING_TOKEN
    key_thumbprint: str  # RFC 7638 thumbprint of the key that signed; "" for VIEWING_TOKEN
    country: str
    category: str
    outlet: str
    network: str  # class of network, e.g. "", "datacentre"
    agent: str  # class of player, e.g. "browser", "tv", "bot"


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of a badge at a gate, accepted or refused. The key (gate, nonce) names it once and for all."""

    seat: int  # 0 if refused
    session: int  # number of the session the gate opens at `scanned_at_ms`; 0 = none is on
    direction: Direction
    forced: bool  # uploaded as having happened: not refused for being against the rules
    scanned_at_ms: int  # the scanner's clock, unix ms
    received_at_ms: int  # the server's clock, unix ms
    gate: str
    nonce: str
    refusal: str  # label of the `Reason`; "" if accepted


_JOIN = struct.Struct("<IHBBIQQ16s32s8s")
_SCAN = struct.Struct("<IHBBQQ")
_HEAD = struct.Struct("<HBB")
_CRC = struct.Struct("<I")
_TYPE_JOIN, _TYPE_SCAN, _TYPE_TOKEN = 1, 2, 3
_DIGEST_BYTES: Final = 32
_KIND_AT: Final = 6  # of a join's body
_BADGE: Final = bytes((JoinKind.BADGE,))


def _text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > TEXT_LIMIT_BYTES:
        raw = raw[:TEXT_LIMIT_BYTES].decode(errors="ignore").encode()
    return bytes((len(raw),)) + raw


def encode(record: Join | Scan) -> bytes:
    """Return the spool record of a join or a scan."""
    if isinstance(record, Join):
        kind, fixed = _TYPE_JOIN, _JOIN.pack(
            record.seat, record.session, record.kind, record.assurance, record.filters, record.view,
            record.joined_at_ms, record.pseudonym, record.token_digest, record.address,
        )  # fmt: skip
        texts = [record.issuer, record.key_thumbprint, record.country, record.category, record.outlet,
                 record.network, record.agent]  # fmt: skip
    else:
        kind, fixed = (
            _TYPE_SCAN,
            _SCAN.pack(
                record.seat,
                record.session,
                record.direction,
                record.forced,
                record.scanned_at_ms,
                record.received_at_ms,
            ),
        )
        texts = [record.gate, record.nonce, record.refusal]
    return _record(kind, fixed + b"".join(map(_text, texts)))


def encode_token(digest: bytes, sealed: bytes) -> bytes:
    """Return the spool record of a sealed token; `digest` is the SHA-256 of the compact JWT."""
    return _record(_TYPE_TOKEN, digest + sealed)


def _record(kind: int, body: bytes) -> bytes:
    head = _HEAD.pack(_HEAD.size + len(body) + _CRC.size, kind, VERSION)
    return head + body + _CRC.pack(zlib.crc32(head + body))


def _decode_body(kind: int, body: bytes) -> Join | Scan:
    fixed = _JOIN if kind == _TYPE_JOIN else _SCAN
    values = fixed.unpack_from(body)
    texts: list[str] = []
    at = fixed.size
    while at < len(body):
        if at + 1 + body[at] > len(body):
            raise ValueError("a text runs past the end of its record")
        texts.append(body[at + 1 : at + 1 + body[at]].decode())
        at += 1 + body[at]
    if kind == _TYPE_JOIN:
        seat, session, join_kind, assurance, *rest = values
        return Join(seat, session, JoinKind(join_kind), Assurance(assurance), *rest, *texts)
    seat, session, direction, forced, scanned, received = values
    return Scan(seat, session, Direction(direction), bool(forced), scanned, received, *texts)


def decode(journal: bytes) -> Iterator[Join | Scan]:
    """Yield the joins and scans of a journal in the order in which they were written, up to a torn tail."""
    for kind, body, _ in _records(journal):
        if kind == _TYPE_TOKEN:
            continue
        try:
            record = _decode_body(kind, body)
        except (struct.error, TypeError, ValueError):
            return
        yield record


def accepted_scans(journal: bytes) -> tuple[list[tuple[bytes, Scan]], int]:
    """Return the accepted scans, each with its attendee's pseudonym, and how many bytes of the journal were read.

    A journal that is still being written may be read on from there. Of a write that is seen in part nothing is taken:
    the badge that stands before its scan is read again.
    """
    found: list[tuple[bytes, Scan]] = []
    taken, badge = 0, b""
    for kind, body, end in _records(journal):
        # Among a rush of joins there are few scans: what is no badge is not decoded.
        if kind == _TYPE_TOKEN or (kind == _TYPE_JOIN and body[_KIND_AT : _KIND_AT + 1] != _BADGE):
            taken = end
            continue
        try:
            record = _decode_body(kind, body)
        except (struct.error, TypeError, ValueError):
            break
        if isinstance(record, Join):
            badge = record.pseudonym
            continue
        taken = end
        if not record.refusal and badge:
            found.append((badge, record))
        badge = b""
    return found, taken


def tokens(journal: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the digests and sealed tokens of a journal, up to a torn tail."""
    for kind, body, _ in _records(journal):
        if kind == _TYPE_TOKEN:
            yield body[:_DIGEST_BYTES], body[_DIGEST_BYTES:]


def _records(journal: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield type and body of each record and where it ends, up to a torn tail."""
    at = 0
    while at + _HEAD.size + _CRC.size <= len(journal):
        length, kind, version = _HEAD.unpack_from(journal, at)
        end = at + length
        if length < _HEAD.size + _CRC.size or end > len(journal):
            return
        if version != VERSION or kind not in {_TYPE_JOIN, _TYPE_SCAN, _TYPE_TOKEN}:
            return
        checked = journal[at : end - _CRC.size]
        if zlib.crc32(checked) != _CRC.unpack_from(journal, end - _CRC.size)[0]:
            return
        if kind == _TYPE_TOKEN and len(checked) <= _HEAD.size + _DIGEST_BYTES + OVERHEAD_BYTES:
            return
        yield kind, checked[_HEAD.size :], end
        at = end
