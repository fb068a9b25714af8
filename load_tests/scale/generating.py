"""From made-up visits to a data directory that `turnout certify` takes, and the truth beside it.

    DIR/event.toml, jwks.json   the event file
    DIR/data/                   what a ledger would have left: log, evidence, grants, secrets, clock
    DIR/trust-policy            that names the log's key, for whoever verifies
    DIR/truth.json              how many people, and every number that the certificate must have

Two passes, each over both cores. The first draws everybody's visits and counts the truth (`truth`). The second goes
through the windows of a part of a day, writes each gateway's segments and the manifest, and builds the leaf. In the end
the leaves are appended to the log in their order. The same arguments give the same files, byte for byte.
"""

import contextlib
import hashlib
import itertools
import json
import multiprocessing
import shutil
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from counters import canonical_json, evidence, left_out
from counters.clock import SimulatedClock
from counters.event import Event, load_event
from counters.evidence import Coverage, JournalSegment, PresenceSegment, SegmentHead, SessionPresence
from counters.ledger.log import Log
from counters.ledger.note import Signer
from counters.log_key import LOG_KEY
from counters.rule_ids import KNOWN_RULES
from counters.sealing import event_entry
from counters.secrets import Secrets, bind_to_log, load_or_create_secrets
from counters.software import SOFTWARE
from counters.window_leaf import VERSION as LEAF_VERSION
from counters.window_leaf import StoredSegment, build_leaf, build_manifest, count_journals, merge_presence
from load_tests.scale.crowd_in_windows import Crowd, bitmap
from load_tests.scale.expected import numbers
from load_tests.scale.journals import Joins, scan_rows, scans_by_window, segment
from load_tests.scale.onsite import onsite_visits
from load_tests.scale.people import People
from load_tests.scale.programme import DAYS, INTERVAL_S, JWKS, WINDOW_S
from load_tests.scale.truth import Truth, add_onsite, count
from load_tests.scale.visits import VISIT, VISITS_A_DAY, Visits, seats_of

RANGE: Final = 1 << 17
"""Persons whose visits are drawn at once: some 300 MB of arrays in each process."""
PARTS_A_DAY: Final = 4
GROUP: Final = 256
"""Leaves appended at once: a full tile."""
REFUSED: Final = "token_expired"


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything lies."""

    directory: Path

    @property
    def event_file(self) -> Path:
        """The event file."""
        return self.directory / "event.toml"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def evidence(self) -> Path:
        """The folder of evidence."""
        return self.data / "evidence"

    @property
    def truth(self) -> Path:
        """The truth."""
        return self.directory / "truth.json"

    def visits(self, day: int) -> Path:
        """The visits of a day, while they are needed."""
        return self.directory / f"visits-{day}"


def generate(place: Place, people: People, processes: int) -> dict[str, float]:
    """Make the directory; return how long each step took, in seconds."""
    if place.directory.exists():
        shutil.rmtree(place.directory)
    place.evidence.mkdir(parents=True, mode=0o700)
    place.event_file.write_text(people.programme.event_file(KNOWN_RULES))
    (place.directory / "jwks.json").write_text(JWKS)
    if processes == 1:
        return _generate(place, people, map)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return _generate(place, people, pool.imap)


def _generate(place: Place, people: People, each: Callable[..., Iterator[Any]]) -> dict[str, float]:
    times = [time.monotonic()]
    truth = _draw(place, people, each)
    times.append(time.monotonic())
    document = {
        "people": asdict(people),
        "gross": truth.gross.tolist(),
        "numbers": numbers(truth, people.programme),
        "minutes": truth.minutes.tolist(),
    }
    place.truth.write_text(json.dumps(document))
    cuts = np.linspace(0, people.programme.windows_a_day, PARTS_A_DAY + 1).astype(int).tolist()
    days = [day * people.programme.windows_a_day for day in range(DAYS)]
    parts = [(place, people, day + first, day + end) for day in days for first, end in itertools.pairwise(cuts)]
    leaves = [leaf for part in each(_seal, parts) for leaf in part]
    times.append(time.monotonic())
    _write_log(place, people, leaves)
    for day in range(DAYS):
        place.visits(day).unlink()
    times.append(time.monotonic())
    steps = ("visits and truth", "evidence and leaves", "log")
    return {step: later - earlier for step, (earlier, later) in zip(steps, itertools.pairwise(times), strict=True)}


# The first pass.


def _draw(place: Place, people: People, each: Callable[..., Iterator[Any]]) -> Truth:
    """Write everybody's visits to a file for each day; return the truth."""
    truth = Truth.empty(people.programme)
    ranges = [(people, first, min(first + RANGE, people.online)) for first in range(0, people.online, RANGE)]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(place.visits(day).open("wb")) for day in range(DAYS)]
        for by_day, part in each(_count, ranges):
            truth += part
            for file, visits in zip(files, by_day, strict=True):
                visits.tofile(file)
    add_onsite(truth, people, onsite_visits(people))
    return truth


