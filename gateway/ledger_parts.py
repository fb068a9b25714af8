"""The parts of a running ledger that whoever works beside its sealer takes together."""

from dataclasses import dataclass
from pathlib import Path

from counters.clock import Clock
from counters.event import Event
from counters.ledger.note import Verifier
from counters.sealing import Sealer
from counters.secrets import Secrets
from gateway.ledger_thread import LedgerThread
from gateway.lookout import Lookout
from gateway.tracing import Tracing


@dataclass(frozen=True, slots=True)
class LedgerParts:
    """Made once, by the ledger's service. The sealer belongs to the thread; all else to the event loop."""

    data: Path  # the data directory
    event: Event
    secrets: Secrets
    clock: Clock  # of the event
    sealer: Sealer
    verifier: Verifier  # of the log
    thread: LedgerThread  # changes the ledger
    lookout: Lookout  # knows whether it may go on
    tracing: Tracing

    @property
    def certificates(self) -> Path:
        """Where certificates lie."""
        return self.data / "certificates"
