"""Which keys of issuers are in force: those of entry 0, and what `issuer-key` entries have added and retired since.

The log is the one record of it, as of steering: every change is a leaf, canonical JSON:

    type, version   "issuer-key", 1
    event_sha256    hex digest of the canonical event file
    number          of the change, from 1 without a hole
    issuer          its id in the event file
    action          "add" or "retire"
    jwk             the public members of the key that is added; null where one is retired
    thumbprint      of the key: RFC 7638, base64url of SHA-256
    reason          why, in words
    at              when, ISO 8601 with the event's offset
    simulated, software

A key is one by its thumbprint, and tickets name it by its `kid`: neither stands twice in one issuer's keys, those of
entry 0 and retired ones among them, so that a ticket names one key whenever it is looked at. A retired key never comes
back. A change is dated no earlier than the end of the last window that has a leaf before it, nor than the change before
it: an organiser cannot have added a key in time for tickets that were taken hours ago.

Retiring the last key of an issuer is allowed: nobody gets in with its tickets then, which may be what is wanted.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from counters import canonical_json
from counters.corrections import CorrectionError, read_reason
from counters.event import Event, Issuer
from counters.issuer_keys import IssuerKeyError, public_key, thumbprint

TYPE: Final = "issuer-key"
VERSION: Final = 1
ADD, RETIRE = "add", "retire"
CHANGES_LIMIT: Final = 100
"""Keys that are added, and changes that keys are added by. Gateways fetch all of them after a change (200 KB of the
longest keys), and every worker imports them. Retiring is always possible."""
LEEWAY_S: Final = 60
"""How long before it was added, or after it was retired, a key may have signed a ticket that is taken: the clock of a
gateway may be off by 30 s before it is not ready any more, and its workers follow a change within some seconds."""
_MEMBERS: Final = frozenset({"issuer", "action", "jwk", "thumbprint", "reason", "at"})


class KeyChangeError(ValueError):
    """A key cannot be added or retired so, or a record of it makes no sense."""


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key of an issuer, and when it was in force."""

    jwk: Mapping[str, str]
    thumbprint: str
    added_at: int | None = None  # unix seconds; None = it stands in entry 0
    retired_at: int | None = None  # None = it is in force

    @property
    def kid(self) -> str:
        """By what tickets name it: a key without a `kid` goes by its thumbprint."""
        return self.jwk.get("kid", self.thumbprint)

    def was_in_force(self, at: float) -> bool:
        """Whether a ticket that it signed may have been taken at a time (unix seconds), `LEEWAY_S` to either side."""
        added = self.added_at is None or at >= self.added_at - LEEWAY_S
        return added and (self.retired_at is None or at <= self.retired_at + LEEWAY_S)


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A key that is added or retired."""

    issuer: str  # its id in the event file
    action: str  # ADD or RETIRE
    jwk: Mapping[str, str] | None  # public members; None: it is retired
    thumbprint: str
    reason: str
    at: int  # unix seconds

    def as_row(self) -> dict[str, Any]:
        """Return it as gateways are told of it and remember it; in a leaf `at` is text."""
        jwk = None if self.jwk is None else dict(self.jwk)
        return {"issuer": self.issuer, "action": self.action, "jwk": jwk, "thumbprint": self.thumbprint,
                "reason": self.reason, "at": self.at}  # fmt: skip

    @classmethod
    def from_row(cls, row: Any) -> "KeyChange":
        """Return it from its row; whether it makes sense is `IssuerKeys.after`'s to say.

        Raises:
            KeyChangeError: it is no such row.
        """
        if not isinstance(row, dict) or set(row) != _MEMBERS:
            raise KeyChangeError("this is no change of an issuer's keys")
        texts = all(isinstance(row[name], str) for name in ("issuer", "action", "thumbprint", "reason"))
        if not texts or type(row["at"]) is not int or not isinstance(row["jwk"], dict | None):
            raise KeyChangeError("a change of an issuer's keys has a member of another kind")
        return cls(**row)


@dataclass(frozen=True, slots=True)
class KeyLeaf:
    """A change as it stands in the log."""

    index: int  # in the log
    change: KeyChange


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """All keys that were ever in force, by the id of their issuer, in the order in which they came."""

    event: Event
    by_issuer: Mapping[str, tuple[IssuerKey, ...]]
    changes: tuple[KeyChange, ...]
    digest: str  # hex; tells these changes from any others

    @classmethod
    def of(cls, event: Event, changes: Iterable[KeyChange] = ()) -> "IssuerKeys":
        """Return the keys of entry 0, after some changes.

        Raises:
            KeyChangeError: a change does not fit those before it.
        """
        first = {each.id: tuple(IssuerKey(jwk, thumbprint(jwk)) for jwk in each.keys) for each in event.issuers}
        keys = cls(event, first, (), hashlib.sha256(event.digest.encode()).hexdigest())
        for change in changes:
            keys = keys.after(change)
        return keys

    def after(self, change: KeyChange) -> "IssuerKeys":
        """Return the keys after one more change.

        Raises:
            KeyChangeError: there is no such issuer or key, it cannot be one, or it is one already; or `at` or the
                reason is none.
        """
        self._check(change)
        keys = self.by_issuer[change.issuer]
        if change.jwk is not None:
            keys += (IssuerKey(change.jwk, change.thumbprint, added_at=change.at),)
        else:
            keys = tuple(
                replace(key, retired_at=change.at) if key.thumbprint == change.thumbprint else key for key in keys
            )
        row = canonical_json.encode(change.as_row())
        digest = hashlib.sha256(self.digest.encode() + row).hexdigest()
        return IssuerKeys(self.event, {**self.by_issuer, change.issuer: keys}, (*self.changes, change), digest)

    def find(self, issuer: str, name: str) -> IssuerKey | None:
        """Return the key of an issuer that has this thumbprint."""
        return next((key for key in self.by_issuer.get(issuer, ()) if key.thumbprint == name), None)

    def is_so(self, change: KeyChange) -> bool:
        """Whether a change would change nothing: the key is in force already, or is retired already."""
        key = self.find(change.issuer, change.thumbprint)
        return key is not None and (key.retired_at is None) == (change.action == ADD)

    def never_retired(self) -> "IssuerKeys":
        """Return the keys as if all of them were in force: to look at tickets of a time when they were."""
        ever = {issuer: tuple(replace(key, retired_at=None) for key in keys) for issuer, keys in self.by_issuer.items()}
        return replace(self, by_issuer=ever)

    def retired(self) -> dict[str, list[str]]:
        """Return the thumbprints of the keys that are no longer in force, by the id of their issuer."""
        return {
            issuer: retired for issuer, keys in self.by_issuer.items()
            if (retired := [key.thumbprint for key in keys if key.retired_at is not None])
        }  # fmt: skip

    @property
    def added(self) -> list[IssuerKey]:
        """The keys that do not stand in entry 0, retired ones too."""
        return [key for keys in self.by_issuer.values() for key in keys if key.added_at is not None]

    def _check(self, change: KeyChange) -> None:
        if self.changes and change.at < self.changes[-1].at:
            raise KeyChangeError("it is dated before the change before it")
        try:
            read_reason(change.reason)
        except CorrectionError:
            raise KeyChangeError("it needs its reason: one line of text, of at most 500 characters") from None
        issuer = issuer_of(self.event, change.issuer)
        key = self.find(change.issuer, change.thumbprint)
        if change.action == ADD:
            if key is not None:
                retired = "was retired, and stays so" if key.retired_at is not None else "is in force already"
                raise KeyChangeError(f"the key {change.thumbprint} of {change.issuer} {retired}")
            self._check_new(issuer, change)
        elif change.action != RETIRE or change.jwk is not None:
            raise KeyChangeError("a key is added or retired, and of a retired one only the thumbprint is named")
        elif key is None or key.retired_at is not None:
            raise KeyChangeError(f"{change.issuer} has no key {change.thumbprint!r} in force")

    def _check_new(self, issuer: Issuer, change: KeyChange) -> None:
        try:
            # Only what a verifier needs may enter the log: no private members, and none that nobody knows.
            sound = public_key(change.jwk, issuer.algorithms) == change.jwk
        except IssuerKeyError as error:
            raise KeyChangeError(f"{error.wrong}. {error.fix}") from error
        if change.jwk is None or not sound or thumbprint(change.jwk) != change.thumbprint:
            raise KeyChangeError("it has other members than a public key has, or another thumbprint")
        kid = change.jwk.get("kid", change.thumbprint)
        if any(kid == known.kid for known in self.by_issuer[issuer.id]):
            raise KeyChangeError(f"{issuer.id} has another key of the kid {kid!r}: let the issuer name it otherwise")
        if len(self.changes) >= CHANGES_LIMIT:
            raise KeyChangeError(f"there were {len(self.changes)} changes of keys, and there is room for no more keys")


def issuer_of(event: Event, issuer: str) -> Issuer:
    """Return the issuer of an id.

    Raises:
        KeyChangeError: the event has none of that id.
    """
    for each in event.issuers:
        if each.id == issuer:
            return each
    raise KeyChangeError(f"there is no issuer {issuer!r}; there are: {', '.join(each.id for each in event.issuers)}")


def adding(event: Event, issuer: str, jwk: object, reason: str, at: float) -> KeyChange:
    """Return the change that adds a key, of which only the public members that a verifier needs are kept.

    Raises:
        KeyChangeError: there is no such issuer, or this cannot be a key of it: it is private, symmetric, weak, or of an
            algorithm that the issuer does not use.
    """
    try:
        public = public_key(jwk, issuer_of(event, issuer).algorithms)
    except IssuerKeyError as error:
        raise KeyChangeError(f"{error.wrong}. {error.fix}") from error
    return KeyChange(issuer, ADD, public, thumbprint(public), reason, int(at))


def retiring(issuer: str, name: str, reason: str, at: float) -> KeyChange:
    """Return the change that retires the key of this thumbprint."""
    return KeyChange(issuer, RETIRE, None, name, reason, int(at))


def key_entry(event: Event, number: int, change: KeyChange, software: str) -> bytes:
    """Return the log entry of a change."""
    return canonical_json.encode(
        change.as_row()
        | {
            "type": TYPE,
            "version": VERSION,
            "event_sha256": event.digest,
            "number": number,
            "at": event.iso(change.at),
            "simulated": event.simulated,
            "software": software,
        }
    )


def read_key_leaf(event: Event, index: int, entry: dict[str, Any], at: int, before: Sequence[KeyLeaf]) -> KeyLeaf:
    """Return an `issuer-key` entry as a value; `at` is its time. How it fits is for `IssuerKeys.after` to say.

    Raises:
        KeyChangeError: it is malformed, or has another number than comes next.
        KeyError: it lacks a member.
    """
    number = entry["number"]
    if entry["simulated"] is not event.simulated or type(number) is not int or number != len(before) + 1:
        raise KeyChangeError(f"it is change {number!r} of issuers' keys, after {len(before)}; or not told if simulated")
    row = {name: entry[name] for name in _MEMBERS} | {"at": at}
    return KeyLeaf(index, KeyChange.from_row(row))
