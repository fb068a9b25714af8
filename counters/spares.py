"""The files that a worker will need next, made ahead of time by its thread: making one may take 11 ms.

A window needs a first chunk and a journal, and when that chunk is full another. What is not ready when it is needed is
made there and then; a spare that is never used goes with its folder.
"""

import contextlib
import os
import threading
from pathlib import Path

from counters.open_window import JournalFile
from counters.spool import Chunk, SpoolIdentity


class Spares:
    """The spares of one worker. Its event loop takes them; `prepare` runs in its thread."""

    def __init__(self, folder: Path, identity: SpoolIdentity, cells: int) -> None:
        """Begin without any.

        Args:
            folder: the worker's locked spool folder.
            identity: what is stamped on its chunks.
            cells: how many outcome counters a chunk holds.
        """
        self._folder = folder
        self._identity = identity
        self._cells = cells
        self._chunks: dict[bool, Chunk] = {}  # by whether it is a window's first
        self._journal: JournalFile | None = None
        self._lock = threading.Lock()

    def take_window(self) -> tuple[Chunk, JournalFile]:
        """Return a window's first chunk and its journal.

        Raises:
            OSError: the disk is full.
        """
        journal, self._journal = self._journal, None
        journal = journal or self._make_journal()
        try:
            return self.take_chunk(first=True), journal
        except OSError:
            self._journal = journal
            raise

    def take_chunk(self, *, first: bool) -> Chunk:
        """Return a chunk, which only as a window's first has registers.

        Raises:
            OSError: the disk is full.
        """
        with self._lock:
            spare = self._chunks.pop(first, None)
        return spare or self._make_chunk(first=first)

    def give_back(self, chunk: Chunk, journal: JournalFile) -> None:
        """Take back the files of a window that could not be opened."""
        with self._lock:
            self._chunks.setdefault(True, chunk)
        self._journal = journal

    def prepare(self) -> None:
        """Make what is missing. Blocks: for a thread."""
        if self._journal is None:
            with contextlib.suppress(OSError):
                self._journal = self._make_journal()
        for first in (True, False):
            if first not in self._chunks:
                # A full disk is found out and answered where the chunk is needed.
                with contextlib.suppress(OSError):
                    spare = self._make_chunk(first=first)
                    with self._lock:
                        self._chunks[first] = spare

    def _make_journal(self) -> JournalFile:
        return JournalFile(self._folder / f"spare-journal-{os.urandom(4).hex()}")

    def _make_chunk(self, *, first: bool) -> Chunk:
        name = f"spare-{'first' if first else 'more'}-{os.urandom(4).hex()}"
        return Chunk(self._folder / name, self._identity, first=first, cells=self._cells)
