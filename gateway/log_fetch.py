"""A public log fetched over HTTP into a folder (C2SP tlog-tiles), as any outsider can, and checked before it counts.

The server is not believed: every name is built here, from numbers that are parsed strictly; every answer has a limit
and a deadline; and the checkpoint is written last, when all else has been recomputed up to its root. So a folder whose
fetching broke off holds no new checkpoint, and fetching again goes on where it stopped.
"""

import http.client
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from counters.cosigned import COSIGNED
from counters.durable_file import make_folder, write_durably
from counters.ledger.checkpoint import DECIMAL, Checkpoint, open_checkpoint
from counters.ledger.merkle import HASH_BYTES
from counters.ledger.note import NOTE_LIMIT_BYTES, NoteError, Verifier, parse_note
from counters.ledger.reader import LogAt
from counters.ledger.tile_files import CHECKPOINT, LogCorruptError
from counters.ledger.tiles import ENTRIES, TILE_WIDTH, Tile, TileError, row_length, tiles_of
from counters.timestamp_files import TIMESTAMPS, timestamp_path

SILENCE_S: Final = 30.0
"""A server that says nothing for so long is gone."""
FILE_S: Final = 300.0
"""No file takes longer: the largest there can be, a bundle of 16 MB, has this on a line of 0.5 Mbit/s."""
LIST_LIMIT_BYTES: Final = 4 * 1024 * 1024
TIMESTAMP_LIMIT_BYTES: Final = 64 * 1024
TOTAL_LIMIT_BYTES: Final = 4 * 1024**3
"""A log of a large event has some ten MB. A server that goes on and on is not filling anybody's disk."""
DEFAULT_PREFIX: Final = "/log"
Progress = Callable[[int, int], None]


class FetchError(Exception):
    """The log cannot be had from there: no server, no log, or one that breaks off. Trying again may help."""


class FetchedLogError(Exception):
    """What the server gives out is not the log that it must be."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched and checked."""

    checkpoint: Checkpoint
    fetched: int  # files that came from the server, without the checkpoint
    kept: int  # files that were there


