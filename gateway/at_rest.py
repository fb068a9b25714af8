"""Working in a ledger's data directory while no ledger runs on it.

What is done there is what a running ledger would do between two requests; which of both does it is decided here.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from counters.event import Event
from counters.expected_reports import GRACE_S
from counters.ledger.note import Signer
from counters.ledger.writer_folder import LogLockedError
from counters.log_key import load_signer
from counters.sealing import Sealer
from counters.secrets import SECRETS_FILE, load_secrets
from counters.setback import Setback
from gateway.ledger_service import open_event_clock

T = TypeVar("T")


class SetBackError(Exception):
    """The data are older than what gateways have seen of the log, and what to do about it."""


@dataclass(frozen=True, slots=True)
class AtRest:
    """A ledger whose data directory nobody else has open."""

    sealer: Sealer
    signer: Signer
    now: float  # on the event's clock (unix seconds)


@contextmanager
def at_rest(event: Event, data: Path) -> Iterator[AtRest]:
    """Open the ledger of a data directory with all that waited sealed; close it when the block ends.

    Raises:
        LogLockedError: a ledger runs on it.
        LogError, OtherEventError: it is not sound, or another event's.
        SecretsError: its secrets cannot be read.
        SetBackError: nothing may be added to it.
    """
    signer, now = load_signer(data), open_event_clock(event, data).now()
    commitment = load_secrets(data / SECRETS_FILE).pseudonym_commitment
    sealer = Sealer(data, event, commitment, signer, now)
    try:
        if why := Setback(data, sealer).why():
            raise SetBackError(why)
        # Nobody can report any more: what waits is sealed, with the missing named.
        tick = time.monotonic()
        while sealer.seal(now, tick) or sealer.unsealed(now):
            tick += GRACE_S
        yield AtRest(sealer, signer, now)
    finally:
        sealer.close()


def running_or_at_rest(event: Event, data: Path, ask: Callable[[], T], work: Callable[[AtRest], T]) -> T:
    """Have the running ledger do something, or do it in its data directory if none runs.

    Args:
        event: of the event file.
        data: the ledger's data directory.
        ask: asks a running ledger.
        work: does it at rest.

    Raises:
        LogError, OtherEventError, SecretsError, SetBackError: as `at_rest`; and whatever `ask` and `work` raise.
    """
    if event.required_witnesses:
        # Only a running ledger asks the witnesses, without whom nothing is published.
        return ask()
    try:
        with at_rest(event, data) as ledger:
            return work(ledger)
    except LogLockedError:
        return ask()
