"""A file of JSON lines to which a record is added durably: what `add` returned from survives a power cut.

A last line without its newline is the torn tail of an `add` that never returned; opening cuts it off.
"""

import json
from pathlib import Path
from typing import Any

from counters.disk import DISK, Disk
from counters.durable_file import make_folder


class DurableLines:
    """One append-only file with one writer."""

    def __init__(self, path: Path, disk: Disk = DISK) -> None:
        """Open or create the file, and read what it holds.

        Raises:
            ValueError: a line that was added is no JSON object any more.
            OSError: the disk refused.
        """
        self._path = path
        self._disk = disk
        make_folder(path.parent, disk=disk)
        raw = path.read_bytes() if path.exists() else b""
        self._size = raw.rfind(b"\n") + 1
        self.records: list[dict[str, Any]] = [_object(path, line) for line in raw[: self._size].splitlines()]
        # A writer that was killed may have left lines that were never synced: before anybody builds upon them they are
        # made durable. So is the name, or nothing under it would be.
        disk.append(path, self._size, b"")
        disk.sync_directory(path.parent)

    def add(self, *records: dict[str, Any]) -> None:
        """Add records, all in one write and one sync.

        Raises:
            OSError: the disk refused; nothing was added, and the next `add` cuts off what may stand there of it.
        """
        text = b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records)
        self._disk.append(self._path, self._size, text)
        # A crash here leaves records that the caller was not told of: it finds them when the file is opened again.
        self._size += len(text)
        self.records.extend(records)


def _object(path: Path, line: bytes) -> dict[str, Any]:
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"{path} holds a line that is no JSON object: {line[:80]!r}")  # noqa: TRY004 - of the file
    return record
