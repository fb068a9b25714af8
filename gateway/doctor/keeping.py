"""What is kept: secrets and whom they belong to, the log that is there, and the extras that are installed."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from counters.event import Event
from counters.ledger.log import LogError, LogReader
from counters.ledger.note import NoteError, Signer
from counters.ledger.writer_folder import log_begun
from counters.log_key import LOG_KEY
from counters.secrets import SECRETS_FILE, SecretsError, bound_log, load_secrets
from deploy.embedded_redis import EmbeddedRedisError, find_server
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.settings import default_origin

_GROUP: Final = 0o070
_WORLD: Final = 0o007


@dataclass(frozen=True, slots=True)
class Readers:
    """Who can read a file, and as whom this process would."""

    mode: int  # permissions alone
    owner: int
    group: int
    me: int  # the effective user of this process
    my_groups: frozenset[int]

    @classmethod
    def of(cls, path: Path) -> "Readers":
        """Look at a file and at this process; raises OSError if it is not there."""
        found = path.stat()
        mine = frozenset((os.getegid(), *os.getgroups()))
        return cls(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, os.geteuid(), mine)

    @property
    def mounted(self) -> bool:
        """Whether it was put there for this process, by its group: as orchestrators mount secrets."""
        return self.owner != self.me and self.group in self.my_groups


def secrets(path: Path) -> list[Finding]:
    """Find out whether the secrets can be used, and who else can read them."""
    if not path.exists():
        return [ok("secrets", f"{path} will be made at the first start")]
    try:
        load_secrets(path)
    except SecretsError as error:
        return [fail("secrets", str(error), "Copy the file again from the ledger's data directory.")]
    return [judge_readers(path, Readers.of(path))]


def judge_readers(path: Path, readers: Readers) -> Finding:
    """Judge who can use the secrets in a file: whoever else does can speak for the ledger and open viewing tokens."""
    said = f"{path} can be read by others (mode {readers.mode:04o})"
    if readers.mode & _WORLD:
        mend = f"chmod o= {path}; a mounted secret: mode 0440, and this process in its group"
        return warn("secrets", said, mend if readers.owner != readers.me else f"chmod 600 {path}")
    if not readers.mode & _GROUP:
        return ok("secrets", f"{path}, for its owner alone")
    if readers.mounted:
        return ok("secrets", f"{path}, for a group of this process (mode {readers.mode:04o}), as mounted")
    return warn("secrets", said, f"chmod 600 {path}")


def log(data: Path, event: Event | None, log_origin: str) -> Iterator[Finding]:
    """Find out whether the log that is in a data directory is this event's, and its secrets are its own.

    Args:
        data: the ledger's data directory; it may be empty or absent.
        event: None = it is not known.
        log_origin: as the settings have it; "" or the default: nobody asks for one.
    """
    if not log_begun(data / "log"):
        yield ok("log", f"{data} has none: it begins with the first start")
        return
    try:
        signer = Signer.decode((data / LOG_KEY).read_text(encoding="utf-8").strip())
        first = LogReader(data / "log", signer.verifier).entry(0)
        leaf: Any = json.loads(first)
        of_event = str(leaf["event_sha256"])
        bound = bound_log(data / SECRETS_FILE)
    except (OSError, NoteError, LogError, ValueError, KeyError, TypeError) as error:
        yield fail("log", f"{data} cannot be read as a ledger's: {error}",
                   "Restore it whole from a backup (docs/backup.md).")  # fmt: skip
        return
    if event is not None and of_event != event.digest:
        yield fail("log", f"{data} holds the log of another event file",
                   "Take the event file that the log began with, or an empty data directory.")  # fmt: skip
    elif bound not in {"", hashlib.sha256(first).hexdigest()}:
        yield fail("log", f"{data / 'secrets.json'} belongs to another log",
                   "Restore secrets and log from one backup (docs/backup.md).")  # fmt: skip
    elif log_origin not in {"", signer.name, default_origin(event) if event else ""}:
        yield warn("log", f"it is named {signer.name} since its key was made; --log-origin {log_origin} does nothing",
                   "Leave --log-origin out, or begin an event in an empty data directory.")  # fmt: skip
    else:
        yield ok("log", f"{data} holds this event's log, named {signer.name}")


_EXTRAS: Final = (
    ("report", "PDF and XLSX (turnout report)", ("segno", "typst", "xlsxwriter")),
    ("parquet", "list of attendees (turnout attendees)", ("pyarrow",)),
)


def installed(module: str) -> bool:
    """Whether a module is installed."""
    return find_spec(module) is not None


def extras(there: Callable[[str], bool] = installed) -> Iterator[Finding]:
    """Find out what is not installed and will be wanted after the event."""
    for extra, brings, modules in _EXTRAS:
        absent = [module for module in modules if not there(module)]
        if absent:
            yield warn("extras", f"{' and '.join(absent)} not installed: no {brings} on this host",
                       f"pip install 'turnout[{extra}]' here, or make them elsewhere.")  # fmt: skip
        else:
            yield ok("extras", brings)


def embedded_redis() -> Finding:
    """Find out whether `turnout up` has a Redis to start."""
    try:
        program = find_server()
    except EmbeddedRedisError as error:
        return fail("embedded Redis", str(error), "Install one of them.")
    return ok("embedded Redis", f"{program.version}, {program.origin}")
