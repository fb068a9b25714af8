"""The entries of the log as values: what a verifier may rely on once an entry has been read without an error.

Every entry is a canonical JSON object with `type` and `version`. Entry 0 is the event; windows follow in ascending
order, each at most once; late evidence, steering, restorations, retirements, certificates, rolls and their audits may
stand anywhere after it. A type that is not known here is an error: an old verifier must not pass over an entry that
changes what the others mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

from counters import audit_entries, canonical_json
from counters.audit_entries import AuditTrail
from counters.event import Event, EventFileError
from counters.ledger.note import decode_base64
from counters.retirement import RetiredLeaf, read_retired
from counters.segment import WINDOW_S, is_count, is_digest
from counters.steering import SteeringError, SteeringLeaf, read_interval
from counters.window_leaf import COUNTS

VERSION: Final = 1


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


@dataclass(frozen=True, slots=True)
class LateLeaf:
    """Evidence that came after its window was sealed."""

    index: int
    window: int
    manifest_sha256: str
    received_at: int  # unix seconds
    counted: bool  # received no later than the event's `late_until`


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


@dataclass(frozen=True, slots=True)
class SealedLog:
    """The log up to some size."""

    event: Event
    locked_at: str  # when leaf 0 was made
    leaves: tuple[WindowLeaf | LateLeaf, ...]  # in the order of the log
    steering: tuple[SteeringLeaf, ...] = ()  # in the order of the log
    restored: tuple[RestoredLeaf, ...] = ()  # in the order of the log
    retired: tuple[RetiredLeaf, ...] = ()  # in the order of the log
    audits: AuditTrail = field(default_factory=AuditTrail)

    def announced_before(self, index: int) -> set[int]:
        """Return the heartbeat intervals (s) that entries before this one announce."""
        return {self.event.interval_s} | {change.interval_s for change in self.steering if change.index < index}

    @property
    def windows(self) -> dict[int, WindowLeaf]:
        """The window leaves by the start of their window."""
        return {leaf.window: leaf for leaf in self.leaves if isinstance(leaf, WindowLeaf)}

    @property
    def late(self) -> list[LateLeaf]:
        """The late leaves in the order of the log."""
        return [leaf for leaf in self.leaves if isinstance(leaf, LateLeaf)]


_Leaf: TypeAlias = WindowLeaf | LateLeaf | SteeringLeaf | RestoredLeaf | RetiredLeaf


def certificate_entry(certificate_sha256: str, event_sha256: str, issued_at: str) -> bytes:
    """Return the entry that puts a certificate into the log: only its digest, since an entry is limited in length."""
    return canonical_json.encode(
        {
            "type": "certificate",
            "version": VERSION,
            "event_sha256": event_sha256,
            "certificate_sha256": certificate_sha256,
            "issued_at": issued_at,
        }
    )


def read_log(entries: Sequence[bytes]) -> SealedLog:
    """Return the log of these entries, from entry 0 on.

    Raises:
        LogEntryError: an entry is malformed, unknown or out of place; the text names it by number.
    """
    if not entries:
        raise LogEntryError("the log is empty: not even the event is in it")
    event, locked_at = _read_event(_decode(0, entries[0]))
    leaves: list[WindowLeaf | LateLeaf] = []
    steering: list[SteeringLeaf] = []
    restored: list[RestoredLeaf] = []
    retired: list[RetiredLeaf] = []
    audits = AuditTrail()
    announced = {event.interval_s}
    last = -1
    for index, raw in enumerate(entries[1:], start=1):
        leaf = _read_entry(event, index, raw, audits)
        if leaf is None or isinstance(leaf, RetiredLeaf):
            retired += [leaf] if leaf else []
            continue
        if isinstance(leaf, RestoredLeaf):
            _check_restoration(restored, leaf)
            restored.append(leaf)
            continue
        if isinstance(leaf, SteeringLeaf):
            _check_change(event, steering, leaf)
            steering.append(leaf)
            announced.add(leaf.interval_s)
            continue
        if isinstance(leaf, WindowLeaf):
            if leaf.window <= last:
                raise LogEntryError(f"entry {index}: its window is not after the window before it")
            if leaf.interval_s not in announced:
                # A gateway that the ledger could not reach goes on with an older interval, but never with one that was
                # not in the log before: a longer one makes person-time of nothing.
                raise LogEntryError(f"entry {index}: no entry before it announces its interval of {leaf.interval_s} s")
            last = leaf.window
        leaves.append(leaf)
    return SealedLog(event, locked_at, tuple(leaves), tuple(steering), tuple(restored), tuple(retired), audits)


def read_event(raw: bytes) -> Event:
    """Return the event that entry 0 locks.

    Raises:
        LogEntryError: this is no entry 0.
    """
    return _read_event(_decode(0, raw))[0]


def _read_entry(event: Event, index: int, raw: bytes, audits: AuditTrail) -> _Leaf | None:
    entry = _decode(index, raw)
    if entry.get("event_sha256") != event.digest:
        raise LogEntryError(f"entry {index} is of another event")
    try:
        if entry.get("type") in audit_entries.TYPES:
            audits.take(event, index, entry, lambda text: read_time(event, text))
            return None
        return _read_leaf(event, index, entry, raw)
    except (ValueError, KeyError, TypeError) as error:
        raise LogEntryError(f"entry {index}: {error}") from error


def _check_restoration(before: Sequence[RestoredLeaf], leaf: RestoredLeaf) -> None:
    if leaf.number != len(before) + 1:
        raise LogEntryError(f"entry {leaf.index}: it is restoration {leaf.number}, after {len(before)}")


def _check_change(event: Event, before: Sequence[SteeringLeaf], leaf: SteeringLeaf) -> None:
    if leaf.number != len(before) + 1:
        raise LogEntryError(f"entry {leaf.index}: it is change {leaf.number} of steering, after {len(before)}")
    was = before[-1] if before else SteeringLeaf(0, 0, 0, event.interval_s, 0, 0, None)
    same_lists = (was.revoked_seats, was.revoked_views) == (leaf.revoked_seats, leaf.revoked_views)
    if leaf.revocations_sha256 is None and not (same_lists and leaf.interval_s != was.interval_s):
        raise LogEntryError(f"entry {leaf.index}: it names no list of revocations, and yet something else has changed")


def _read_leaf(event: Event, index: int, entry: dict[str, Any], raw: bytes) -> _Leaf | None:
    """Return the leaf, or None for a certificate: what it certifies is not repeated here."""
    if entry.get("type") == "window":
        return _read_window(event, index, entry, raw)
    if entry.get("type") == "late":
        return _read_late(event, index, entry)
    if entry.get("type") == "steering":
        return read_steering(event, index, entry)
    if entry.get("type") == "restored":
        return _read_restored(event, index, entry)
    if entry.get("type") == "retired":
        return read_retirement(event, index, entry)
    if entry.get("type") == "certificate":
        return None
    raise LogEntryError(f"unknown type {entry.get('type')!r}: this software is older than the log")


def _decode(index: int, raw: bytes) -> dict[str, Any]:
    try:
        entry = canonical_json.decode(raw)
    except canonical_json.CanonicalJsonError as error:
        raise LogEntryError(f"entry {index}: {error}") from error
    if not isinstance(entry, dict) or entry.get("version") != VERSION or type(entry["version"]) is not int:
        raise LogEntryError(f"entry {index} is no object of version {VERSION}")
    return entry


def _read_event(entry: dict[str, Any]) -> tuple[Event, str]:
    if entry.get("type") != "event" or not isinstance(entry.get("locked_at"), str):
        raise LogEntryError("entry 0 is not the event")
    try:
        event = Event.from_canonical(canonical_json.encode(entry.get("event")))
    except (canonical_json.CanonicalJsonError, EventFileError) as error:
        raise LogEntryError(f"entry 0: {error}") from error
    if entry.get("event_sha256") != event.digest:
        raise LogEntryError("entry 0: event_sha256 is not the digest of the event")
    if entry.get("simulated") is not event.simulated:
        raise LogEntryError("entry 0 does not say truly whether the event is simulated")
    return event, entry["locked_at"]


def read_time(event: Event, text: object) -> int:
    """Return the unix seconds of a time as the event writes it.

    Raises:
        LogEntryError: it is none.
    """
    try:
        unix_s = int(datetime.fromisoformat(str(text)).timestamp())
        if event.iso(unix_s) == text:
            return unix_s
    except (ValueError, OverflowError, OSError):
        pass
    raise LogEntryError(f"{text!r} is no time in the event's zone")


def _window(event: Event, text: object) -> int:
    window = read_time(event, text)
    if window % WINDOW_S:
        raise LogEntryError(f"{text!r} is not the start of a clock minute")
    return window


def _read_window(event: Event, index: int, entry: dict[str, Any], raw: bytes) -> WindowLeaf:
    window = _window(event, entry["window"])
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


def _read_late(event: Event, index: int, entry: dict[str, Any]) -> LateLeaf:
    if entry["simulated"] is not event.simulated or not is_digest(entry["manifest_sha256"]):
        raise LogEntryError("it does not say whether it is simulated, or has no manifest")
    received_at = read_time(event, entry["received_at"])
    counted = received_at <= event.late_until.timestamp()
    return LateLeaf(index, _window(event, entry["window"]), entry["manifest_sha256"], received_at, counted)


def _read_restored(event: Event, index: int, entry: dict[str, Any]) -> RestoredLeaf:
    if entry["simulated"] is not event.simulated or not is_count(entry["number"]):
        raise LogEntryError("it does not say whether it is simulated, or which restoration it is")
    since, at = read_time(event, entry["since"]), read_time(event, entry["at"])
    seen = [
        SeenBefore(str(row["gateway"]), row["size"], decode_base64(str(row["root"])), row["blocks"], row["reports"])
        for row in entry["seen"]
    ]
    if not all(is_count(figure) for row in seen for figure in (row.size, row.blocks, row.reports)):
        raise LogEntryError("how far a gateway had seen the ledger is no whole number")
    return RestoredLeaf(index, entry["number"], since, at, tuple(seen))


def read_retirement(event: Event, index: int, entry: dict[str, Any]) -> RetiredLeaf:
    """Return a `retired` entry as a value.

    Raises:
        LogEntryError: it is malformed.
        KeyError: it lacks a member.
    """
    if entry["simulated"] is not event.simulated:
        raise LogEntryError("it does not say whether it is simulated")
    try:
        return read_retired(index, entry, read_time(event, entry["at"]))
    except ValueError as error:
        raise LogEntryError(str(error)) from error


def read_steering(event: Event, index: int, entry: dict[str, Any]) -> SteeringLeaf:
    """Return a `steering` entry as a value; how it fits those before it is `read_log`'s to say.

    Raises:
        LogEntryError: it is malformed.
        KeyError, TypeError: it lacks a member, or has one of another kind.
    """
    revoked, digest = entry["revoked"], entry["revocations_sha256"]
    if entry["simulated"] is not event.simulated or not (digest is None or is_digest(digest)):
        raise LogEntryError("it does not say whether it is simulated, or names its list by no digest")
    if not is_count(entry["number"]) or not is_count(revoked["seats"]) or not is_count(revoked["views"]):
        raise LogEntryError("its number, or how many are revoked, is no whole number")
    try:
        interval_s = read_interval(entry["interval_s"])
    except SteeringError as error:
        raise LogEntryError(str(error)) from error
    at = read_time(event, entry["at"])
    return SteeringLeaf(index, entry["number"], at, interval_s, revoked["seats"], revoked["views"], digest)
