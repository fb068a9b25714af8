"""The files of the window that a worker writes into now: its chunks (counters.spool) and its journal, as one thing.

The tally opens, fills and closes it; its thread syncs it. A file stays open for as long as one of the two holds it, so
that the thread can never sync a descriptor that meanwhile belongs to something else.
"""

import os
import time
from pathlib import Path
from typing import Final

from counters.durable_file import sync_folder
from counters.spool import Chunk, hold_open

LET_GO_PAUSE_S: Final = 0.002
"""Heartbeats get the interpreter between two chunks; a full window of twenty is let go of in 40 ms."""


class JournalFile:
    """The journal of one window (counters.journal). Its worker is the only writer."""

    def __init__(self, path: Path) -> None:
        """Begin a file that belongs to no window yet.

        Raises:
            OSError: the disk is full.
        """
        self._path = path
        self._descriptor = hold_open(self, path, os.O_WRONLY | os.O_APPEND)
        self._bytes = 0

    def open_for(self, window: int) -> None:
        """Give the file its window's name.

        Raises:
            OSError: the disk is full; it may be named again.
        """
        # A crash before this rename leaves an unnamed spare that nobody reads and that goes with its folder; after it,
        # a journal without a chunk, which is no window and is empty.
        self._path = self._path.rename(self._path.with_name(f"w{window}.journal"))

    def append(self, record: bytes) -> bool:
        """Write a record, which belongs to the kernel when this returns; False: the disk is full."""
        try:
            written = os.write(self._descriptor, record)
        except OSError:
            written = 0
        if written != len(record):
            # A torn record would hide every later one from the reader: take it back.
            os.ftruncate(self._descriptor, self._bytes)
            return False
        self._bytes += written
        return True

    def sync(self) -> None:
        """Bring to disk what is written by now. Blocks: for a thread."""
        os.fdatasync(self._descriptor)


class OpenWindow:
    """The files of the window that a worker writes into. Owned by its tally; only `sync` runs in a thread."""

    def __init__(
        self, folder: Path, first: Chunk, journal: JournalFile, window: int, opened_ms: int, counters: bytes
    ) -> None:  # fmt: skip
        """Open the window in a first chunk and a journal that were prepared.

        Raises:
            OSError: the disk is full; chunk and journal may be used again.
        """
        self._folder = folder
        self._window = window
        # The journal first: what has the chunk's name is a window with all that belongs to it.
        journal.open_for(window)
        self.journal = journal
        first.open_for(window, 0, opened_ms, counters)
        self._chunks = [first]
        self._names_synced = 0
        self._vouches = True
        self.closed = False

    def add(self, chunk: Chunk, opened_ms: int) -> None:
        """Go on in another chunk.

        Raises:
            OSError: the disk is full.
        """
        chunk.open_for(self._window, len(self._chunks), opened_ms, b"")
        self._chunks.append(chunk)

    def close(self, closed_ms: int, counters: bytes) -> None:
        """Say that nothing more will be written; the courier may take the window from here on."""
        first = self._chunks[0]
        # From here on the thread may let go of it.
        self.closed = True
        first.close(closed_ms, counters)

    def sync(self, now_ms: int) -> None:
        """Bring to disk what was accepted before `now_ms` and, unless the window is closed, say so. Blocks."""
        chunks = tuple(self._chunks)
        try:
            if self._names_synced < len(chunks):
                sync_folder(self._folder)
                self._names_synced = len(chunks)
            self.journal.sync()
            for chunk in chunks:
                chunk.sync()
        except OSError:
            # The kernel may drop what it could not write, and a later sync would not tell.
            self._vouches = False
        # A closed window changes no more: handed over twice, it must be the same evidence.
        if self._vouches and not self.closed:
            chunks[0].say_synced(now_ms)

    def let_go(self) -> None:
        """Let go of a closed window's chunks, one after the other. Blocks: for a thread.

        Unmapping one holds the interpreter's lock for 0.2 ms: all of a full window's would stall heartbeats for 5 ms.
        """
        while self._chunks:
            self._chunks.pop()
            time.sleep(LET_GO_PAUSE_S)
