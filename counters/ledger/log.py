"""The one writer of the log: appends groups of entries so that no crash loses, forks or half-publishes anything.

    DIR/log/                   public, served as it is
        checkpoint             the published checkpoint, signed
        tile/…                 tiles and bundles (counters.ledger.tiles)
    DIR/log.writer/            private to the writer (counters.ledger.writer_folder)

An append has three commit points:

    stage    new tiles and bundles, durable      crash: nothing refers to them; opening removes them
    commit   `committed` moves to the new size   crash: the group is in; opening signs and publishes it
    publish  `checkpoint` shows it, signed       crash: done; the caller may not know, and finds its entries in the log

Nothing is ever signed that is not first durable in `committed`, so there are never two signed roots for one size: not
after a crash, a failed sync or a lost power supply. Opening runs the same commit and publish as an append.

A log that is opened with `withhold` is published by `publish` alone, a checkpoint at a time, when enough witnesses have
cosigned it: until then it is in the log, and nobody is shown it, whatever crashes. So a `Log` is two views: itself, at
what is committed, and `published`.
"""

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from counters.disk import DISK, Disk
from counters.durable_file import DurableFolder, make_folder
from counters.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from counters.ledger.edge import Edge
from counters.ledger.note import NoteError, Signer
from counters.ledger.reader import LogReader, LogView
from counters.ledger.sole_owner import ClosedAtEnd
from counters.ledger.tile_files import CHECKPOINT, LogCorruptError, LogError, TileFiles
from counters.ledger.tiles import ENTRIES, TILE_WIDTH, Tile, TileError, row_length
from counters.ledger.writer_folder import Decided, LogLockedError, lock_log, private_folder

__all__ = ["Log", "LogCorruptError", "LogError", "LogLockedError", "LogReader"]


@dataclass(frozen=True, slots=True)
class _Head:
    """One committed state. Replaced as a whole, so that readers in other threads see one moment."""

    edge: Edge
    checkpoint: Checkpoint


@dataclass(slots=True)
class PublishedLog(LogView):
    """The log as the public sees it. Before anything is published, that is the empty tree."""

    _files: TileFiles
    shown: tuple[Checkpoint, bytes]  # replaced as a whole, by the log that owns this

    @property
    def signed(self) -> tuple[Checkpoint, bytes]:
        """The published checkpoint and its signed note, of one moment."""
        return self.shown


