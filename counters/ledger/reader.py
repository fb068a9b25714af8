"""Reading a log: entries and proofs from its files, and the offline reader that believes none of them.

`LogReader` is what a verifier uses: it needs the directory (or a copy) and the log's verifier key, no network and no
ledger. `full_check` recomputes every hash from the entries up to the signed root.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from counters.ledger import merkle
from counters.ledger.checkpoint import Checkpoint, open_checkpoint
from counters.ledger.edge import Edge
from counters.ledger.merkle import ProofError
from counters.ledger.note import NoteError, Verifier
from counters.ledger.proof import TlogProof
from counters.ledger.tile_files import CHECKPOINT, LogCorruptError, TileFiles
from counters.ledger.tiles import ENTRIES, TILE_WIDTH, Tile


class LogView(ABC):
    """Entries and proofs of a log at its checkpoint. What it returns comes from the files as they are."""

    def __init__(self, files: TileFiles) -> None:
        self._files = files

    @property
    @abstractmethod
    def signed(self) -> tuple[Checkpoint, bytes]:
        """The checkpoint and its signed note, of one moment."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The published checkpoint."""
        return self.signed[0]

    @property
    def checkpoint_note(self) -> bytes:
        """The published checkpoint as a signed note, byte for byte."""
        return self.signed[1]

    @property
    def size(self) -> int:
        """Published entries."""
        return self.checkpoint.size

    def entry(self, index: int) -> bytes:
        """Return entry `index`, from 0.

        Raises:
            IndexError: It is not published.
            LogCorruptError: Its bundle is missing or malformed.
        """
        size = self.size
        if not 0 <= index < size:
            raise IndexError(f"the log has {size} entries, and so no entry {index}")
        bundle = Tile.at(ENTRIES, index // TILE_WIDTH, size)
        return self._files.entries(bundle)[index % TILE_WIDTH]

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Iterate over the entries start … end − 1 (all published ones by default).

        Raises:
            IndexError: At once, if they are not all published.
            LogCorruptError: While iterating, if a bundle is missing or malformed.
        """
        size = self.size
        end = size if end is None else end
        if not 0 <= start <= end <= size:
            raise IndexError(f"the log has {size} entries, and so no entries {start} to {end}")
        return self._iterate(start, end, size)

    def _iterate(self, start: int, end: int, size: int) -> Iterator[bytes]:
        for index in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
            first = index * TILE_WIDTH
            yield from self._files.entries(Tile.at(ENTRIES, index, size))[max(0, start - first) : end - first]

    def check_whole(self) -> None:
        """Recompute every hash from the entries, up to the checkpoint's root.

        Raises:
            LogCorruptError: Naming the first file that is missing or wrong.
        """
        size = self.size
        edge = Edge()
        for index in range(-(-size // TILE_WIDTH)):
            bundle = Tile.at(ENTRIES, index, size)
            edge, changed = edge.extend(self._files.entries(bundle))
            for tile, expected in changed:
                # Levels above pass through partial forms on the way, which need never have been published.
                if tile == Tile.at(tile.level, tile.index, size):
                    self._files.check_against(tile, expected, f"it is not what the entries up to {bundle.path} make it")
        if edge.root() != self.checkpoint.root:
            raise LogCorruptError(CHECKPOINT, "its root is not that of the entries")

    def root_at(self, size: int) -> bytes:
        """Return the root of the tree of the first `size` entries.

        Raises:
            ProofError: The log is shorter.
            LogCorruptError: A tile is missing or malformed.
        """
        checkpoint = self.checkpoint
        if size == checkpoint.size:
            return checkpoint.root
        return merkle.range_hash(0, size, self._tree(size, checkpoint))

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the hashes that prove entry `index` in the log of the first `size` entries, leaf's sibling first.

        Raises:
            ProofError: There is no such entry, or the log is shorter.
            LogCorruptError: A tile is missing, malformed, or has other hashes than the checkpoint's root needs.
        """
        checkpoint = self.checkpoint
        subtree = self._tree(size, checkpoint)
        proof = merkle.inclusion_proof(index, size, subtree)
        root = checkpoint.root if size == checkpoint.size else merkle.range_hash(0, size, subtree)
        try:
            merkle.verify_inclusion(subtree(0, index), index, size, proof, root)
        except ProofError as error:
            raise LogCorruptError("tile", f"the tiles give a wrong proof of entry {index}: {error}") from None
        return proof

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the hashes that prove that the first `old` entries are the beginning of the first `new`.

        Raises:
            ProofError: Not 0 ≤ old ≤ new ≤ the log's size.
            LogCorruptError: A tile is missing, malformed, or has other hashes than the checkpoint's root needs.
        """
        checkpoint = self.checkpoint
        subtree = self._tree(new, checkpoint)
        proof = merkle.consistency_proof(old, new, subtree)
        new_root = checkpoint.root if new == checkpoint.size else merkle.range_hash(0, new, subtree)
        try:
            merkle.verify_consistency(old, merkle.range_hash(0, old, subtree), new, new_root, proof)
        except ProofError as error:
            raise LogCorruptError("tile", f"the tiles give a wrong proof from {old} to {new}: {error}") from None
        return proof

    def tlog_proof(self, index: int, extra: bytes | None = None) -> TlogProof:
        """Return the offline envelope of entry `index` under the published checkpoint.

        Raises:
            ProofError: There is no such entry.
            LogCorruptError: As for `inclusion_proof`.
        """
        checkpoint, note = self.signed
        return TlogProof(index, self.inclusion_proof(index, checkpoint.size), note, extra)

    def _tree(self, size: int, checkpoint: Checkpoint) -> merkle.Subtree:
        if not 0 <= size <= checkpoint.size:
            raise ProofError(f"the log has {checkpoint.size} entries, not {size}")
        # The published size says which partial tiles there are; older ones may have been removed.
        return self._files.subtree(checkpoint.size)


class LogAt(LogView):
    """A log's files at a checkpoint that is known from elsewhere, as from a writer's `committed`."""

    def __init__(self, directory: Path, checkpoint: Checkpoint) -> None:
        """Read the tiles in `directory` as those of the log at this checkpoint."""
        super().__init__(TileFiles(directory))
        self._known = checkpoint

    @property
    def signed(self) -> tuple[Checkpoint, bytes]:
        """The checkpoint that was given, and no note: nobody need have signed it."""
        return self._known, b""


class LogReader(LogView):
    """A log as an outsider reads it: from a directory, against the log's verifier key. Never writes.

    The checkpoint is read once; the log may grow meanwhile, and what is read stays at that checkpoint.
    """

    def __init__(self, directory: Path, verifier: Verifier) -> None:
        """Read and verify the checkpoint.

        Raises:
            LogCorruptError: There is none, it is malformed, of another log, or not signed by `verifier`.
        """
        super().__init__(TileFiles(directory))
        self._verifier = verifier
        self._signed = self._read_checkpoint()

    @property
    def signed(self) -> tuple[Checkpoint, bytes]:
        """The checkpoint and its signed note, as first read."""
        return self._signed

    def full_check(self) -> Checkpoint:
        """Recompute the whole log from its entries and return the checkpoint that it bears out.

        Every bundle is decoded, every entry hashed, every tile (also the older partial ones that are still there)
        compared with the recomputed hashes, and the root with the signed one. Files beyond the checkpoint, which a
        writer has staged and not published, say nothing yet and are not looked at.

        Raises:
            LogCorruptError: Naming the first file that is missing or wrong.
        """
        self.check_whole()
        self._check_not_shrunk()
        return self.checkpoint

    def _read_checkpoint(self) -> tuple[Checkpoint, bytes]:
        note = self._files.read_checkpoint()
        try:
            return open_checkpoint(note, self._verifier), note
        except NoteError as error:
            raise LogCorruptError(CHECKPOINT, str(error)) from None

    def _check_not_shrunk(self) -> None:
        ours = self.checkpoint
        now, _ = self._read_checkpoint()
        if now.size < ours.size:
            raise LogCorruptError(
                CHECKPOINT, f"the log shrank from {ours.size} to {now.size} entries while it was read"
            )
        if now.size == ours.size and now.root != ours.root:
            raise LogCorruptError(CHECKPOINT, f"two signed roots for the same {ours.size} entries: the log was forked")
