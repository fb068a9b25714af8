"""A tokens file: sealed tokens (counters.sealed_token) ascending by digest, so that one is found without reading all.

The same format is what a gateway hands to the ledger and what the ledger keeps. Little-endian, version 1:

    offset     size  field
    0          8     magic    "TURNTOK" and a zero byte
    8          2     version  1
    10         2     zero
    12         4     count    n, at least 1
    16         32    event    SHA-256 of the canonical event file
    48         40·n  entries  SHA-256 of the compact JWT (32 bytes), strictly ascending; end of its sealed form, u64,
                              counted from where the first sealed token begins
    48 + 40·n  …     the sealed tokens, in the order of the entries

Hand-worked: one token of 27 sealed bytes is a file of 115: 48, then 32 of digest and `1b00000000000000`, then the 27.
"""

import bisect
import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from counters.sealed_token import OVERHEAD_BYTES

MAGIC: Final = b"TURNTOK\0"
VERSION: Final = 1
ENTRY_BYTES: Final = 40
SEALED_LIMIT_BYTES: Final = 8 * 1024
"""A ticket has at most 8 KiB of text (gateway.identity); decoded and sealed it is shorter."""
DIGEST_BYTES: Final = 32
_HEAD: Final = struct.Struct("<8sHHI32s")
_END: Final = struct.Struct("<Q")
_ENTRIES: Final = np.dtype([("digest", "S32"), ("end", "<u8")])

Digests = npt.NDArray[np.bytes_]


class TokensFileError(ValueError):
    """The bytes are no sound tokens file."""


def pack(event_sha256: str, tokens: Mapping[bytes, bytes]) -> bytes:
    """Return the file of these sealed tokens, by digest; there is at least one."""
    digests = sorted(tokens)
    sealed = [tokens[digest] for digest in digests]
    entries = np.empty(len(digests), _ENTRIES)
    entries["digest"] = digests
    entries["end"] = np.cumsum([len(each) for each in sealed])
    head = _HEAD.pack(MAGIC, VERSION, 0, len(digests), bytes.fromhex(event_sha256))
    return b"".join((head, entries.tobytes(), *sealed))


class TokensFile:
    """One file, as bytes or mapped. Its owner keeps it open for as long as it is asked."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        """Read the head of the file; what is in it is checked by `check`.

        Raises:
            TokensFileError: it was not written by this version, or is cut short.
        """
        if len(data) < _HEAD.size:
            raise TokensFileError("it is shorter than its head")
        magic, version, zero, count, event = _HEAD.unpack_from(data)
        self._entries_at, self._sealed_at = _HEAD.size, _HEAD.size + count * ENTRY_BYTES
        if (magic, version, zero) != (MAGIC, VERSION, 0) or not count or len(data) < self._sealed_at:
            raise TokensFileError(f"it is no tokens file of version {VERSION}, or is cut short")
        self._data = data
        self._count: int = count
        self.event_sha256 = event.hex()

    @classmethod
    def map(cls, path: Path) -> "TokensFile":
        """Map a file.

        Raises:
            TokensFileError: as above.
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            try:
                return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except ValueError as error:  # no tokens file, or empty
                raise TokensFileError(f"{path}: {error}") from error

    def __len__(self) -> int:
        """How many tokens it holds."""
        return self._count

    def digests(self) -> Digests:
        """Return the digests, ascending: S32 [n], a copy."""
        return self._entries()["digest"].copy()

    def find(self, digest: bytes) -> bytes | None:
        """Return the sealed token of that digest, or None. Reads some twenty places of the file."""
        at = bisect.bisect_left(range(self._count), digest, key=self._digest)
        return self._sealed(at) if at < self._count and self._digest(at) == digest else None

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield digests and sealed tokens, ascending."""
        return ((self._digest(at), self._sealed(at)) for at in range(self._count))

    def check(self) -> None:
        """Require that the file is what `pack` writes, down to its length.

        Raises:
            TokensFileError: it is not.
        """
        entries = self._entries()
        digests, ends = entries["digest"], entries["end"].astype(np.int64)
        lengths = np.diff(ends, prepend=np.int64(0))
        if (digests[1:] <= digests[:-1]).any():
            raise TokensFileError("its digests do not ascend")
        if (lengths <= OVERHEAD_BYTES).any() or (lengths > SEALED_LIMIT_BYTES).any():
            raise TokensFileError("it has a token that is too short or too long")
        if self._sealed_at + int(ends[-1]) != len(self._data):
            raise TokensFileError("it is cut short or runs over")

    def _entries(self) -> npt.NDArray[np.void]:
        return np.frombuffer(self._data, _ENTRIES, self._count, self._entries_at)

    def _digest(self, at: int) -> bytes:
        start = self._entries_at + at * ENTRY_BYTES
        return self._data[start : start + DIGEST_BYTES]

    def _end(self, at: int) -> int:
        """Where the sealed token of an entry ends; 0 for the one before the first."""
        if at < 0:
            return 0
        end: int = _END.unpack_from(self._data, self._entries_at + at * ENTRY_BYTES + DIGEST_BYTES)[0]
        return end

    def _sealed(self, at: int) -> bytes:
        return self._data[self._sealed_at + self._end(at - 1) : self._sealed_at + self._end(at)]
