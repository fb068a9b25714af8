"""What the ledger knows of its metrics at one moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from metrics import catalogue
from metrics.catalogue import SEAL_BUCKETS_S, Metric, Process
from metrics.readings import Durations, Identity, Reading
from metrics.window_snapshot import WindowSnapshot


@dataclass(frozen=True, slots=True)
class Sealing:
    """How far the log is. Times are unix seconds of the event's clock; None: nothing sealed or signed yet."""

    size: int  # leaves published
    withheld: int  # leaves not published
    sealed_window_s: float | None
    seal_lag_s: float | None
    checkpoint_s: float | None
    set_back: bool
    overdue: int  # windows
    sealed: int  # windows; this and what follows since the log began
    with_gaps: int  # windows
    late: int  # leaves
    missing_workers: int
    durations: Durations = field(default_factory=lambda: Durations.none(SEAL_BUCKETS_S))

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield them."""
        yield catalogue.LEDGER_SIZE, self.size
        yield catalogue.LEDGER_WITHHELD, self.withheld
        yield catalogue.LEDGER_SEALED_WINDOW, self.sealed_window_s
        yield catalogue.LEDGER_SEAL_LAG, self.seal_lag_s
        yield catalogue.LEDGER_CHECKPOINT, self.checkpoint_s
        yield catalogue.LEDGER_SET_BACK, int(self.set_back)
        yield catalogue.LEDGER_WINDOWS_OVERDUE, self.overdue
        yield catalogue.LEDGER_WINDOWS_SEALED, self.sealed
        yield catalogue.LEDGER_WINDOWS_WITH_GAPS, self.with_gaps
        yield catalogue.LEDGER_LATE_LEAVES, self.late
        yield catalogue.LEDGER_MISSING_WORKERS, self.missing_workers
        yield catalogue.LEDGER_SEAL_DURATION, self.durations


@dataclass(frozen=True, slots=True)
class Vouching:
    """Who outside vouches for the log. Times are unix seconds on the witnesses' clocks; None: nobody did yet."""

    witnesses: int
    quorum: int  # witnesses required
    quorum_held: bool
    cosigned_s: float | None
    by_witness_s: Mapping[str, float]  # by witness, of those that did
    cosignings: Mapping[tuple[str, str], int]  # by witness and outcome
    timestamps: Mapping[str, int]  # by outcome

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield them."""
        yield catalogue.LEDGER_WITNESSES, self.witnesses
        yield catalogue.LEDGER_QUORUM, self.quorum
        yield catalogue.LEDGER_QUORUM_HELD, int(self.quorum_held)
        yield catalogue.LEDGER_COSIGNED, self.cosigned_s
        yield catalogue.LEDGER_WITNESS_COSIGNED, self.by_witness_s
        yield catalogue.LEDGER_COSIGNINGS, self.cosignings
        yield catalogue.LEDGER_TIMESTAMPS, self.timestamps


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """The ledger at one moment."""

    process: ClassVar[Process] = Process.LEDGER

    identity: Identity
    requests: Mapping[tuple[str, str], float]  # by route and status
    request_durations: Mapping[str, Durations]  # by route
    sealing: Sealing
    vouching: Vouching
    gateways: int  # heard
    gateways_silent: int
    evidence_bytes: int
    disk_free_bytes: int | None  # None: the disk does not say
    disk_refuses: bool
    window: WindowSnapshot = field(default_factory=WindowSnapshot)

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield what is known of every metric of a ledger."""
        yield from self.identity.readings()
        yield catalogue.HTTP_REQUESTS, self.requests
        yield catalogue.HTTP_DURATION, self.request_durations
        yield from self.sealing.readings()
        yield from self.vouching.readings()
        yield catalogue.LEDGER_GATEWAYS, self.gateways
        yield catalogue.LEDGER_GATEWAYS_SILENT, self.gateways_silent
        yield catalogue.LEDGER_EVIDENCE, self.evidence_bytes
        yield catalogue.LEDGER_DISK_FREE, self.disk_free_bytes
        yield catalogue.LEDGER_DISK_REFUSES, int(self.disk_refuses)
        yield from self.window.readings()