class Log(LogView, ClosedAtEnd):
    """A log open for writing. Make it with `Log.open`; it owns the lock, the edge and every file until `close`.

    `append` may run in one thread while others read; appends wait for each other. What it returns as a view is at what
    is committed.
    """

    def __init__(self, directory: Path, signer: Signer, lock: int, disk: Disk, *, withhold: bool = False) -> None:
        super().__init__(TileFiles(directory))
        self._withhold = withhold
        empty = Checkpoint(signer.name, 0, Edge().root())
        self.published = PublishedLog(self._files, (empty, sign_checkpoint(empty, signer)))
        """What the public sees."""
        self._replaced: list[Tile] = []  # full tiles whose partial forms the public may still need
        self._directory = directory
        self._signer = signer
        self._lock: int | None = lock
        self._appending = threading.Lock()
        self._folder = DurableFolder(directory.parent, private_folder(directory) / "scratch", disk)
        self._decided = Decided(directory, signer.name, self._folder)
        self._unsettled: str | None = None  # why nothing may be appended
        self._undecided = False  # whether `settle` can end that: the disk refused, and nothing else went wrong
        self._staging_failed = False
        self._head = self._recover()

    @classmethod
    def open(cls, directory: Path, signer: Signer, *, disk: Disk = DISK, withhold: bool = False) -> Self:
        """Open the log in `directory` for writing, or begin one there; its origin is the signer's name.

        With `withhold` nothing is shown but by `publish`.

        Recovers from whatever a crash left. Checks the last tiles and bundles against the root; `LogReader.full_check`
        checks the rest.

        Raises:
            LogLockedError: Another writer has it.
            LogCorruptError: The files are not those of a log that this signer has written.
            OSError: The disk refuses.
        """
        directory = directory.absolute()
        make_folder(directory.parent, disk=disk)
        disk.make_directory(private_folder(directory))
        lock = lock_log(directory)
        try:
            return cls(directory, signer, lock, disk, withhold=withhold)
        except BaseException:
            os.close(lock)
            raise

    def close(self) -> None:
        """Let go of the lock. Nothing is left to be written: what `append` returned is durable."""
        with self._appending:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
                self._unsettled, self._undecided = "it was closed", False

    @property
    def checkpoint(self) -> Checkpoint:
        """The committed checkpoint."""
        return self._head.checkpoint

    @property
    def signed(self) -> tuple[Checkpoint, bytes]:
        """The committed checkpoint and its signed note, with the cosignatures that it has if it is published.

        To ask for this is to sign it: it is for the public and for witnesses only.
        """
        checkpoint, shown = self._head.checkpoint, self.published.shown
        return shown if shown[0] == checkpoint else (checkpoint, sign_checkpoint(checkpoint, self._signer))

    @property
    def origin(self) -> str:
        """The log's origin, which is its key's name."""
        return self._signer.name

    def append(self, entries: Sequence[bytes]) -> Checkpoint:
        """Append all entries, as one group, and return the checkpoint that covers them.

        When this returns, they are durable and, unless the log is withheld, public. Blocks for some eight syncs,
        however many entries there are up to the end of a tile (256), and some two more for each further tile. No
        entries: nothing happens.

        Raises:
            TileError: An entry is longer than 65,535 bytes; nothing was written.
            OSError: The disk refuses. While staging: the group is not in, and appending may go on. Later: whether it is
                in shows after `settle`, or when the log is opened again; until then appending raises LogError.
            LogLockedError: Something else has changed the log in spite of the lock.
            LogError: An earlier append failed in between, or the log is closed.
        """
        with self._appending:
            if self._unsettled is not None:
                raise LogError(
                    f"the log {self._directory} takes no more entries because {self._unsettled}: "
                    "settle it, or open it again"
                )
            if not entries:
                return self._head.checkpoint
            edge, changed = self._head.edge.extend(entries)
            if self._staging_failed:
                self._sweep(self.size)
            self._staging_failed = True
            self._folder.replace((self._directory / tile.path, data) for tile, data in changed)
            self._staging_failed = False
            # Staged. A crash here leaves files that no checkpoint covers; opening removes them.
            before = self._head.checkpoint
            checkpoint = Checkpoint(self.origin, edge.size, edge.root())
            try:
                self._decided.swap(before, checkpoint)
                # Committed. A crash here leaves a decided, unpublished state; opening publishes exactly this one, or
                # withholds it as well.
                if not self._withhold:
                    self._show(checkpoint, sign_checkpoint(checkpoint, self._signer))
                self._head = _Head(edge, checkpoint)
                self._replaced += [tile for tile, _ in changed if tile.width == TILE_WIDTH]
                # Published. A crash here leaves partial tiles that full ones have replaced; opening removes them.
            except BaseException as error:
                self._unsettled = f"an append failed in between ({error!r})"
                self._undecided = isinstance(error, OSError)
                raise
            self._remove_replaced()
            return checkpoint

    def publish(self, note: bytes) -> bool:
        """Show a signed note of what is committed: of a state that is withheld, or with more cosignatures than before.

        Returns:
            Whether it is shown now; if not, a later state is.

        Raises:
            NoteError: This log's key has not signed it.
            LogError: It is not of a state of this log; or an append failed in between, or the log is closed.
            OSError: The disk refuses; the note is shown or not, and may be published again.
        """
        with self._appending:
            if self._unsettled is not None:
                raise LogError(f"the log {self._directory} shows nothing more because {self._unsettled}")
            checkpoint = open_checkpoint(note, self._signer.verifier)
            committed = self._head.checkpoint
            if checkpoint.size > committed.size or (
                checkpoint != committed and self._files.root(checkpoint.size, committed.size) != checkpoint.root
            ):
                raise LogError(f"the log {self._directory} has never been what this note says")
            if checkpoint.size < self.published.size:
                return False
            self._show(checkpoint, note)
            # Published. A crash here leaves partial tiles that full ones have replaced; opening removes them.
            self._remove_replaced()
            return True

    def settle(self) -> None:
        """After an append that the disk refused on the way, do what opening does: its group is in, or not.

        Does nothing if there was none.

        Raises:
            OSError: The disk still refuses; call again.
            LogCorruptError: The files are not those of this log any more.
        """
        with self._appending:
            if self._undecided:
                self._head = self._recover()
                self._unsettled, self._undecided = None, False

    def _show(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Publish: make the signed note the public checkpoint."""
        self._folder.replace([(self._directory / CHECKPOINT, note)])
        self.published.shown = checkpoint, note

    def _remove_replaced(self) -> None:
        """Remove the partial forms of tiles that are now published in full."""
        size = self.published.size
        # A withheld log's readers still ask for the partial tiles of what they were shown.
        public = [tile for tile in self._replaced if tile.index < row_length(tile.level, size) // TILE_WIDTH]
        self._replaced = [tile for tile in self._replaced if tile not in public]
        for tile in public:
            partials = self._directory / tile.partials_path
            if partials.is_dir():
                # The group is in and published: clutter that stays until the log is opened again is no failure.
                with contextlib.suppress(OSError):
                    self._folder.remove(partials)

    def _recover(self) -> _Head:
        """Bring the files to one committed state, from whatever state a crash left, and return it."""
        self._folder.clear_scratch()
        committed, shown = self._decided.read(), self._read_published()
        published = shown[0] if shown else None
        known = [checkpoint for checkpoint in (committed, published) if checkpoint is not None]
        if not known:
            if self._files.has_tiles():
                raise LogCorruptError(
                    CHECKPOINT, "it is missing although there are tiles: restore it, or begin in an empty directory"
                )
            known = [Checkpoint(self.origin, 0, Edge().root())]
        # Usually the committed one. A published one that is ahead was signed, so it binds us as well.
        checkpoint = max(known, key=lambda known_checkpoint: known_checkpoint.size)
        edge = self._load_edge(checkpoint)
        for other in known:
            if self._files.root(other.size, checkpoint.size) != other.root:
                raise LogCorruptError(
                    CHECKPOINT,
                    f"the log of {checkpoint.size} entries does not begin with the known one of {other.size}",
                )
        # Written again even if it is there: what we read may be a rename that a power loss would still undo.
        self._decided.swap(committed, checkpoint)
        # Shown again for the same reason. Whoever has cosigned the published note keeps their lines. What is withheld
        # stays so: it is not even signed here, since the log may come from an old backup.
        if shown and (self._withhold or published == checkpoint):
            self._show(*shown)
        elif not self._withhold:
            self._show(checkpoint, sign_checkpoint(checkpoint, self._signer))
        self._sweep(checkpoint.size)
        self._replaced = []
        return _Head(edge, checkpoint)

    def _load_edge(self, checkpoint: Checkpoint) -> Edge:
        """Return the edge at a checkpoint, read from its last tiles and checked against its root."""
        size = checkpoint.size
        levels: list[tuple[bytes, ...]] = []
        while count := row_length(len(levels), size):
            level, width = len(levels), count % TILE_WIDTH
            levels.append(self._files.hashes(Tile(level, count // TILE_WIDTH, width)) if width else ())
        width = size % TILE_WIDTH
        bundle = self._files.entries(Tile(ENTRIES, size // TILE_WIDTH, width)) if width else ()
        edge = Edge(size, tuple(levels), bundle)
        if edge.root() != checkpoint.root:
            raise LogCorruptError("tile", f"the last tiles do not have the root of the checkpoint of {size} entries")
        self._files.check_edge(size)
        return edge

    def _read_published(self) -> tuple[Checkpoint, bytes] | None:
        if not (self._directory / CHECKPOINT).exists():
            return None
        note = self._files.read_checkpoint()
        try:
            return open_checkpoint(note, self._signer.verifier), note
        except NoteError as error:
            raise LogCorruptError(
                CHECKPOINT, f"{error}; use the key that began this log, or restore the file from a copy"
            ) from None

    def _sweep(self, size: int) -> None:
        """Remove the tiles that no checkpoint needs: partial ones that are public in full, and uncommitted ones.

        An uncommitted partial tile must not stay until the log has grown past it with other entries: it would look as
        if another history had been published.
        """
        touched = set()
        for path in sorted((self._directory / "tile").rglob("*")):
            try:
                tile = Tile.parse(path.relative_to(self._directory).as_posix())
            except TileError:
                continue  # a folder, or not ours
            public = row_length(tile.level, self.published.size)
            replaced = tile.width < TILE_WIDTH and tile.index < public // TILE_WIDTH
            uncommitted = tile.index * TILE_WIDTH + tile.width > row_length(tile.level, size)
            if replaced or uncommitted:
                self._folder.remove(path)
                touched.add(path.parent)
        for directory in sorted(touched):
            self._folder.settle(directory)
