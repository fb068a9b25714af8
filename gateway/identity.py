"""Who a ticket names: verification of an issuer's JWT, down to one `Identity` or one `TicketRefused`.

The compact form is parsed here, once, and what was parsed is what is verified: there is no second parser that could
read the same bytes differently. joserfc holds the keys and checks the signatures. A key is chosen by the issuer that
`iss` names and by `kid`, never from the ticket's own head (`jwk`, `jku` and `x5u` are not read), and it serves only
the one algorithm that its type is for: `alg: none`, or a public key used as an HMAC secret, match no key. Which keys an
issuer has changes while the event runs (counters.keys_in_force): one that was retired opens nothing any more.

Sources: RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (best current practices), RFC 9864 (Ed25519 by name).
"""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key
from joserfc.jws import JWSRegistry

from counters.event import Event, Issuer
from counters.issuer_keys import ALGORITHMS, ALIASES, algorithm_of
from counters.keys_in_force import IssuerKey, IssuerKeys
from gateway.reasons import Reason

TICKET_LIMIT_BYTES: Final = 8 * 1024
"""Servers commonly take 8 KiB for a request's head, so that a real ticket is smaller; nothing larger is parsed."""
LEEWAY_S: Final = 60
"""Clocks of issuers, gateways and players differ; a minute is what RFC 7519 §4.1.4 calls "no more than a few"."""
SUBJECT_LIMIT_CHARS: Final = 1024
"""Far above any identifier in use; the pseudonym's length prefix counts 65,535 bytes."""
ATTRIBUTE_LIMIT_CHARS: Final = 64
"""An attribute is a dimension of counting; the journal keeps it once for every join."""
NUMERIC_DATE_LIMIT: Final = 2**53
"""Above it a JSON number is no longer exact (RFC 8259 §6)."""
NAMELESS_KEYS_LIMIT: Final = 4
"""A ticket that names no key is tried with so many: two while an issuer changes its key, and room for another time."""
_SHOWN_CHARS: Final = 40


