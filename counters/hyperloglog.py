"""HyperLogLog exactly as Redis keeps it: hash, registers, bytes, estimate. `PFCOUNT` of our keys gives our number.

An element (a pseudonym, a view id) is hashed to 64 bits. The low 14 bits choose one of 16,384 registers; the number of
trailing zeros of the other 50 bits, plus one, is the element's rank (1 … 51). A register keeps the highest rank it has
met, so adding twice changes nothing, and the union of two sketches is their register-wise maximum. How many registers
hold which rank is enough to estimate how many different elements were added, within a standard error of 0.8125 %.

In memory a sketch is a numpy array of 16,384 uint8, one rank each ("registers" below). In Redis it is a string:

    offset  size    field
    0       4       magic        "HYLL"
    4       1       encoding     0 dense, 1 sparse
    5       3       reserved     zero
    8       8       cardinality  u64 little-endian, PFCOUNT's cache; its top bit set = stale, count again
    16      12,288  dense: register i is the 6 bits from bit 6·i, least significant bit first
    16      …       sparse: runs that cover the 16,384 registers in order and exactly:
                      00xxxxxx            x + 1 registers (1–64) of rank 0
                      01xxxxxx yyyyyyyy   x·256 + y + 1 registers (1–16,384) of rank 0
                      1vvvvvxx            x + 1 registers (1–4) of rank v + 1 (1–32)

Worked example: registers 1, 2, 3, 4 are the bits 000001 000010 000011 000100; from the least significant bit up that
is byte 0 = 1 | 2·64 (mod 256) = 81, byte 1 = 2/4 | 3·16 = 30, byte 2 = 3/16 | 4·4 = 10 (hexadecimal).
The one-element sparse sketch whose register 2 holds rank 5 is `HYLL 01 000000 <cardinality>` and the runs
`01` (two zeros: 0, 1), `90` (1 00100 00: one register of rank 5), `7f fc` (16,381 zeros): 2 + 1 + 16,381 = 16,384.

Turnout writes dense only (a sparse run overflow was CVE-2025-32023) and reads both. The bytes of a stored key are no
evidence: PFCOUNT rewrites offsets 8–15 and sparse runs depend on the order of additions. Digests are taken of `pack`.

Sources: Redis hyperloglog.c; O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017),
algorithm 6; A. Appleby, MurmurHash64A.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Registers = npt.NDArray[np.uint8]
"""One rank for each register: shape (16384,), dtype uint8, values 0 (nothing met) … 51."""

REGISTER_BITS: Final = 14
REGISTERS: Final = 1 << REGISTER_BITS
RANK_BITS: Final = 64 - REGISTER_BITS
"""50 hash bits are left for the rank."""
MAX_RANK: Final = RANK_BITS + 1
"""Redis takes 6-bit registers of 52–63 without complaint and then over-counts for ever: they are refused here."""

PACKED_BYTES: Final = REGISTERS * 6 // 8
HEADER_BYTES: Final = 16

STANDARD_ERROR: Final = 1.04 / math.sqrt(REGISTERS)
"""Relative standard error of one sketch: 0.008125."""
NORMAL_95: Final = 1.96
"""Half the width of the central 95 % of a normal distribution, in standard deviations."""

SATURATED: Final = 1 << 63
"""The estimate of registers (almost) all at rank 51, which no crowd can fill; there Redis overflows its 64 bits."""

SELECTOR_BITS: Final = 10
"""A selector chooses among up to 1,024 shards: shard = selector mod S."""
SELECTOR_SHIFT: Final = REGISTER_BITS
RANK_SHIFT: Final = REGISTER_BITS + SELECTOR_BITS
REGISTER_MASK: Final = REGISTERS - 1
SELECTOR_MASK: Final = (1 << SELECTOR_BITS) - 1

_MAGIC: Final = b"HYLL"
_DENSE, _SPARSE = 0, 1
_DENSE_HEADER: Final = _MAGIC + bytes((_DENSE, 0, 0, 0)) + struct.pack("<Q", 1 << 63)

_SEED: Final = 0xADC83B19
_MULTIPLIER: Final = 0xC6A4A7935BD1E995
_SHIFT: Final = 47
_U64: Final = (1 << 64) - 1

_ALPHA_INFINITY: Final = 0.721347520444481703680
"""1 / (2 ln 2), with the digits that Redis has."""


class SketchError(ValueError):
    """Bytes or an array that are not a sketch."""


# --- From an element to its place -------------------------------------------------------------------------------------


def murmur64a(element: bytes) -> int:
    """Return the 64-bit MurmurHash64A of `element` under Redis' seed."""
    mixed = _SEED ^ (len(element) * _MULTIPLIER & _U64)
    whole = len(element) & ~7
    for (block,) in struct.iter_unpack("<Q", element[:whole]):
        k = block * _MULTIPLIER & _U64
        k = (k ^ k >> _SHIFT) * _MULTIPLIER & _U64
        mixed = (mixed ^ k) * _MULTIPLIER & _U64
    if whole != len(element):
        mixed = (mixed ^ int.from_bytes(element[whole:], "little")) * _MULTIPLIER & _U64
    mixed = (mixed ^ mixed >> _SHIFT) * _MULTIPLIER & _U64
    return mixed ^ mixed >> _SHIFT


