"""The checkpoints that witnesses have cosigned, kept: from them anybody sees how soon after its window a leaf was.

    DIR/log/cosigned/<size>    the signed checkpoint of that size with its cosignatures, whose times the witnesses say

A newer state replaces the log's checkpoint, and the times of its cosignatures with it; so each cosigned state is kept
here as well. Nothing that a verifier must have: without these files a window counts as cosigned when a later state was.
"""

from pathlib import Path
from typing import Final

from counters.disk import DISK, Disk
from counters.durable_file import make_folder, write_durably
from counters.ledger.checkpoint import DECIMAL, Checkpoint
from counters.ledger.note import parse_note

COSIGNED: Final = "cosigned"
"""The folder, below the log's."""


def keep_cosigned(log_dir: Path, note: bytes, disk: Disk = DISK) -> None:
    """Keep the note of a state that is published. Called again when it has more cosignatures.

    Raises:
        OSError: the disk refuses.
        NoteError: it is no checkpoint.
    """
    size = Checkpoint.decode(parse_note(note)[0]).size
    path = log_dir / COSIGNED / str(size)
    make_folder(path.parent, disk=disk)
    # A crash up to here leaves a published state that is not kept: its windows count as cosigned with the next one.
    write_durably(path, note, disk=disk)


def cosigned_sizes(log_dir: Path) -> list[int]:
    """Return the sizes of which there is a file, ascending."""
    folder = log_dir / COSIGNED
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if DECIMAL.fullmatch(name))


def read_cosigned(log_dir: Path, size: int) -> bytes:
    """Return what is kept of a size.

    Raises:
        OSError: it cannot be read.
    """
    return (log_dir / COSIGNED / str(size)).read_bytes()
