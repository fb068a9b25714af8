"""What one gateway hands to the ledger for one window: segments of evidence, and which workers they speak for.

Bundle, version 1: one line of canonical JSON, a newline, then the segments one after the other.

    {"version": 1, "event_sha256": hex, "gateway": text, "window": unix s, "segments": [bytes of each],
     "workers": [{"worker": id, "through": unix s, "ended": bool}]}

`through` promises that everything this worker accepted before that time is handed over with this bundle or was before;
`ended` that the worker is gone and nothing more will come. A bundle without segments is such a promise alone.

Hand-worked, a promise for one worker, on one line: `{"event_sha256":"…","gateway":"g","segments":[],"version":1,
"window":60,"workers":[{"ended":false,"through":120,"worker":"00…01"}]}` and a newline.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from counters import canonical_json, journal
from counters.evidence import Coverage, PresenceSegment, SegmentHead, SessionPresence, encode, journal_segments
from counters.segment import WINDOW_S, is_count, is_digest
from counters.spool import BACKGROUND, Records
from counters.spooled_window import WindowSpool

VERSION: Final = 1
REFUSED: Final = "refused."
"""Cells of this prefix count refusals: refused.<path>.<label of the reason>."""
_PLACE: Final = np.uint64(0xFFFF_FFFF_FFFF)
"""Session number << 32 | seat, out of a spool's record (counters.spool)."""


class HandOverError(ValueError):
    """The bytes are no sound bundle."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a bundle promises for one worker."""

    worker: str
    through: int  # unix seconds
    ended: bool


@dataclass(frozen=True, slots=True)
class HandOver:
    """One bundle."""

    event_sha256: str
    gateway: str
    window: int  # unix seconds
    workers: tuple[WorkerReport, ...]
    segments: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the bundle's bytes."""
        head = {
            "version": VERSION,
            "event_sha256": self.event_sha256,
            "gateway": self.gateway,
            "window": self.window,
            "segments": [len(segment) for segment in self.segments],
            "workers": [asdict(report) for report in self.workers],
        }
        return b"".join((canonical_json.encode(head), b"\n", *self.segments))

    @classmethod
    def decode(cls, bundle: bytes) -> "HandOver":
        """Return what a bundle says; the segments themselves are not looked into.

        Raises:
            HandOverError: anything but what `encode` writes.
        """
        line, newline, body = bundle.partition(b"\n")
        try:
            head = canonical_json.decode(line)
            reports = tuple(WorkerReport(**row) for row in head["workers"])
            lengths = head["segments"]
            value = cls(head["event_sha256"], head["gateway"], head["window"], reports, _cut(body, lengths))
        except (canonical_json.CanonicalJsonError, KeyError, TypeError) as error:
            raise HandOverError(f"the head of the bundle cannot be read: {error}") from error
        sound = (
            bool(newline)
            and is_digest(value.event_sha256)
            and isinstance(value.gateway, str)
            and all(is_count(number) for number in (value.window, *(report.through for report in reports)))
            and all(isinstance(report.worker, str) and isinstance(report.ended, bool) for report in reports)
        )
        if not sound or value.encode() != bundle:
            raise HandOverError("the head of the bundle has other fields than it must")
        return value


def _cut(body: bytes, lengths: Any) -> tuple[bytes, ...]:
    if not isinstance(lengths, list) or not all(is_count(length) for length in lengths) or sum(lengths) != len(body):
        raise HandOverError("the segments are cut short or run over")
    ends = np.cumsum([0, *lengths]).tolist()
    return tuple(body[start:end] for start, end in pairwise(ends))