def register_and_rank(element: bytes) -> tuple[int, int]:
    """Return the register (0 … 16383) that `element` goes to and its rank there (1 … 51)."""
    hashed = murmur64a(element)
    rest = hashed >> REGISTER_BITS | 1 << RANK_BITS
    return hashed & REGISTER_MASK, (rest & -rest).bit_length()


def position(element: bytes, selector: int) -> int:
    """Return where `element` goes, as the u32 that a viewing token carries.

    Bits 0–13 are the register, 14–23 the selector (0 … 1023), 24–29 the rank; bits 30 and 31 are zero. The selector
    must not come from the bits of Redis' hash, or every shard would fill only some of its registers.

    Raises:
        ValueError: the selector is not 0 … 1023.
    """
    if not 0 <= selector <= SELECTOR_MASK:
        raise ValueError(f"a selector is 0 … {SELECTOR_MASK}, not {selector}")
    register, rank = register_and_rank(element)
    return register | selector << SELECTOR_SHIFT | rank << RANK_SHIFT


@dataclass(frozen=True, slots=True)
class Position:
    """A position taken apart."""

    register: int  # 0 … 16383
    selector: int  # 0 … 1023
    rank: int  # 1 … 51


def split_position(packed: int) -> Position:
    """Return the parts of a u32 made by `position`.

    Raises:
        SketchError: no element has that position (rank 0 or over 51, or bits 30–31 set).
    """
    rank = packed >> RANK_SHIFT
    if not 1 <= rank <= MAX_RANK:
        raise SketchError(f"{packed:#x} is not the position of any element: its rank is {rank}")
    return Position(packed & REGISTER_MASK, packed >> SELECTOR_SHIFT & SELECTOR_MASK, rank)


# --- Registers --------------------------------------------------------------------------------------------------------


def empty() -> Registers:
    """Return the registers of a sketch that has met nothing."""
    return np.zeros(REGISTERS, np.uint8)


def add(registers: Registers, element: bytes) -> bool:
    """Add `element` in place, like PFADD, and return whether a register rose."""
    register, rank = register_and_rank(element)
    if registers[register] >= rank:
        return False
    registers[register] = rank
    return True


def merge(sketches: Iterable[Registers]) -> Registers:
    """Return the registers of the union, as a new array; of no sketches, the empty sketch."""
    union = empty()
    for registers in sketches:
        np.maximum(union, _checked(registers), out=union)
    return union


def _checked(registers: Registers) -> Registers:
    if registers.shape != (REGISTERS,) or registers.dtype != np.uint8:
        raise SketchError(f"registers are {REGISTERS} uint8, not {registers.shape} {registers.dtype}")
    highest = int(registers.max())
    if highest > MAX_RANK:
        raise SketchError(f"a register holds rank {highest}; no element has a rank over {MAX_RANK}")
    return registers


# --- Bytes ------------------------------------------------------------------------------------------------------------