class LogServer:
    """A log's prefix on one server, over one connection that is opened when it is needed. Owned by its caller."""

    def __init__(self, url: str) -> None:
        """Ask below `url`, the log's prefix; a server's address alone means its /log.

        Raises:
            FetchError: this is no such URL.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise FetchError(f"{url!r}: {error}") from None
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
            raise FetchError(f"{url!r} is not the address of a log: http(s)://HOST[:PORT][/PREFIX] and no more")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(host, port, timeout=SILENCE_S)
        self._prefix = parts.path.rstrip("/") or DEFAULT_PREFIX
        self._received_bytes = 0
        self.url = f"{parts.scheme}://{parts.netloc}{self._prefix}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, path: str, limit_bytes: int) -> bytes | None:
        """Return a file below the prefix; None if there is none (404).

        Raises:
            FetchError: no answer, another status, or more bytes than this file, or all of them, can have.
        """
        where = f"{self.url}/{path}"
        data, whole = None, False
        try:
            answer = self._ask(path)
            if answer.status != http.client.NOT_FOUND:
                data = self._read(answer, where, min(limit_bytes, TOTAL_LIMIT_BYTES - self._received_bytes))
                answer.close()  # the connection stays, for the next file
                self._received_bytes += len(data)
                whole = True
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FetchError(f"{where}: {error or type(error).__name__}") from None
        finally:
            if not whole:
                self._connection.close()
        return data

    def _ask(self, path: str) -> http.client.HTTPResponse:
        fresh = self._connection.sock is None
        try:
            self._connection.request("GET", f"{self._prefix}/{path}", headers={"User-Agent": "turnout-fetch"})
            return self._connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            self._connection.close()
            if fresh:
                raise
        # A server may close a connection that it kept for us, at any time; that says nothing about the file.
        self._connection.request("GET", f"{self._prefix}/{path}", headers={"User-Agent": "turnout-fetch"})
        return self._connection.getresponse()

    @staticmethod
    def _read(answer: http.client.HTTPResponse, where: str, limit_bytes: int) -> bytes:
        if answer.status != http.client.OK:
            raise FetchError(f"{where}: the server answers {answer.status} {_said(answer)}")
        deadline = time.monotonic() + FILE_S
        parts, length = [], 0
        while part := answer.read1(65536):
            parts.append(part)
            length += len(part)
            if length > limit_bytes:
                raise FetchError(f"{where}: the server sends more than the {limit_bytes:,} bytes that there can be")
            if time.monotonic() > deadline:
                raise FetchError(f"{where}: not here after {FILE_S:.0f} s")
        if answer.length:
            raise FetchError(f"{where}: the connection broke off after {length:,} bytes")
        return b"".join(parts)


def fetch_log(server: LogServer, folder: Path, verifiers: Iterable[Verifier], progress: Progress) -> Fetched:
    """Fetch the log as its server shows it now, and check all of it against its checkpoint.

    Args:
        server: where it is.
        folder: for the copy; what an earlier fetch left there is kept and must be of the same log.
        verifiers: the keys that are trusted, of which the checkpoint's signature must have one; none = the signature is
            not checked, only that everything is what the checkpoint says.
        progress: told how many files of how many there are.

    Raises:
        FetchError: the log cannot be had.
        FetchedLogError: it is not signed by such a key, not what its checkpoint says, or not a continuation of the copy
            in the folder, whose checkpoint then stays.
        OSError: the folder cannot be written.
    """
    note = server.get(CHECKPOINT, NOTE_LIMIT_BYTES)
    if note is None:
        raise FetchError(f"{server.url}: there is no log, for there is no {CHECKPOINT}")
    checkpoint = _opened(note, tuple(verifiers))
    older = _copy_in(folder)
    if older is not None:
        _check_continues(older, checkpoint, folder)
    if checkpoint.size * (HASH_BYTES + 2) > TOTAL_LIMIT_BYTES:
        raise FetchError(f"{server.url}: a log of {checkpoint.size:,} entries is larger than this command fetches")
    copy = _Copy(server, folder, progress)
    copy.fetch(checkpoint.size)
    try:
        _check_copy(LogAt(folder, checkpoint), older)
    except LogCorruptError as error:
        hint = f". {folder} held files before: to see whose fault it is, fetch into an empty one" if copy.kept else ""
        raise FetchedLogError(f"{error}{hint}") from None
    # A crash before this line leaves the earlier checkpoint, whose files are all there still.
    write_durably(folder / CHECKPOINT, note)
    return Fetched(checkpoint, copy.fetched, copy.kept)


class _Copy:
    """Brings the files of one size into a folder."""

    def __init__(self, server: LogServer, folder: Path, progress: Progress) -> None:
        self._server = server
        self._folder = folder
        self._progress = progress
        self._total = 0
        self.fetched = 0
        self.kept = 0

    def fetch(self, size: int) -> None:
        cosigned, timestamped = self._sizes(COSIGNED, size), self._sizes(TIMESTAMPS, size)
        self._total = _files_of(size) + len(cosigned) + len(timestamped)
        for tile in tiles_of(size):
            self._fetch_tile(tile)
        # Fetched anew each time: a state may get more cosignatures, and what they are worth the verifier says.
        for each in cosigned:
            self._fetch_signed(f"{COSIGNED}/{each}", NOTE_LIMIT_BYTES)
        for each in timestamped:
            self._fetch_signed(timestamp_path(Path(TIMESTAMPS), each).as_posix(), TIMESTAMP_LIMIT_BYTES)

    def _sizes(self, name: str, size: int) -> list[int]:
        """Return the sizes up to ours in a list of the server's; it may have grown meanwhile."""
        listed = self._server.get(f"{name}/", LIST_LIMIT_BYTES) or b""
        lines = listed.decode("ascii", "replace").split("\n")
        if lines.pop() or not all(DECIMAL.fullmatch(line) for line in lines):
            raise FetchError(f"{self._server.url}/{name}/: this is not a list of sizes")
        return sorted({int(line) for line in lines if int(line) <= size})

    def _fetch_tile(self, tile: Tile) -> None:
        path = self._folder / tile.path
        # A tile never changes: what is there is not overwritten, so that an earlier copy stays evidence of what it was.
        if path.exists() and _is_whole(tile, path.read_bytes()):
            self.kept += 1
        else:
            self._write(tile.path, self._tile(tile))
        self._progress(self.fetched + self.kept, self._total)

    def _tile(self, tile: Tile) -> bytes:
        data = self._server.get(tile.path, tile.limit_bytes)
        if data is None and tile != tile.full:
            # The log has grown meanwhile, and a server need not keep the partial forms of a tile that is full.
            data = self._server.get(tile.full.path, tile.full.limit_bytes)
            data = tile.full.beginning(data, tile.width) if data is not None and _is_whole(tile.full, data) else None
        if data is None:
            raise FetchError(f"{self._server.url}/{tile.path}: the server does not have this part of its log")
        if not _is_whole(tile, data):
            raise FetchError(f"{self._server.url}/{tile.path}: this is not a tile of {tile.width}")
        return data

    def _fetch_signed(self, name: str, limit_bytes: int) -> None:
        data = self._server.get(name, limit_bytes)
        if not data:
            raise FetchError(f"{self._server.url}/{name}: the server lists this file and does not have it")
        self._write(name, data)
        self._progress(self.fetched + self.kept, self._total)

    def _write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        make_folder(path.parent)
        write_durably(path, data)
        self.fetched += 1


