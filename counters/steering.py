"""Steering: what an organiser changes while the event runs, namely the heartbeat interval and who is turned away.

The log is the one record of it. Every change is a `steering` leaf, and what is in force is what these leaves say one
after the other; so it survives what the log survives, and nobody can change how was counted without its being public.
A leaf shows the interval that is in force from then on, and how many seats and views are revoked. Which ones is for
auditors: the change is a file of evidence, canonical JSON, that the leaf names by its SHA-256:

    {"type": "revocations", "version": 1, "event_sha256": hex, "salt": 32 hex digits,
     "revoked": {"seats": [7], "views": ["0123456789abcdef"]}, "restored": {"seats": [], "views": []}}

each list ascending and without what changed nothing. The salt keeps anybody from finding the seats by trying them.

A revoked seat is an attendee who is turned away on every device; a revoked view is one playback, whose owner may join
again with the ticket. Both are integers in one set, since seats are below 2^32 and view ids are not.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from counters import canonical_json
from counters.event import Event
from counters.event_keys import LONGEST_INTERVAL_S, SHORTEST_INTERVAL_S

VERSION: Final = 1
REVOKED_LIMIT: Final = 10_000
"""Seats and views together. Each worker of each gateway holds them all (a megabyte) and fetches them whole after a
change (200 KB). Who has more to turn away has an issuer that signs too much, and no list mends that."""
FIRST_VIEW_ID: Final = 1 << 32
"""View ids and seats share one list of what is revoked, so no view id may be a seat."""
_HEX_DIGITS: Final = 16
_SALT_BYTES: Final = 16

Revoked = frozenset[int]
"""Seats (below 2^32) and view ids (2^32 and above)."""


class SteeringError(ValueError):
    """What is asked for, or what a file or leaf says, makes no sense."""


class RevokedLimitError(Exception):
    """More would be revoked than `REVOKED_LIMIT`."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What is in force."""

    number: int  # of the change that brought it; 0 = the event file's own
    interval_s: int
    revoked: Revoked

    @classmethod
    def of(cls, event: Event) -> "Steering":
        """Return what is in force before any change."""
        return cls(0, event.interval_s, frozenset())

    @property
    def seats(self) -> list[int]:
        """The revoked seats, ascending."""
        return sorted(each for each in self.revoked if each < FIRST_VIEW_ID)

    @property
    def views(self) -> list[str]:
        """The revoked views as 16 hex digits each, ascending."""
        return [view_text(each) for each in sorted(self.revoked) if each >= FIRST_VIEW_ID]


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked for: None and empty sets leave things as they are."""

    interval_s: int | None = None
    revoke: Revoked = frozenset()
    restore: Revoked = frozenset()


@dataclass(frozen=True, slots=True)
class SteeringLeaf:
    """A change as it stands in the log."""

    index: int  # in the log
    number: int
    at: int  # unix seconds
    interval_s: int  # in force from then on
    revoked_seats: int  # after the change
    revoked_views: int
    revocations_sha256: str | None  # None: the change revoked and restored nothing


def view_text(view: int) -> str:
    """Return a view id as JSON carries it."""
    return f"{view:0{_HEX_DIGITS}x}"


def read_view(text: object) -> int:
    """Return a view id from its 16 hex digits.

    Raises:
        SteeringError: it is none.
    """
    if isinstance(text, str) and len(text) == _HEX_DIGITS and set(text) <= set("0123456789abcdef"):
        view = int(text, 16)
        if view >= FIRST_VIEW_ID:
            return view
    raise SteeringError(f"{text!r} is no view: that is {_HEX_DIGITS} digits of lower-case hex, not all in the last 8")


def read_seat(value: object) -> int:
    """Return a seat.

    Raises:
        SteeringError: it is none.
    """
    if type(value) is int and 0 < value < FIRST_VIEW_ID:
        return value
    raise SteeringError(f"{value!r} is no seat: that is a whole number from 1 to {FIRST_VIEW_ID - 1}")


def read_interval(value: object) -> int:
    """Return a heartbeat interval in seconds.

    Raises:
        SteeringError: it is none that players may be told.
    """
    if type(value) is int and SHORTEST_INTERVAL_S <= value <= LONGEST_INTERVAL_S:
        return value
    raise SteeringError(
        f"{value!r} is no heartbeat interval: use {SHORTEST_INTERVAL_S} to {LONGEST_INTERVAL_S} seconds. With a longer "
        "one a clock minute may pass between two heartbeats, and somebody who is there would be counted as gone"
    )


def apply(steering: Steering, change: Change) -> tuple[Steering, Change]:
    """Return what is in force after a change, and the change without what was so already.

    Raises:
        SteeringError: the interval is out of range, or something is to be revoked and restored at once.
        RevokedLimitError: the list would be too long.
    """
    interval_s = steering.interval_s if change.interval_s is None else read_interval(change.interval_s)
    if both := change.revoke & change.restore:
        raise SteeringError(f"{min(both)} is to be revoked and restored at once")
    effective = Change(
        None if interval_s == steering.interval_s else interval_s,
        change.revoke - steering.revoked,
        change.restore & steering.revoked,
    )
    if effective == Change():
        return steering, effective
    revoked = (steering.revoked | effective.revoke) - effective.restore
    if effective.revoke and len(revoked) > REVOKED_LIMIT:
        raise RevokedLimitError(f"{len(revoked)} seats and views would be revoked; there is room for {REVOKED_LIMIT}")
    return Steering(steering.number + 1, interval_s, revoked), effective


def revocations_file(event_sha256: str, salt: bytes, change: Change) -> bytes | None:
    """Return the file of evidence of an effective change; None if it is only about the interval.

    `salt` is 16 random bytes.
    """
    if not change.revoke and not change.restore:
        return None
    return canonical_json.encode(
        {
            "type": "revocations",
            "version": VERSION,
            "event_sha256": event_sha256,
            "salt": salt.hex(),
            "revoked": listed(change.revoke),
            "restored": listed(change.restore),
        }
    )


def read_revocations(event_sha256: str, data: bytes) -> Change:
    """Return what such a file says.

    Raises:
        SteeringError: it is no such file of this event, byte for byte.
    """
    try:
        document = canonical_json.decode(data)
        change = Change(revoke=_read_list(document["revoked"]), restore=_read_list(document["restored"]))
        salt = bytes.fromhex(document["salt"])
    except (canonical_json.CanonicalJsonError, KeyError, TypeError, ValueError) as error:
        raise SteeringError(f"this is no list of revocations: {error}") from error
    if len(salt) != _SALT_BYTES or revocations_file(event_sha256, salt, change) != data:
        raise SteeringError("this is no list of revocations of this event as this software writes it")
    return change


def listed(ids: Revoked) -> dict[str, list[Any]]:
    """Return seats and views as they stand in JSON, each ascending."""
    steering = Steering(0, 0, ids)
    return {"seats": steering.seats, "views": steering.views}


def _read_list(listed: dict[str, Any]) -> Revoked:
    return frozenset([*map(read_seat, listed["seats"]), *map(read_view, listed["views"])])


def steering_entry(event: Event, steering: Steering, at: float, revocations: bytes | None, software: str) -> bytes:
    """Return the log entry of a change: what is in force from `at` (unix seconds) on, and the digest of its file."""
    seats = _seats_in(steering.revoked)
    return canonical_json.encode(
        {
            "type": "steering",
            "version": VERSION,
            "event_sha256": event.digest,
            "number": steering.number,
            "at": event.iso(at),
            "interval_s": steering.interval_s,
            "revoked": {"seats": seats, "views": len(steering.revoked) - seats},
            "revocations_sha256": None if revocations is None else hashlib.sha256(revocations).hexdigest(),
            "simulated": event.simulated,
            "software": software,
        }
    )


def replay(event: Event, leaves: Iterable[SteeringLeaf], read_evidence: Callable[[str], bytes]) -> Steering:
    """Return what is in force after the leaves, in the order of the log.

    Args:
        event: of leaf 0.
        leaves: all of them.
        read_evidence: from a digest to the file (`EvidenceStore.get`).

    Raises:
        SteeringError: a leaf is not what its file, or the leaves before it, make of it.
        EvidenceError: a file is absent or changed.
    """
    revoked, last = set[int](), Steering.of(event)
    seats = 0
    for leaf in leaves:
        change = Change()
        if leaf.revocations_sha256 is not None:
            data = read_evidence(leaf.revocations_sha256)
            if hashlib.sha256(data).hexdigest() != leaf.revocations_sha256:
                raise SteeringError(f"entry {leaf.index}: its list of revocations was changed")
            change = read_revocations(event.digest, data)
        if not change.restore <= revoked or change.revoke & revoked:
            raise SteeringError(f"entry {leaf.index} revokes what was revoked, or restores what was not")
        revoked |= change.revoke
        revoked -= change.restore
        seats += _seats_in(change.revoke) - _seats_in(change.restore)
        if (seats, len(revoked) - seats) != (leaf.revoked_seats, leaf.revoked_views):
            raise SteeringError(f"entry {leaf.index}: its lists give other numbers of revoked seats and views")
        last = Steering(leaf.number, leaf.interval_s, frozenset())
    return Steering(last.number, last.interval_s, frozenset(revoked))


def _seats_in(ids: Revoked) -> int:
    return sum(each < FIRST_VIEW_ID for each in ids)
