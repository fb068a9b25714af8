"""What is kept: secrets and whom they belong to, the log that is there, and the extras that are installed."""

import hashlib
import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from counters.event import Event
from counters.ledger.log import LogError, LogReader, log_begun
from counters.ledger.note import NoteError, Signer
from counters.log_key import LOG_KEY
from counters.secrets import SecretsError, bound_log, load_secrets
from deploy.embedded_redis import EmbeddedRedisError, find_server
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.settings import default_origin

OTHERS: Final = 0o077
"""Permissions of everybody but the owner."""


def secrets(path: Path) -> list[Finding]:
    """Find out whether the secrets can be used, and who else can read them."""
    if not path.exists():
        return [ok("secrets", f"{path} will be made at the first start")]
    try:
        load_secrets(path)
    except SecretsError as error:
        return [fail("secrets", str(error), "Copy the file again from the ledger's data directory.")]
    mode = path.stat().st_mode & 0o777
    if mode & OTHERS:
        return [warn("secrets", f"{path} can be read by others (mode {mode:04o})", f"chmod 600 {path}")]
    return [ok("secrets", f"{path}, for its owner alone")]


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
        bound = bound_log(data / "secrets.json")
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
