"""A file of JSON lines to which a record is added durably: what `add` returned from survives a power cut.

A last line without its newline is the torn tail of an `add` that never returned; opening cuts it off.
"""

import json
import os
from pathlib import Path
from typing import Any

from counters.durable_file import make_folder, sync_folder


class DurableLines:
    """One append-only file with one writer."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, and read what it holds.

        Raises:
            ValueError: a line that was added is no JSON object any more.
        """
        make_folder(path.parent)
        raw = path.read_bytes() if path.exists() else b""
        good = raw.rfind(b"\n") + 1
        self.records: list[dict[str, Any]] = [_object(path, line) for line in raw[:good].splitlines()]
        self._file = path.open("ab", buffering=0)
        if good < len(raw):
            self._file.truncate(good)
        # The name itself must be durable before anything in it can be.
        sync_folder(path.parent)

    def add(self, *records: dict[str, Any]) -> None:
        """Add records, all in one write and one sync.

        Raises:
            OSError: the disk refused; what was written of the records is taken back.
        """
        good = self._file.seek(0, os.SEEK_END)
        text = b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records)
        try:
            # A full disk may take a part without an error: the rest then raises.
            at = 0
            while at < len(text):
                at += self._file.write(text[at:])
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(good)
            raise
        self.records.extend(records)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _object(path: Path, line: bytes) -> dict[str, Any]:
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"{path} holds a line that is no JSON object: {line[:80]!r}")  # noqa: TRY004 - of the file
    return record
