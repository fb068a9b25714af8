"""The roll as a Merkle tree (RFC 6962 hashing) over its leaves, in a folder: a proof is a few reads.

    leaves.bin   the leaves (counters.roll_leaf), 88 bytes each, strictly ascending by pseudonym
    nodes.bin    hashes of the complete subtrees of 256 leaves, from the left; then of 512, of 1,024, … as far as there
                 are any: ⌊size / 2^level⌋ · 32 bytes for each level from 8 on
    seats.bin    u64 little-endian, ascending: seat in the upper 32 bits, position of its attendee's leaf in the lower;
                 every seat, so that an alias leads to its attendee as well

At 40 million attendees that is 3.5 GB, 10 MB and 320 MB. Subtrees below 256 leaves are hashed from the leaves when
they are asked for (0.3 ms). `hash_leaves` uses as many processes as there are cores where it pays.
"""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from counters.ledger import merkle
from counters.ledger.merkle import HASH_BYTES, tree_root
from counters.roll_leaf import LEAF_BYTES, Rows
from counters.roll_sorting import SeatIndex

GROUP_LEVEL: Final = 8
GROUP: Final = 1 << GROUP_LEVEL
"""Leaves whose hashes are not kept: 10 MB of hashes instead of 2.5 GB, for 0.3 ms a proof."""
GROUPS_KEPT: Final = 64
"""Groups whose hashes a reader remembers: neighbouring proofs ask for the same again and again."""
PART: Final = 1 << 16
"""Leaves that a process hashes at a time."""
PROCESSES_FROM: Final = 1 << 20
"""Fewer leaves are hashed in a second: starting processes would take as long."""
_TOKEN_DIGEST: Final = slice(16, 48)
_LEAVES, _NODES, _SEATS = "leaves.bin", "nodes.bin", "seats.bin"


