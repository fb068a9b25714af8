"""The spool: a worker's crash-safe local files of what it has accepted and not yet handed over.

One folder per worker incarnation, `SPOOL/<worker>/`, locked by its owner (flock on `lock`) for as long as it lives:

    lock                   JSON: worker, gateway, event, boot of the host, epoch of its clock; who can lock it knows
                           that its owner is dead
    cells                  outcome counters (counters.cells)
    measures               more counters, for /metrics alone; nothing here reads them
    uniques-<day>          registers of the day's uniques, raised at join (counters.uniques)
    w<window>-<chunk>      presence of one window: header, sketch registers (chunk 000 only), records
    w<window>.journal      joins and scans of one window (counters.journal)

This module has the format of a chunk, and maps it; counters.open_window is what a worker writes a window with,
counters.spooled_window reads it back, and counters.spool_lock is who owns a folder.

A chunk is allocated on disk *before* it is mapped: storing into a sparse map on a full disk is SIGBUS, which no one
can catch, where posix_fallocate is an honest ENOSPC, which we answer with 503. A record is one aligned 8-byte store
into the shared map, so it belongs to the kernel the moment it is made: `kill -9` of the worker can neither take it back
nor tear it.

Chunk, little-endian, version 1:

    offset  size   field
    0       8      magic            "TURNSPL" and a zero byte
    8       2      version          1
    10      2      chunk            0, 1, … within the window
    12      4      rows             sessions of the event; row i is the i-th by number
    16      8      window           unix seconds of its start
    24      8      opened_ms        when the worker began to write into this chunk, unix ms
    32      8      closed_ms        when it stopped (in chunk 000, for the window); 0 = open, or the worker died
    40      8      synced_until_ms  what was accepted before this is on the platters (in chunk 000, for the window)
    48      4      registers_at     offset of the registers; 0 = none in this chunk
    52      4      records_at       offset of the records
    56      4      capacity         records that fit
    60      4      cells            number of counters in each of the two snapshots
    64      32     event            SHA-256 of the canonical event file
    96      8      worker           the incarnation
    4096    2048   chunk 000: counters when the window was opened
    6144    2048   chunk 000: counters when it was closed
    8192    …      registers, u8 [6 buckets][rows][2: attendees, views][16384]
    …       8·n    records

Record, u64: seat (bits 0–31) ‖ session number (32–47) ‖ flags (48–55) ‖ bucket within the window (56–63). A seat is
never 0, so the first zero word ends the records. Example: seat 70000 in session 3, in the background, in the window's
third bucket: 02 01 0003 00011170, stored as 70 11 01 00 03 00 01 02.

The registers of a heartbeat are raised before its record is stored: who has read a record sees what it raised. The
flush lives by that (counters.spool_tail).

`kill -9` takes nothing from these files. A power cut may: pages that were not synced come back as zeros, in any order,
a file comes back shorter, a chunk without its header. What is whole is read all the same: records behind a hole of
zeros (each was stored whole, and nothing else is ever written there), those before a cut, the chunks before one that is
lost. A window that lacks something says so (`torn`), and vouches for nothing from the last good chunk's beginning on.
"""

import mmap
import os
import struct
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

MAGIC: Final = b"TURNSPL\0"
VERSION: Final = 1
HEADER: Final = struct.Struct("<8sHHIqqqqIIII32s8s")
SNAPSHOT_AT: Final = (4096, 6144)
"""Of the counters: when the window was opened, when it was closed."""
_BODY_AT: Final = 8192
_CLOSED_AT, _SYNCED_AT = 32, 40
BUCKETS: Final = 6
"""Ten-second buckets in a window of sixty."""
REGISTERS: Final = 16_384
SKETCHES: Final = 2
FIRST_CHUNK_RECORDS: Final = 64 * 1024
"""A quiet worker's minute; half a megabyte."""
CHUNK_RECORDS: Final = 512 * 1024
"""Four megabytes: five seconds at 100,000 heartbeats a second, so the next chunk is always ready in time."""
BACKGROUND: Final = 1
"""Flag bit: the heartbeat said that the player is in the background."""

Registers = npt.NDArray[np.uint8]
Records = npt.NDArray[np.uint64]


class SpoolError(Exception):
    """A spool file is not what this version wrote."""


@dataclass(frozen=True, slots=True)
class SpoolIdentity:
    """Whose spool it is; stamped on every chunk."""

    worker: str  # 16 hex digits, the incarnation
    gateway: str
    event_digest: str  # SHA-256 hex
    rows: int  # sessions of the event


@dataclass(frozen=True, slots=True)
class ChunkHeader:
    """The fields of a chunk's header."""

    chunk: int
    rows: int
    window: int
    opened_ms: int
    closed_ms: int
    synced_until_ms: int
    registers_at: int
    records_at: int
    capacity: int  # of a file that was cut short: what is left
    cells: int
    event_digest: str
    worker: str
    cut: bool = False  # the file is shorter than it was allocated


