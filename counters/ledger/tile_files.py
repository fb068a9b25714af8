"""Reading a log's directory strictly: every file is what its path says, or `LogCorruptError` names it.

Files are never trusted to be right, only to be well-formed; who needs more compares them with a signed root (`reader`).
"""

from collections import OrderedDict
from pathlib import Path
from typing import Final

from counters.ledger.merkle import Subtree, leaf_hash, range_hash, tree_root
from counters.ledger.note import NOTE_LIMIT_BYTES
from counters.ledger.tiles import (
    ENTRIES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    TileError,
    decode_bundle,
    decode_hashes,
    row_length,
)

CHECKPOINT: Final = "checkpoint"
"""The file of the signed checkpoint, below the log's directory."""
CACHED_TILES: Final = 64
"""Full tiles of hashes kept in memory (about 1 MB): neighbouring proofs share them. The oldest goes first."""


class LogError(Exception):
    """The log cannot do what it was asked."""


class LogCorruptError(LogError):
    """A file of the log is missing or is not what it must be. `path` names it, below the log's directory."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path


class TileFiles:
    """The tiles and bundles below one directory. Reads only; any number of these may look at a log being written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._cache: OrderedDict[Tile, tuple[bytes, ...]] = OrderedDict()

    def read_checkpoint(self) -> bytes:
        """Return the signed checkpoint's bytes.

        Raises:
            LogCorruptError: There is none that can be read.
        """
        return self._read(CHECKPOINT, NOTE_LIMIT_BYTES)

    def has_tiles(self) -> bool:
        """Return whether there is anything below tile/."""
        tiles = self.directory / "tile"
        return tiles.is_dir() and any(tiles.iterdir())

    def hashes(self, tile: Tile) -> tuple[bytes, ...]:
        """Return the hashes of a tile, `tile.width` of them.

        Raises:
            LogCorruptError: The file is missing or malformed.
        """
        cached = self._cache.get(tile)
        if cached is not None:
            return cached
        hashes = self._decode_hashes(tile)
        # Only full tiles never change again; a partial one may be staged anew after a crash.
        if tile.width == TILE_WIDTH:
            self._cache[tile] = hashes
            while len(self._cache) > CACHED_TILES:
                self._cache.popitem(last=False)
        return hashes

    def entries(self, bundle: Tile) -> tuple[bytes, ...]:
        """Return the entries of a bundle, `bundle.width` of them.

        Raises:
            LogCorruptError: The file is missing or malformed.
        """
        found, data = self._read_tile(bundle)
        try:
            return decode_bundle(data, found.width)[: bundle.width]
        except TileError as error:
            raise LogCorruptError(found.path, str(error)) from None

    def subtree(self, size: int) -> Subtree:
        """Return the `Subtree` of the tree of the first `size` leaves, read from its tiles as they are asked for."""

        def subtree(level: int, index: int) -> bytes:
            tile_level, height = divmod(level, TILE_HEIGHT)
            tile_index, start = divmod(index << height, TILE_WIDTH)
            hashes = self.hashes(Tile.at(tile_level, tile_index, size))
            return tree_root(hashes[start : start + (1 << height)])

        return subtree

    def root(self, size: int, within: int) -> bytes:
        """Return the root of the tree of the first `size` leaves, from the tiles of the tree of `within` ≥ size."""
        return range_hash(0, size, self.subtree(within))

    def check_against(self, tile: Tile, expected: bytes, why: str) -> None:
        """Check the file of a tile or bundle, and its older partial forms, against the bytes that it must hold.

        Raises:
            LogCorruptError: One is missing or differs.
        """
        found, data = self._read_tile(tile)
        # The full tile that has replaced a partial one begins with it; what follows is beyond our checkpoint.
        if data != expected and (found == tile or not data.startswith(expected)):
            raise LogCorruptError(found.path, why)
        for width in self._partial_widths(tile):
            older = Tile(tile.level, tile.index, width)
            if self._read(older.path, older.limit_bytes) != tile.beginning(expected, width):
                raise LogCorruptError(older.path, why)

    def check_edge(self, size: int) -> None:
        """Check that the last tiles of a tree of `size` leaves agree with each other and with the last bundles.

        Raises:
            LogCorruptError: They do not.
        """
        leaves = row_length(ENTRIES, size)
        for index in sorted({leaves // TILE_WIDTH - 1, (leaves - 1) // TILE_WIDTH}):
            if index >= 0:
                bundle = Tile.at(ENTRIES, index, size)
                tile = Tile.at(0, index, size)
                if tuple(leaf_hash(entry) for entry in self.entries(bundle)) != self.hashes(tile):
                    raise LogCorruptError(bundle.path, f"its entries do not have the hashes in {tile.path}")
        level = 0
        while (full := row_length(level, size) // TILE_WIDTH) > 0:
            last = Tile(level, full - 1)
            index, at = divmod(full - 1, TILE_WIDTH)
            above = Tile.at(level + 1, index, size)
            if tree_root(self.hashes(last)) != self.hashes(above)[at]:
                raise LogCorruptError(last.path, f"it does not have the root in {above.path}")
            level += 1

    def _decode_hashes(self, tile: Tile) -> tuple[bytes, ...]:
        found, data = self._read_tile(tile)
        try:
            return decode_hashes(data, found.width)[: tile.width]
        except TileError as error:
            raise LogCorruptError(found.path, str(error)) from None

    def _read_tile(self, tile: Tile) -> tuple[Tile, bytes]:
        """Return the file's bytes and the tile that it is: the asked one, or the full one that has replaced it."""
        full = tile.full
        try:
            return tile, self._read(tile.path, tile.limit_bytes)
        except LogCorruptError:
            # A partial tile is removed once the full one is published, maybe while we were on our way to it.
            if tile == full or (self.directory / tile.path).exists() or not (self.directory / full.path).exists():
                raise
        return full, self._read(full.path, full.limit_bytes)

    def _partial_widths(self, tile: Tile) -> list[int]:
        """Return the widths, below the tile's own, of the partial forms that are there."""
        try:
            names = [path.name for path in (self.directory / tile.partials_path).iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LogCorruptError(tile.partials_path, error.strerror or str(error)) from None
        widths = {str(width): width for width in range(1, tile.width)}
        return sorted(widths[name] for name in names if name in widths)

    def _read(self, path: str, limit_bytes: int) -> bytes:
        try:
            with (self.directory / path).open("rb") as file:
                data = file.read(limit_bytes + 1)
        except FileNotFoundError:
            raise LogCorruptError(
                path, "the file is missing; either the log is damaged or incomplete, or it shrank while it was read"
            ) from None
        except OSError as error:
            raise LogCorruptError(path, f"the file cannot be read: {error.strerror or error}") from None
        if len(data) > limit_bytes:
            raise LogCorruptError(path, f"the file is longer than {limit_bytes} bytes, which it can never be")
        return data
