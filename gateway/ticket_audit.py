"""Tickets verified for an audit: as the gateway verified them, at the time when their attendees joined."""

from counters.audit_check import Identified, Identify
from counters.log_entries import SealedLog
from gateway.identity import IdentityVerifier, TicketRefused


def identify_for(log: SealedLog) -> Identify:
    """Return what verifies tickets against the keys of a log: those of entry 0, and what came and went since.

    A key that was added or retired while the event ran vouches for those who joined while it was in force.
    """
    joined_at = 0.0
    keys = log.issuer_keys
    verifier = IdentityVerifier(log.event, lambda: joined_at, keys.never_retired())

    def identify(ticket: bytes, at: float) -> Identified | str:
        nonlocal joined_at
        joined_at = at
        try:
            identity = verifier.verify(ticket.decode())
        except TicketRefused as refused:
            return refused.detail
        except UnicodeDecodeError:
            return "it is no text"
        key = keys.find(identity.issuer, identity.key_thumbprint)
        if key is None or not key.was_in_force(at):
            return f"it was taken at {log.event.iso(at)}, when the key that signed it was not in force"
        return identity

    return identify
