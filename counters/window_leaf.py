r"""The leaf of a window: what the public sees of one clock minute, and the manifest that an auditor follows from it.

Pure functions from decoded segments to bytes. The ledger's sealer calls them when a window closes; the verifier calls
them again with the segments from the evidence and requires the very same leaf.

A leaf's totals have one row for each session of the event, and one for the whole event with session "", where somebody
was present online or a view was opened:

    present     seats with an accepted heartbeat in the window, |Bw|
    arrived     those of them not present in the preceding clock minute, |Bw \ Bw−1|
    background  those of them heard only from players in the background
    views       views opened in the window

All of them without attendees of excluded categories (as the journals sealed so far know them) and without guests. How
many views that has left out so far, by session, stands beside them in `left_out`, in steps (counters.left_out); a leaf
that would be too long for the log does without, and is of version 1. A row whose present (or, with nobody present,
views) is 1 … suppress_below − 1 carries "suppressed": true and null counts.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from counters import canonical_json, hyperloglog, left_out
from counters.event import Event
from counters.evidence import JournalSegment, PresenceSegment, SessionPresence
from counters.exclusions_so_far import views_opened
from counters.journal import Direction
from counters.manifest import VERSION as MANIFEST_VERSION
from counters.manifest import EvidenceFile, Granted, Manifest, SketchDigest
from counters.segment import WINDOW_S, Coverage

VERSION: Final = 2
ENTRY_LIMIT_BYTES: Final = 65_535
"""tlog-tiles counts an entry's length in 16 bits."""
FIRST_GUEST_SEAT: Final = 1 << 31
"""Bit 31 marks guests: devices, which no number of people contains."""
SEATS_END: Final = 1 << 32

COUNTS: Final = ("present", "arrived", "background", "views")