class RollTree:
    """The roll in a folder, read only."""

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            OSError: a file is not there.
            ValueError: a file is cut short.
        """
        self._leaves = _mapped(folder / _LEAVES, "u1").reshape(-1, LEAF_BYTES)
        self._seats = _mapped(folder / _SEATS, "<u8")
        self._nodes = (folder / _NODES).read_bytes()
        self.size = len(self._leaves)
        self._rows_of = lru_cache(GROUPS_KEPT)(self._hash_group)
        counts = [self.size >> level for level in range(GROUP_LEVEL, max(self.size.bit_length(), GROUP_LEVEL))]
        starts = np.cumsum([0, *counts]) * HASH_BYTES
        self._level_at = {GROUP_LEVEL + n: int(start) for n, start in enumerate(starts[:-1])}
        if len(self._nodes) != int(starts[-1]):
            raise ValueError(f"{folder / _NODES} is not that of {self.size} leaves")

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return merkle.range_hash(0, self.size, self.subtree)

    def leaf(self, position: int) -> bytes:
        """Return a leaf's 88 bytes.

        Raises:
            IndexError: there is none at that position.
        """
        if not 0 <= position < self.size:
            raise IndexError(f"the roll has {self.size} leaves, and so no leaf {position}")
        return bytes(self._leaves[position])

    @property
    def token_digests(self) -> npt.NDArray[np.uint8]:
        """The ticket's digest of each leaf: u8 [size][32], read from the file where it is looked at."""
        digests: npt.NDArray[np.uint8] = self._leaves[:, _TOKEN_DIGEST]
        return digests

    def proof(self, position: int) -> tuple[bytes, ...]:
        """Return the hashes that prove a leaf, its sibling first (counters.ledger.merkle.verify_inclusion).

        Raises:
            ProofError: there is none at that position.
        """
        return merkle.inclusion_proof(position, self.size, self.subtree)

    def find(self, who: int | bytes) -> int | None:
        """Return the position of an attendee's leaf, by any of its seats or by pseudonym; None if it is not there."""
        if isinstance(who, int):
            at = int(np.searchsorted(self._seats, np.uint64(who << 32)))
            found = at < len(self._seats) and int(self._seats[at]) >> 32 == who
            return int(self._seats[at]) & 0xFFFFFFFF if found else None
        low, high = 0, self.size
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.leaf(middle)[:16] < who else (low, middle)
        return low if low < self.size and self.leaf(low)[:16] == who else None

    def proof_of(self, who: int | bytes) -> tuple[int, bytes, tuple[bytes, ...]]:
        """Return the position of an attendee's leaf, the leaf, and what proves it.

        Raises:
            KeyError: it is not on the roll.
        """
        position = self.find(who)
        if position is None:
            raise KeyError(who)
        return position, self.leaf(position), self.proof(position)

    def subtree(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree over the leaves index·2^level … (index + 1)·2^level − 1."""
        if level >= GROUP_LEVEL:
            at = self._level_at[level] + index * HASH_BYTES
            return self._nodes[at : at + HASH_BYTES]
        group, first = divmod(index << level, GROUP)
        return self._rows_of(group)[level][first >> level]

    def _hash_group(self, group: int) -> list[list[bytes]]:
        """Return the hashes of the complete subtrees within a group of 256 leaves, by level."""
        rows = [_leaf_hashes(self._leaves[group * GROUP : (group + 1) * GROUP])]
        while len(rows[-1]) > 1:
            rows.append([merkle.node_hash(*pair) for pair in zip(rows[-1][::2], rows[-1][1::2], strict=False)])
        return rows


def is_whole(folder: Path) -> bool:
    """Whether all files of a roll are there."""
    return all((folder / name).exists() for name in (_LEAVES, _NODES, _SEATS))


@dataclass(frozen=True, slots=True)
class SealedRoll:
    """A roll that the log shows."""

    folder: Path
    tree: RollTree
    entry: bytes  # of the log
    proof: bytes  # its tlog-proof, as it was first shown


def write_roll(folder: Path, parts: Iterable[tuple[Rows, SeatIndex]]) -> RollTree:
    """Write the roll of these leaves (counters.roll_sorting) into a folder and return it; its files are durable."""
    folder.mkdir(parents=True, exist_ok=True)
    seats = [np.empty(0, np.uint64)]
    size = 0
    with (folder / _LEAVES).open("wb") as file:
        for leaves, seats_of_part in parts:
            file.write(leaves.tobytes())
            size += len(leaves)
            seats.append(seats_of_part)
        _sync(file)
    index = np.concatenate(seats)
    seats.clear()
    index.sort()
    with (folder / _SEATS).open("wb") as file:
        file.write(index.astype("<u8", copy=False).data)
        _sync(file)
    del index
    row = list(hash_leaves(folder / _LEAVES, size))
    with (folder / _NODES).open("wb") as file:
        while row:
            file.write(b"".join(row))
            row = [merkle.node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=False)]
        _sync(file)
    return RollTree(folder)


def _sync(file: BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())


def hash_leaves(path: Path, size: int) -> Iterator[bytes]:
    """Yield the hash of each complete group of 256 leaves in a file of `size` leaves, from the left."""
    complete = size - size % GROUP
    parts = [(path, start, min(start + PART, complete)) for start in range(0, complete, PART)]
    if size < PROCESSES_FROM:
        for part in parts:
            yield from _group_hashes(*part)
        return
    # Spawned, not forked: the ledger has threads.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        for hashes in processes.map(_group_hashes, *zip(*parts, strict=True)):
            yield from hashes


def _group_hashes(path: Path, start: int, end: int) -> list[bytes]:
    leaves = np.fromfile(path, "u1", (end - start) * LEAF_BYTES, offset=start * LEAF_BYTES).reshape(-1, LEAF_BYTES)
    hashes = _leaf_hashes(leaves)
    return [tree_root(hashes[first : first + GROUP]) for first in range(0, end - start, GROUP)]


def _leaf_hashes(leaves: Any) -> list[bytes]:
    """Return the leaf hash of each row: `merkle.leaf_hash`, without its calls."""
    marked = np.zeros((len(leaves), 1 + LEAF_BYTES), np.uint8)
    marked[:, 1:] = leaves
    raw = marked.tobytes()
    width = 1 + LEAF_BYTES
    return [sha256(raw[at : at + width]).digest() for at in range(0, len(raw), width)]


def _mapped(path: Path, dtype: str) -> Any:
    # A file without bytes cannot be mapped.
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)
