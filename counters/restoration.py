"""Restoration: the log was set back to an older copy of its data, and says so.

The leaf is counters.setback's to make (`restored_entry`); here it is read. docs/backup.md explains what it means.
"""

from dataclasses import dataclass
from typing import Any

from counters.ledger.note import decode_base64
from counters.segment import is_count


@dataclass(frozen=True, slots=True)
class SeenBefore:
    """How far a gateway had seen the ledger whose data were then restored from an older copy."""

    gateway: str
    size: int  # entries of the log
    root: bytes
    blocks: int  # blocks of seats granted
    reports: int  # hand-overs accepted


@dataclass(frozen=True, slots=True)
class RestoredLeaf:
    """The log was restored from a backup: evidence that was accepted between two times may be lost."""

    index: int  # in the log
    number: int  # of the restoration, from 1
    since: int  # unix seconds; what was accepted until then is there
    at: int  # unix seconds; what is accepted from then on will be there
    seen: tuple[SeenBefore, ...]


def read_restored(index: int, entry: dict[str, Any], since: int, at: int) -> RestoredLeaf:
    """Return a `restored` entry as a value; its times are read by whoever knows the event's zone.

    Raises:
        ValueError: it is malformed.
        KeyError: it lacks a member.
    """
    seen = [
        SeenBefore(str(row["gateway"]), row["size"], decode_base64(str(row["root"])), row["blocks"], row["reports"])
        for row in entry["seen"]
    ]
    if not is_count(entry["number"]) or not all(
        is_count(figure) for row in seen for figure in (row.size, row.blocks, row.reports)
    ):
        raise ValueError("which restoration it is, or how far a gateway had seen the ledger, is no whole number")
    return RestoredLeaf(index, entry["number"], since, at, tuple(seen))
