"""The key that signs the log: `ledger/log.key`, made once, and the most secret thing of a data directory."""

from pathlib import Path
from typing import Final

from counters.disk import DISK, Disk
from counters.durable_file import read_or_create
from counters.ledger.note import Signer

LOG_KEY: Final = Path("ledger", "log.key")
"""Below the data directory."""


def load_or_create_signer(path: Path, origin: str, disk: Disk = DISK) -> Signer:
    """Return the log's signing key, made at the first start: mode 0600, and durable before it signs anything."""
    text = read_or_create(path, lambda: Signer.generate(origin).encode().encode() + b"\n", mode=0o600, disk=disk)
    return Signer.decode(text.decode().strip())


def load_signer(data: Path) -> Signer:
    """Return the key of a data directory.

    Raises:
        OSError: there is none, or it cannot be read.
        NoteError: it is no key.
    """
    return Signer.decode((data / LOG_KEY).read_text().strip())
