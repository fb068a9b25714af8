"""A ledger in a folder, driven step by step, and checked after each as an outsider would."""

import random
import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyroaring import BitMap

from counters import evidence, hyperloglog
from counters.disk import DISK, Disk
from counters.event import Counting, Event, Session, Simulation
from counters.evidence import Coverage, PresenceSegment, SegmentHead, SessionPresence, journal_segments
from counters.evidence_store import EvidenceStore
from counters.expected_reports import GRACE_S
from counters.handover import HandOver, WorkerReport
from counters.journal import Join
from counters.ledger.reader import LogReader
from counters.log_entries import SealedLog, read_log
from counters.sealed_evidence import read_evidence_of
from counters.sealing import Sealer
from tests.counters.synthetic import SIGNER, event_of
from tests.counters.worker_at_hand import NINE

COMMITMENT = "c0" * 32

A, B = "00000000000000aa", "00000000000000bb"


def event_lasting(minutes: int) -> Event:
    """A session of some minutes from nine on, and a break and another of two minutes after it."""
    nine = datetime.fromtimestamp(NINE, UTC)
    sessions = (
        Session(1, "opening", "Opening", nine, nine + timedelta(minutes=minutes), ()),
        Session(2, "forum", "Forum", nine + timedelta(minutes=minutes + 3), nine + timedelta(minutes=minutes + 5), ()),
    )
    counting = Counting(event_of(random.Random(1)).counting.rules, ("staff",), 1)
    return replace(
        event_of(random.Random(1)),
        sessions=sessions,
        counting=counting,
        late_until=nine + timedelta(days=1),
        simulation=Simulation(nine - timedelta(hours=1)),
    )


EVENT = event_lasting(4)


def presence(window: int, seats: set[int], worker: str = A, gateway: str = "gw-1", event: Event = EVENT) -> bytes:
    """A presence segment: these seats in session 1."""
    row = Coverage(worker, gateway, window * 1000, window * 1000 + 60_000, window * 1000 + 60_000, False, len(seats))  # noqa: FBT003 - a record's field  # fmt: skip
    registers = hyperloglog.empty()
    for seat in seats:
        hyperloglog.add(registers, str(seat).encode())
    sessions = [SessionPresence(1, BitMap(seats), BitMap(), registers, registers)]
    return evidence.encode(
        PresenceSegment.of(SegmentHead(event.digest, gateway, window, 30, (row,)), {"token_forged": 1}, sessions)
    )


def journal(window: int, joins: list[Join], gateway: str = "gw-1") -> bytes:
    (segment,) = journal_segments(SegmentHead(EVENT.digest, gateway, window, 30, ()), joins)
    return evidence.encode(segment)


def bundle(
    window: int,
    segments: tuple[bytes, ...] = (),
    worker: str = A,
    *,
    through: int | None = None,
    ended: bool = False,
    gateway: str = "gw-1",
) -> HandOver:
    through = window + 60 if through is None else through
    return HandOver(EVENT.digest, gateway, window, (WorkerReport(worker, through, ended=ended),), segments)


@dataclass
class LedgerAtHand:
    """A ledger whose clocks are set by hand, and that can end and begin again at any point."""

    data: Path
    event: Event = EVENT
    now: float = NINE - 600.0
    tick: float = 1000.0
    disk: Disk = DISK
    sealer: Sealer = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.sealer = Sealer(self.data, self.event, COMMITMENT, SIGNER, self.now, self.disk)

    def restart(self) -> None:
        self.sealer.close()
        self.open()

    def crash(self) -> None:
        """Go on from a copy of what is on the disk now: nothing is closed, and memory is lost."""
        copy = self.data.with_name(self.data.name + "+")
        shutil.copytree(self.data, copy)
        self.sealer.close()
        self.data = copy
        self.open()

    def accept(self, what: HandOver) -> str:
        return self.sealer.accept(what, self.now, self.tick)

    def seal(self) -> int:
        return self.sealer.seal(self.now, self.tick)

    def settle(self) -> int:
        """Let the grace pass and seal all that there is."""
        leaves = self.seal()
        self.tick += GRACE_S + 1
        while more := self.seal():
            leaves += more
        return leaves

    def checked(self) -> SealedLog:
        """The log as an outsider reads it, with every hash and every file of evidence checked."""
        reader = LogReader(self.data / "log", SIGNER.verifier)
        reader.full_check()
        log = read_log(list(reader.entries()))
        for _ in read_evidence_of(log, EvidenceStore(self.data / "evidence").get):
            pass
        return log

    def entries(self) -> list[bytes]:
        self.checked()
        return list(LogReader(self.data / "log", SIGNER.verifier).entries())

    def present(self) -> dict[int, int | None]:
        """Event-wide present by minute after nine."""
        windows = self.checked().windows
        return {(w - NINE) // 60: leaf.totals[""]["present"] if leaf.totals else 0 for w, leaf in windows.items()}
