"""Entries of windows: what was public of each clock minute once it was sealed, and evidence that came after that.

How they are made is counters.window_leaf's idea; here they are read, and every field is checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from counters import left_out
from counters.event import Event
from counters.segment import WINDOW_S, is_count, is_digest
from counters.window_leaf import COUNTS


class LogEntryError(ValueError):
    """An entry is not one that this software knows, or stands where it must not."""


@dataclass(frozen=True, slots=True)
class WindowLeaf:
    """The public leaf of a window."""

    index: int  # in the log
    window: int  # start, unix seconds
    interval_s: int
    totals: Mapping[str, Mapping[str, Any]]  # by session id, "" = event-wide; counts are None where suppressed
    estimates: Mapping[tuple[str, str], int | None]  # (session id, sketch) -> estimate
    manifest_sha256: str
    missing: tuple[str, ...]
    raw: bytes = field(repr=False)
    left_out: Mapping[str, int] | None = None  # by session id: counters.left_out; None: a leaf of version 1


@dataclass(frozen=True, slots=True)
class LateLeaf:
    """Evidence that came after its window was sealed."""

    index: int
    window: int
    manifest_sha256: str
    received_at: int  # unix seconds
    counted: bool  # received no later than the event's `late_until`


def read_time(event: Event, text: object) -> int:
    """Return the unix seconds of a time as the event writes it."""
    try:
        unix_s = int(datetime.fromisoformat(str(text)).timestamp())
        if event.iso(unix_s) == text:
            return unix_s
    except (ValueError, OverflowError, OSError):
        pass
    raise LogEntryError(f"{text!r} is no time in the event's zone")


def _window_of(event: Event, text: object) -> int:
    window = read_time(event, text)
    if window % WINDOW_S:
        raise LogEntryError(f"{text!r} is not the start of a clock minute")
    return window


def read_window(event: Event, index: int, entry: dict[str, Any], raw: bytes) -> WindowLeaf:
    """Return a `window` entry as a value.

    Raises:
        LogEntryError: it is malformed.
        KeyError, TypeError: it lacks a member, or has one of another kind.
    """
    window = _window_of(event, entry["window"])
    if entry["window_s"] != WINDOW_S or not is_count(entry["interval_s"]) or entry["interval_s"] == 0:
        raise LogEntryError("its window or interval is not a number of seconds that this software counts with")
    if entry["scheduled"] != [session.id for session in event.scheduled(window)]:
        raise LogEntryError("it names other sessions as scheduled than the event does")
    if entry["simulated"] is not event.simulated or not is_digest(entry["manifest_sha256"]):
        raise LogEntryError("it does not say whether it is simulated, or has no manifest")
    if not isinstance(entry["missing"], list) or not all(isinstance(worker, str) for worker in entry["missing"]):
        raise LogEntryError("its missing workers are not a list of names")
    return WindowLeaf(
        index,
        window,
        entry["interval_s"],
        _read_totals(event, entry["totals"]),
        _read_estimates(event, entry["sketches"]),
        entry["manifest_sha256"],
        tuple(entry["missing"]),
        raw,
        left_out.read(event, entry["left_out"]) if entry["version"] > 1 else None,
    )


def _read_totals(event: Event, rows: Any) -> dict[str, Mapping[str, Any]]:
    known = {""} | {session.id for session in event.sessions}
    totals: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        suppressed = "suppressed" in row
        if row["session"] not in known or row["session"] in totals or row["channel"] != "online":
            raise LogEntryError("its totals have a row too many, or one of an unknown session or channel")
        if set(row) != {"session", "channel", *COUNTS} | ({"suppressed"} if suppressed else set()):
            raise LogEntryError("a row of its totals has other fields than it must")
        if suppressed and (row["suppressed"] is not True or any(row[name] is not None for name in COUNTS)):
            raise LogEntryError("a suppressed row of its totals holds counts")
        if not suppressed and not all(is_count(row[name]) for name in COUNTS):
            raise LogEntryError("a count in its totals is no whole number")
        if not suppressed and max(row["arrived"], row["background"]) > row["present"]:
            raise LogEntryError("its totals count more attendees arrived or in the background than present")
        totals[row["session"]] = row
    return totals


def _read_estimates(event: Event, rows: Any) -> dict[tuple[str, str], int | None]:
    known = {session.id for session in event.sessions}
    estimates: dict[tuple[str, str], int | None] = {}
    for row in rows:
        key = (row["session"], row["sketch"])
        if row["session"] not in known or row["sketch"] not in ("attendees", "views") or key in estimates:
            raise LogEntryError("it has a sketch too many, or one of an unknown session or name")
        if set(row) != {"session", "sketch", "registers_sha256", "estimate"} or not is_digest(row["registers_sha256"]):
            raise LogEntryError("a sketch has other fields than it must")
        if row["estimate"] is not None and not is_count(row["estimate"]):
            raise LogEntryError("an estimate is no whole number")
        estimates[key] = row["estimate"]
    return estimates


def read_late(event: Event, index: int, entry: dict[str, Any]) -> LateLeaf:
    """Return a `late` entry as a value.

    Raises:
        LogEntryError: it is malformed.
        KeyError: it lacks a member.
    """
    if entry["simulated"] is not event.simulated or not is_digest(entry["manifest_sha256"]):
        raise LogEntryError("it does not say whether it is simulated, or has no manifest")
    received_at = read_time(event, entry["received_at"])
    counted = received_at <= event.late_until.timestamp()
    return LateLeaf(index, _window_of(event, entry["window"]), entry["manifest_sha256"], received_at, counted)
