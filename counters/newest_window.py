"""The newest sealed window, as operators see it beside its leaf: the two paths compared, channels together, countries.

A leaf says who was online, by session. The rest takes who is who, which the journals of all leaves tell: so the log is
read from its beginning, leaf by leaf, journals only; of presence only the newest window's is read. Several windows that
were sealed at once are compared in the certificate, which compares all.

- **Two paths.** The sketches of attendees in the window's evidence, merged over gateways and workers, beside the seats
  in the same evidence once aliases are one attendee: of each session, and of the event, whose sketch is their union.
  What is missing is missing in both, so a window with gaps compares as well as any; and so do windows that are
  suppressed, because a difference is no number of people. A window's sketches have one shard: only those of whole days
  have several. The standard error is that of counters.cross_check: 0.8125 % of the exact count, at least one person.
  Below 123 people, then, a difference of 5 is five people.
- **Channels.** On site is who was in the room (`counters.onsite.ScansSoFar`), either is who was on site or online.
- **Countries.** Of whoever was there on either channel, once each.

Nobody of an excluded category and no guest is in the numbers; of the comparison they are part, since a sketch leaves
nobody out. Cells of fewer people than the event publishes are left out, and others from which one would follow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pyroaring import BitMap

from counters import evidence, hyperloglog
from counters.attendees_so_far import AttendeesSoFar
from counters.cross_check import DECIMALS, deviation
from counters.event import Event
from counters.evidence import JournalSegment, PresenceSegment, SessionPresence
from counters.exclusions_so_far import ExclusionsSoFar
from counters.manifest import Manifest
from counters.onsite import ScansSoFar
from counters.presence import ONSITE
from counters.sealed_evidence import ReadEvidence
from counters.suppression import Number, withhold_what_follows
from counters.window_leaf import merge_presence, people

EVENT: Final = ""
"""The whole event in a mapping by session, as in a window's leaf."""
EITHER: Final = "either"
"""On site or online."""


