"""Where timestamps of an outside authority lie (RFC 3161): beside the log, one for each checkpoint that was stamped.

    DIR/log/timestamps/<size>.tsr    a TimeStampResp (DER) over SHA-256 of the checkpoint's three lines at that size

What is stamped is the checkpoint's text without its signatures: who has the log's entries computes it for any size.
"""

from pathlib import Path
from typing import Final

from counters.ledger.checkpoint import DECIMAL

TIMESTAMPS: Final = "timestamps"
"""The folder, below the log's."""
SUFFIX: Final = ".tsr"


def timestamp_path(folder: Path, size: int) -> Path:
    """Where the timestamp of the checkpoint of that size is, or would be."""
    return folder / f"{size}{SUFFIX}"


def timestamped_sizes(folder: Path) -> list[int]:
    """Return the sizes of which there is a file, ascending."""
    paths = folder.glob(f"*{SUFFIX}") if folder.is_dir() else ()
    return sorted(int(path.stem) for path in paths if DECIMAL.fullmatch(path.stem))
