"""Changing an issuer's keys while the event runs: into the log, and from there into force. Part of the ledger."""

from dataclasses import replace

from counters.keys_in_force import KeyChange, key_entry
from counters.sealing import Sealer
from counters.segment import WINDOW_S
from counters.software import SOFTWARE


def change_key(sealer: Sealer, asked: KeyChange) -> KeyChange | None:
    """Add or retire a key; when this returns, it survives a power cut and is in the log. Only in the sealer's thread.

    Returns:
        The change as it is in the log; None if it was so already, and nothing was logged.

    Raises:
        KeyChangeError: it cannot be so.
        OSError: the disk refuses; whether the change is in force shows when it is asked for again.
    """
    sealer.settle()
    keys = sealer.so_far.issuer_keys
    if keys.is_so(asked):
        return None
    # A clock that was set back since may not date it before what the log has already.
    earliest = max([sealer.so_far.window + WINDOW_S, *(change.at for change in keys.changes[-1:])])
    change = replace(asked, at=max(asked.at, earliest))
    keys.after(change)
    sealer.append(key_entry(sealer.event, len(keys.changes) + 1, change, SOFTWARE))
    # A crash here leaves a change in force whose organiser got no answer: asked for again, it changes nothing.
    return change
