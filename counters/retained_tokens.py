"""Retained tokens: the issuer-signed token of each attendee's first join, kept sealed for the audit of the roll.

They lie in `DIR/tokens/`, apart from the evidence: no manifest and no leaf names them, so that they can be deleted, one
or all, without breaking a proof. Each file (counters.tokens_file) is named by its SHA-256, and is never changed; a few
minutes' tokens of one gateway arrive as one, and small files are merged into larger ones.

A token that stands in two files stands there twice in the same bytes: adding, merging and forgetting can be broken off
at any step and done again. Whoever changes the folder holds its lock (flock): the ledger, or a command beside it.
Nothing is held in memory but the maps of the files: a lookup in 40 million tokens reads some pages of each of three
hundred files.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from counters.disk import DISK, Disk
from counters.durable_file import FRESH_SUFFIX, alone_in, make_folder, sync_folder, write_durably
from counters.sealed_token import TokenSeal
from counters.segment import is_digest
from counters.tokens_file import DIGEST_BYTES, Digests, TokensFile, TokensFileError, pack

FOLDER: Final = "tokens"
"""Of a data directory."""
FULL_BYTES: Final = 64 * 1024 * 1024
"""A merged file is at most so long: it is made, and rewritten when something of it is forgotten, in memory."""
SMALL_FILES: Final = 64
"""With more small files than this the smaller half is merged, so that a token is written about three times in all."""


Wanted = Callable[[Digests], npt.NDArray[np.bool_]]


class RetainedTokens:
    """The retained tokens of one data directory. Any number may read; changes are made one after the other."""

    def __init__(self, directory: Path, audit_key: bytes, disk: Disk = DISK) -> None:
        """Use the folder, which need not be there yet; `audit_key` is the event's (counters.secrets)."""
        self._directory = directory
        self._audit_key = audit_key
        self._disk = disk
        self._files: dict[str, TokensFile] = {}

    def get(self, token_digest: bytes) -> bytes | None:
        """Return the compact JWT with that SHA-256; None if it is not kept, or what is kept was damaged."""
        for file in self._mapped().values():
            sealed = file.find(token_digest)
            if sealed is not None:
                token = TokenSeal(self._audit_key, file.event_sha256).open(sealed, token_digest)
                if token is not None:
                    return token
        return None

    def size(self) -> tuple[int, int]:
        """Return how many tokens the files hold, each as often as it stands there, and how many bytes they have."""
        files = self._mapped()
        return sum(map(len, files.values())), sum(self._path(name).stat().st_size for name in files)

    def events(self) -> set[str]:
        """Return the events that the files are of, by the digest of the canonical event file."""
        return {file.event_sha256 for file in self._mapped().values()}

    # Changes.

    def add(self, data: bytes, event_sha256: str) -> bool:
        """Keep a tokens file; when this returns it survives a power cut. Kept already, it is not kept twice.

        Returns:
            Whether it is new.

        Raises:
            TokensFileError: it is none of this event; nothing was kept.
            OSError: the disk refuses; nothing was kept, or all of it.
        """
        file = TokensFile(data)
        file.check()
        if file.event_sha256 != event_sha256:
            raise TokensFileError("it is of another event")
        make_folder(self._directory, mode=0o700, disk=self._disk)
        with self._alone():
            return self._write(data)

    def merge(self) -> bool:
        """Merge the smaller half of the small files if there are too many; return whether there were.

        Raises:
            OSError: the disk refuses; nothing is lost.
        """
        with self._alone():
            sizes = sorted((self._path(name).stat().st_size, name) for name in self._mapped())
            small = [(size, name) for size, name in sizes if size < FULL_BYTES // 2]
            if len(small) <= SMALL_FILES:
                return False
            total = np.cumsum([size for size, _ in small])
            names = [name for (_, name), until in zip(small, total, strict=True) if until <= FULL_BYTES]
            self._replace(names[: len(small) // 2])
            return True

    def forget(self, digests: Iterable[bytes]) -> int:
        """Delete the tokens of these digests; return how many were there. Files that hold one are written anew.

        Raises:
            OSError: the disk refuses; some are deleted, and the same is done by asking again.
            TokensFileError: a file is damaged, so that nobody knows what it holds: only `forget_all` deletes it.
        """
        unwanted = np.array(sorted(digests), "S32")
        return self._keep_only(lambda present: ~np.isin(present, unwanted)) if len(unwanted) else 0

    def forget_all_but(self, digests: npt.NDArray[np.uint8]) -> int:
        """Delete every token but those of these digests, u8 [n][32], in any order: all that a roll does not name.

        Holds eight bytes of each digest in memory. Returns how many tokens were deleted. Raises as `forget`.
        """
        named = np.sort(_prefixes(digests))

        def wanted(present: Digests) -> npt.NDArray[np.bool_]:
            prefixes = _prefixes(np.ascontiguousarray(present).view(np.uint8).reshape(-1, DIGEST_BYTES))
            at = np.minimum(np.searchsorted(named, prefixes), len(named) - 1)
            # One that has its first eight bytes in common with somebody's stays too.
            return named[at] == prefixes if len(named) else np.zeros(len(prefixes), np.bool_)

        return self._keep_only(wanted)

    def forget_all(self) -> int:
        """Delete every token; return how many there were. Raises as `forget`."""
        with self._alone():
            number = sum(map(len, self._mapped().values()))
            self._remove(self._names())
            return number

    # Files.

    def _path(self, name: str) -> Path:
        return self._directory / name

    def _names(self) -> list[str]:
        if not self._directory.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(self._directory) if is_digest(entry.name))

    def _mapped(self) -> dict[str, TokensFile]:
        """Map the files that are there now, without those that are damaged."""
        while True:
            files: dict[str, TokensFile] = {}
            try:
                for name in self._names():
                    with contextlib.suppress(TokensFileError):
                        files[name] = self._files.get(name) or TokensFile.map(self._path(name))
            except FileNotFoundError:
                continue  # merged away meanwhile: what it held is in a file that is listed now
            self._files = files
            return files

    def _write(self, data: bytes) -> bool:
        path = self._path(hashlib.sha256(data).hexdigest())
        if path.exists():
            # Whoever wrote it may have been killed before its name was durable.
            sync_folder(self._directory, self._disk)
            return False
        write_durably(path, data, mode=0o600, disk=self._disk)
        return True

    def _replace(self, names: list[str]) -> None:
        """Put one file in place of several."""
        files = [TokensFile.map(self._path(name)) for name in names]
        merged = {digest: sealed for file in files for digest, sealed in file.items()}
        fresh = pack(files[0].event_sha256, merged)
        self._write(fresh)
        # A crash here leaves tokens in two files.
        self._remove([name for name in names if name != hashlib.sha256(fresh).hexdigest()])

    def _keep_only(self, wanted: Wanted) -> int:
        forgotten = 0
        with self._alone():
            for name in self._names():
                file = TokensFile.map(self._path(name))
                keep = wanted(file.digests())
                if keep.all():
                    continue
                left = {digest: sealed for (digest, sealed), stays in zip(file.items(), keep, strict=True) if stays}
                if left:
                    self._write(pack(file.event_sha256, left))
                # A crash here leaves the file as it was beside the one without them: done again, it goes.
                self._remove([name])
                forgotten += len(file) - len(left)
        return forgotten

    def _remove(self, names: Sequence[str]) -> None:
        if not names:
            return
        for name in names:
            self._disk.remove(self._path(name))
        sync_folder(self._directory, self._disk)
        self._files = {}  # a map would keep the bytes of a file that is gone

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's lock, without what a crash left half-written in it."""
        if not self._directory.is_dir():
            yield  # there is nothing to change
            return
        with alone_in(self._directory):
            for path in self._directory.glob(f"*{FRESH_SUFFIX}"):
                self._disk.remove(path)
            yield


def _prefixes(digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return the first eight bytes of each of u8 [n][32]."""
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).reshape(-1)
