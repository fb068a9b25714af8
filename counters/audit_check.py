"""The auditor's check of a draw: each drawn leaf is held against the ticket behind it, and counted bogus if it fails.

A leaf is genuine if an issuer of the event signed its ticket, with a key that was in force when its attendee joined and
for this event, the ticket was valid then, its digest, key, issuer, country and category are the leaf's, and its outlet
if it names one, the pseudonym that the confidential key makes of its subject is the leaf's, and the leaf is in its
place (counters.roll_opening). So one genuine ticket makes one leaf genuine, however often it is opened. A leaf that
cannot be opened is bogus.

The keys of issuers are those of entry 0, and those that `issuer-key` entries have added since (counters.keys_in_force).
What one signed that was added later, or was retired before, is bogus.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from counters.attendee import pseudonym
from counters.audit_entries import DrawEntry
from counters.audit_result import AuditResult
from counters.bogus_bound import in_words
from counters.event import Event
from counters.ledger.merkle import ProofError
from counters.pruned_tree import root_of
from counters.roll_leaf import LEAF_BYTES, RollLeaf, country_bytes, short_digest
from counters.roll_opening import Opening, misplaced


class AuditError(Exception):
    """The opening is not one of this draw: nothing of it was judged."""


class Identified(Protocol):
    """Who a ticket names (gateway.identity.Identity)."""

    @property
    def issuer(self) -> str:
        """The issuer's id in the event file."""

    @property
    def namespace(self) -> str:
        """The issuer's namespace."""

    @property
    def subject(self) -> str:
        """Whom the issuer vouches for."""

    @property
    def key_thumbprint(self) -> str:
        """RFC 7638, of the key that signed."""

    @property
    def country(self) -> str:
        """Two capital letters; empty = unknown."""

    @property
    def category(self) -> str:
        """Empty = none."""

    @property
    def outlet(self) -> str:
        """Empty = none."""


Identify = Callable[[bytes, float], Identified | str]
"""From a ticket and a time (unix seconds) to whom it names; or in words why it names nobody."""


class Cause:
    """Why a leaf is bogus, in one word: the label in the report."""

    NO_TICKET: Final = "no ticket"
    OTHER_TICKET: Final = "another ticket"
    REFUSED: Final = "ticket refused"
    SOMEBODY_ELSE: Final = "somebody else's ticket"
    ATTRIBUTES: Final = "attributes"
    MISPLACED: Final = "misplaced"


@dataclass(frozen=True, slots=True)
class BogusLeaf:
    """A leaf that does not hold."""

    position: int
    cause: str  # a `Cause`
    detail: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What a draw came to."""

    draw: DrawEntry
    positions: tuple[int, ...]  # in the order of drawing
    bogus: tuple[BogusLeaf, ...]  # each leaf once, with the first cause found

    @property
    def causes(self) -> Mapping[str, int]:
        """How many leaves are bogus for each cause."""
        return Counter(leaf.cause for leaf in self.bogus)

    def result(self, event: Event, *, order_witnessed: bool) -> AuditResult:
        """Return what the auditor signs."""
        roll = self.draw.roll
        drawn = len(self.positions)
        return AuditResult(event.digest, self.draw.index, roll.root, roll.size, drawn, len(self.bogus), order_witnessed)

    def in_words(self) -> str:
        """Return the bound in plain words."""
        return in_words(self.draw.roll.size, len(self.positions), len(self.bogus))


def judge(event: Event, draw: DrawEntry, opening: Opening, pseudonym_key: bytes, identify: Identify) -> Judged:
    """Judge every leaf of a draw.

    Args:
        event: of entry 0.
        draw: as it stands in the log.
        opening: what the organiser opened of it.
        pseudonym_key: the event's; `check_key` it first.
        identify: verifies a ticket as of a time, against the keys of the log.

    Raises:
        AuditError: the opening is of another event or draw, or what it opens is not what the roll's root binds: a drawn
            leaf or a signpost is missing, or a leaf is not in the roll.
    """
    if (opening.event_sha256, opening.draw) != (event.digest, draw.index):
        raise AuditError("the opening is of another event or draw")
    positions = draw.positions()
    _check_bound(draw, opening)
    if missing := [position for position in positions if position not in opening.leaves]:
        raise AuditError(f"{len(missing)} of the {len(positions)} drawn leaves are not opened, as leaf {missing[0]}")
    bogus = []
    for position in positions:
        try:
            faults = _faults(event, position, draw.roll.size, opening, pseudonym_key, identify)
            found = next(faults, None)
        except KeyError as post:
            raise AuditError(f"leaf {position} is opened without its signpost, leaf {post}") from None
        if found is not None:
            bogus.append(BogusLeaf(position, *found))
    return Judged(draw, tuple(positions), tuple(bogus))


def check_key(pseudonym_key: bytes, first_entry: Mapping[str, Any]) -> None:
    """Check that this is the pseudonym key that entry 0 commits to.

    Raises:
        AuditError: it is another.
    """
    if sha256(b"turnout pseudonym key\0" + pseudonym_key).hexdigest() != first_entry["pseudonym_key_sha256"]:
        raise AuditError("this is not the pseudonym key that entry 0 of the log commits to")


def _check_bound(draw: DrawEntry, opening: Opening) -> None:
    if any(len(leaf) != LEAF_BYTES for leaf in opening.leaves.values()):
        raise AuditError("a leaf has another length than leaves have")
    try:
        root = root_of(draw.roll.size, opening.leaves, opening.hashes)
    except ProofError as error:
        raise AuditError(f"what is opened is not proven: {error}") from None
    if root != draw.roll.root:
        raise AuditError("what is opened is not of the roll whose root is in the log")


def _faults(
    event: Event, position: int, size: int, opening: Opening, pseudonym_key: bytes, identify: Identify
) -> Iterator[tuple[str, str]]:
    """Yield the cause and the details of why a leaf is bogus, the first that is found; nothing if it is genuine."""
    if place := misplaced(position, size, opening.leaves):
        yield Cause.MISPLACED, place
    leaf, ticket = RollLeaf.decode(opening.leaves[position]), opening.tokens.get(position)
    if ticket is None:
        yield Cause.NO_TICKET, "no ticket was opened for it"
        return
    if sha256(ticket).digest() != leaf.token_digest:
        yield Cause.OTHER_TICKET, "its ticket has another digest than the leaf"
    identity = identify(ticket, leaf.joined_at_ms / 1000)
    if isinstance(identity, str):
        yield Cause.REFUSED, identity
        return
    if pseudonym(pseudonym_key, identity.namespace, identity.subject) != leaf.pseudonym:
        yield Cause.SOMEBODY_ELSE, "its ticket is of somebody whose pseudonym is another"
    told: dict[str, object] = {
        "issuer": [issuer.id for issuer in event.issuers].index(identity.issuer),
        "key": short_digest(identity.key_thumbprint),
        "country": country_bytes(identity.country),
        "category": short_digest(identity.category),
    }
    if identity.outlet:
        # Where the ticket names none, the player did: nobody vouches for that.
        told["outlet"] = short_digest(identity.outlet)
    for name, says in told.items():
        if says != getattr(leaf, name):
            yield Cause.ATTRIBUTES, f"its ticket says another {name} than the leaf"
