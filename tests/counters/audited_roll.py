"""Rolls with genuine and bogus leaves, made by hand: real tickets, signed by a real key, and a draw from them."""

import base64
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from counters.attendee import pseudonym
from counters.audit_check import Identified, Judged, judge
from counters.audit_entries import DrawEntry, RollEntry
from counters.beacon import BeaconValue, Round
from counters.event import Event
from counters.issuer_keys import thumbprint
from counters.ledger.merkle import leaf_hash, subtree_of, tree_root
from counters.pruned_tree import prune
from counters.roll_leaf import country_bytes, short_digest
from counters.roll_opening import Opening, open_leaves
from gateway.identity import IdentityVerifier, TicketRefused
from tests.counters.synthetic import event_of

KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PSEUDONYM_KEY: Final = bytes(range(100, 132))
JOINED_AT: Final = 1_700_000_000
ROUND: Final = Round("newspaper-lottery", 7, JOINED_AT + 999_999)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk_of(key: Ed25519PrivateKey, kid: str) -> dict[str, str]:
    """The public JWK of a key."""
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": _base64url(raw)}


def _event() -> Event:
    event = event_of(random.Random(1))
    issuers = [
        replace(
            issuer, namespace=issuer.id, keys=(jwk_of(KEY, "k1"),),
            attributes={"land": "country", "kind": "category", "site": "outlet"},
        )
        for issuer in event.issuers
    ]  # fmt: skip
    return replace(event, issuers=tuple(issuers))


EVENT: Final = _event()
THUMBPRINT: Final = thumbprint(jwk_of(KEY, "k1"))


@lru_cache(100_000)
def ticket(subject: str, issuer: int = 0, key: Ed25519PrivateKey = KEY, **claims: Any) -> bytes:
    """A compact JWT of an issuer of the event."""
    of = EVENT.issuers[issuer]
    head = {"alg": "Ed25519", "kid": "k1"}
    said = {"iss": of.issuer, "aud": of.audience, "sub": subject, "exp": JOINED_AT + 3600, "land": "FR"} | claims
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in (head, said))
    return f"{signed}.{_base64url(key.sign(signed.encode()))}".encode()


def leaf(subject: str, by: int = 0, opened: bytes | None = None, **changes: bytes) -> bytes:
    """The leaf that a ticket of a subject gives, signed by an issuer, with what is changed of it."""
    opened = ticket(subject, by) if opened is None else opened
    fields: dict[str, bytes] = {
        "pseudonym": pseudonym(PSEUDONYM_KEY, EVENT.issuers[by].namespace, subject),
        "token_digest": sha256(opened).digest(), "key": short_digest(THUMBPRINT),
        "joined_at_ms": (JOINED_AT * 1000).to_bytes(8, "little"), "category": bytes(8), "outlet": bytes(8),
        "seat": bytes(4), "issuer": by.to_bytes(2, "little"), "country": country_bytes("FR"),
    }  # fmt: skip
    return b"".join((fields | changes).values())


@lru_cache(1)
def verifier() -> list[Any]:
    """An identity verifier and the clock that it reads."""
    clock = [0.0]
    return [IdentityVerifier(EVENT, lambda: clock[0]), clock]


@lru_cache(100_000)
def identify(compact: bytes, at: float) -> Identified | str:
    """Verify a ticket as of a time, as the command does; a ticket that was seen before is not verified again."""
    of, clock = verifier()
    clock[0] = at
    try:
        return of.verify(compact.decode())  # type: ignore[no-any-return]
    except TicketRefused as refused:
        return refused.detail


@dataclass
class MadeRoll:
    """A roll in memory, in whatever order its leaves are given."""

    leaves: Sequence[bytes]
    tickets: Mapping[bytes, bytes]  # by digest: what the organiser can open

    def __post_init__(self) -> None:
        self._hashes = [leaf_hash(each) for each in self.leaves]
        self.subtree = subtree_of(self._hashes)
        self.size = len(self.leaves)

    def leaf(self, position: int) -> bytes:
        """As `RollTree.leaf`."""
        return self.leaves[position]

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return tree_root(self._hashes)

    def draw(self, k: int, value: bytes) -> DrawEntry:
        """A draw of k leaves."""
        roll = RollEntry(5, self.size, self.root, 5, JOINED_AT, ROUND)
        return DrawEntry(6, roll, BeaconValue(value), k, ROUND.at)

    def opening(self, draw: DrawEntry) -> Opening:
        """What an organiser opens who can open these tickets."""
        drawn = draw.positions()
        leaves, hashes = open_leaves(self, drawn)  # type: ignore[arg-type] # it has what a RollTree has
        tokens = {position: self.tickets.get(leaves[position][16:48]) for position in drawn}
        known = {position: token for position, token in tokens.items() if token is not None}
        return Opening(EVENT.digest, "log", "vkey", draw.index, None, leaves, hashes, known)

    def audited(self, k: int, value: bytes = bytes(32)) -> Judged:
        """Draw, open and judge."""
        draw = self.draw(k, value)
        return judge(EVENT, draw, Opening.decode(self.opening(draw).encode()), PSEUDONYM_KEY, identify)


def made(subjects: Iterable[str], more: Iterable[bytes] = (), tickets: Iterable[bytes] = ()) -> MadeRoll:
    """A sorted roll of these subjects' genuine leaves and of more leaves."""
    genuine = [ticket(subject) for subject in subjects]
    leaves = [leaf(subject) for subject in subjects] + list(more)
    known = {sha256(each).digest(): each for each in (*genuine, *tickets)}
    return MadeRoll(sorted(leaves), known)


def pruned(roll: MadeRoll, positions: Sequence[int]) -> list[bytes]:
    """The hashes that prove these leaves."""
    return prune(roll.size, positions, roll.subtree)
