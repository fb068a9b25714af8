"""A worker's spool and tally with a clock that is set by hand, and the plain reference of what it has accepted.

Also a program: `python -m tests.counters.worker_at_hand FOLDER CLOCK [MANY]` is a worker of its own process that says
on standard output what it has acknowledged, so that a test may kill it at any moment.
"""

import errno
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Self
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from counters import hyperloglog, spool
from counters.cells import Cells
from counters.clock import SimulatedClock
from counters.journal import Assurance, Direction, Join, JoinKind, Scan, encode
from counters.spool import BUCKETS, REGISTERS, Registers, SpoolIdentity
from counters.spool_lock import create_worker_folder
from counters.spooled_window import WindowSpool, read_window, window_chunks
from counters.tally import Accepted, Tally

NINE: Final = 1_700_355_600  # 2023-11-19T09:00:00+08:00, the start of a window
SESSIONS: Final = (1, 3, 700)
CELLS: Final = ("beat.playing", "refused.beat.token_forged", "refused.join.token_forged", "refused.beat.disk_full")
DIGEST: Final = "ab" * 32
WORKER: Final = "00000000000000a1"
FIRST, MORE = 5, 7
"""Records in the first chunk of a window, and in another, where the fixture `small_chunks` says so."""


@dataclass(slots=True)
class HandClock:
    """A clock that is set by hand."""

    at: float = NINE

    def now(self) -> float:
        return self.at

    def ticks(self) -> Callable[[], float]:
        return self.now

    def tick_at(self, at: float) -> float:
        return at


def day_of(now: float) -> str:
    """The date in Shanghai."""
    return datetime.fromtimestamp(now, ZoneInfo("Asia/Shanghai")).date().isoformat()


class Disk:
    """A disk on which nothing can be allocated while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch, self._real = monkeypatch, os.posix_fallocate

    def fill(self) -> None:
        self._monkeypatch.setattr(os, "posix_fallocate", self._refuse)

    def free(self) -> None:
        self._monkeypatch.setattr(os, "posix_fallocate", self._real)

    @staticmethod
    def _refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def attendee(seat: int) -> int:
    """The sketch position of a made-up attendee, the same for the same seat."""
    return hyperloglog.position(b"attendee" + seat.to_bytes(8, "little"), seat & 1023)


def view(seat: int, session: int) -> int:
    """The sketch position of a made-up view."""
    return hyperloglog.position(b"view" + seat.to_bytes(4, "little") + session.to_bytes(4, "little"), seat & 1023)


def identity(worker: str = WORKER, sessions: tuple[int, ...] = SESSIONS, digest: str = DIGEST) -> SpoolIdentity:
    return SpoolIdentity(worker, "gw-1", digest, len(sessions))


@dataclass
class WorkerAtHand:
    """One worker; a context manager, since it holds a lock."""

    spool: Path
    clock: HandClock | SimulatedClock = field(default_factory=HandClock)
    worker: str = WORKER
    sessions: tuple[int, ...] = SESSIONS
    digest: str = DIGEST

    def __post_init__(self) -> None:
        about = identity(self.worker, self.sessions, self.digest)
        self.folder, self._lock = create_worker_folder(self.spool, about)
        self.cells = Cells(self.folder / "cells", CELLS)
        self.tally = Tally(self.folder, about, self.clock, self.sessions, self.cells, day_of)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """Let go of the lock and close nothing: what others see of a worker that was killed."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def beat(self, seat: int, session: int = 1, *, background: bool = False) -> Accepted:
        place = seat | session << 32
        return self.tally.beat(place, attendee(seat), view(seat, session), background=background)

    def beat_many(self, beats: Sequence[tuple[int, int, bool]]) -> list[Accepted]:
        """Record (seat, session, background) heartbeats at once."""
        accepted = self.tally.beat_many(
            np.array([seat | session << 32 for seat, session, _ in beats], np.uint64),
            np.array([attendee(seat) for seat, _, _ in beats], np.uint32),
            np.array([view(seat, session) for seat, session, _ in beats], np.uint32),
            np.array([background for _, _, background in beats], np.bool_),
        )
        return [Accepted(value) for value in accepted.tolist()]

    def stop(self) -> None:
        self.tally.close(int(self.clock.now() * 1000))


Beat = tuple[int, int, int, bool]
"""(bucket within the window, seat, session, background)"""


def records_of(beats: list[Beat]) -> list[int]:
    """The records that a window with these heartbeats must have, by arithmetic alone."""
    return [
        seat + session * 2**32 + (2**48 if background else 0) + bucket * 2**56
        for bucket, seat, session, background in beats
    ]


def registers_of(beats: list[Beat], sessions: tuple[int, ...] = SESSIONS) -> Registers:
    """The registers that a window with these heartbeats must have, by the plain rule: the highest rank met."""
    highest: dict[tuple[int, int, int, int], int] = defaultdict(int)
    for bucket, seat, session, _ in beats:
        for sketch, packed in enumerate((attendee(seat), view(seat, session))):
            place = hyperloglog.split_position(packed)
            key = (bucket, sessions.index(session), sketch, place.register)
            highest[key] = max(highest[key], place.rank)
    registers = np.zeros((BUCKETS, len(sessions), 2, REGISTERS), np.uint8)
    for key, rank in highest.items():
        registers[key] = rank
    return registers


def a_join(seat: int = 1, **changes: object) -> Join:
    values: dict[str, object] = {
        "seat": seat, "session": 1, "kind": JoinKind.TICKET, "assurance": Assurance.TICKETED, "filters": 0,
        "view": seat + 1000, "joined_at_ms": NINE * 1000, "pseudonym": seat.to_bytes(16, "little"),
        "token_digest": bytes(32), "address": bytes(8), "issuer": "tickets", "key_thumbprint": "k", "country": "FR",
        "category": "", "outlet": "", "network": "", "agent": "browser",
    }  # fmt: skip
    return Join(**values | changes)  # type: ignore[arg-type] # each field has its type above


def a_scan(nonce: str = "n1", **changes: object) -> Scan:
    values: dict[str, object] = {
        "seat": 7, "session": 1, "direction": Direction.IN, "forced": False, "scanned_at_ms": NINE * 1000,
        "received_at_ms": NINE * 1000 + 5, "gate": "hall-a", "nonce": nonce, "refusal": "",
    }  # fmt: skip
    return Scan(**values | changes)  # type: ignore[arg-type]


def read_back(folder: Path) -> dict[int, WindowSpool]:
    """Every window in a worker's folder."""
    return {window: read_window(paths) for window, paths in window_chunks(folder).items()}


def main() -> None:
    """Join and beat, or beat MANY at once, until killed, in small chunks; print a line after each acknowledgement."""
    spool.FIRST_CHUNK_RECORDS, spool.CHUNK_RECORDS = 300, 500  # type: ignore[misc] # chunks that are full soon
    worker = WorkerAtHand(Path(sys.argv[1]), SimulatedClock(Path(sys.argv[2])))
    seat = 0
    while len(sys.argv) > 3:
        seats = range(seat + 1, seat + int(sys.argv[3]) + 1)
        assert not any(worker.beat_many([(seat, SESSIONS[seat % 3], seat % 2 == 0) for seat in seats]))
        seat = seats[-1]
        os.write(1, b"%d\n" % seat)
    while True:
        seat += 1
        assert worker.tally.write_journal(encode(a_join(seat))) is Accepted.YES
        assert worker.beat(seat, SESSIONS[seat % 3], background=seat % 2 == 0) is Accepted.YES
        worker.cells.add("beat.playing")
        os.write(1, b"%d\n" % seat)


if __name__ == "__main__":
    main()
