"""The reckoning: what the players know against what the sealed evidence says, seat by seat.

Acknowledged ⊆ evidence ⊆ attempted, in every window; where every attempt was acknowledged the two are the same set.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from counters import evidence
from counters.evidence import JournalSegment, PresenceSegment
from counters.evidence_store import EvidenceStore
from counters.ledger.log import LogReader
from counters.ledger.note import Verifier
from counters.manifest import Manifest
from counters.segment import WINDOW_S
from tests.faults.truth import Place, Truth


@dataclass(slots=True)
class Found:
    """What the log seals."""

    leaves: list[dict[str, Any]]
    present: defaultdict[Place, set[int]] = field(default_factory=lambda: defaultdict(set))  # late evidence included
    joined: set[int] = field(default_factory=set)  # seats in journals
    in_time: dict[int, dict[int, set[int]]] = field(default_factory=dict)  # window -> session -> seats, of its own leaf

    @property
    def windows(self) -> dict[int, dict[str, Any]]:
        """The window leaves by window."""
        return {unix_s(leaf["window"]): leaf for leaf in self.leaves if leaf["type"] == "window"}

    @property
    def late(self) -> list[int]:
        """The windows of the late leaves."""
        return [unix_s(leaf["window"]) for leaf in self.leaves if leaf["type"] == "late"]

    @property
    def missing(self) -> int:
        """How many workers are named missing, summed over the windows."""
        return sum(len(leaf["missing"]) for leaf in self.windows.values())


@dataclass(frozen=True, slots=True)
class Held:
    """What a rig that held has shown."""

    found: Found
    acknowledged: int  # (session, window, seat) that are certain to be there, and are
    possible: int  # those that may or may not be there: never answered
    straddling: int
    beats: int  # heartbeats answered 204
    broken: int  # heartbeats sent and never answered
    missing: int  # workers named missing, summed over the windows
    certificate: dict[str, Any]

    @property
    def exact(self) -> bool:
        """Whether nothing was left in doubt."""
        return not self.possible and not self.straddling


def unix_s(text: str) -> int:
    """The unix seconds of an ISO 8601 time."""
    return int(datetime.fromisoformat(text).timestamp())


def read_log(data: Path, log_key: str) -> LogReader:
    """The log as it is published now, checked whole."""
    log = LogReader(data / "log", Verifier.decode(log_key))
    log.full_check()
    return log


def find(data: Path, log: LogReader) -> Found:
    """What the log at hand seals, read from the evidence behind it."""
    store = EvidenceStore(data / "evidence")
    found = Found([json.loads(entry) for entry in log.entries()])
    for leaf in found.leaves:
        if leaf["type"] not in {"window", "late"}:
            continue
        window = unix_s(leaf["window"])
        manifest = Manifest.decode(store.get(leaf["manifest_sha256"]))
        sessions: dict[int, set[int]] = defaultdict(set)
        for file in manifest.evidence:
            _take(found, window, sessions, evidence.decode(store.get(file.sha256)))
        if leaf["type"] == "window":
            assert window not in found.in_time, f"window {window} was sealed twice"
            found.in_time[window] = sessions
    return found


def _take(found: Found, window: int, sessions: dict[int, set[int]], segment: PresenceSegment | JournalSegment) -> None:
    assert segment.head.window == window
    if isinstance(segment, JournalSegment):
        found.joined.update(segment.joins["seat"].tolist())
        return
    for row in segment.sessions:
        sessions[row.session].update(row.playing)
        found.present[row.session, window].update(row.playing)


def lost(truth: Truth, found: Found) -> list[str]:
    """What was acknowledged and is not there, one by one."""
    missing = [
        f"session {session}, window {window}: seat {seat}"
        for (session, window), seats in sorted(truth.acknowledged.items())
        for seat in sorted(seats - found.present[session, window])
    ]
    missing += [
        f"{beat} is in none of its windows"
        for beat in truth.straddling
        if not any(
            beat.seat in found.present[beat.session, window] for window in range(beat.sent, beat.answered + 1, WINDOW_S)
        )
    ]
    return missing + [f"the join of seat {seat}" for seat in sorted(truth.joined - found.joined)]


def invented(truth: Truth, found: Found) -> list[str]:
    """What is there and was never attempted."""
    extra = [
        f"session {session}, window {window}: seat {seat}"
        for (session, window), seats in sorted(found.present.items())
        for seat in sorted(seats)
        if not truth.may_be(session, window, seat)
    ]
    if len(found.joined - truth.joined) > truth.unanswered_joins:
        extra.append(f"{len(found.joined - truth.joined)} joins that were never answered 201")
    return extra


def miscounted(found: Found, session_ids: Mapping[int, str]) -> list[str]:
    """The totals of leaves that are not those of the evidence behind them; suppressed ones are checked to be small."""
    wrong = []
    for window, leaf in found.windows.items():
        sessions = found.in_time[window]
        seats = {session_ids[number]: who for number, who in sessions.items()} | {"": set().union(*sessions.values())}
        for row in leaf["totals"]:
            if row["channel"] != "online":
                continue
            expected = len(seats.get(row["session"], ()))
            if row["present"] != expected and not (row["present"] is None and expected < 10):
                wrong.append(f"window {window}, session {row['session']!r}: {row['present']} of {expected}")
    return wrong


def unique_people(truth: Truth, found: Found) -> int:
    """How many people are present anywhere, each counted once whatever seats it had."""
    seats = set().union(*found.present.values()) if found.present else set[int]()
    return len({truth.people.get(seat, f"seat {seat}") for seat in seats})
