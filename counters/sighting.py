"""A sighting: how far a ledger had come when somebody saw it. Gateways remember theirs and tell the ledger.

A ledger that was restored from a backup knows less than it had promised: it would fork its log, grant seats twice and
believe that evidence is still to come which nobody has any more. It cannot know that by itself. But every gateway keeps
the last state that the ledger showed it, and says so with every request; a ledger that hears of more than it has stops
(counters.setback).

All five figures only ever grow while a ledger lives on one data directory, and each is durable before it is shown:

    restored   how often the log says that it was restored from a backup
    size, root entries of the log, those withheld among them, and the root of the tree of them
    blocks     blocks of seats granted
    reports    hand-overs accepted

A gateway's file `ledger-seen.json` is the canonical JSON of these with `version` 1 and `log`, the commitment to the
pseudonym key, which belongs to one log (counters.secrets).
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters import canonical_json
from counters.durable_file import write_durably
from counters.ledger.merkle import HASH_BYTES
from counters.ledger.note import decode_base64, encode_base64
from counters.segment import is_count

SEEN_FILE: Final = "ledger-seen.json"
VERSION: Final = 1
_COUNTS: Final = ("restored", "size", "blocks", "reports")
_log = logging.getLogger("turnout.sighting")


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a ledger showed of itself at one moment."""

    restored: int
    size: int
    root: bytes  # 32 bytes
    blocks: int
    reports: int

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        return counts | {"root": encode_base64(self.root)}

    @classmethod
    def from_json(cls, document: Any) -> "Sighting":
        """Read one.

        Raises:
            ValueError: it is none.
        """
        try:
            counts = {name: document[name] for name in _COUNTS}
            root = decode_base64(str(document["root"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no sighting of a ledger: {error!r}") from error
        if not all(map(is_count, counts.values())) or len(root) != HASH_BYTES:
            raise ValueError("this is no sighting of a ledger: a count is no count, or the root no hash")
        return cls(root=root, **counts)

    def and_later(self, other: "Sighting") -> "Sighting":
        """Return what is known after having seen this, then `other`: of one restoration, the most of each figure."""
        if other.restored != self.restored:
            return max(self, other, key=lambda seen: seen.restored)
        longer = other if other.size >= self.size else self
        return Sighting(
            self.restored, longer.size, longer.root, max(self.blocks, other.blocks), max(self.reports, other.reports)
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """What one gateway says that it has seen. In HTTP: the header `Turnout-Log`, one line of ASCII JSON."""

    gateway: str
    seen: Sighting | None  # None = nothing yet

    def encode(self) -> str:
        """Return the header's value."""
        return json.dumps({"gateway": self.gateway} | (self.seen.as_json() if self.seen else {}))

    @classmethod
    def decode(cls, text: str) -> "Claim":
        """Read a header's value.

        Raises:
            ValueError: it is no claim.
        """
        document = json.loads(text)
        if not isinstance(document, dict) or not isinstance(document.get("gateway"), str):
            raise ValueError("this is no claim of a gateway")  # noqa: TRY004 - of the text, not of our caller's types
        return cls(document["gateway"], Sighting.from_json(document) if len(document) > 1 else None)


class SightingFile:
    """What one gateway has seen of its ledger. Its processes share the file: each change is made under a lock."""

    def __init__(self, spool: Path, log: str) -> None:
        """Use `ledger-seen.json` in the spool, for the log that belongs to this commitment (hex)."""
        self._path = spool / SEEN_FILE
        self._log = log

    def read(self) -> Sighting | None:
        """Return what was seen last; None if nothing was yet, or only another log.

        Raises:
            OSError: it cannot be read.
        """
        try:
            document = canonical_json.decode(self._path.read_bytes())
            if not isinstance(document, dict) or document.get("version") != VERSION:
                raise ValueError("it is of another version")  # noqa: TRY301 - one answer to all that is wrong
            return Sighting.from_json(document) if document.get("log") == self._log else None
        except FileNotFoundError:
            return None
        except ValueError as error:
            # Written durably, so this is somebody's hand or a broken disk.
            _log.error("%s cannot be used and is replaced (%s): what was seen of the ledger is forgotten",
                       self._path, error)  # fmt: skip
            return None

    def note(self, seen: Sighting) -> Sighting:
        """Add a sighting, durably; return what is known now.

        Raises:
            OSError: the disk refused; what was known before stays.
        """
        with self._locked():
            known = self.read()
            latest = known.and_later(seen) if known else seen
            if latest != known:
                document = latest.as_json() | {"version": VERSION, "log": self._log}
                # A crash before the file is there: the caller has not yet acted on what it was told.
                write_durably(self._path, canonical_json.encode(document))
            return latest

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