class LeafError(ValueError):
    """The evidence does not make a leaf: it is of another window or event, or the leaf would be too long."""


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment and the file it came from."""

    sha256: str  # hex
    bytes: int
    segment: PresenceSegment | JournalSegment


@dataclass(frozen=True, slots=True)
class JournalCounts:
    """What a leaf says of the journals of its window."""

    views: Mapping[int, int]  # opened, by session number
    left_out: Mapping[int, int]  # opened by excluded seats
    scans: Mapping[str, int]  # by what became of them


def merge_presence(segments: Iterable[PresenceSegment]) -> dict[int, SessionPresence]:
    """Return by session number who was present, as all gateways together saw it.

    A seat is in the background if no gateway heard it in the foreground.
    """
    parts: dict[int, list[SessionPresence]] = {}
    for segment in segments:
        for session in segment.sessions:
            parts.setdefault(session.session, []).append(session)
    return {number: _merge_session(number, parts[number]) for number in sorted(parts)}


def _merge_session(number: int, parts: Sequence[SessionPresence]) -> SessionPresence:
    if len(parts) == 1:
        return parts[0]
    playing = BitMap.union(*(part.playing for part in parts))
    # Few are in the background: only of them it is asked whether another gateway heard them in the foreground.
    background = BitMap.union(*(part.background for part in parts))
    for part in parts:
        background = background - ((background & part.playing) - part.background)
    return SessionPresence(
        number,
        playing,
        background,
        hyperloglog.merge(part.attendees for part in parts),
        hyperloglog.merge(part.views for part in parts),
    )


def people(seats: BitMap, excluded: BitMap) -> BitMap:
    """Return the seats without guests and without those excluded."""
    net = seats - excluded
    net.remove_range(FIRST_GUEST_SEAT, SEATS_END)
    return net


def window_totals(
    event: Event,
    present: Mapping[int, SessionPresence],
    before: Mapping[int, SessionPresence],
    excluded: BitMap,
    views: Mapping[int, int],
) -> list[dict[str, Any]]:
    """Return the rows of a leaf's totals: event-wide first, then by session number.

    Args:
        event: names the sessions; a session number that it does not have is in no row.
        present: by session number, of this window (`merge_presence`).
        before: the same of the preceding clock minute; empty if that was not sealed.
        excluded: seats that count for nothing (counters.exclusions_so_far).
        views: by session number, views opened in this window (`views_opened().counted`).
    """
    now, then, seen = [BitMap()], [BitMap()], [BitMap()]
    rows = []
    for session in event.sessions:
        here, earlier = present.get(session.number), before.get(session.number)
        playing = people(here.playing, excluded) if here else BitMap()
        background = people(here.background, excluded) if here else BitMap()
        previous = people(earlier.playing, excluded) if earlier else BitMap()
        now.append(playing)
        then.append(previous)
        seen.append(playing - background)
        rows.append(_row(event, session.id, (playing, previous, background), views.get(session.number, 0)))
    everyone = BitMap.union(*now)
    background = everyone - BitMap.union(*seen)
    opened = sum(views.get(session.number, 0) for session in event.sessions)
    rows.insert(0, _row(event, "", (everyone, BitMap.union(*then), background), opened))
    return [row for row in rows if row["present"] != 0 or row["views"] != 0]


def _row(event: Event, session: str, sets: tuple[BitMap, BitMap, BitMap], views: int) -> dict[str, Any]:
    playing, previous, background = sets
    counts = (len(playing), playing.difference_cardinality(previous), len(background), views)
    row: dict[str, Any] = {"session": session, "channel": "online", **dict(zip(COUNTS, counts, strict=True))}
    if 0 < (len(playing) or views) < event.counting.suppress_below:
        row |= dict.fromkeys(COUNTS) | {"suppressed": True}
    return row


def build_manifest(
    event: Event,
    window: int,
    stored: Sequence[StoredSegment],
    missing: Collection[str],
    software: str,
    *,
    merged: Mapping[int, SessionPresence] | None = None,
    version: int = MANIFEST_VERSION,
    granted: Iterable[Granted] = (),
) -> Manifest:
    """Return the manifest of a window's segments, or of what came late for it.

    `missing` are the workers that hold seats and did not report; `merged` is as for `build_leaf`; `version` is that of
    a manifest that is rebuilt to check it. Of the seats `granted` it names those of workers whose evidence is not all
    there.

    Raises:
        LeafError: a segment is of another event or window.
    """
    _check_heads(event, window, (file.segment for file in stored))
    files = {file.sha256: file for file in stored}
    if merged is None:
        merged = merge_presence(_presence(file.segment for file in stored))
    coverage = {row for file in stored for row in file.segment.head.workers}
    wanting = {*missing, *(row.worker for row in coverage if row.wanting)}
    return Manifest(
        event.digest,
        event.iso(window),
        _interval_s(event, (file.segment for file in stored)),
        tuple(
            EvidenceFile(
                file.sha256,
                "journal" if isinstance(file.segment, JournalSegment) else "presence",
                file.bytes,
                file.segment.head.gateway,
            )
            for _, file in sorted(files.items())
        ),
        tuple(sorted(coverage, key=_in_manifest)),
        tuple(sorted(missing)),
        tuple(
            SketchDigest(session, sketch, hashlib.sha256(hyperloglog.pack(registers)).hexdigest())
            for session, sketch, registers in _sketches(event, merged)
        ),
        software,
        version,
        tuple(sorted((row for row in granted if row.worker in wanting and version > 1), key=lambda row: row.worker)),
    )


def _in_manifest(row: Coverage) -> tuple[Any, ...]:
    offset_ms = row.clock_offset_ms
    return (
        row.worker, row.from_ms, row.until_ms, row.records, row.gateway, row.synced_until_ms, row.crashed,
        row.unreadable, offset_ms is not None, offset_ms or 0,
    )  # fmt: skip


def _check_heads(event: Event, window: int, segments: Iterable[PresenceSegment | JournalSegment]) -> None:
    for segment in segments:
        if segment.head.event_sha256 != event.digest:
            raise LeafError("a segment is evidence of another event")
        if segment.head.window != window:
            raise LeafError(f"a segment is of the window {segment.head.window}, not {window}")


def _presence(segments: Iterable[PresenceSegment | JournalSegment]) -> list[PresenceSegment]:
    return [segment for segment in segments if isinstance(segment, PresenceSegment)]


def _interval_s(event: Event, segments: Iterable[PresenceSegment | JournalSegment]) -> int:
    return max((segment.head.interval_s for segment in segments), default=event.interval_s)


def _sketches(event: Event, merged: Mapping[int, SessionPresence]) -> Iterable[tuple[str, str, hyperloglog.Registers]]:
    """Yield (session id, name of the sketch, registers) in the order of session ids and names, empty ones left out."""
    for session in sorted(event.sessions, key=lambda session: session.id):
        here = merged.get(session.number)
        for sketch in ("attendees", "views") if here else ():
            registers = getattr(here, sketch)
            if registers.any():
                yield session.id, sketch, registers


def build_leaf(
    event: Event,
    window: int,
    segments: Sequence[PresenceSegment | JournalSegment],
    before: Mapping[int, SessionPresence],
    excluded: BitMap,
    manifest: Manifest,
    *,
    merged: Mapping[int, SessionPresence] | None = None,
    counted: JournalCounts | None = None,
    views_left_out: Mapping[int, int] | None = None,
) -> bytes:
    """Return the log entry of a window: canonical JSON, at most 65,535 bytes.

    Args:
        event: of leaf 0.
        window: start of the clock minute, unix seconds.
        segments: all decoded segments that the manifest names.
        before: presence by session in the preceding clock minute, if the log holds its leaf before this one.
        excluded: `ExclusionsSoFar.excluded` after this window's journals were added.
        manifest: of these segments (`build_manifest`).
        merged: `merge_presence` of the presence segments, if the caller has it already.
        counted: `count_journals` of the journals, if the caller has it already; then their records are not looked at.
        views_left_out: `ExclusionsSoFar.leave_out` of this window; None: a leaf of version 1, which does not tell it.

    Raises:
        LeafError: a segment is of another event or window, or the leaf would be too long for the log.
    """
    _check_heads(event, window, segments)
    if counted is None:
        counted = count_journals([one for one in segments if isinstance(one, JournalSegment)], excluded)
    present = merge_presence(_presence(segments)) if merged is None else merged
    totals = window_totals(event, present, before, excluded, counted.views)
    digests = {(row.session, row.sketch): row.sha256 for row in manifest.registers}
    shown = {row["session"] for row in totals if "suppressed" not in row}
    leaf: dict[str, Any] = {
        "type": "window",
        "version": 1,
        "event_sha256": event.digest,
        "window": event.iso(window),
        "window_s": WINDOW_S,
        "interval_s": manifest.interval_s,
        "scheduled": [session.id for session in event.scheduled(window)],
        "totals": totals,
        "scans": dict(counted.scans),
        "refusals": _refusal_counts(_presence(segments)),
        "sketches": [
            {
                "session": session,
                "sketch": sketch,
                "registers_sha256": digests[session, sketch],
                "estimate": hyperloglog.estimate(registers) if session in shown else None,
            }
            for session, sketch, registers in _sketches(event, present)
        ],
        "manifest_sha256": hashlib.sha256(manifest.encode()).hexdigest(),
        "missing": list(manifest.missing),
        "simulated": event.simulated,
        "software": manifest.software,
    }
    if views_left_out is not None:
        telling = leaf | {"version": VERSION, "left_out": left_out.told(event, views_left_out)}
        if len(entry := canonical_json.encode(telling)) <= ENTRY_LIMIT_BYTES:
            return entry
    entry = canonical_json.encode(leaf)
    if len(entry) > ENTRY_LIMIT_BYTES:
        raise LeafError(f"the leaf of {event.iso(window)} has {len(entry)} bytes; the log takes {ENTRY_LIMIT_BYTES}")
    return entry


def count_journals(journals: Sequence[JournalSegment], excluded: BitMap) -> JournalCounts:
    """Return what the leaf of these journals says of them; `excluded` is as for `build_leaf`."""
    opened = views_opened(journals, excluded)
    return JournalCounts(opened.counted, opened.left_out, _scan_counts(journals))


def _scan_counts(journals: Iterable[JournalSegment]) -> dict[str, int]:
    counts = {"in": 0, "out": 0, "refused": 0}
    for journal in journals:
        accepted = np.array([text == "" for text in journal.texts], bool)[journal.scans["refusal"]]
        entering = journal.scans["direction"] == Direction.IN
        counts["in"] += int(np.count_nonzero(accepted & entering))
        counts["out"] += int(np.count_nonzero(accepted & ~entering))
        counts["refused"] += int(np.count_nonzero(~accepted))
    return counts


def _refusal_counts(segments: Iterable[PresenceSegment]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for segment in segments:
        for label, count in segment.refusals.items():
            counts[label] = counts.get(label, 0) + count
    return counts


def build_late_leaf(event: Event, window: int, manifest: Manifest, received_at: float) -> bytes:
    """Return the log entry for evidence that came after its window was sealed (unix seconds of its arrival)."""
    return canonical_json.encode(
        {
            "type": "late",
            "version": 1,
            "event_sha256": event.digest,
            "window": event.iso(window),
            "manifest_sha256": hashlib.sha256(manifest.encode()).hexdigest(),
            "received_at": event.iso(received_at),
            "simulated": event.simulated,
            "software": manifest.software,
        }
    )