@dataclass(frozen=True, slots=True)
class NewestWindow:
    """What there is to be seen of one window. What must not be shown, or does not exist, is left out."""

    window: int = 0  # unix seconds of its start; 0 = there is none yet
    differences: Mapping[str, float] = field(default_factory=dict)
    """Sketch minus exact in standard errors, by session id and EVENT; where either path saw somebody."""
    attendees: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By session id or EVENT, and channel ONSITE or EITHER."""
    countries: Mapping[str, int] = field(default_factory=dict)
    """Of whoever was there on either channel, by counters.countries.COUNTRIES."""


class WindowReader:
    """Reads a log leaf by leaf; a leaf read again changes nothing. Owned by its caller, whose thread it takes."""

    def __init__(self, event: Event, read: ReadEvidence) -> None:
        """Start before entry 0.

        Args:
            event: of the log.
            read: from a digest to the file of evidence, checked.
        """
        self._event = event
        self._read = read
        self._attendees = AttendeesSoFar()
        self._exclusions = ExclusionsSoFar(event)
        self._scans = ScansSoFar(event)
        self._newest: tuple[int, Manifest] | None = None

    def take(self, entry: bytes) -> None:
        """Take in the next entry of the log.

        Raises:
            EvidenceError: a file that it stands on is absent or changed.
            OSError: the disk does not give it.
        """
        leaf = json.loads(entry)
        if leaf["type"] not in {"window", "late"}:
            return
        manifest = Manifest.decode(self._read(leaf["manifest_sha256"]))
        decoded = [evidence.decode(self._read(file.sha256)) for file in manifest.evidence if file.kind == "journal"]
        journals = [journal for journal in decoded if isinstance(journal, JournalSegment)]
        self._attendees.add(journals)
        self._exclusions.add(journals)
        for journal in journals:
            self._scans.add(journal)
        if leaf["type"] == "window":
            self._newest = int(datetime.fromisoformat(leaf["window"]).timestamp()), manifest

    @property
    def window(self) -> int:
        """The newest window that was taken in (unix seconds); 0 = none yet."""
        return self._newest[0] if self._newest else 0

    def newest(self) -> NewestWindow:
        """Return what there is to be seen of the newest window that was taken in; raises as `take`."""
        if self._newest is None:
            return NewestWindow()
        window, manifest = self._newest
        files = [evidence.decode(self._read(file.sha256)) for file in manifest.evidence if file.kind == "presence"]
        merged = merge_presence(file for file in files if isinstance(file, PresenceSegment))
        onsite = self._scans.there(window, self._attendees.aliases.canonical_of_each)
        return self._seen(window, merged, onsite)

    def _seen(self, window: int, merged: Mapping[int, SessionPresence], onsite: Mapping[int, BitMap]) -> NewestWindow:
        canonical, below = self._attendees.aliases.canonical, self._event.counting.suppress_below
        excluded = self._exclusions.excluded
        differences: dict[str, float] = {}
        shown: dict[tuple[str, str], int] = {}
        sizes: dict[str, int] = {}
        gross, online, rooms, sketches = [BitMap()], [BitMap()], [BitMap()], [hyperloglog.empty()]
        for session in self._event.sessions:
            presence = merged.get(session.number)
            everybody = canonical(presence.playing) if presence else BitMap()
            registers = presence.attendees if presence else sketches[0]
            differences |= _difference(session.id, hyperloglog.estimate(registers), len(everybody))
            counted, room = people(everybody, excluded), people(onsite.get(session.number, BitMap()), excluded)
            shown |= _channels(session.id, counted, room, below, gates=bool(session.gates))
            sizes[session.id] = len(room)
            gross.append(everybody)
            online.append(counted)
            rooms.append(room)
            sketches.append(registers)
        everybody, counted, there = (BitMap.union(*sets) for sets in (gross, online, rooms))
        differences |= _difference(EVENT, hyperloglog.estimate(hyperloglog.merge(sketches)), len(everybody))
        gates = any(session.gates for session in self._event.sessions)
        shown |= _channels(EVENT, counted, there, below, gates=gates)
        _withhold_rooms(shown, sizes, below)
        countries = _shown_parts("country", self._attendees.by_country(counted | there), below)
        return NewestWindow(window, differences, shown, countries)


def _difference(name: str, estimate: int, exact: int) -> dict[str, float]:
    if not estimate and not exact:
        return {}
    return {name: float(round(deviation(estimate, exact), DECIMALS))}


def _channels(name: str, online: BitMap, onsite: BitMap, below: int, *, gates: bool) -> dict[tuple[str, str], int]:
    """Return what may be shown of a session besides who was online, which the leaf publishes or not.

    Whoever knows two of online, on site and either knows who was on both channels but for one number, and who was on
    one alone: where one of these groups is small, `either` is withheld.
    """
    both = online.intersection_cardinality(onsite)
    groups = (len(online), len(onsite), both, len(online) - both, len(onsite) - both)
    shown = {}
    if gates and not 0 < len(onsite) < below:
        shown[name, ONSITE] = len(onsite)
    if not any(0 < size < below for size in groups):
        shown[name, EITHER] = len(online) + len(onsite) - both
    return shown


def _withhold_rooms(shown: dict[tuple[str, str], int], sizes: Mapping[str, int], below: int) -> None:
    """Take away the rooms, or the event's number, from which a room of few people would follow.

    Nobody is in two rooms, so that they add up to the event's number: where one is withheld, others are with it, the
    smallest first, until those withheld are two and together not few.
    """
    held = [size for size in sizes.values() if 0 < size < below]
    if not held:
        return
    for size, name in sorted((size, name) for name, size in sizes.items() if size >= below):
        if len(held) > 1 and sum(held) >= below:
            break
        held.append(size)
        for channel in (ONSITE, EITHER):
            shown.pop((name, channel), None)
    if len(held) < 2 or sum(held) < below:
        for channel in (ONSITE, EITHER):
            shown.pop((EVENT, channel), None)


def _shown_parts(attribute: str, parts: Mapping[str, int], below: int) -> dict[str, int]:
    """Return those of the parts of a total that may be shown: no small one, and none from which one would follow."""
    numbers = []
    for value, size in parts.items():
        row = {"rule": "unique-attendees", "scope": {attribute: value}, "value": size}
        numbers.append(Number(row | ({"suppressed": True} if 0 < size < below else {}), size, public=False))
    withhold_what_follows(numbers, below)
    return {
        str(number.row["scope"][attribute]): int(number.size) for number in numbers if "suppressed" not in number.row
    }
