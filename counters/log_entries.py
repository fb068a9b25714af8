"""The entries of the log as values: what a verifier may rely on once an entry has been read without an error.

Every entry is a canonical JSON object with `type` and `version`. Entry 0 is the event; windows follow in ascending
order, each at most once; late evidence, steering, changes of issuers' keys, restorations, retirements, certificates,
rolls and their audits may stand anywhere after it, a correction right after the certificate that makes it. A type that
is not known here is an error: an old verifier must not pass over an entry that changes what the others mean. Entries of
windows are in counters.window_entries.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from counters import audit_entries, canonical_json
from counters.audit_entries import AuditTrail
from counters.corrections import (
    CertificateLeaf,
    CorrectionError,
    CorrectionLeaf,
    check_correction,
    read_correction,
)
from counters.event import Event, EventFileError
from counters.keys_in_force import TYPE as ISSUER_KEY
from counters.keys_in_force import IssuerKeys, KeyChangeError, KeyLeaf, read_key_leaf
from counters.restoration import RestoredLeaf, read_restored
from counters.retirement import RetiredLeaf, read_retired
from counters.segment import WINDOW_S, is_count, is_digest
from counters.steering import SteeringError, SteeringLeaf, read_interval
from counters.window_entries import LateLeaf, LogEntryError, WindowLeaf, read_late, read_time, read_window
from counters.window_leaf import VERSION as WINDOW_VERSION

__all__ = [
    "LateLeaf",
    "LogEntryError",
    "SealedLog",
    "WindowLeaf",
    "certificate_entry",
    "read_event",
    "read_key_change",
    "read_log",
    "read_retirement",
    "read_steering",
    "read_time",
]

VERSION: Final = 1


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
    certificates: tuple[CertificateLeaf, ...] = ()  # in the order of the log
    corrections: tuple[CorrectionLeaf, ...] = ()  # in the order of the log
    pseudonym_key_sha256: str = ""  # commitment to the key that makes pseudonyms, hex
    key_changes: tuple[KeyLeaf, ...] = ()  # in the order of the log

    @property
    def issuer_keys(self) -> IssuerKeys:
        """The keys of issuers: those of entry 0, and what came and went since."""
        return IssuerKeys.of(self.event, (leaf.change for leaf in self.key_changes))

    def announced_before(self, index: int) -> set[int]:
        """Return the heartbeat intervals (s) that entries before this one announce."""
        return {self.event.interval_s} | {change.interval_s for change in self.steering if change.index < index}

    @property
    def ended(self) -> int:
        """The end of the last window in the log, unix seconds; 0 if there is none."""
        return max((leaf.window + WINDOW_S for leaf in self.leaves), default=0)

    @property
    def windows(self) -> dict[int, WindowLeaf]:
        """The window leaves by the start of their window."""
        return {leaf.window: leaf for leaf in self.leaves if isinstance(leaf, WindowLeaf)}

    @property
    def late(self) -> list[LateLeaf]:
        """The late leaves in the order of the log."""
        return [leaf for leaf in self.leaves if isinstance(leaf, LateLeaf)]


_Leaf: TypeAlias = (
    WindowLeaf | LateLeaf | SteeringLeaf | KeyLeaf | RestoredLeaf | RetiredLeaf | CertificateLeaf | CorrectionLeaf
)


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
    first = _decode(0, entries[0])
    event, locked_at = _read_event(first)
    so_far = _LogSoFar(event)
    for index, raw in enumerate(entries[1:], start=1):
        so_far.take(index, _read_entry(event, index, raw, so_far))
    return SealedLog(
        event,
        locked_at,
        tuple(so_far.leaves),
        tuple(so_far.steering),
        tuple(so_far.restored),
        tuple(so_far.retired),
        so_far.audits,
        tuple(so_far.certificates),
        tuple(so_far.corrections),
        str(first.get("pseudonym_key_sha256", "")),
        tuple(so_far.key_changes),
    )


@dataclass(slots=True)
class _LogSoFar:
    """The entries read so far; the next one has to fit them. Owned by `read_log`."""

    event: Event
    leaves: list[WindowLeaf | LateLeaf] = field(default_factory=list)
    steering: list[SteeringLeaf] = field(default_factory=list)
    restored: list[RestoredLeaf] = field(default_factory=list)
    retired: list[RetiredLeaf] = field(default_factory=list)
    audits: AuditTrail = field(default_factory=AuditTrail)
    certificates: list[CertificateLeaf] = field(default_factory=list)
    corrections: list[CorrectionLeaf] = field(default_factory=list)
    key_changes: list[KeyLeaf] = field(default_factory=list)
    keys: IssuerKeys | None = None
    announced: set[int] = field(default_factory=set)
    last: int = -1  # window with a leaf, unix seconds

    def take(self, index: int, leaf: _Leaf | None) -> None:
        """Take the next entry, None for one that `audits` has taken.

        Raises:
            LogEntryError: it does not fit those before it.
        """
        match leaf:
            case WindowLeaf():
                self._check_window(leaf)
                self.last = leaf.window
                self.leaves.append(leaf)
            case LateLeaf():
                self.leaves.append(leaf)
            case SteeringLeaf():
                _check_change(self.event, self.steering, leaf)
                self.steering.append(leaf)
                self.announced.add(leaf.interval_s)
            case KeyLeaf():
                self._take_key(leaf)
            case RestoredLeaf():
                _check_restoration(self.restored, leaf)
                self.restored.append(leaf)
            case RetiredLeaf():
                self.retired.append(leaf)
            case CertificateLeaf():
                self.certificates.append(leaf)
            case CorrectionLeaf():
                try:
                    check_correction(leaf, self.certificates, self.corrections)
                except CorrectionError as error:
                    raise LogEntryError(f"entry {index}: {error}") from error
                self.corrections.append(leaf)

    def _take_key(self, leaf: KeyLeaf) -> None:
        if leaf.change.at < self.last + WINDOW_S:
            # The ledger seals a window after its end: who writes so late what was true earlier makes it up.
            raise LogEntryError(f"entry {leaf.index}: it is dated before the end of the window before it")
        try:
            self.keys = (self.keys or IssuerKeys.of(self.event)).after(leaf.change)
        except KeyChangeError as error:
            raise LogEntryError(f"entry {leaf.index}: {error}") from error
        self.key_changes.append(leaf)

    def _check_window(self, leaf: WindowLeaf) -> None:
        if leaf.window <= self.last:
            raise LogEntryError(f"entry {leaf.index}: its window is not after the window before it")
        if leaf.interval_s not in {self.event.interval_s, *self.announced}:
            # A gateway that the ledger could not reach goes on with an older interval, but never with one that was
            # not in the log before: a longer one makes person-time of nothing.
            raise LogEntryError(f"entry {leaf.index}: no entry before it announces its interval of {leaf.interval_s} s")


def read_event(raw: bytes) -> Event:
    """Return the event that entry 0 locks.

    Raises:
        LogEntryError: this is no entry 0.
    """
    return _read_event(_decode(0, raw))[0]


def _read_entry(event: Event, index: int, raw: bytes, so_far: _LogSoFar) -> _Leaf | None:
    entry = _decode(index, raw)
    if entry.get("event_sha256") != event.digest:
        raise LogEntryError(f"entry {index} is of another event")
    try:
        if entry.get("type") in audit_entries.TYPES:
            so_far.audits.take(event, index, entry, lambda text: read_time(event, text))
            return None
        if entry.get("type") == ISSUER_KEY:
            return read_key_change(event, index, entry, so_far.key_changes)
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


def _read_leaf(event: Event, index: int, entry: dict[str, Any], raw: bytes) -> _Leaf:
    if entry.get("type") == "certificate":
        # What it certifies is not repeated here, and whether it is simulated is the certificate's to say.
        return _read_certificate(index, entry)
    if entry.get("type") == "window":
        return read_window(event, index, entry, raw)
    if entry.get("type") not in _READERS:
        raise LogEntryError(f"unknown type {entry.get('type')!r}: this software is older than the log")
    return _READERS[entry["type"]](event, index, entry)


def _decode(index: int, raw: bytes) -> dict[str, Any]:
    try:
        entry = canonical_json.decode(raw)
    except canonical_json.CanonicalJsonError as error:
        raise LogEntryError(f"entry {index}: {error}") from error
    if not isinstance(entry, dict) or type(entry.get("version")) is not int:
        raise LogEntryError(f"entry {index} is no object that says its version")
    if not 1 <= entry["version"] <= (WINDOW_VERSION if entry.get("type") == "window" else VERSION):
        raise LogEntryError(f"entry {index} is of version {entry['version']}: this software is older than the log")
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


def _read_certificate(index: int, entry: dict[str, Any]) -> CertificateLeaf:
    if not is_digest(entry["certificate_sha256"]):
        raise LogEntryError("it does not name a certificate by its digest")
    return CertificateLeaf(index, entry["certificate_sha256"])


def _read_correction(event: Event, index: int, entry: dict[str, Any]) -> CorrectionLeaf:
    if entry["simulated"] is not event.simulated:
        raise LogEntryError("it does not say whether it is simulated")
    return read_correction(index, entry)


def _read_restoration(event: Event, index: int, entry: dict[str, Any]) -> RestoredLeaf:
    if entry["simulated"] is not event.simulated:
        raise LogEntryError("it does not say whether it is simulated")
    return read_restored(index, entry, read_time(event, entry["since"]), read_time(event, entry["at"]))


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


def read_key_change(event: Event, index: int, entry: dict[str, Any], before: Sequence[KeyLeaf]) -> KeyLeaf:
    """Return an `issuer-key` entry as a value; how it fits those before it is `read_log`'s to say.

    Raises:
        LogEntryError, KeyChangeError: it is malformed.
        KeyError: it lacks a member.
    """
    return read_key_leaf(event, index, entry, read_time(event, entry["at"]), before)


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


_READERS: Final[Mapping[str, Callable[[Event, int, dict[str, Any]], _Leaf]]] = {
    "late": read_late,
    "steering": read_steering,
    "restored": _read_restoration,
    "retired": read_retirement,
    "correction": _read_correction,
}
"""By type: each returns the entry as a value, and may raise ValueError, KeyError or TypeError."""
