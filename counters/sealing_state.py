"""What a ledger's sealer tells those who run it of how far it is."""

from dataclasses import dataclass
from typing import Final

from counters.sealed_so_far import SealedCounts

OVERDUE_S: Final = 10.0
"""A window is sealed 8 s after its end at the latest, unless a gateway says that it is still at work on it."""


@dataclass(frozen=True, slots=True)
class SealingState:
    """How far the log is, and what it waits for."""

    size: int  # published
    withheld: int  # entries that are in the log and not published
    sealed_window: int  # unix seconds; 0 = none yet
    unsealed: int  # windows that have ended and wait, and late hand-overs
    overdue: int  # windows that ended more than OVERDUE_S ago and wait
    seal_lag_s: float | None  # from the end of the last sealed window to its leaf; None = none yet
    checkpoint_s: float | None  # when the newest checkpoint was signed, unix seconds; None = before this start
    attendees: dict[str, int | None]  # last sealed window: present by session id, "" = event; None = suppressed
    counts: SealedCounts
    waiting_bytes: int  # evidence that is in no leaf yet
    gateways: frozenset[str]  # those that windows wait for
