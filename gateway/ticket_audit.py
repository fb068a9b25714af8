"""Tickets verified for an audit: as the gateway verified them, at the time when their attendees joined."""

from counters.audit_check import Identified, Identify
from counters.event import Event
from gateway.identity import IdentityVerifier, TicketRefused


def identify_for(event: Event) -> Identify:
    """Return what verifies the tickets of an event, against the keys in its entry 0."""
    joined_at = 0.0
    verifier = IdentityVerifier(event, lambda: joined_at)

    def identify(ticket: bytes, at: float) -> Identified | str:
        nonlocal joined_at
        joined_at = at
        try:
            return verifier.verify(ticket.decode())
        except TicketRefused as refused:
            return refused.detail
        except UnicodeDecodeError:
            return "it is no text"

    return identify