class TicketRefused(Exception):  # noqa: N818 - a refusal is an ordinary outcome, named as `Reason` names it
    """A ticket that vouches for nobody here: the reason, and in a sentence what exactly is wrong with it."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail or reason.detail


@dataclass(frozen=True, slots=True)
class Identity:
    """What a verified ticket says."""

    issuer: str  # the issuer's id in the event file
    namespace: str
    subject: str  # personal data: it ends where the pseudonym is made of it
    key_thumbprint: str  # RFC 7638, of the key that signed
    token_digest: bytes  # SHA-256 of the compact JWT
    expires_at: int  # unix s, without leeway
    country: str  # two capital letters; "" = unknown
    category: str  # "" = none
    outlet: str  # "" = none


@dataclass(frozen=True, slots=True)
class _Key:
    algorithm: str
    thumbprint: str
    key: Key
    retired: bool


@dataclass(frozen=True, slots=True)
class _Issuer:
    """One issuer with its keys imported, retired ones too. A key without `kid` goes by its thumbprint."""

    issuer: Issuer
    by_kid: Mapping[str, _Key]
    claim_of: Mapping[str, str]  # attribute -> claim

    @classmethod
    def of(cls, issuer: Issuer, keys: Iterable[IssuerKey]) -> "_Issuer":
        by_kid = {
            key.kid: _Key(
                algorithm_of(key.jwk), key.thumbprint, import_key(dict(key.jwk)), retired=key.retired_at is not None
            )
            for key in keys
        }
        return cls(issuer, by_kid, {attribute: claim for claim, attribute in issuer.attributes.items()})


class IdentityVerifier:
    """Verifies tickets of one event. Keys are imported when they come; after that it only reads."""

    def __init__(self, event: Event, clock_now: Callable[[], float], keys: IssuerKeys | None = None) -> None:
        """Take the event's issuers and the clock (unix s; the simulated one if the event is simulated).

        `keys`: the keys of these issuers; None = those that the event began with.
        """
        self._event = event
        self._clock_now = clock_now
        self._keys: IssuerKeys | None = None
        self.follow(keys or IssuerKeys.of(event))
        registry = JWSRegistry(algorithms=ALGORITHMS)
        self._signatures = {name: registry.get_alg(name) for name in ALGORITHMS}

    def follow(self, keys: IssuerKeys) -> None:
        """Verify by these keys from now on; the same ones again cost nothing."""
        if keys is self._keys:
            return
        self._issuers = {issuer.issuer: _Issuer.of(issuer, keys.by_issuer[issuer.id]) for issuer in self._event.issuers}
        self._keys = keys

    def verify(self, compact_jwt: str) -> Identity:
        """Return who the ticket names.

        Raises:
            TicketRefused: for whatever else `compact_jwt` may be; nothing but that.
        """
        if len(compact_jwt) > TICKET_LIMIT_BYTES:
            _malformed(f"it has {len(compact_jwt)} characters, more than {TICKET_LIMIT_BYTES}")
        if not compact_jwt.isascii():
            _malformed("it has characters outside ASCII")
        parts = compact_jwt.split(".")
        if len(parts) != 3:
            _malformed(f"it has {len(parts)} parts instead of 3")
        header, claims = _object(parts[0], "head"), _object(parts[1], "payload")
        signature = _unpadded(parts[2], "signature")
        issuer = self._issuer(claims)
        signed = compact_jwt[: compact_jwt.rindex(".")].encode()
        key = next((key for key in _keys(issuer, header) if self._signs(key, signed, signature)), None)
        if key is None:
            raise TicketRefused(Reason.TICKET_FORGED)
        if key.retired:
            raise TicketRefused(Reason.TICKET_KEY_RETIRED)
        _check_audience(issuer.issuer, claims)
        expires_at = _check_times(claims, self._clock_now())
        return Identity(
            issuer=issuer.issuer.id,
            namespace=issuer.issuer.namespace,
            subject=_subject(issuer.issuer, claims),
            key_thumbprint=key.thumbprint,
            token_digest=hashlib.sha256(compact_jwt.encode()).digest(),
            expires_at=expires_at,
            country=_country(_attribute(issuer, claims, "country")),
            category=_attribute(issuer, claims, "category"),
            outlet=_attribute(issuer, claims, "outlet"),
        )

    def _issuer(self, claims: dict[str, Any]) -> _Issuer:
        named = claims.get("iss")
        if not isinstance(named, str):
            raise TicketRefused(
                Reason.TICKET_UNKNOWN_ISSUER, "The ticket does not say who issued it: 'iss' is missing."
            )
        issuer = self._issuers.get(named)
        if issuer is None:
            raise TicketRefused(
                Reason.TICKET_UNKNOWN_ISSUER, f"The ticket's 'iss', {_shown(named)}, is no issuer of this event."
            )
        return issuer

    def _signs(self, key: _Key, signed: bytes, signature: bytes) -> bool:
        try:
            return bool(self._signatures[key.algorithm].verify(signed, signature, key.key))
        except (JoseError, ValueError, TypeError):
            return False  # a signature of the wrong length or out of range is no signature


def _keys(issuer: _Issuer, header: dict[str, Any]) -> Sequence[_Key]:
    """Return the key that the head calls for, among those of its issuer; if it names none, those that may be meant."""
    for extension in ("crit", "b64"):
        if extension in header:
            _malformed(f"its head asks for an extension ({extension!r}) that is not spoken here")
    named = header.get("alg")
    algorithm = ALIASES.get(named, named) if isinstance(named, str) else None
    if algorithm is None or algorithm not in issuer.issuer.algorithms:
        raise TicketRefused(
            Reason.TICKET_ALGORITHM,
            f"The ticket's 'alg' is {_shown(named)}; its issuer signs with {', '.join(issuer.issuer.algorithms)}.",
        )
    if "kid" not in header:
        fitting = [key for key in issuer.by_kid.values() if key.algorithm == algorithm]
        in_force = [key for key in fitting if not key.retired]
        if fitting and len(in_force) <= NAMELESS_KEYS_LIMIT:
            # Retired ones last, so that whose ticket is out of date is told so.
            return [*in_force, *(key for key in fitting if key.retired)][:NAMELESS_KEYS_LIMIT]
        raise TicketRefused(
            Reason.TICKET_UNKNOWN_KEY,
            f"The ticket has no 'kid', and its issuer has {len(in_force)} keys for {algorithm}.",
        )
    kid = header["kid"]
    key = issuer.by_kid.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise TicketRefused(
            Reason.TICKET_UNKNOWN_KEY, f"The ticket's 'kid', {_shown(kid)}, names no key of its issuer."
        )
    if key.algorithm != algorithm:
        raise TicketRefused(
            Reason.TICKET_ALGORITHM, f"The ticket's 'alg' is {_shown(named)}, its key is one for {key.algorithm}."
        )
    return [key]


def _check_audience(issuer: Issuer, claims: dict[str, Any]) -> None:
    audience = claims.get("aud")
    if audience != issuer.audience and not (isinstance(audience, list) and issuer.audience in audience):
        raise TicketRefused(
            Reason.TICKET_AUDIENCE,
            f"The ticket's 'aud' is {_shown(audience)}; for this event it is {_shown(issuer.audience)}.",
        )


def _check_times(claims: dict[str, Any], now: float) -> int:
    """Return `exp` in whole seconds, having checked it, `nbf` and `iat` against `now` (unix s)."""
    times: dict[str, float] = {}
    for name in ("exp", "nbf", "iat"):
        if name not in claims:
            continue
        value = claims[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < NUMERIC_DATE_LIMIT:
            raise TicketRefused(Reason.TICKET_CLAIMS, f"The ticket's '{name}' is not a time in unix seconds.")
        times[name] = value
    if "exp" not in times:
        raise TicketRefused(Reason.TICKET_CLAIMS, "The ticket has no 'exp': a ticket that never ends is not taken.")
    if now >= times["exp"] + LEEWAY_S:
        raise TicketRefused(Reason.TICKET_EXPIRED)
    for name in ("nbf", "iat"):
        if times.get(name, now) > now + LEEWAY_S:
            raise TicketRefused(Reason.TICKET_NOT_YET_VALID)
    return math.floor(times["exp"])


def _subject(issuer: Issuer, claims: dict[str, Any]) -> str:
    subject = claims.get(issuer.subject_claim)
    if not isinstance(subject, str) or not subject.strip():
        raise TicketRefused(
            Reason.TICKET_WITHOUT_SUBJECT, f"The ticket names nobody: '{issuer.subject_claim}' is missing or empty."
        )
    if len(subject) > SUBJECT_LIMIT_CHARS or not _encodable(subject):
        raise TicketRefused(Reason.TICKET_CLAIMS, f"The ticket's '{issuer.subject_claim}' is too long or no Unicode.")
    return subject


def _attribute(issuer: _Issuer, claims: dict[str, Any], attribute: str) -> str:
    """Return an attribute, "" where the ticket says nothing usable: a missing country turns nobody away."""
    claim = issuer.claim_of.get(attribute)
    value = claims.get(claim) if claim is not None else None
    if not isinstance(value, str) or not value.isprintable():
        return ""
    return value.strip()[:ATTRIBUTE_LIMIT_CHARS]


def _country(value: str) -> str:
    """Return an ISO 3166-1 alpha-2 shaped code, or "": two spellings of a country would be two rows."""
    return value.upper() if len(value) == 2 and value.isascii() and value.isalpha() else ""


def _object(part: str, name: str) -> dict[str, Any]:
    """Return the JSON object of one part. A name that stands twice is refused: readers differ in which they take."""
    try:
        parsed = _JSON.decode(_unpadded(part, name).decode())
    except (ValueError, RecursionError):
        _malformed(f"its {name} is not JSON")
    if not isinstance(parsed, dict):
        _malformed(f"its {name} is not a JSON object")
    return parsed


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_JSON: Final = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_no_number)


def _unpadded(part: str, name: str) -> bytes:
    """Decode base64url in its one canonical spelling, so that one signed ticket has one digest."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        _malformed(f"its {name} is not base64url")
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        _malformed(f"its {name} is not base64url")
    return raw


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    """Return a value out of a ticket as it may stand in an answer: short, printable, ASCII."""
    text = ascii(value) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


def _malformed(why: str) -> NoReturn:
    raise TicketRefused(Reason.TICKET_MALFORMED, f"The ticket is not a JWT in compact form: {why}.")