class Chunk:
    """One mapped chunk file. Its worker is the only writer."""

    def __init__(self, path: Path, identity: SpoolIdentity, *, first: bool, cells: int) -> None:
        """Allocate and map a file that belongs to no window yet.

        Raises:
            OSError: the disk is full; nothing is left behind.
        """
        self.path = path
        registers_bytes = BUCKETS * identity.rows * SKETCHES * REGISTERS if first else 0
        self.capacity = FIRST_CHUNK_RECORDS if first else CHUNK_RECORDS
        records_at = _BODY_AT + registers_bytes
        size = records_at + 8 * self.capacity
        self._descriptor = hold_open(self, path, os.O_RDWR | os.O_EXCL)
        try:
            os.posix_fallocate(self._descriptor, 0, size)
            self._map = mmap.mmap(self._descriptor, size)
        except OSError:
            path.unlink()
            raise
        HEADER.pack_into(
            self._map, 0, MAGIC, VERSION, 0, identity.rows, 0, 0, 0, 0, _BODY_AT if first else 0, records_at,
            self.capacity, cells, bytes.fromhex(identity.event_digest), bytes.fromhex(identity.worker),
        )  # fmt: skip
        view = memoryview(self._map)
        self.registers = view[_BODY_AT:records_at]
        self.records = view[records_at:].cast("Q")

    def open_for(self, window: int, number: int, opened_ms: int, counters: bytes) -> None:
        """Give the file its window and its name: from here on it is evidence."""
        struct.pack_into("<H", self._map, 10, number)
        struct.pack_into("<qq", self._map, 16, window, opened_ms)
        self._map[SNAPSHOT_AT[0] : SNAPSHOT_AT[0] + len(counters)] = counters
        named = self.path.with_name(f"w{window}-{number:03d}")
        # A crash before this rename leaves an unnamed spare that nobody reads and that goes with its folder.
        self.path = self.path.rename(named)

    def close(self, closed_ms: int, counters: bytes) -> None:
        """Say that nothing more will be written; the courier may take the window from here on."""
        self._map[SNAPSHOT_AT[1] : SNAPSHOT_AT[1] + len(counters)] = counters
        struct.pack_into("<q", self._map, _CLOSED_AT, closed_ms)

    def sync(self) -> None:
        """Bring to disk what is stored by now. Blocks: for a thread.

        `os.fdatasync` and not `mmap.flush`, which holds the interpreter lock and would stall heartbeats.
        """
        os.fdatasync(self._descriptor)

    def say_synced(self, until_ms: int) -> None:
        """Say that everything of this window that was accepted before `until_ms` is on the disk."""
        struct.pack_into("<q", self._map, _SYNCED_AT, until_ms)


def hold_open(owner: object, path: Path, flags: int) -> int:
    """Open a new file that stays open for as long as its owner is in use: a thread may be syncing it."""
    descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    weakref.finalize(owner, os.close, descriptor)
    return descriptor


def read_header(path: Path) -> ChunkHeader:
    """Read the header of a chunk file.

    Raises:
        SpoolError: the file was not written by this version.
    """
    with path.open("rb") as file:
        raw = file.read(HEADER.size)
        size = os.fstat(file.fileno()).st_size
    if len(raw) < HEADER.size:
        raise SpoolError(f"{path} is cut short")
    values = HEADER.unpack_from(raw)
    if values[:2] != (MAGIC, VERSION):
        raise SpoolError(f"{path} is no spool chunk of version {VERSION}")
    header = ChunkHeader(*values[2:12], *(digest.hex() for digest in values[12:]))
    registers_at = header.registers_at or _BODY_AT
    registers_bytes = BUCKETS * header.rows * SKETCHES * REGISTERS if header.registers_at else 0
    whole = header.records_at + 8 * header.capacity
    if header.records_at != registers_at + registers_bytes or not header.records_at <= size <= whole:
        raise SpoolError(f"{path} has not the size that its header gives")
    if size < whole:
        header = replace(header, capacity=(size - header.records_at) // 8, cut=True)
    return header


def read_words(path: Path, header: ChunkHeader) -> Records:
    """Map the place for records in a chunk: u64 [capacity], zero where nothing is stored."""
    if not header.capacity:
        return np.empty(0, np.uint64)
    words = np.memmap(path, np.uint64, "r", offset=header.records_at, shape=(header.capacity,))
    return words.view(np.ndarray)


def open_registers(path: Path) -> Registers | None:
    """Map the registers of a window that may still be open: [6][rows][2][16384]; None if the file is gone."""
    try:
        header = read_header(path)
        flat = np.memmap(path, np.uint8, "r", offset=header.registers_at,
                         shape=(BUCKETS * header.rows * SKETCHES * REGISTERS,))  # fmt: skip
    except FileNotFoundError:
        return None
    return flat.reshape(BUCKETS, header.rows, SKETCHES, REGISTERS)
