"""The tokens of a backup: the copy has those of the data, or none, and never one that the data have no more.

So what is forgotten in the data is gone from the copy with the next run; from a copy that is never run again, only
whoever keeps it can delete it. Broken off at any step, the next run goes on.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from counters.disk import Disk
from counters.durable_file import make_folder, sync_folder, write_durably
from counters.retained_tokens import FOLDER
from counters.segment import is_digest
from counters.tokens_file import TokensFile, TokensFileError


@dataclass(frozen=True, slots=True)
class CopiedTokens:
    """What the copy holds of tokens now."""

    tokens: int = 0  # each as often as it stands there
    files: int = 0  # copied this time
    bytes: int = 0  # copied this time
    wrong: Sequence[str] = ()  # sentences about files that are not what their digest says; those are not copied


def copy_tokens(data: Path, copy: Path, disk: Disk) -> CopiedTokens:
    """Make the copy hold the tokens that the data hold.

    Raises:
        OSError: a disk refuses; done again, it is made up for.
    """
    source, target = data / FOLDER, copy / FOLDER
    damaged: set[str] = set()
    files = copied = 0
    while missing := _names(source) - _names(target) - damaged:
        # Merged away meanwhile: what it held is in a file that is listed the next time.
        for name in sorted(missing):
            try:
                raw = (source / name).read_bytes()
            except FileNotFoundError:
                continue
            if hashlib.sha256(raw).hexdigest() != name:
                damaged.add(name)
                continue
            make_folder(target, mode=0o700, disk=disk)
            write_durably(target / name, raw, mode=0o600, disk=disk)
            files, copied = files + 1, copied + len(raw)
    # What they hold together is in the copy. A crash here leaves what the data have forgotten until the next run.
    _remove(target, _names(target) - _names(source), disk)
    wrong = tuple(f"{source / name} is damaged: its bytes have another digest" for name in sorted(damaged))
    return CopiedTokens(sum(_count(target / name) for name in _names(target)), files, copied, wrong)


def leave_tokens_out(copy: Path, disk: Disk) -> CopiedTokens:
    """Make the copy hold no tokens. Raises as `copy_tokens`."""
    _remove(copy / FOLDER, _names(copy / FOLDER), disk)
    return CopiedTokens()


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder) if is_digest(entry.name)} if folder.is_dir() else set()


def _remove(folder: Path, names: set[str], disk: Disk) -> None:
    if not folder.is_dir():
        return
    for path in [*(folder / name for name in names), *folder.glob("*.new")]:
        disk.remove(path)
    sync_folder(folder, disk)


def _count(path: Path) -> int:
    try:
        return len(TokensFile.map(path))
    except (OSError, TokensFileError):
        return 0
