"""Counters that survive their process: named 64-bit integers in a memory-mapped file.

A worker counts with `cells.values[i] += 1` (about 0.06 µs); its supervisor reads the same file, also after the worker
was killed. It has two such files: `cells`, outcomes, which go into the window's leaf and to /metrics, and `measures`,
which are for /metrics alone.

File, little-endian, version 1:

    offset  size   field
    0       8      magic   "TURNCEL" and a zero byte
    8       2      version 1
    10      2      count   number of cells
    12      4      bytes of the names
    16      …      names, separated by newlines, UTF-8
    8192    8·n    the cells, i64
"""

import mmap
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

MAGIC: Final = b"TURNCEL\0"
VERSION: Final = 1
LIMIT: Final = 256
"""Cells of which a window's header keeps two snapshots (counters.spool)."""
NAMES_BYTES: Final = 8176
"""Room for the names, whatever the number of cells: 600 of a dozen characters."""
_HEAD: Final = struct.Struct("<8sHHI")
_CELLS_AT: Final = 8192


class Cells:
    """A worker's counters. The worker that created the file is the only one that writes to it."""

    def __init__(self, path: Path, names: Iterable[str], limit: int = LIMIT) -> None:
        """Create the file with every cell at zero; `limit`: how many there may be.

        Raises:
            ValueError: too many names, or one that the file cannot hold.
            OSError: the disk is full, or the file is there already.
        """
        self.names = tuple(names)
        if len(set(self.names)) < len(self.names) or any("\n" in name or not name for name in self.names):
            raise ValueError("the names of cells are different from each other, not empty, and on one line each")
        text = "\n".join(self.names).encode()
        if len(self.names) > limit or len(text) > NAMES_BYTES:
            raise ValueError(f"{len(self.names)} cells do not fit the file's header")
        head = _HEAD.pack(MAGIC, VERSION, len(self.names), len(text)) + text
        with path.open("x+b") as file:
            file.write(head.ljust(_CELLS_AT, b"\0") + bytes(8 * len(self.names)))
            file.flush()
            # The names must outlive a power cut: without them no later snapshot can be read.
            os.fsync(file.fileno())
            self._map = mmap.mmap(file.fileno(), 0)
        self.values = memoryview(self._map)[_CELLS_AT:].cast("q")
        self._index = {name: i for i, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """The position of a cell in `values`, to be looked up once and not per heartbeat."""
        return self._index[name]

    def add(self, name: str, amount: int = 1) -> None:
        """Raise one cell by name: for the paths that are not hot."""
        self.values[self._index[name]] += amount

    def snapshot(self) -> bytes:
        """All cells as they stand, as little-endian i64."""
        return bytes(self.values)


class CellsFile:
    """A cells file that is looked at again and again: it is opened and its names are read once.

    It may be looked at while its worker counts, after that was killed, and after the file was deleted.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ValueError: the file is no cells file of this version, or not written yet.
            OSError: it cannot be opened.
        """
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.names = _names(self._map, path)
        self._values = struct.Struct(f"<{len(self.names)}q")

    def values(self) -> tuple[int, ...]:
        """The cells as they stand, in the order of the names."""
        return self._values.unpack_from(self._map, _CELLS_AT)


def read_cells(path: Path) -> Mapping[str, int]:
    """Return the counters in a file, by name.

    Raises:
        ValueError: the file is no cells file of this version.
        OSError: it cannot be read.
    """
    raw = path.read_bytes()
    names = _names(raw, path)
    return dict(zip(names, struct.unpack_from(f"<{len(names)}q", raw, _CELLS_AT), strict=True))


def _names(raw: bytes | mmap.mmap, path: Path) -> tuple[str, ...]:
    if len(raw) < _CELLS_AT:
        raise ValueError(f"{path} is cut short")
    magic, version, count, text_bytes = _HEAD.unpack_from(raw)
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"{path} is no cells file of version {VERSION}")
    if len(raw) != _CELLS_AT + 8 * count:
        raise ValueError(f"{path} does not hold its {count} cells")
    names = raw[_HEAD.size : _HEAD.size + text_bytes].decode().split("\n") if count else []
    if len(set(names)) != count:
        raise ValueError(f"{path} does not name its {count} cells")
    return tuple(names)
