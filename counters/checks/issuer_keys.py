"""Whose word the people in a certificate rest on: the keys of issuers, and which of them came or went later."""

from collections.abc import Sequence

from counters.certificate_statements import vouching
from counters.checks.verification import Verification
from counters.event import Event
from counters.keys_in_force import ADD, TYPE, KeyLeaf
from counters.log_entries import read_log

_MARK = f'"type":"{TYPE}"'.encode()


def issuer_keys(state: Verification) -> str:
    """The keys are those that entry 0 locked, or the log says since when they are not."""
    log = state.the_log()
    later = _since(state, len(log.key_changes))
    if not log.key_changes and not later:
        return f"{sum(len(issuer.keys) for issuer in log.event.issuers)}, all locked by entry 0; none came or went"
    said = [vouching(log), *_rows(log.event, log.key_changes)] if log.key_changes else ["all locked by entry 0"]
    if later:
        said += ["SINCE THE ENTRIES THAT THE CERTIFICATE COUNTS", *_rows(log.event, later)]
    return "; ".join(said)


def _since(state: Verification, known: int) -> Sequence[KeyLeaf]:
    """Return the changes in this copy of the log that the certificate does not count yet: a key may have leaked."""
    later = (state.newest or [])[len(state.the_entries()) :]
    # Canonical JSON spells it so; the entries are read whole only if one of them may be such a change.
    return read_log(state.newest or []).key_changes[known:] if any(_MARK in raw for raw in later) else ()


def _rows(event: Event, leaves: Sequence[KeyLeaf]) -> list[str]:
    return [
        f"entry {leaf.index}, {event.iso(leaf.change.at)}: "
        f"{'added' if leaf.change.action == ADD else 'retired'} {leaf.change.thumbprint} of {leaf.change.issuer} "
        f"({leaf.change.reason})"
        for leaf in leaves
    ]
