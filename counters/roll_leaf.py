"""A leaf of the roll: what is committed to of one attendee, 88 bytes, little-endian.

    offset  bytes  field
    0       16     pseudonym      leaves ascend by it, strictly, as bytes
    16      32     token_digest   SHA-256 of the ticket (compact JWT) of the attendee's earliest join or badge
    48      8      key            short digest of the RFC 7638 thumbprint of the key that signed the ticket
    56      8      joined_at_ms   u64, when that was, unix ms
    64      8      category       short digest of the attendee's category
    72      8      outlet         short digest of the outlet: the ticket's, or if it names none the player's word
    80      4      seat           u32, canonical
    84      2      issuer         u16, position of the issuer in the event of entry 0, from 0; 65,535 = none of them
    86      2      country        two capital letters; two zero bytes = unknown

A short digest is the first 8 bytes of the SHA-256 of a text's UTF-8; of the empty text, eight zero bytes. Who has the
ticket and the pseudonym key can compute the whole leaf but for seat and time; nobody else can compute anything from it
or from its hash, since a pseudonym is 128 bits that only the key tells from chance.

Hand-worked: country "FR" is `4652`, category "staff" is the start of its SHA-256, `1562206543da764123c21bd524674f0a…`,
so `1562206543da7641`; seat 70,000 is `70110100`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from counters.event import Event
from counters.journal import Assurance, JoinKind
from counters.journal_segment import JournalSegment

LEAF_DTYPE: Final = np.dtype(
    [
        ("pseudonym", "V16"),
        ("token_digest", "V32"),
        ("key", "V8"),
        ("joined_at_ms", "<u8"),
        ("category", "V8"),
        ("outlet", "V8"),
        ("seat", "<u4"),
        ("issuer", "<u2"),
        ("country", "V2"),
    ]
)
LEAF_BYTES: Final = LEAF_DTYPE.itemsize
ROW_DTYPE: Final = np.dtype([*((name, LEAF_DTYPE[name]) for name in LEAF_DTYPE.names or ()), ("guest", "?")])
"""A leaf on its way: whether the join was a guest's decides who is on the roll, and is not on it."""
NO_ISSUER: Final = 0xFFFF

Rows = npt.NDArray[np.void]


def short_digest(text: str) -> bytes:
    """Return the 8 bytes that stand for a text."""
    return hashlib.sha256(text.encode()).digest()[:8] if text else bytes(8)


@dataclass(frozen=True, slots=True)
class RollLeaf:
    """One attendee as the roll has it."""

    pseudonym: bytes
    token_digest: bytes
    key: bytes
    joined_at_ms: int
    category: bytes
    outlet: bytes
    seat: int
    issuer: int
    country: bytes

    @classmethod
    def decode(cls, raw: bytes) -> "RollLeaf":
        """Return the leaf of 88 bytes.

        Raises:
            ValueError: there are more or fewer.
        """
        if len(raw) != LEAF_BYTES:
            raise ValueError(f"a leaf of the roll has {LEAF_BYTES} bytes, not {len(raw)}")
        return cls(*np.frombuffer(raw, LEAF_DTYPE)[0].tolist())


def rows_of(event: Event, journal: JournalSegment) -> Rows:
    """Return a row (`ROW_DTYPE`) for each join of a journal that names its attendee."""
    joins = journal.joins
    named = (joins["kind"] != JoinKind.VIEWING_TOKEN) & (joins["pseudonym"] != np.void(bytes(16)))
    joins = joins[named]
    rows = np.zeros(len(joins), ROW_DTYPE)
    if not len(joins):
        return rows
    for name in ("pseudonym", "token_digest", "joined_at_ms", "seat"):
        rows[name] = joins[name]
    rows["guest"] = joins["assurance"] == Assurance.GUEST
    digests = np.frombuffer(b"".join(map(short_digest, journal.texts)), "V8")
    rows["key"] = digests[joins["key_thumbprint"]]
    rows["category"] = digests[joins["category"]]
    rows["outlet"] = digests[joins["outlet"]]
    countries = np.frombuffer(b"".join(map(country_bytes, journal.texts)), "V2")
    rows["country"] = countries[joins["country"]]
    positions = _positions(event)
    issuers = np.array([positions.get(text, NO_ISSUER) for text in journal.texts], np.uint16)
    rows["issuer"] = issuers[joins["issuer"]]
    return rows


def country_bytes(text: str) -> bytes:
    """Return a country as a leaf has it; of anything but two bytes, two zero bytes."""
    raw = text.encode()
    return raw if len(raw) == 2 else bytes(2)


def _positions(event: Event) -> Mapping[str, int]:
    return {issuer.id: position for position, issuer in enumerate(event.issuers)}