def pack(registers: Registers) -> bytes:
    """Return the canonical 12,288 bytes of registers: 6 bits each, least significant bit first.

    Raises:
        SketchError: `registers` has another shape or dtype, or a rank over 51.
    """
    quads = _checked(registers).reshape(-1, 4)
    first, second, third, fourth = quads[:, 0], quads[:, 1], quads[:, 2], quads[:, 3]
    packed = np.empty((REGISTERS // 4, 3), np.uint8)
    packed[:, 0] = first | second << 6
    packed[:, 1] = second >> 2 | third << 4
    packed[:, 2] = third >> 4 | fourth << 2
    return packed.tobytes()


def unpack(packed: bytes) -> Registers:
    """Return the registers in 12,288 bytes made by `pack`.

    Raises:
        SketchError: another length, or a rank over 51.
    """
    if len(packed) != PACKED_BYTES:
        raise SketchError(f"packed registers are {PACKED_BYTES} bytes, not {len(packed)}")
    triples = np.frombuffer(packed, np.uint8).reshape(-1, 3)
    low, middle, high = triples[:, 0], triples[:, 1], triples[:, 2]
    quads = np.empty((REGISTERS // 4, 4), np.uint8)
    quads[:, 0] = low & 63
    quads[:, 1] = low >> 6 | (middle & 15) << 2
    quads[:, 2] = middle >> 4 | (high & 3) << 4
    quads[:, 3] = high >> 2
    return _checked(quads.reshape(-1))


def to_dense(registers: Registers) -> bytes:
    """Return the 12,304 bytes of a dense Redis key, its cached cardinality marked stale.

    Raises:
        SketchError: as `pack`.
    """
    return _DENSE_HEADER + pack(registers)


def from_redis(stored: bytes) -> Registers:
    """Return the registers in the bytes of a Redis key, dense or sparse, whatever cardinality it has cached.

    Raises:
        SketchError: anything else than what Redis itself would write.
    """
    if len(stored) < HEADER_BYTES or stored[:4] != _MAGIC:
        raise SketchError("not a HyperLogLog: no 'HYLL' header of 16 bytes")
    if stored[5:8] != b"\0\0\0":
        raise SketchError("not a HyperLogLog that Redis wrote: its reserved bytes are not zero")
    if stored[4] == _DENSE:
        return unpack(stored[HEADER_BYTES:])
    if stored[4] == _SPARSE:
        return _unpack_sparse(stored[HEADER_BYTES:])
    raise SketchError(f"unknown HyperLogLog encoding {stored[4]}")


def _unpack_sparse(runs: bytes) -> Registers:
    registers = empty()
    at = register = 0
    while at < len(runs):
        opcode = runs[at]
        rank = 0
        if opcode & 0x80:
            rank, length = (opcode >> 2 & 0x1F) + 1, (opcode & 3) + 1
        elif opcode & 0x40:
            at += 1
            if at == len(runs):
                raise SketchError("the sparse runs end inside a run")
            length = ((opcode & 0x3F) << 8 | runs[at]) + 1
        else:
            length = opcode + 1
        at += 1
        if register + length > REGISTERS:
            raise SketchError(f"the sparse runs cover more than {REGISTERS} registers")
        registers[register : register + length] = rank
        register += length
    if register != REGISTERS:
        raise SketchError(f"the sparse runs cover {register} registers, not {REGISTERS}")
    return registers


# --- Estimates --------------------------------------------------------------------------------------------------------


def estimate(registers: Registers) -> int:
    """Return how many different elements were added, as PFCOUNT does (Ertl's improved raw estimator, rounded).

    At most 2^63.

    Raises:
        SketchError: `registers` has another shape or dtype, or a rank over 51.
    """
    holding = np.bincount(_checked(registers), minlength=MAX_RANK + 1).tolist()
    z = REGISTERS * _tau((REGISTERS - holding[MAX_RANK]) / REGISTERS)
    for rank in range(RANK_BITS, 0, -1):
        z = (z + holding[rank]) * 0.5
    z += REGISTERS * _sigma(holding[0] / REGISTERS)
    if z < _ALPHA_INFINITY * REGISTERS * REGISTERS / SATURATED:
        return SATURATED
    return math.floor(_ALPHA_INFINITY * REGISTERS * REGISTERS / z + 0.5)


def estimate_sharded(shards: Iterable[Registers]) -> int:
    """Return the sum of the shards' estimates: shards hold disjoint elements, by selector."""
    return sum(map(estimate, shards))


@dataclass(frozen=True, slots=True)
class StandardError:
    """How far an estimate is off, one standard deviation."""

    absolute: float  # in elements
    relative: float  # of the estimate; 0 when the estimate is 0

    def interval95(self, value: int) -> list[int]:
        """Return between which whole numbers the truth is in 19 of 20 cases, given what was estimated."""
        reach = round(NORMAL_95 * self.absolute)
        return [max(0, value - reach), value + reach]


def standard_error(estimates: Sequence[int]) -> StandardError:
    """Return the standard error of a sum of independent shards' estimates (one estimate = one unsharded sketch).

    The variance is 0.008125² · Σ N̂ₛ²; with S equal shards the relative error is 0.8125 % / √S.
    """
    absolute = STANDARD_ERROR * math.hypot(*estimates)
    total = sum(estimates)
    return StandardError(absolute, absolute / total if total else 0.0)


def _sigma(x: float) -> float:
    """Return Ertl's σ(x) = x + Σ x^(2^k) · 2^(k−1), for the share x of registers that are still zero."""
    if x == 1.0:
        return math.inf
    weight, total, previous = 1.0, x, -1.0
    while total != previous:
        x *= x
        previous = total
        total += x * weight
        weight += weight
    return total


def _tau(x: float) -> float:
    """Return Ertl's τ(x) = (1 − x − Σ (1 − x^(2^−k))² · 2^−k) / 3, for the share x of registers below the last rank."""
    if x in (0.0, 1.0):
        return 0.0
    weight, total, previous = 1.0, 1.0 - x, -1.0
    while total != previous:
        x = math.sqrt(x)
        previous = total
        weight *= 0.5
        total -= (1.0 - x) ** 2 * weight
    return total / 3.0
