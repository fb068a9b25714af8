"""The log in a ledger's data directory, read and checked whole, for commands that only read."""

from pathlib import Path

from counters.event import Event
from counters.ledger.log import LogError, LogReader
from counters.ledger.note import NoteError
from counters.log_entries import LogEntryError, SealedLog, read_log
from counters.log_key import load_signer


class SealedLogError(Exception):
    """There is no log, it is not sound, or it is another event's; and what to do about it."""


def read_sealed_log(event: Event, data: Path) -> SealedLog:
    """Return the log in a data directory, checked whole. Raises as `read_sealed_entries`."""
    return read_log(read_sealed_entries(event, data))


def read_sealed_entries(event: Event, data: Path) -> list[bytes]:
    """Return the entries of the log in a data directory, checked whole.

    Raises:
        SealedLogError: there is none, it is not sound, or it is another event's.
    """
    if not (data / "log" / "checkpoint").exists():
        raise SealedLogError(f"{data} holds no log: name the ledger's data directory with --data")
    try:
        reader = LogReader(data / "log", load_signer(data).verifier)
        reader.full_check()
        entries = list(reader.entries())
        log = read_log(entries)
    except (LogError, LogEntryError, NoteError) as error:
        raise SealedLogError(f"the log in {data} is not sound: {error}") from None
    if log.event.digest != event.digest:
        raise SealedLogError(f"the log in {data} is of another event file: name the one that it was started with")
    return entries
