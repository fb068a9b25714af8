"""Sets of seats as bytes: the Roaring portable format, written canonically and read strictly.

The C library behind `pyroaring` trusts what it reads: a container whose stored cardinality lies makes it write past its
buffers. Evidence comes from outside, so `decode` first checks the structure itself, and that each container is in the
form in which `encode` would write it, and only then lets the library read it.

Portable format (RoaringFormatSpec), little-endian:

    cookie       u32 12346 and u32 n containers; or, if any container is run-coded, u32 12347 | (n − 1) << 16
                 followed by ⌈n/8⌉ bytes, one bit per container: run-coded
    descriptors  n × (u16 high 16 bits of the values, u16 cardinality − 1), ascending
    offsets      n × u32 byte position of each container; left out if run-coded containers exist and n < 4
    containers   run: u16 r, then r × (u16 first, u16 length − 1); cardinality ≤ 4096: that many ascending u16;
                 else 8,192 bytes of bits

Hand-worked: {1, 2, 3, 4} is one run, `3b300000 01 00000300 0100 01000300`: cookie 12347 with n − 1 = 0; bit 0 of the
run bits; high 0 and cardinality − 1 = 3; no offsets; one run that starts at 1 and has length − 1 = 3. Of {1, 2, 3} an
array is as short, and is what is written: `3a300000 01000000 00000200 10000000 0100 0200 0300`.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

COOKIE: Final = 12346
COOKIE_WITH_RUNS: Final = 12347
CONTAINERS_LIMIT: Final = 65_536  # the high 16 bits of a u32
ARRAY_LIMIT: Final = 4096  # values; above it 8,192 bytes of bits are smaller
BITS_BYTES: Final = 8192
LAST_VALUE: Final = 0xFFFF  # of a container
OFFSETS_FROM: Final = 4  # containers; below it a bitmap with runs has no offsets
_WORDS: Final = BITS_BYTES // 8


Lengths = npt.NDArray[np.int64]


class RoaringError(ValueError):
    """The bytes are not the canonical Roaring portable form of a set of seats."""


def encode(seats: BitMap) -> bytes:
    """Return the canonical bytes of a set: every container in its smallest form."""
    bitmap = BitMap(seats)
    bitmap.run_optimize()
    return bitmap.serialize()


def decode(data: bytes) -> BitMap:
    """Return the set of seats; `encode` gives the same bytes again.

    Raises:
        RoaringError: torn, padded, inconsistent or not canonical bytes.
    """
    try:
        _check(data)
        return BitMap.deserialize(data)
    except (struct.error, ValueError, IndexError) as error:
        raise RoaringError(f"not a Roaring bitmap: {error}") from error


@dataclass(frozen=True, slots=True)
class _Containers:
    """What the header says of each container; arrays of one value each."""

    cardinality: Lengths
    run_coded: npt.NDArray[np.bool_]
    at: Lengths  # where its bytes begin

    @property
    def bits(self) -> npt.NDArray[np.bool_]:
        """Those of 8,192 bytes of bits."""
        return ~self.run_coded & (self.cardinality > ARRAY_LIMIT)

    @property
    def arrays(self) -> npt.NDArray[np.bool_]:
        """Those that list their values."""
        return ~self.run_coded & (self.cardinality <= ARRAY_LIMIT)


def _check(data: bytes) -> None:
    """Raise unless every length, order, cardinality and choice of container is what `encode` writes."""
    containers = _read_header(data)
    for first, end in _stretches(containers.arrays):
        _check_arrays(data, containers, first, end)
    for first, end in _stretches(containers.bits):
        _check_bits(data, containers, first, end)
    for number in np.flatnonzero(containers.run_coded).tolist():
        _check_runs(data, int(containers.at[number]), int(containers.cardinality[number]))


def _read_header(data: bytes) -> _Containers:
    """Return what the header says, having checked that it accounts for every byte."""
    (cookie,) = struct.unpack_from("<I", data)
    if cookie == COOKIE:
        (count,) = struct.unpack_from("<I", data, 4)
        at, run_bytes = 8, 0
    elif cookie & 0xFFFF == COOKIE_WITH_RUNS:
        count = (cookie >> 16) + 1
        run_bytes = (count + 7) // 8
        at = 4 + run_bytes
    else:
        raise RoaringError(f"unknown cookie {cookie}")
    if count > CONTAINERS_LIMIT or len(data) < at + 4 * count:
        raise RoaringError("it ends before its descriptors do")
    flags = np.unpackbits(np.frombuffer(data, np.uint8, run_bytes, 4), bitorder="little").astype(bool)
    run_coded = flags[:count] if run_bytes else np.zeros(count, bool)
    if run_bytes and (flags[count:].any() or not run_coded.any()):
        raise RoaringError("not canonical: it names runs that are not there")
    descriptors = np.frombuffer(data, "<u2", 2 * count, at).reshape(count, 2).astype(np.int64)
    if np.any(np.diff(descriptors[:, 0]) <= 0):
        raise RoaringError("containers are not in ascending order")
    cardinality = descriptors[:, 1] + 1
    with_offsets = not run_bytes or count >= OFFSETS_FROM
    begins, sizes = _places(data, at + 4 * count, cardinality, run_coded, with_offsets=with_offsets)
    begin = at + (8 if with_offsets else 4) * count
    if begin + int(sizes.sum()) != len(data):
        raise RoaringError("it does not end where its last container does")
    if not np.array_equal(begins, begin + np.cumsum(sizes) - sizes):
        raise RoaringError("a container does not begin where its offset says")
    return _Containers(cardinality, run_coded, begins)


def _places(
    data: bytes, at: int, cardinality: Lengths, run_coded: npt.NDArray[np.bool_], *, with_offsets: bool
) -> tuple[Lengths, Lengths]:
    """Return where each container begins, as the offsets after the descriptors say, and how many bytes it has."""
    count = len(cardinality)
    sizes = np.where(cardinality <= ARRAY_LIMIT, 2 * cardinality, BITS_BYTES)
    if with_offsets:
        begins = np.frombuffer(data, "<u4", count, at).astype(np.int64)
        for number in np.flatnonzero(run_coded).tolist():
            sizes[number] = _run_bytes(data, int(begins[number]))
        return begins, sizes
    begins = np.empty(count, np.int64)
    for number in range(count):  # fewer than 4
        begins[number] = at + int(sizes[:number].sum())
        if run_coded[number]:
            sizes[number] = _run_bytes(data, int(begins[number]))
    return begins, sizes


def _run_bytes(data: bytes, at: int) -> int:
    (count,) = struct.unpack_from("<H", data, at)
    return 2 + 4 * int(count)


def _stretches(chosen: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first, end) of each stretch of chosen containers: their bytes are next to each other."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _check_arrays(data: bytes, containers: _Containers, first: int, end: int) -> None:
    cardinality = containers.cardinality[first:end]
    values = np.frombuffer(data, "<u2", int(cardinality.sum()), int(containers.at[first]))
    begins = np.cumsum(cardinality) - cardinality
    ascending = values[1:] > values[:-1]
    ascending[begins[1:] - 1] = True
    if not ascending.all():
        raise RoaringError("an array container is not ascending")
    # Where the next value is the next number, no run begins.
    follows = np.zeros(len(values), np.uint8)
    np.equal(values[1:] - values[:-1], 1, out=follows[1:].view(bool))
    follows[begins] = 0
    runs = cardinality - np.add.reduceat(follows, begins, dtype=np.int64)
    if np.any(2 + 4 * runs < 2 * cardinality):
        raise RoaringError("not canonical: runs are shorter than an array container")


def _check_bits(data: bytes, containers: _Containers, first: int, end: int) -> None:
    words = np.frombuffer(data, "<u8", (end - first) * _WORDS, int(containers.at[first])).reshape(-1, _WORDS)
    if np.any(np.bitwise_count(words).sum(axis=1, dtype=np.int64) != containers.cardinality[first:end]):
        raise RoaringError("a bit container contradicts its cardinality")
    before = words << np.uint64(1)
    before[:, 1:] |= words[:, :-1] >> np.uint64(63)
    runs = np.bitwise_count(words & ~before).sum(axis=1, dtype=np.int64)
    if np.any(2 + 4 * runs < BITS_BYTES):
        raise RoaringError("not canonical: runs are shorter than a bit container")


def _check_runs(data: bytes, at: int, cardinality: int) -> None:
    count = int.from_bytes(data[at : at + 2], "little")
    pairs = np.frombuffer(data, "<u2", 2 * count, at + 2).reshape(count, 2).astype(np.int64)
    last = pairs[:, 0] + pairs[:, 1]
    if np.any(last > LAST_VALUE) or np.any(pairs[1:, 0] <= last[:-1]) or int(pairs[:, 1].sum()) + count != cardinality:
        raise RoaringError("a run container contradicts its cardinality or order")
    if np.any(pairs[1:, 0] == last[:-1] + 1):
        raise RoaringError("not canonical: two runs are one")
    if 2 + 4 * count > min(2 * cardinality, BITS_BYTES):
        raise RoaringError("not canonical: a run container is longer than it would be without runs")
