"""From the subject of a ticket to the pseudonym under which the evidence knows its attendee."""

from counters.attendee import pseudonym
from counters.event import Event
from counters.secrets import Secrets


def pseudonym_of(event: Event, secrets: Secrets, issuer_id: str, subject: str) -> bytes:
    """Return the pseudonym of a ticket's subject.

    Args:
        event: of entry 0.
        secrets: with its pseudonym key.
        issuer_id: of the ticket; "" = the event's first issuer.
        subject: the ticket's subject claim.

    Raises:
        ValueError: the event has no such issuer.
    """
    issuers = {issuer.id: issuer for issuer in event.issuers}
    issuer = issuers.get(issuer_id) if issuer_id else event.issuers[0]
    if issuer is None:
        raise ValueError(f"no issuer {issuer_id!r}; there are: {', '.join(issuers)}")
    return pseudonym(secrets.pseudonym_key, issuer.namespace, subject)
