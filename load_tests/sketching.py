"""Sketches of many made-up attendees at once: what `counters.hyperloglog` does one by one, over numpy arrays.

A pseudonym is 16 bytes; made up, they are drawn at random, so that they differ. Each is hashed as Redis hashes it
(MurmurHash64A) and goes to one register of one shard, the shard being chosen by bits of the pseudonym itself. A test
holds this against `counters.hyperloglog` and `counters.attendee`, element by element, and `load_tests.accuracy` against
a real Redis.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from counters.hyperloglog import RANK_BITS, REGISTER_BITS, REGISTER_MASK, REGISTERS, SELECTOR_MASK

SHARDS: Final = 64
"""Sketches are filled at this many shards; fewer follow by union, since a shard is the selector modulo their number."""
CHUNK: Final = 1 << 17
"""Attendees at once: about 10 MB of arrays, whatever the total."""

Words = npt.NDArray[np.uint64]
Shards = npt.NDArray[np.uint8]
"""Ranks, shape (shards, 16384)."""

# Redis' seed and MurmurHash64A's constants (A. Appleby).
_MULTIPLIER: Final = np.uint64(0xC6A4A7935BD1E995)
_SEED: Final = 0xADC83B19
_SHIFT: Final = np.uint64(47)


def draw_pseudonyms(count: int, rng: np.random.Generator) -> Words:
    """Return made-up pseudonyms as two little-endian words each: shape (count, 2)."""
    return rng.integers(0, 1 << 64, (count, 2), np.uint64)


def murmur(elements: Words) -> Words:
    """Return MurmurHash64A of each element (a row of little-endian words) under Redis' seed: shape (count,)."""
    element_bytes = 8 * elements.shape[1]
    mixed = np.full(len(elements), _SEED ^ (element_bytes * int(_MULTIPLIER) & (1 << 64) - 1), np.uint64)
    for word in elements.T:
        k = word * _MULTIPLIER
        k = (k ^ k >> _SHIFT) * _MULTIPLIER
        mixed = (mixed ^ k) * _MULTIPLIER
    mixed = (mixed ^ mixed >> _SHIFT) * _MULTIPLIER
    return mixed ^ mixed >> _SHIFT


def places(elements: Words) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return for each element its place, shard · 16384 + register at 64 shards, and its rank (1 … 51)."""
    hashed = murmur(elements)
    shard = elements[:, 0] & np.uint64(SELECTOR_MASK & SHARDS - 1)
    place = shard << np.uint64(REGISTER_BITS) | hashed & np.uint64(REGISTER_MASK)
    rest = hashed >> np.uint64(REGISTER_BITS) | np.uint64(1 << RANK_BITS)
    lowest = rest & (~rest + np.uint64(1))
    rank = np.log2(lowest.astype(np.float64)).astype(np.uint8) + np.uint8(1)  # exact: a power of two up to 2^50
    return place.astype(np.int64), rank


def add(shards: Shards, pseudonyms: Words) -> None:
    """Add attendees to 64 shards in place."""
    place, rank = places(pseudonyms)
    fresh = np.zeros(SHARDS * REGISTERS, np.uint8)
    level = 0
    while len(place):
        # Ranks in ascending order, so that the highest is written last; half of the attendees are left each time.
        level += 1
        fresh[place] = level
        higher = rank > level
        place, rank = place[higher], rank[higher]
    np.maximum(shards, fresh.reshape(SHARDS, REGISTERS), out=shards)


def add_many(shards: Shards, count: int, rng: np.random.Generator) -> None:
    """Add so many made-up attendees, a chunk at a time."""
    for start in range(0, count, CHUNK):
        add(shards, draw_pseudonyms(min(CHUNK, count - start), rng))


def folded(shards: Shards, count: int) -> Shards:
    """Return the registers of the same attendees in `count` shards, a power of two up to as many as there are."""
    while len(shards) > count:
        half = len(shards) // 2
        shards = np.maximum(shards[:half], shards[half:])
    return shards
