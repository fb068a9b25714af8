"""Who an attendee is to Turnout: a keyed pseudonym, and a seat that stays the same on every device and channel."""

import hashlib
import struct
from typing import Final

PSEUDONYM_BYTES: Final = 16
SEATS_PER_BLOCK: Final = 65_536
"""Seats the ledger grants at once: two blocks are a minute of joins at 2,000 a second, and one Roaring container."""
HIGHEST_BLOCK: Final = (1 << 31) // SEATS_PER_BLOCK - 1
"""Seats are 31 bits: bit 31 marks guests."""


def pseudonym(key: bytes, namespace: str, subject: str) -> bytes:
    """Return the 16-byte pseudonym of a subject: the same for the same person within a namespace and event.

    BLAKE2b-128 keyed with the event's pseudonym key over the length-prefixed namespace and subject, so that no pair
    runs into another: ("a", "bc") and ("ab", "c") differ.
    """
    space, name = namespace.encode(), subject.encode()
    return hashlib.blake2b(
        struct.pack("<H", len(space)) + space + struct.pack("<H", len(name)) + name,
        key=key,
        digest_size=PSEUDONYM_BYTES,
    ).digest()


def attendee_selector(pseudonym_: bytes) -> int:
    """The 10-bit shard selector: pseudonym bits, which are not bits of Redis' Murmur hash of the pseudonym."""
    return int.from_bytes(pseudonym_[:2], "little") & 1023


def block_seats(block: int) -> range:
    """The seats of a granted block. Seat 0 is never used, so block 0 is one seat short.

    Raises:
        ValueError: there is no such block in 31 bits.
    """
    if not 0 <= block <= HIGHEST_BLOCK:
        raise ValueError(f"no block {block}: seats are 31 bits")
    first = block * SEATS_PER_BLOCK
    return range(max(first, 1), first + SEATS_PER_BLOCK)