def _opened(note: bytes, verifiers: tuple[Verifier, ...]) -> Checkpoint:
    try:
        checkpoint = Checkpoint.decode(parse_note(note)[0])
    except NoteError as error:
        raise FetchError(f"what the server gives out as {CHECKPOINT} is none: {error}") from None
    if not verifiers:
        return checkpoint
    named = [verifier for verifier in verifiers if verifier.name == checkpoint.origin]
    why = (
        f"this is the log {checkpoint.origin!r}, and the keys are of {', '.join(repr(each.name) for each in verifiers)}"
    )
    for verifier in named:
        try:
            return open_checkpoint(note, verifier)
        except NoteError as error:
            why = str(error)
    raise FetchedLogError(f"{CHECKPOINT}: {why}")


def _copy_in(folder: Path) -> Checkpoint | None:
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        return Checkpoint.decode(parse_note(path.read_bytes())[0])
    except NoteError as error:
        raise FetchedLogError(f"{path}: {error}. Fetch into another folder") from None


def _check_continues(older: Checkpoint, now: Checkpoint, folder: Path) -> None:
    """Refuse what cannot be a later state of the copy, before any of its files is touched."""
    if older.origin != now.origin:
        raise FetchedLogError(f"{folder} has a copy of another log, {older.origin!r}; this one is {now.origin!r}")
    if older.size > now.size:
        raise FetchedLogError(
            f"the server shows {now.size:,} entries and {folder} has {older.size:,}: it was set back, or shows an old "
            "state. Keep the copy"
        )
    if older.size == now.size and older.root != now.root:
        raise FetchedLogError(
            f"the server shows another root for the same {now.size:,} entries than {folder} has: the log was forked. "
            "Keep the copy"
        )


def _check_copy(view: LogAt, older: Checkpoint | None) -> None:
    view.check_whole()
    if older is not None and view.root_at(older.size) != older.root:
        raise LogCorruptError(CHECKPOINT, f"the {older.size:,} entries of the earlier copy are not its beginning")


def _files_of(size: int) -> int:
    count, level = 0, ENTRIES
    while row := row_length(level, size):
        count, level = count - (-row // TILE_WIDTH), level + 1
    return count


def _is_whole(tile: Tile, data: bytes) -> bool:
    try:
        tile.check(data)
    except TileError:
        return False
    return True


def _said(answer: http.client.HTTPResponse) -> str:
    """Return what helps the person at the terminal, with nothing in it that could move their cursor."""
    location = answer.getheader("Location")
    if location and 300 <= answer.status < 400:
        return f"and points to {location[:200]!r}: give that address, if it is the right one"
    return f"({http.client.responses.get(answer.status, 'unknown')})"
