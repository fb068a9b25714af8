"""Sets of seats as bytes: the Roaring portable format, written canonically and read strictly.

The C library behind `pyroaring` trusts what it reads: a container whose stored cardinality lies makes it write past its
buffers. Evidence comes from outside, so `decode` first checks the structure itself, then lets the library read it, then
requires that writing the set again gives the same bytes.

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
from typing import Final

import numpy as np
from pyroaring import BitMap

COOKIE: Final = 12346
COOKIE_WITH_RUNS: Final = 12347
CONTAINERS_LIMIT: Final = 65_536  # the high 16 bits of a u32
ARRAY_LIMIT: Final = 4096  # values; above it 8,192 bytes of bits are smaller
BITS_BYTES: Final = 8192
OFFSETS_FROM: Final = 4  # containers; below it a bitmap with runs has no offsets


class RoaringError(ValueError):
    """The bytes are not the canonical Roaring portable form of a set of seats."""


def encode(seats: BitMap) -> bytes:
    """Return the canonical bytes of a set: every container in its smallest form."""
    bitmap = BitMap(seats)
    bitmap.run_optimize()
    return bitmap.serialize()


def decode(data: bytes) -> BitMap:
    """Return the set of seats.

    Raises:
        RoaringError: torn, padded, inconsistent or not canonical bytes.
    """
    try:
        _check_structure(data)
        bitmap = BitMap.deserialize(data)
    except (struct.error, ValueError, IndexError) as error:
        raise RoaringError(f"not a Roaring bitmap: {error}") from error
    if encode(bitmap) != data:
        raise RoaringError("not the canonical form of this Roaring bitmap")
    return bitmap


def _check_structure(data: bytes) -> None:
    """Raise unless every length, order and cardinality is what the header says."""
    (cookie,) = struct.unpack_from("<I", data)
    if cookie == COOKIE:
        (count,) = struct.unpack_from("<I", data, 4)
        at, runs = 8, b""
    elif cookie & 0xFFFF == COOKIE_WITH_RUNS:
        count = (cookie >> 16) + 1
        at = 4 + (count + 7) // 8
        runs = data[4:at]
    else:
        raise RoaringError(f"unknown cookie {cookie}")
    if count > CONTAINERS_LIMIT or len(data) < at + 4 * count:
        raise RoaringError("it ends before its descriptors do")
    descriptors = np.frombuffer(data, "<u2", 2 * count, at).reshape(count, 2).astype(np.int64)
    if np.any(np.diff(descriptors[:, 0]) <= 0):
        raise RoaringError("containers are not in ascending order")
    at += 4 * count
    if not runs or count >= OFFSETS_FROM:
        at += 4 * count
    for number, cardinality in enumerate(descriptors[:, 1] + 1):
        run_coded = bool(runs) and runs[number // 8] >> number % 8 & 1
        at += _check_container(data, at, int(cardinality), run_coded=bool(run_coded))
    if at != len(data):
        raise RoaringError("bytes follow the last container")


def _check_container(data: bytes, at: int, cardinality: int, *, run_coded: bool) -> int:
    """Return the container's length in bytes, having checked its order and cardinality."""
    if run_coded:
        count = int.from_bytes(data[at : at + 2], "little")
        pairs = np.frombuffer(data, "<u2", 2 * count, at + 2).reshape(count, 2).astype(np.int64)
        last = pairs[:, 0] + pairs[:, 1]
        if np.any(last > 0xFFFF) or np.any(pairs[1:, 0] <= last[:-1]) or int(pairs[:, 1].sum()) + count != cardinality:
            raise RoaringError("a run container contradicts its cardinality or order")
        return 2 + 4 * count
    if cardinality <= ARRAY_LIMIT:
        values = np.frombuffer(data, "<u2", cardinality, at).astype(np.int64)
        if np.any(np.diff(values) <= 0):
            raise RoaringError("an array container is not ascending")
        return 2 * cardinality
    bits = np.unpackbits(np.frombuffer(data, np.uint8, BITS_BYTES, at))
    if int(np.count_nonzero(bits)) != cardinality:
        raise RoaringError("a bit container contradicts its cardinality")
    return BITS_BYTES
