"""A window of a spool read back: all that one worker accepted in it, whole, or what a power cut has left of it."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from counters.cells import read_cells
from counters.spool import (
    BUCKETS,
    REGISTERS,
    SKETCHES,
    SNAPSHOT_AT,
    ChunkHeader,
    Records,
    Registers,
    SpoolError,
    read_header,
    read_words,
)


@dataclass(frozen=True, slots=True)
class WindowSpool:
    """What one worker accepted in one window, read back from its files."""

    window: int  # unix seconds
    worker: str
    event_digest: str
    opened_ms: int
    closed_ms: int  # 0 = the worker died in this window
    synced_until_ms: int
    records: Records  # u64, in the order of acceptance
    registers: Registers  # u8 [6][rows][2][16384]
    counters: Mapping[str, int]  # what each cell grew by: in this window, and before it while none was open
    journal: bytes
    paths: tuple[Path, ...]  # the files it was read from
    torn: tuple[Path, ...] = ()  # files of it that a power cut or the disk took something from, for somebody to look at


def window_chunks(folder: Path) -> dict[int, list[Path]]:
    """The chunk files of a worker by window, each list in chunk order.

    A window is there as long as its chunk 000 is: what else is left of one that was being deleted is no evidence.
    """
    chunks: dict[int, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        window, dash, _ = path.name.removeprefix("w").partition("-")
        if dash and path.name.startswith("w"):
            chunks.setdefault(int(window), []).append(path)
    return {window: paths for window, paths in chunks.items() if paths[0].name.endswith("-000")}


def read_window(paths: list[Path]) -> WindowSpool:
    """Read a window that its worker has closed, or died in; of one that a power cut has torn, what is before the tear.

    Raises:
        SpoolError: the first chunk cannot be read.
    """
    first = read_header(paths[0])
    if first.chunk or not first.registers_at:
        raise SpoolError(f"{paths[0]} is not the first chunk of its window")
    parts: list[Records] = []
    synced_until_ms = first.synced_until_ms
    torn: list[Path] = []
    for number, path in enumerate(paths):
        header = _header_of(path, first, number)
        if header is None:
            # What was stored in it, and in any after it, is lost: from when the one before it was begun nothing is
            # vouched for, since that may have been full at once.
            torn += paths[number:]
            break
        if header.cut:
            torn.append(path)
        parts.append(_read_records(path, header))
        opened_ms = header.opened_ms
    if torn:
        synced_until_ms = min(synced_until_ms, opened_ms)
    raw = np.memmap(paths[0], np.uint8, "r")
    journal = paths[0].with_name(f"w{first.window}.journal")
    return WindowSpool(
        window=first.window,
        worker=first.worker,
        event_digest=first.event_digest,
        opened_ms=first.opened_ms,
        closed_ms=first.closed_ms,
        synced_until_ms=synced_until_ms,
        records=np.concatenate(parts),
        registers=raw[first.registers_at : first.records_at].reshape(BUCKETS, first.rows, SKETCHES, REGISTERS),
        counters=_read_counters(paths[0], first, raw),
        journal=journal.read_bytes() if journal.exists() else b"",
        paths=(*(path for path in paths if path not in torn), journal),
        torn=tuple(torn),
    )


def _header_of(path: Path, first: ChunkHeader, number: int) -> ChunkHeader | None:
    """Read the header of a window's chunk; None if it is not that chunk's, or none."""
    try:
        header = read_header(path)
    except SpoolError:
        return None
    same = (header.window, header.worker, header.chunk) == (first.window, first.worker, number)
    return header if same else None


def _read_records(path: Path, header: ChunkHeader) -> Records:
    words = read_words(path, header)
    holds: npt.NDArray[np.bool_] = words != 0
    stored = len(words) if holds.all() else int(np.argmin(holds))
    if holds[stored:].any():
        return words[holds]  # a power cut left a hole: what is behind it was stored all the same
    return words[:stored]  # still the file's pages: who joins the chunks copies them


def _read_counters(path: Path, first: ChunkHeader, raw: Registers) -> dict[str, int]:
    """What each cell grew by between the snapshots at the window's opening and closing."""
    try:
        cells = read_cells(path.with_name("cells"))
    except (OSError, ValueError) as error:
        raise SpoolError(f"the counters beside {path} cannot be read: {error}") from error
    if len(cells) != first.cells:
        raise SpoolError(f"{path} counts {first.cells} outcomes, the file beside it {len(cells)}")
    spans = (raw[at : at + 8 * first.cells].tobytes() for at in SNAPSHOT_AT)
    before, after = (struct.unpack(f"<{first.cells}q", span) for span in spans)
    if not first.closed_ms:
        # The worker died in this window, so its cells stand as they stood at the end.
        after = tuple(cells.values())
    # After a power cut the cells may be older than the snapshot.
    return {name: max(late - early, 0) for name, early, late in zip(cells, before, after, strict=True)}
