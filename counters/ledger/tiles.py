"""Tiles (C2SP tlog-tiles): how a Merkle tree and its entries are cut into static files, and those files' bytes.

    checkpoint                       the signed checkpoint
    tile/<level>/<index>             a full tile: 256 hashes of 32 bytes
    tile/<level>/<index>.p/<width>   a partial tile: 1–255 hashes
    tile/entries/<index>[.p/<width>] the entries whose leaf hashes are in the level-0 tile of the same index

Entry i of tile n at level l is the root of the leaves [(256n + i)·256^l, (256n + i + 1)·256^l). A partial tile never
hashes upward. The index is written in groups of three digits, all but the last with an "x" before it.

Bundle (the bytes of a file under tile/entries), one after the other for each entry:

    offset  size  field
    0       2     length of the entry, unsigned, big-endian
    2       n     the entry, 0–65,535 bytes

Worked example: index 1234067 at level 0 is tile/0/x001/x234/067. The entries "one", "two" of a log of size 2 are the
file tile/entries/000.p/2 with the bytes 00 03 6f 6e 65 00 03 74 77 6f. A log of 70,000 entries has 273 full tiles and
one of width 112 at level 0, one full tile and one of width 17 at level 1, and one of width 1 at level 2.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from counters.ledger.merkle import HASH_BYTES, MAX_SIZE

TILE_WIDTH: Final = 256
"""Hashes in a full tile, entries in a full bundle."""
TILE_HEIGHT: Final = 8
"""Levels of the tree that one tile spans: 2^8 = TILE_WIDTH."""
ENTRY_LIMIT_BYTES: Final = 65_535
"""Longest entry: its length is a u16."""
ENTRIES: Final = -1
"""The `level` of an entry bundle."""
MAX_LEVEL: Final = 63
"""Highest level that the specification's paths can name."""

# Six groups of digits hold the largest index, 2^55; the bound keeps a hostile path from becoming a huge integer.
_PATH: Final = re.compile(
    r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


class TileError(ValueError):
    """A path, tile or bundle that is not what tlog-tiles allows."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The name of one tile or bundle."""

    level: int  # 0–63, or ENTRIES
    index: int  # from 0, within the level
    width: int = TILE_WIDTH  # hashes or entries: 1–255 partial, 256 full

    def __post_init__(self) -> None:
        if not (
            ENTRIES <= self.level <= MAX_LEVEL
            and 0 <= self.index <= MAX_SIZE // TILE_WIDTH
            and 1 <= self.width <= TILE_WIDTH
        ):
            raise TileError(f"there is no tile of level {self.level}, index {self.index}, width {self.width}")

    @property
    def path(self) -> str:
        """The path below the log's prefix, with '/' between its parts."""
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        index = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{index}{partial}"

    @property
    def full(self) -> "Tile":
        """The full tile that this one is, or will become."""
        return Tile(self.level, self.index)

    @property
    def partials_path(self) -> str:
        """The path of the folder that holds this tile's partial forms."""
        return self.full.path + ".p"

    @property
    def limit_bytes(self) -> int:
        """The most bytes that its file can have."""
        return self.width * (HASH_BYTES if self.level != ENTRIES else 2 + ENTRY_LIMIT_BYTES)

    def check(self, data: bytes) -> None:
        """Check the form of its file.

        Raises:
            TileError: these are not the bytes of a tile or bundle of this width.
        """
        (decode_bundle if self.level == ENTRIES else decode_hashes)(data, self.width)

    def beginning(self, data: bytes, width: int) -> bytes:
        """Return the bytes of the partial form of `width`, cut from those of its file.

        Raises:
            TileError: the bundle is malformed.
        """
        if self.level == ENTRIES:
            return encode_bundle(decode_bundle(data, self.width)[:width])
        return data[: width * HASH_BYTES]

    @classmethod
    def parse(cls, path: str) -> Self:
        """Return the tile that a path names; only the one canonical path of each tile is taken.

        Raises:
            TileError: The path names no tile.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise TileError(f"this is not the path of a tile: {path[:200]!r}")
        level, index, width = match.groups()
        tile = cls(
            ENTRIES if level == "entries" else int(level),
            int(index.replace("x", "").replace("/", "")),
            TILE_WIDTH if width is None else int(width),
        )
        if tile.path != path:
            raise TileError(f"the tile {path[:200]!r} is written {tile.path!r}")
        return tile

    @classmethod
    def at(cls, level: int, index: int, size: int) -> Self:
        """Return the tile (level, index) with the width that it has in a tree of `size` leaves.

        Raises:
            TileError: That tree has no such tile.
        """
        count = row_length(level, size)
        width = min(TILE_WIDTH, count - index * TILE_WIDTH)
        if width < 1:
            raise TileError(f"a tree of {size} leaves has no tile {index} at level {level}")
        return cls(level, index, width)


def row_length(level: int, size: int) -> int:
    """Return how many hashes (or entries) all tiles of a level hold together in a tree of `size` leaves."""
    return size >> (TILE_HEIGHT * max(level, 0))


def is_within(path: str, size: int) -> bool:
    """Return whether a path is that of a tile or bundle of which the first `size` entries decide every byte."""
    try:
        tile = Tile.parse(path)
    except TileError:
        return False
    return tile.index * TILE_WIDTH + tile.width <= row_length(tile.level, size)


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every tile and bundle of a tree of `size` leaves, once, in the form in which that tree needs it."""
    level = ENTRIES
    while count := row_length(level, size):
        for index in range(-(-count // TILE_WIDTH)):
            yield Tile.at(level, index, size)
        level += 1


def encode_hashes(hashes: Sequence[bytes]) -> bytes:
    """Return the bytes of a tile."""
    return b"".join(hashes)


def decode_hashes(data: bytes, width: int) -> tuple[bytes, ...]:
    """Return the `width` hashes of a tile.

    Raises:
        TileError: The data has not the length of that many hashes.
    """
    if len(data) != width * HASH_BYTES:
        raise TileError(f"{len(data)} bytes instead of {width} hashes of {HASH_BYTES} bytes")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of a bundle.

    Raises:
        TileError: An entry is longer than 65,535 bytes.
    """
    parts = []
    for entry in entries:
        if len(entry) > ENTRY_LIMIT_BYTES:
            raise TileError(f"an entry of {len(entry)} bytes; a log takes at most {ENTRY_LIMIT_BYTES}")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """Return the `width` entries of a bundle.

    Raises:
        TileError: The data ends early, or goes on after the last entry.
    """
    entries = []
    at = 0
    for number in range(width):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise TileError(f"the bundle ends within entry {number} of {width}")
        entries.append(data[start:at])
    if at != len(data):
        raise TileError(f"{len(data) - at} bytes after the last of {width} entries")
    return tuple(entries)