def window_segments(
    head: SegmentHead,
    spools: Sequence[WindowSpool],
    session_numbers: Sequence[int],
) -> tuple[bytes, ...]:
    """Return the segments of what a gateway's workers accepted in one window: presence, and journals if there are any.

    Args:
        head: gateway, window and coverage.
        spools: the window of each worker.
        session_numbers: the event's sessions, ascending: the rows of the registers.
    """
    # A record's seventh byte is its flags (counters.spool).
    behind = [(spool.records.view(np.uint8)[6::8] & BACKGROUND).astype(np.bool_) for spool in spools]
    some_behind = any(map(np.any, behind))
    places = _sorted_places([spool.records for spool in spools])
    in_front = _sorted_places(
        [spool.records[~of] for spool, of in zip(spools, behind, strict=True)] if some_behind else []
    )
    presences: list[SessionPresence] = []
    for row, number in enumerate(session_numbers):
        playing = _seats_of(number, places)
        if not playing:
            continue
        foreground = _seats_of(number, in_front) if some_behind else playing
        sketches = np.maximum.reduce([spool.registers[:, row].max(axis=0) for spool in spools])
        presences.append(SessionPresence(number, playing, playing - foreground, sketches[0], sketches[1]))
    presence = encode(PresenceSegment.of(head, _refusals(spools), presences))
    written = [record for spool in spools for record in journal.decode(spool.journal)]
    return (presence, *(encode(segment) for segment in journal_segments(head, written)))


def _sorted_places(records: Sequence[Records]) -> Records:
    """Return session number << 32 | seat of all records, ascending: sorted once, and not once a session."""
    # Filled part by part: of nine million records each further copy would be 72 MB.
    places = np.empty(sum(map(len, records)), np.uint64)
    filled = 0
    for part in records:
        np.bitwise_and(part, _PLACE, out=places[filled : filled + len(part)])
        filled += len(part)
    places.sort()
    return places


def _seats_of(session: int, places: Records) -> BitMap:
    """Return the seats of a session out of sorted places."""
    start, end = np.searchsorted(places, np.array([session << 32, (session + 1) << 32], np.uint64)).tolist()
    # An array goes to the bitmap's own loop; a numpy array's elements would become Python integers one by one.
    return BitMap(array("I", places[start:end].astype(np.uint32).tobytes()))


def _refusals(spools: Sequence[WindowSpool]) -> Mapping[str, int]:
    refusals: dict[str, int] = {}
    for spool in spools:
        for name, count in spool.counters.items():
            if count and name.startswith(REFUSED):
                label = name.rpartition(".")[2]
                refusals[label] = refusals.get(label, 0) + count
    return refusals


def coverage(
    spool: WindowSpool, gateway: str, *, power_lost: bool = False, clock_offset_ms: int | None = None
) -> Coverage:
    """What one worker can vouch for in a window.

    The death of a worker takes nothing: what it stored belongs to the kernel. But that it was there is certain only
    until it synced last, which it does each second. If the host itself went down since (`power_lost`), only what had
    been synced is certain, in a window that the worker had closed too.
    """
    lost = power_lost or bool(spool.torn)
    seen_ms = max(spool.synced_until_ms, spool.opened_ms)
    until_ms = spool.closed_ms or ((spool.window + WINDOW_S) * 1000 if lost else seen_ms)
    return Coverage(
        worker=spool.worker,
        gateway=gateway,
        from_ms=spool.opened_ms,
        until_ms=until_ms,
        # What was accepted in the very millisecond of a sync may have come after it.
        synced_until_ms=min(seen_ms, until_ms - 1) if lost else until_ms,
        crashed=lost or not spool.closed_ms,
        records=len(spool.records) + sum(1 for _ in journal.decode(spool.journal)),
        clock_offset_ms=clock_offset_ms,
    )


def unreadable(
    worker: str, gateway: str, window: int, *, crashed: bool, clock_offset_ms: int | None = None
) -> Coverage:
    """Say that a worker accepted something in a window whose files cannot be read: it vouches for no moment of it."""
    row = _of_no_length(worker, gateway, window)
    return replace(row, crashed=crashed, clock_offset_ms=clock_offset_ms, unreadable=True)


def accepted_nothing(worker: str, gateway: str, window: int) -> Coverage:
    """Say that a worker had ended, and accepted nothing in a window that is not in evidence: its row has no length.

    A worker that ends with its disk full may have closed its last window when that was over, and have opened no other.
    """
    return _of_no_length(worker, gateway, window)


def _of_no_length(worker: str, gateway: str, window: int) -> Coverage:
    start_ms = window * 1000
    return Coverage(
        worker=worker,
        gateway=gateway,
        from_ms=start_ms,
        until_ms=start_ms,
        synced_until_ms=start_ms,
        crashed=False,
        records=0,
    )
