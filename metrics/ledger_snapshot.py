"""What the ledger knows of its metrics at one moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from metrics import catalogue
from metrics.catalogue import CATALOGUE, Metric, Process
from metrics.readings import WHOLE_EVENT, Identity, Reading, of_sessions

_DECLARED = frozenset(
    metric.name
    for metric in (
        catalogue.LEDGER_WINDOWS_OVERDUE, catalogue.LEDGER_WINDOWS_SEALED, catalogue.LEDGER_WINDOWS_WITH_GAPS,
        catalogue.LEDGER_LATE_LEAVES, catalogue.LEDGER_SEAL_DURATION, catalogue.LEDGER_GATEWAYS,
        catalogue.LEDGER_GATEWAYS_SILENT, catalogue.LEDGER_QUORUM, catalogue.LEDGER_QUORUM_HELD,
        catalogue.LEDGER_COSIGNED, catalogue.LEDGER_WITNESS_COSIGNED, catalogue.LEDGER_EVIDENCE,
        catalogue.LEDGER_DISK_FREE, catalogue.LEDGER_DISK_REFUSES, catalogue.WINDOW_COUNTRY_ATTENDEES,
        catalogue.WINDOW_DIFFERENCE, catalogue.WINDOW_EVENT_DIFFERENCE, catalogue.WINDOWS_COMPARED,
    )
)  # fmt: skip
"""Not filled in yet."""


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """The ledger at one moment.

    Times are unix seconds of the event's clock. `window_attendees` is what the newest window leaf publishes, by
    session id and "" for the whole event, None where the leaf suppresses it. `cosignings` are by witness and outcome.
    Other Nones: nothing sealed or signed yet.
    """

    process: ClassVar[Process] = Process.LEDGER

    identity: Identity
    size: int
    sealed_window_s: float | None
    seal_lag_s: float | None
    checkpoint_s: float | None
    set_back: bool
    missing_workers: int
    window_attendees: Mapping[str, int | None]
    withheld: int = 0
    witnesses: int = 0
    cosignings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    timestamps: Mapping[str, int] = field(default_factory=dict)  # by outcome

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield what is known of every metric of a ledger."""
        yield from self.identity.readings()
        yield catalogue.HTTP_REQUESTS, None
        yield catalogue.HTTP_DURATION, None
        yield catalogue.LEDGER_SIZE, self.size
        yield catalogue.LEDGER_SEALED_WINDOW, self.sealed_window_s
        yield catalogue.LEDGER_SEAL_LAG, self.seal_lag_s
        yield catalogue.LEDGER_CHECKPOINT, self.checkpoint_s
        yield catalogue.LEDGER_SET_BACK, int(self.set_back)
        yield catalogue.LEDGER_MISSING_WORKERS, self.missing_workers
        yield catalogue.LEDGER_WITHHELD, self.withheld
        yield catalogue.LEDGER_WITNESSES, self.witnesses
        yield catalogue.LEDGER_COSIGNINGS, self.cosignings
        yield catalogue.LEDGER_TIMESTAMPS, self.timestamps
        online = {
            (session, "online"): number
            for session, number in of_sessions(self.window_attendees).items()
            if number is not None
        }
        yield catalogue.WINDOW_ATTENDEES, online
        yield catalogue.WINDOW_EVENT_ATTENDEES, {"online": self.window_attendees.get(WHOLE_EVENT)}
        for metric in CATALOGUE:
            if metric.processes == (Process.LEDGER,) and metric.name in _DECLARED:
                yield metric, None
