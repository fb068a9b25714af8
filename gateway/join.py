"""Join: where the work happens, so that heartbeats have none.

A ticket (the issuer's JWT) or a still-known viewing token of the same event becomes a view: the attendee has its seat,
the journal has the join on record, and the player gets the viewing token that its heartbeats show.
"""

import secrets as random_source
from dataclasses import dataclass
from typing import Final

from counters import hyperloglog
from counters.attendee import attendee_selector, pseudonym
from counters.clock import Clock
from counters.event import Event, Session
from counters.journal import Assurance, Join, JoinKind, encode
from counters.secrets import Secrets
from counters.steering import FIRST_VIEW_ID
from counters.tally import Accepted, Tally
from gateway.identity import Identity, IdentityVerifier, TicketRefused
from gateway.problems import Refused
from gateway.reasons import Reason
from gateway.retaining import Retaining
from gateway.seats import Seats
from gateway.traffic import Player, Traffic
from gateway.viewing_token import LIFETIME_S, RENEWABLE_S, TokenKeys, TokenRefused, ViewingToken

_NOTHING: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class View:
    """What a join grants."""

    token: str
    expires_at: int  # unix seconds


class Joins:
    """Takes the joins of one worker."""

    def __init__(
        self,
        event: Event,
        secrets: Secrets,
        keys: TokenKeys,
        identities: IdentityVerifier,
        seats: Seats,
        tally: Tally,
        clock: Clock,
        retaining: Retaining,
        traffic: Traffic,
    ) -> None:
        """Answer for one event."""
        self._retaining = retaining
        self._pseudonym_key = secrets.pseudonym_key
        self._traffic = traffic
        self._renewable_until = event.late_until.timestamp()
        self._keys = keys
        self._identities = identities
        self._seats = seats
        self._tally = tally
        self._clock = clock
        self.revoked: frozenset[int] = frozenset()
        """Seats and view ids that open nothing here.

        A seat stands for its attendee, except for one who got another seat while the registry was away: that one is
        let in by it until it is revoked as well.
        """

    def identify(self, ticket: str) -> Identity:
        """Return who a ticket vouches for.

        Raises:
            Refused: the ticket is no good.
        """
        try:
            return self._identities.verify(ticket)
        except TicketRefused as refused:
            raise Refused(refused.reason, refused.detail) from None

    async def by_ticket(self, session: Session, ticket: str, player: Player) -> View:
        """Open a view of a session.

        Args:
            session: what is to be watched.
            ticket: the issuer's JWT, "" if the player showed none.
            player: who asks, for the journal.

        Raises:
            Refused: the ticket does not open this event, or nothing can be accepted now.
        """
        if not self._tally.admitting:
            raise Refused(Reason.DISK_FULL)
        if not ticket:
            raise Refused(Reason.TICKET_MISSING)
        identity = self.identify(ticket)
        name = pseudonym(self._pseudonym_key, identity.namespace, identity.subject)
        seat = await self._seats.seat_of(name)
        if seat in self.revoked:
            raise Refused(Reason.ATTENDEE_BARRED)
        attendee = hyperloglog.position(name, attendee_selector(name))
        now = self._clock.now()
        seen = self._traffic.see(player, seat, now)
        join = Join(
            seat=seat,
            session=session.number,
            kind=JoinKind.TICKET,
            assurance=Assurance.TICKETED,
            filters=seen.filters,
            view=_new_view_id(),
            joined_at_ms=int(now * 1000),
            pseudonym=name,
            token_digest=identity.token_digest,
            address=seen.address,
            issuer=identity.issuer,
            key_thumbprint=identity.key_thumbprint,
            country=identity.country,
            category=identity.category,
            outlet=identity.outlet or player.outlet,
            network=seen.network,
            agent=seen.agent,
        )
        token = self._retaining.record(seat, join.joined_at_ms, ticket, join.token_digest)
        view = self._open(join, attendee, token)
        self._retaining.note(seat, join.joined_at_ms)
        return view

    def by_viewing_token(self, session: Session, text: str, player: Player) -> View:
        """Open a view of a session for whoever shows a viewing token of this event: no ticket, no registry, no waiting.

        Args:
            session: what is to be watched; if it is the token's own, its view goes on under a new token.
            text: the token's 64 characters.
            player: who asks, for the journal.

        Raises:
            Refused: it is no viewing token of this event, is revoked, expired too long ago, or the event is over
                (`late_until`); or the disk is full.
        """
        try:
            token = self._keys.open(text.encode())
        except TokenRefused as refused:
            raise Refused(refused.reason) from None
        now = self._clock.now()
        if now > min(token.expires_at + RENEWABLE_S, self._renewable_until):
            raise Refused(Reason.TOKEN_EXPIRED)
        if token.seat in self.revoked or token.view_id in self.revoked:
            raise Refused(Reason.TOKEN_REVOKED)
        if token.session == session.number:
            # The same view goes on: nothing new to count, nothing to journal.
            return self._grant(token.seat, session.number, token.attendee, token.view, token.view_id)
        seen = self._traffic.see(player, token.seat, now)
        join = Join(
            seat=token.seat,
            session=session.number,
            kind=JoinKind.VIEWING_TOKEN,
            assurance=Assurance.TICKETED,
            filters=seen.filters,
            view=_new_view_id(),
            joined_at_ms=int(now * 1000),
            pseudonym=_NOTHING[:16],
            token_digest=_NOTHING,
            address=seen.address,
            issuer="",
            key_thumbprint="",
            country="",
            category="",
            outlet=player.outlet,
            network=seen.network,
            agent=seen.agent,
        )
        return self._open(join, token.attendee)

    def _open(self, join: Join, attendee: int, token: bytes = b"") -> View:
        # Journaled before the answer: a view that a player knows of is on record. One write, the token first: a crash
        # in it may leave a token without its join, but no join without its token.
        if self._tally.write_journal(token + encode(join)) is not Accepted.YES:
            raise Refused(Reason.DISK_FULL)
        self._tally.count_unique(join.session, attendee)
        view = hyperloglog.position(join.view.to_bytes(8, "little"), join.view & 1023)
        return self._grant(join.seat, join.session, attendee, view, join.view)

    def _grant(self, seat: int, session: int, attendee: int, view: int, view_id: int) -> View:
        expires_at = int(self._clock.now()) + LIFETIME_S
        return View(self._keys.seal(ViewingToken(seat, session, attendee, view, view_id, expires_at)), expires_at)


def _new_view_id() -> int:
    """A random 64-bit id, never below 2^32: it cannot be taken for a seat, nor for the 0 that means no view."""
    return FIRST_VIEW_ID + random_source.randbelow((1 << 64) - FIRST_VIEW_ID)
