"""A folder for work in progress, of which nothing stays: not even of a process that was killed.

It lies where temporary files do (TMPDIR). Whoever works in one holds the lock of the folder itself (flock), which the
kernel lets go with the process, however that ends. So a folder that nobody holds is what somebody left behind, and the
next one who needs a folder takes it away. Process ids would not tell that: they come again, and in another container
with the same /tmp they mean others.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Make a folder, hold it until the block ends, then take it away; before that, those that were left behind.

    Args:
        prefix: how the names of such folders begin; it is theirs alone.

    Raises:
        OSError: there is no room for one.
    """
    _sweep(prefix)
    folder, held = _made(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _made(prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        # Somebody who sweeps right now may be quicker with the lock than we are, and take it away.
        with contextlib.suppress(OSError):
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(held, fcntl.LOCK_EX)
            if folder.exists():
                return folder, held
            os.close(held)


def _sweep(prefix: str) -> None:
    """Take away the folders of this user that nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another's, or gone meanwhile
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if os.fstat(held).st_uid == os.geteuid():
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(held)