def _count(work: tuple[People, int, int]) -> tuple[list[Visits], Truth]:
    visits, truth = count(*work)
    day = visits["ordinal"] // VISITS_A_DAY
    return [visits[day == each] for each in range(DAYS)], truth


# The second pass.

_Leaf = tuple[bytes, Mapping[int, int]]
"""A leaf of version 1, and how many views its window leaves out, by session number."""


class _Windows:
    """The evidence of a run of windows. Owned by one process."""

    def __init__(self, place: Place, people: People, first: int, end: int) -> None:
        self._place, self._people = place, people
        self._event: Event = load_event(place.event_file)
        day = first // people.programme.windows_a_day
        visits: Visits = np.fromfile(place.visits(day), VISIT)
        self._staff = _staff_until(place, people, first)
        visits = visits[(visits["start"] < end) & (visits["end"] >= first - 1)]
        self._newcomers = visits[people.staff(visits["person"].astype(np.int64))]
        begin = first - 1 if first % people.programme.windows_a_day else first
        self._crowd, self._joins = Crowd(people, visits, begin), Joins(people, visits, first, end)
        self._scans = scans_by_window(onsite_visits(people))
        self._onsite_staff = _onsite_staff(people)
        self._before: dict[int, SessionPresence] = {}
        if begin < first:
            self._crowd.step(begin)
            self._before = merge_presence(self._presence(begin))
        self._first, self._end = first, end

    def leaves(self) -> Iterator[_Leaf]:
        """Write the evidence of each window; yield its leaf."""
        for window in range(self._first, self._end):
            self._crowd.step(window)
            yield self._leaf(window)

    def _leaf(self, window: int) -> _Leaf:
        journals = list(self._journals(window))
        presence = self._presence(window)
        segments: list[PresenceSegment | JournalSegment] = [*presence, *journals]
        stored = [StoredSegment(*self._put(evidence.encode(one)), one) for one in segments]
        here = self._newcomers["start"] == window
        self._staff |= bitmap(np.sort(seats_of(self._people, self._newcomers[here])))
        self._staff |= BitMap([seat for seat, first in self._onsite_staff if first == window])
        merged = merge_presence(presence)
        at = self._people.programme.unix_s(window)
        manifest = build_manifest(self._event, at, stored, (), SOFTWARE, merged=merged)
        self._put(manifest.encode())
        counted = count_journals(journals, self._staff)
        leaf = build_leaf(
            self._event, at, segments, self._before, self._staff, manifest, merged=merged, counted=counted
        )
        # The crowd goes on with the very sets of this window.
        self._before = {
            number: SessionPresence(number, one.playing.copy(), one.background.copy(), one.attendees, one.views)
            for number, one in merged.items()
        }
        return leaf, counted.left_out

    def _put(self, data: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        (self._place.evidence / digest).write_bytes(data)
        return digest, len(data)

    def _head(self, window: int, gateway: int, records: int) -> SegmentHead:
        at = self._people.programme.unix_s(window)
        start = at * 1000
        rows = tuple(
            Coverage(
                worker_id(worker), gateway_id(gateway), start, start + WINDOW_S * 1000, start + WINDOW_S * 1000,
                crashed=False, records=records // 2, clock_offset_ms=worker * 3 - 10,
            )
            for worker in range(gateway, self._people.workers, self._people.gateways)
        )  # fmt: skip
        return SegmentHead(self._event.digest, gateway_id(gateway), at, INTERVAL_S, rows)

    def _presence(self, window: int) -> list[PresenceSegment]:
        segments = []
        for gateway in range(self._people.gateways):
            rooms = list(self._crowd.rooms(gateway))
            present = sum(len(room.playing) for room in rooms)
            head = self._head(window, gateway, present * WINDOW_S // INTERVAL_S)
            segments.append(PresenceSegment.of(head, {REFUSED: present // 1000}, rooms))
        return segments

    def _journals(self, window: int) -> Iterator[JournalSegment]:
        scanned = self._scans.get(window, [])
        for gateway in range(self._people.gateways):
            joins = self._joins.rows(window, gateway)
            badges, scans, more = scan_rows(self._people, window, scanned if gateway == 0 else [])
            if len(badges):
                joins = np.concatenate([joins, badges])
            if len(joins):
                yield segment(self._head(window, gateway, len(joins)), joins, scans, more)


def _onsite_staff(people: People) -> list[tuple[int, int]]:
    """Return (seat, window of the first scan) of staff on site."""
    first: dict[int, int] = {}
    for visit in onsite_visits(people):
        for window in (visit.first, visit.last):
            first[visit.person] = min(window, first.get(visit.person, window))
    persons = np.array(sorted(first), np.int64)
    persons = persons[people.staff(persons)]
    return [(int(seat), first[int(person)]) for person, seat in zip(persons, people.seats(persons), strict=True)]


def _staff_until(place: Place, people: People, window: int) -> BitMap:
    """Return the seats of staff who came before a window."""
    staff = BitMap([seat for seat, first in _onsite_staff(people) if first < window])
    for day in range(window // people.programme.windows_a_day + 1):
        visits: Visits = np.fromfile(place.visits(day), VISIT)
        for chunk in np.array_split(visits, max(len(visits) // RANGE, 1)):
            came = chunk[chunk["start"] < window]
            came = came[people.staff(came["person"].astype(np.int64))]
            staff |= bitmap(np.sort(seats_of(people, came)))
    return staff


def _seal(work: tuple[Place, People, int, int]) -> list[_Leaf]:
    return list(_Windows(*work).leaves())


def _with_sums(event: Event, leaves: Iterable[_Leaf]) -> Iterator[bytes]:
    """Let each leaf say how many views were left out so far, which who makes a stretch of them cannot know."""
    so_far = Counter[int]()
    for leaf, views_left_out in leaves:
        so_far.update(views_left_out)
        yield canonical_json.encode(
            {**json.loads(leaf), "version": LEAF_VERSION, "left_out": left_out.told(event, so_far)}
        )


# The log.


def worker_id(worker: int) -> str:
    """Return the id of a worker."""
    return f"{worker + 1:016x}"


def gateway_id(gateway: int) -> str:
    """Return the id of a gateway."""
    return f"gateway-{gateway + 1}"


def _write_log(place: Place, people: People, leaves: Iterable[_Leaf]) -> None:
    event, data, programme = load_event(place.event_file), place.data, people.programme
    over = programme.unix_s(programme.windows - 1) + WINDOW_S
    seed = hashlib.sha256(struct.pack("<q", people.seed)).digest()
    (data / "ledger").mkdir()
    secrets = Secrets(seed, hashlib.sha256(seed).digest())
    document = {
        "version": 1,
        "event_secret": secrets.event_secret.hex(),
        "pseudonym_key": secrets.pseudonym_key.hex(),
        "organiser_key": secrets.organiser_key,
        "scanner_key": secrets.scanner_key,
    }
    (data / "secrets.json").write_text(json.dumps(document, indent=1))
    signer = Signer("scale.example/log", hashlib.sha256(b"log" + seed).digest())
    (place.directory / "trust-policy").write_text(f"log {signer.verifier.encode()}\n")
    (data / LOG_KEY).write_text(signer.encode() + "\n")
    rows = [
        {"block": block, "worker": worker_id(worker), "gateway": gateway_id(worker % people.gateways),
         "since": programme.unix_s(0)}
        for block in range(people.blocks)
        for worker in (people.worker_of_block(block),)
    ]  # fmt: skip
    (data / "ledger" / "grants.jsonl").write_text(
        "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    )
    promises = [{"worker": worker_id(worker), "through": over, "ended": True} for worker in range(people.workers)]
    report = {"window": over - WINDOW_S, "gateway": gateway_id(0), "workers": promises, "segments": [],
              "received_at": over}  # fmt: skip
    (data / "ledger" / "reports.jsonl").write_text(json.dumps(report, separators=(",", ":")) + "\n")
    first = event_entry(event, secrets.pseudonym_commitment, event.iso(programme.unix_s(0) - 24 * 3600))
    with Log.open(data / "log", signer) as log:
        entries = [first, *_with_sums(event, leaves)]
        for at in range(0, len(entries), GROUP):
            log.append(entries[at : at + GROUP])
    bind_to_log(data / "secrets.json", first)
    load_or_create_secrets(data / "secrets.json")
    SimulatedClock.create(data / "clock", over + 3600, 0.0)
