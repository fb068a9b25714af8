"""What Redis held, made again from the evidence: seats, outcomes of scans, and the day's uniques.

Everything that Redis is asked for comes out of the journals, which are evidence: who has which seat, after aliases;
which scans were accepted; and who joined which session on which day, so that the sketches of the day's uniques rise to
where they were. The sketches of the last minutes are not made again: gateways still have them, and they are over soon.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from counters import evidence, hyperloglog
from counters.attendee import attendee_selector
from counters.event import Event
from counters.evidence import JournalSegment
from counters.evidence_store import EvidenceError
from counters.hyperloglog import Registers
from counters.journal import Direction, JoinKind
from counters.live import uniques_key
from counters.live_counts import WHOLE_EVENT
from counters.log_entries import SealedLog
from counters.manifest import Manifest, ManifestError
from counters.registry import scan_key, scan_outcome
from counters.roll import Owners, read_owners
from counters.sealed_evidence import ReadEvidence
from counters.segment import SegmentError
from counters.uniques import EVENT_SHARDS, SESSION_SHARDS

JOURNAL: Final = "journal"
"""The kind of evidence in a manifest."""
_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """One accepted scan, as the registry remembers it."""

    key: str
    what: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What Redis should hold."""

    pseudonyms: npt.NDArray[np.void]  # 16 bytes of each attendee
    seats: npt.NDArray[np.uint32]  # the canonical seat of each
    aliases: int  # seats besides the canonical ones
    scans: Sequence[ScanOutcome]  # each key once
    uniques: Mapping[str, Registers]  # by key


def read_journals(log: SealedLog, read: ReadEvidence) -> Iterator[JournalSegment]:
    """Yield the journals behind every leaf, in the order of the log; `read` checks digests.

    Raises:
        EvidenceError: a file is absent, was changed, or is malformed.
    """
    for leaf in log.leaves:
        try:
            manifest = Manifest.decode(read(leaf.manifest_sha256))
            for file in manifest.evidence:
                if file.kind == JOURNAL:
                    segment = evidence.decode(read(file.sha256))
                    if isinstance(segment, JournalSegment):
                        yield segment
        except (EvidenceError, ManifestError, SegmentError) as error:
            raise EvidenceError(f"entry {leaf.index}, window {log.event.iso(leaf.window)}: {error}") from error


def recover(event: Event, journals: Sequence[JournalSegment]) -> Recovered:
    """Return what Redis should hold by these journals."""
    owners = read_owners(journals)
    own = owners.canonical == owners.seats
    return Recovered(
        pseudonyms=owners.pseudonyms[own],
        seats=owners.seats[own],
        aliases=int(np.count_nonzero(~own)),
        scans=_scans(event, journals),
        uniques=_uniques(event, journals, owners),
    )


def _scans(event: Event, journals: Sequence[JournalSegment]) -> list[ScanOutcome]:
    """Return the accepted scans, the earliest of each gate and nonce.

    A scan's record does not name its badge; the record that was written with it does, at the same time for the same
    seat and session. Where several badges of one attendee passed in the same millisecond neither is told.
    """
    badges: dict[tuple[int, int, int], set[bytes]] = {}
    for journal in journals:
        joins = journal.joins[journal.joins["kind"] == JoinKind.BADGE]
        for seat, session, at_ms, digest in zip(
            joins["seat"].tolist(), joins["session"].tolist(), joins["joined_at_ms"].tolist(), joins["token_digest"],
            strict=True,
        ):  # fmt: skip
            badges.setdefault((seat, session, at_ms), set()).add(bytes(digest))
    found: dict[str, tuple[int, str]] = {}
    for journal in journals:
        for row in journal.scans.tolist():
            seat, session, direction, _, _, received_at_ms, gate, nonce, refusal = row
            digests = badges.get((seat, session, received_at_ms), set())
            if journal.texts[refusal] or len(digests) != 1:
                continue
            key = scan_key(event.id, journal.texts[gate], journal.texts[nonce])
            outcome = (received_at_ms, scan_outcome(next(iter(digests)), Direction(direction)))
            found[key] = min(outcome, found.get(key, outcome))
    return [ScanOutcome(key, what) for key, (_, what) in found.items()]


def _uniques(event: Event, journals: Sequence[JournalSegment], owners: Owners) -> dict[str, Registers]:
    """Return the day's uniques of every day, session and shard, as joins raise them (counters.uniques)."""
    names = owners.pseudonyms.tolist()
    places = np.array([hyperloglog.position(name, attendee_selector(name)) for name in names], np.uint32)
    sketches: dict[tuple[int, str], npt.NDArray[np.uint8]] = {}
    for journal in journals:
        # A seat that no ticket stands behind is a gap, which the certificate prints: nobody is known to sit there.
        known = np.isin(journal.joins["seat"], owners.seats)
        joins = journal.joins[known & (journal.joins["kind"] != JoinKind.BADGE)]
        of_joins = places[np.searchsorted(owners.seats, joins["seat"])]
        minutes = joins["joined_at_ms"] // _MINUTE_MS
        for minute, session in sorted(set(zip(minutes.tolist(), joins["session"].tolist(), strict=True))):
            here = of_joins[(minutes == minute) & (joins["session"] == session)]
            for number, shards in ((session, SESSION_SHARDS), (WHOLE_EVENT, EVENT_SHARDS)):
                place = (number, event.day(minute * 60))
                if place not in sketches:
                    sketches[place] = np.zeros((shards, hyperloglog.REGISTERS), np.uint8)
                _raise(sketches[place], here)
    return {
        uniques_key(event.id, number, shard, day): registers
        for (number, day), sketch in sketches.items()
        for shard, registers in enumerate(sketch)
        if registers.any()
    }


def _raise(sketch: npt.NDArray[np.uint8], places: Any) -> None:
    """Raise the shards [S][16384] to hold attendees' places."""
    shard = ((places >> 14) & 0x3FF) % len(sketch)
    np.maximum.at(sketch, (shard, places & 0x3FFF), (places >> 24).astype(np.uint8))
