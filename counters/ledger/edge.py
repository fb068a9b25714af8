"""The growing right edge of the log: what a writer must remember to append, and which tiles an append changes.

Everything left of the edge is final. The edge itself is, per level, the hashes of the last partial tile, and the
entries of the last partial bundle; at most 255 of each, whatever the size of the log. Nothing here touches a disk: the
writer stores what `extend` returns, and the offline reader compares it with what is stored.

Worked example, size 257 = 1·256 + 1: level 0 holds one leaf hash (tile/0/001.p/1), level 1 holds the root of the first
256 leaves (tile/1/000.p/1), the bundle holds one entry; the log's root is node(level 1, level 0).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from counters.ledger.merkle import leaf_hash, range_hash, tree_root
from counters.ledger.tiles import (
    ENTRIES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    encode_bundle,
    encode_hashes,
    row_length,
)

TileBytes = tuple[Tile, bytes]
"""A tile or bundle, and what its file holds."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree of `size` leaves."""

    size: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ()  # [level] hashes of the partial tile, 0–255 of them
    bundle: tuple[bytes, ...] = ()  # entries of the partial bundle, 0–255 of them

    def extend(self, entries: Sequence[bytes]) -> tuple[Self, tuple[TileBytes, ...]]:
        """Return the edge after these entries, and every tile and bundle that is new or has changed.

        Each changed tile comes once, in the form in which the new tree needs it, and full ones that were passed on
        the way.

        Raises:
            TileError: An entry is longer than 65,535 bytes.
        """
        if not entries:
            return self, ()
        changed: list[TileBytes] = []
        row = (*self.bundle, *entries)
        first = self.size // TILE_WIDTH
        for at in range(0, len(row), TILE_WIDTH):
            held = row[at : at + TILE_WIDTH]
            changed.append((Tile(ENTRIES, first + at // TILE_WIDTH, len(held)), encode_bundle(held)))
        bundle = row[len(row) - len(row) % TILE_WIDTH :]

        levels = list(self.levels)
        rising = tuple(leaf_hash(entry) for entry in entries)
        level = 0
        while rising:
            if level == len(levels):
                levels.append(())
            levels[level], rising, row_changed = _grow_row(
                level, row_length(level, self.size) // TILE_WIDTH, (*levels[level], *rising)
            )
            changed += row_changed
            level += 1
        return type(self)(self.size + len(entries), tuple(levels), bundle), tuple(changed)

    def root(self) -> bytes:
        """Return the root of the tree."""
        return range_hash(0, self.size, self._subtree)

    def _subtree(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree that ends in the edge (any of the root's parts does)."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        start = (index << height) % TILE_WIDTH
        return tree_root(self.levels[tile_level][start : start + (1 << height)])


def _grow_row(
    level: int, first: int, row: tuple[bytes, ...]
) -> tuple[tuple[bytes, ...], tuple[bytes, ...], list[TileBytes]]:
    """Cut one level's hashes, from tile `first` on, into tiles.

    Returns what stays in the partial tile, the roots of the full tiles (for the level above), and the tiles.
    """
    roots = []
    changed = []
    full = len(row) - len(row) % TILE_WIDTH
    for at in range(0, full, TILE_WIDTH):
        hashes = row[at : at + TILE_WIDTH]
        changed.append((Tile(level, first + at // TILE_WIDTH), encode_hashes(hashes)))
        roots.append(tree_root(hashes))
    rest = row[full:]
    if rest:
        changed.append((Tile(level, first + full // TILE_WIDTH, len(rest)), encode_hashes(rest)))
    return rest, tuple(roots), changed
