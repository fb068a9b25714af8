"""Whose a spool folder is: there is one for each incarnation of a worker, locked (flock) for as long as that lives.

Nobody else writes into it, and only one whose file `lock` is free may be adopted (counters.spool lists the files).
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from counters.durable_file import make_folder, sync_folder
from counters.spool import VERSION, SpoolIdentity


def create_worker_folder(spool: Path, identity: SpoolIdentity, epoch: float | None = None) -> tuple[Path, int]:
    """Make and lock the folder of a new incarnation; `epoch` is its wall clock's (counters.clock).

    Returns:
        The folder, and the descriptor that holds its lock for as long as it is open.
    """
    make_folder(spool)
    folder = spool / identity.worker
    folder.mkdir()
    descriptor = os.open(folder / "lock.new", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    about = {
        "version": VERSION,
        "worker": identity.worker,
        "gateway": identity.gateway,
        "event_sha256": identity.event_digest,
        "pid": os.getpid(),
        "boot": boot_id(),
        "epoch": epoch,
    }
    os.write(descriptor, json.dumps(about).encode())
    os.fsync(descriptor)
    # Named when it is locked and whole: no one can take the lock of a worker that is being born.
    (folder / "lock.new").rename(folder / "lock")
    sync_folder(folder)
    sync_folder(spool)
    return folder, descriptor


def boot_id() -> str:
    """The id of this boot of the host: another one than a lock file's means that the page cache was lost since."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def read_lock(folder: Path) -> dict[str, Any]:
    """What a worker wrote into its lock file; {} while there is none yet."""
    try:
        about = json.loads((folder / "lock").read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def owner_is_dead(folder: Path) -> bool:
    """Whether the worker of a spool folder is gone: its lock is free. Only such a spool may be adopted."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False  # the folder was made a moment ago
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
