"""Small made-up events with their evidence, and the truth about them counted in plain Python sets.

The truth is written independently of counters: no bitmaps, no numpy, no shared definitions. It works on persons and
facts (person, window, session, channel) and spells each rule out as its definition reads.
"""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from pyroaring import BitMap

from counters import canonical_json, evidence, hyperloglog
from counters.event import Counting, Event, Issuer, Session, Simulation
from counters.evidence import Coverage, JournalSegment, PresenceSegment, SegmentHead, SessionPresence
from counters.exclusions_so_far import ExclusionsSoFar, views_opened
from counters.issuer_keys import thumbprint
from counters.journal import Assurance, Direction, Join, JoinKind, Scan
from counters.ledger.note import Signer
from counters.manifest import Granted
from counters.rule_ids import KNOWN_RULES
from counters.window_leaf import (
    StoredSegment,
    build_late_leaf,
    build_leaf,
    build_manifest,
    merge_presence,
)
from tests.counters.synthetic_rules import measure_more, playing, printed_over

SOFTWARE: Final = "turnout test"
SIGNER: Final = Signer("log.example/synthetic", bytes(range(32)))
KEY: Final = {"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
THUMBPRINT: Final = thumbprint(KEY)
# 23:57 in Shanghai: the sessions run over midnight.
START: Final = int(datetime(2023, 11, 19, 15, 57, tzinfo=UTC).timestamp())
COUNTRIES: Final = ("", "CN", "FR", "KE")
OUTLETS: Final = ("", "", "daily-news", "tv-one")


def event_of(rng: random.Random) -> Event:
    """Return an event of two or three short sessions, partly in parallel, over midnight."""
    begin = datetime.fromtimestamp(START, UTC)

    def session(number: int, first: int, minutes: int) -> Session:
        starts = begin + timedelta(minutes=first, seconds=rng.choice((0, 0, 20)))
        return Session(
            number, f"s{number}", f"Session {number}", starts, starts + timedelta(minutes=minutes),
            (f"hall-{number}", f"hall-{number}-back"),
        )  # fmt: skip

    namespaces = ("tickets", rng.choice(("tickets", "press")))
    issuers = tuple(
        Issuer(
            id=f"issuer-{number}", issuer=f"https://{number}.example", audience="synthetic", namespace=namespace,
            subject_claim="sub", operated_by="The test", algorithms=("Ed25519",), attributes={"country": "country"},
            development=True, keys=(KEY,),
        )
        for number, namespace in enumerate(namespaces)
    )  # fmt: skip
    return Event(
        id="synthetic",
        name="Synthetic",
        organiser="Nobody",
        time_zone="Asia/Shanghai",
        interval_s=rng.choice((30, 45)),
        late_until=begin + timedelta(days=2),
        sessions=tuple(
            session(number, rng.randrange(4), rng.randrange(2, 6)) for number in range(1, rng.choice((3, 4)))
        ),
        issuers=issuers,
        counting=Counting(KNOWN_RULES, rng.choice(((), ("staff",))), rng.choice((1, 2, 3))),
        simulation=Simulation(begin),
    )


@dataclass
class World:
    """What happened, fact by fact."""

    event: Event
    joins: list[Join] = field(default_factory=list)
    scans: list[Scan] = field(default_factory=list)
    beats: list[tuple[int, int, int, int, bool]] = field(
        default_factory=list
    )  # gateway, window, session, seat, background
    person_of_seat: dict[int, str] = field(default_factory=dict)
    upgraded_at: int = 0  # the first window whose evidence is of version 2
    known_until: int = 0  # the end of the last window that is sealed
    unreadable: bool = False  # whether every gateway has a worker of whose windows nothing can be read
    locked_at: str = ""  # what entry 0 says of itself; "" = an hour before the event

    # --- the truth ----------------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Join]:
        """Return each person's earliest join or badge, of the lowest seat if several are as early."""
        earliest: dict[str, Join] = {}
        for join in self.joins:
            if join.kind is JoinKind.VIEWING_TOKEN:
                continue
            person = self.person_of_seat[join.seat]
            if person not in earliest or (join.joined_at_ms, join.seat) < (
                earliest[person].joined_at_ms,
                earliest[person].seat,
            ):
                earliest[person] = join
        return earliest

    def facts(self) -> set[tuple[str, int, int, str]]:
        """Return (person, window, session number, channel), everybody included."""
        found = {(self.person_of_seat[seat], window, session, "online") for _, window, session, seat, _ in self.beats}
        for (person, number), scans in self._visits().items():
            ends = next(one.ends_at for one in self.event.sessions if one.number == number).timestamp()
            entered: int | None = None
            for scan in scans:
                window = scan.scanned_at_ms // 60_000 * 60
                if scan.direction is Direction.IN:
                    found.add((person, window, number, "onsite"))
                    entered = window
                elif entered is None:
                    found.add((person, window, number, "onsite"))
                else:
                    minute = entered
                    while minute <= window and minute < ends:
                        found.add((person, minute, number, "onsite"))
                        minute += 60
                    entered = None
        return found

    def _visits(self) -> dict[tuple[str, int], list[Scan]]:
        """Return by person and session the accepted scans, each once, in the order of the scanners' clocks."""
        by_visit: dict[tuple[str, int], list[Scan]] = defaultdict(list)
        for person, number, scan in self.walks():
            if number:
                by_visit[person, number].append(scan)
        return by_visit

    def walks(self, until_ms: int = 2**64) -> list[tuple[str, int, Scan]]:
        """Return (person, number of the session it is for, accepted scan), in the order of the scanners' clocks."""
        first: dict[tuple[str, str], Scan] = {}
        for scan in self.scans:
            key = (scan.gate, scan.nonce)
            if not scan.refusal and (key not in first or scan.received_at_ms < first[key].received_at_ms):
                first[key] = scan
        found = []
        gates = {session.number: session.gates for session in self.event.sessions}
        before: dict[str, tuple[Scan, int]] = {}  # each person's last scan, and which session it was for
        kept = [scan for scan in first.values() if scan.scanned_at_ms < until_ms]
        for scan in sorted(kept, key=lambda scan: (scan.scanned_at_ms, scan.direction, scan.session)):
            person, number = self.person_of_seat[scan.seat], scan.session
            if scan.direction is Direction.OUT and person in before:
                previous, entered_for = before[person]
                if previous.direction is Direction.IN and scan.gate in gates.get(entered_for, ()):
                    number = entered_for
            before[person] = scan, number
            found.append((person, number, scan))
        return found

    def barred(self) -> set[str]:
        """Return the persons of excluded categories, and those whose joins are all invalid."""
        categories = self.event.counting.exclude_categories
        return {person for person, join in self.identity().items() if join.category in categories} | self.invalid()

    def reason(self, join: Join) -> str | None:
        """Return the reason for which a join is invalid at this event."""
        bits = {"datacentre": 1, "declared-bot": 2, "impossible-rate": 4, "crowded-address": 8}
        excluded = self.event.counting.exclude_traffic
        return next((name for name, bit in bits.items() if join.filters & bit and name in excluded), None)

    def invalid(self) -> set[str]:
        """Return the persons all of whose joins are invalid."""
        by_person: dict[str, list[Join]] = defaultdict(list)
        for join in self.joins:
            by_person[self.person_of_seat[join.seat]].append(join)
        return {person for person, joins in by_person.items() if all(self.reason(join) for join in joins)}

    def net(self) -> set[tuple[str, int, int, str]]:
        """Return the facts of persons who count."""
        barred = self.barred()
        return {fact for fact in self.facts() if fact[0] not in barred}

    def country(self, person: str) -> str:
        """Return a person's country as it is printed."""
        join = self.identity().get(person)
        return (join.country if join else "") or "unknown"

    def category(self, person: str) -> str:
        """Return a person's category as it is printed."""
        join = self.identity().get(person)
        return (join.category if join else "") or "unknown"

    def outlet(self, person: str) -> str:
        """Return the outlet of a person's earliest join that names one, as it is printed."""
        named = [join for join in self.joins if join.outlet and join.kind is not JoinKind.VIEWING_TOKEN
                 and self.person_of_seat[join.seat] == person]  # fmt: skip
        return min(named, key=lambda join: (join.joined_at_ms, join.seat)).outlet if named else "unknown"

    def attribute(self, name: str, person: str) -> str:
        """Return a person's country, category or outlet as it is printed."""
        said: str = getattr(self, name)(person)
        return said

    def namespace(self, person: str) -> str:
        """Return the namespace that a person belongs to."""
        join = self.identity().get(person)
        spaces = {issuer.id: issuer.namespace for issuer in self.event.issuers}
        if join:
            return spaces[join.issuer]
        return "" if len(set(spaces.values())) > 1 else "tickets"

    def opened(self) -> list[Join]:
        """Return the join that opened each view."""
        first: dict[tuple[int, int], Join] = {}
        for join in self.joins:
            key = (join.session, join.view)
            if join.view and (key not in first or join.joined_at_ms < first[key].joined_at_ms):
                first[key] = join
        return list(first.values())

    def views(self) -> set[tuple[str, int, int, str]]:
        """Return (person, session number, view id, day of its first join) of those who count."""
        barred = self.barred()
        return {
            (self.person_of_seat[join.seat], join.session, join.view, day_of(join.joined_at_ms // 1000))
            for join in self.opened()
            if self.person_of_seat[join.seat] not in barred and self.reason(join) is None
        }

    def measure(self, rule: str, scope: dict[str, str], only: set[str] | None = None) -> tuple[Any, int | None]:
        """Return (value, window of the peak) by a rule; `only` limits it to some persons."""
        ids = {session.id: session.number for session in self.event.sessions}
        number = ids[scope["session"]] if "session" in scope else None
        day, channel = scope.get("day"), scope.get("channel")

        def in_scope(person: str) -> bool:
            said = [(name, scope[name]) for name in ("country", "category", "outlet") if name in scope]
            return (only is None or person in only) and all(self.attribute(name, person) == of for name, of in said)

        facts = {
            (person, window, session, by)
            for person, window, session, by in self.net()
            if in_scope(person) and number in (None, session) and day in (None, day_of(window))
        }
        if rule == "views":
            return sum(
                1
                for person, session, _, opened in self.views()
                if in_scope(person) and number in (None, session) and day in (None, opened)
            ), None
        online = {person for person, _, _, by in facts if by == "online"}
        onsite = {person for person, _, _, by in facts if by == "onsite"}
        simple = {
            "unique-attendees": online | onsite,
            "unique-attendees-online": online,
            "unique-attendees-onsite": onsite,
            "unique-attendees-both": online & onsite,
            "daily-attendance-sum": {(fact[0], day_of(fact[1])) for fact in facts if channel in (None, fact[3])},
            "session-attendance-sum": {(fact[0], fact[2]) for fact in facts if channel in (None, fact[3])},
        }
        if rule in simple:
            return len(simple[rule]), None  # type: ignore[arg-type]
        if rule == "peak-concurrent-attendees":
            rooms: dict[int, set[str]] = defaultdict(set)
            for person, window, _, by in facts:
                if channel in (None, by):
                    rooms[window].add(person)
            best = max((len(room) for room in rooms.values()), default=0)
            return best, min((window for window, room in rooms.items() if len(room) == best), default=None)
        if (more := measure_more(self, rule, scope, in_scope)) is not None:
            return more
        return self._person_time(rule, number, day, in_scope), None

    def scheduled(self, number: int | None) -> set[int]:
        """Return the windows of a session's schedule."""
        found = set()
        for session in self.event.sessions:
            if session.number == number:
                minute = int(session.starts_at.timestamp()) // 60 * 60
                while minute < session.ends_at.timestamp():
                    found.add(minute)
                    minute += 60
        return found

    def as_of(self) -> int:
        """Return the end of the last window in the log; of one that is not sealed, of the last with evidence."""
        return self.known_until or max(self.segments(), default=-60) + 60

    def _person_time(self, rule: str, number: int | None, day: str | None, in_scope: Any) -> Fraction:
        sessions = [session for session in self.event.sessions if number in (None, session.number)]
        scheduled = set()
        for session in sessions:
            minute = int(session.starts_at.timestamp()) // 60 * 60
            while minute < session.ends_at.timestamp():
                if day in (None, day_of(minute)):
                    scheduled.add(minute)
                minute += 60
        present = {
            (person, window)
            for person, window, session, by in self.net()
            if by == "online" and in_scope(person) and number in (None, session)
        }
        seconds = Fraction(0)
        for person, window in present:
            if window in scheduled:
                seconds += 60
                if (person, window - 60) not in present:
                    seconds -= 60 - Fraction(self.event.interval_s, 2)
        if rule == "hours-viewed":
            return seconds / 3600
        return seconds / (60 * len(scheduled)) if scheduled else Fraction(0)

    def number(self, rule: str, scope: dict[str, str]) -> dict[str, Any]:
        """Return value, at, bounds and suppressed as a certificate must print them; nothing withheld for another."""
        below = self.event.counting.suppress_below
        value, at = self.measure(rule, scope)
        spaces: dict[str, set[str]] = defaultdict(set)
        for person, *_ in self.net():
            spaces[self.namespace(person)].add(person)
        bounds = None
        if rule not in ("views", "peak-concurrent-views") and len(spaces) > 1:
            parts = [self.measure(rule, scope, persons)[0] for persons in spaces.values()]
            if sum(1 for part in parts if part) > 1:
                bounds = [max(parts), sum(parts)]
                value = sum(parts)
        judged = value
        if rule in ("average-minute-audience", "hours-viewed"):
            judged = self.measure("unique-attendees-online", scope)[0]
        if scope.keys() & {"session", "day", "country", "category", "outlet"} and 0 < judged < below:
            return {"value": None, "suppressed": True}
        if bounds:
            return {"value": None, "bounds": [rounded(bound) for bound in bounds]}
        return {"value": rounded(value)} | ({"at": self.event.iso(at)} if at is not None else {})

    def rules(self) -> list[str]:
        """Return the rules that a certificate prints, in any order."""
        return [*self.event.counting.rules, *(rule.id for rule in self.event.own_rules)]

    def scopes(self, rule: str) -> list[dict[str, str]]:
        """Return the scopes over which a certificate must print a rule."""
        days = {day_of(window) for _, window, _, _ in self.net()} | {view[3] for view in self.views()}
        days |= {day_of(minute) for session in self.event.sessions for minute in self.scheduled(session.number)}
        barred = self.barred()
        persons = {fact[0] for fact in self.net()} | (set(self.identity()) - barred)
        bases: list[dict[str, str]] = [{}]
        parts, channels = printed_over(rule)
        if "session" in parts:
            bases += [{"session": session.id} for session in self.event.sessions]
        if "day" in parts:
            bases += [{"day": day} for day in sorted(days)]
        for name in [part for part in ("country", "category", "outlet") if part in parts]:
            said = {self.attribute(name, person) for person in persons}
            if name == "country" or said - {"unknown"}:
                bases += [{name: one} for one in sorted(said)]
        return [base | ({"channel": channel} if channel else {}) for base in bases for channel in channels]

    # --- the evidence -------------------------------------------------------------------------------------------------

    def head(self, gateway: int, window: int, *, crashed: bool = False) -> SegmentHead:
        """Return a segment's head."""
        start = window * 1000
        row = Coverage(f"{gateway:016x}", f"gw-{gateway}", start, start + 60_000, start + 59_000, crashed, 1)
        if self.version(window) == 1:
            return SegmentHead(self.event.digest, f"gw-{gateway}", window, self.event.interval_s, (row,), 1)
        nothing = Coverage("f" * 16, f"gw-{gateway}", start, start, start, crashed=False, records=0, unreadable=True)
        measured = replace(row, clock_offset_ms=-7 * gateway)
        rows = (measured, nothing) if self.unreadable else (measured,)
        return SegmentHead(self.event.digest, f"gw-{gateway}", window, self.event.interval_s, rows)

    def version(self, window: int) -> int:
        """Return the version of a window's segments and manifest."""
        return 2 if window >= self.upgraded_at else 1

    def segments(self) -> dict[int, list[PresenceSegment | JournalSegment]]:
        """Return by window the segments that the gateways hand over."""
        found: dict[int, list[PresenceSegment | JournalSegment]] = defaultdict(list)
        rooms: dict[tuple[int, int], dict[int, dict[int, bool]]] = defaultdict(lambda: defaultdict(dict))
        for gateway, window, session, seat, background in self.beats:
            seats = rooms[gateway, window][session]
            seats[seat] = seats.get(seat, True) and background
        for (gateway, window), sessions in sorted(rooms.items()):
            rows = []
            for session, seats in sessions.items():
                registers = hyperloglog.empty()
                for seat in seats:
                    hyperloglog.add(registers, self.person_of_seat[seat].encode())
                hidden = BitMap(seat for seat, background in seats.items() if background)
                rows.append(SessionPresence(session, BitMap(seats), hidden, registers, playing(seats)))
            segment = PresenceSegment.of(self.head(gateway, window), {"token_expired": gateway}, rows)
            found[window].append(segment)
        records: dict[int, list[Join | Scan]] = defaultdict(list)
        for join in self.joins:
            records[join.joined_at_ms // 60_000 * 60].append(join)
        for scan in self.scans:
            records[scan.received_at_ms // 60_000 * 60].append(scan)
        for window, rows_ in sorted(records.items()):
            found[window].append(JournalSegment.of(self.head(0, window), rows_))
        return dict(found)


def rounded(value: Any) -> Any:
    """Return a value as it is printed."""
    return float(round(value, 6)) if isinstance(value, Fraction) else value


def day_of(unix_s: int) -> str:
    """Return the date in Shanghai, which is 8 hours ahead all year."""
    return (datetime.fromtimestamp(unix_s, UTC) + timedelta(hours=8)).date().isoformat()


def world_of(rng: random.Random, people: int | None = None) -> World:
    """Return a random event with everything that may happen in it."""
    world = World(event_of(rng))
    numbers = [session.number for session in world.event.sessions]
    windows = [START + 60 * minute for minute in range(-1, 11)]
    clock = START * 1000 - 60_000
    people = rng.randrange(9) if people is None else people
    views = rng.sample(range(1, 2**63), 9 * people + 9)
    for person in range(people):
        name = f"person-{person}"
        issuer = rng.choice(world.event.issuers).id
        seats = rng.sample(range(1 + 10 * person, 9 + 10 * person), rng.choice((1, 1, 1, 2, 3)))
        world.person_of_seat |= dict.fromkeys(seats, name)
        for seat in seats:
            for _ in range(rng.choice((1, 1, 2))):
                clock += rng.randrange(1, 9000)
                kind = rng.choice((JoinKind.TICKET, JoinKind.TICKET, JoinKind.BADGE))
                world.joins.append(
                    Join(
                        seat=seat, session=rng.choice(numbers), kind=kind, assurance=Assurance.TICKETED, filters=0,
                        view=0 if kind is JoinKind.BADGE else views.pop(), joined_at_ms=clock,
                        pseudonym=name.encode().ljust(16, b"\0"), token_digest=bytes(32), address=bytes(8),
                        issuer=issuer, key_thumbprint=THUMBPRINT, country=rng.choice(COUNTRIES),
                        category=rng.choice(("", "visitor", "staff")), network="", agent="browser",
                        # Drawn aside: a seed's world stays as it was.
                        outlet="" if kind is JoinKind.BADGE else random.Random(clock).choice(OUTLETS),
                    )
                )  # fmt: skip
            if rng.random() < 0.3:
                known = next(join for join in reversed(world.joins) if join.seat == seat)
                again = rng.random() < 0.5 and known.view  # a journal handed over twice: the same view
                world.joins.append(
                    Join(
                        seat=seat, session=known.session if again else rng.choice(numbers), kind=JoinKind.VIEWING_TOKEN,
                        assurance=Assurance.TICKETED, filters=0, view=known.view if again else views.pop(),
                        joined_at_ms=clock + rng.randrange(400_000), pseudonym=bytes(16), token_digest=bytes(32),
                        address=bytes(8), issuer="", key_thumbprint="", country="", category="", outlet="", network="",
                        agent="",
                    )
                )  # fmt: skip
            _watch(world, rng, seat, windows, numbers)
            _walk(world, rng, seat, windows, numbers)
    if rng.random() < 0.3:  # present, but no journal knows the seat
        world.person_of_seat[999] = "stranger"
        world.beats.append((0, rng.choice(windows), rng.choice(numbers), 999, False))
    rng.shuffle(world.joins)
    rng.shuffle(world.scans)
    return world


def _watch(world: World, rng: random.Random, seat: int, windows: list[int], numbers: list[int]) -> None:
    for _ in range(rng.randrange(3)):
        session, gateway = rng.choice(numbers), rng.randrange(2)
        first = rng.randrange(len(windows))
        for window in windows[first : first + rng.randrange(1, 6)]:
            if rng.random() < 0.85:
                world.beats.append((gateway, window, session, seat, rng.random() < 0.2))


def _walk(world: World, rng: random.Random, seat: int, windows: list[int], numbers: list[int]) -> None:
    for visit in range(rng.choice((0, 0, 1, 2, 4))):
        number = rng.choice((0, *numbers))
        scanned = rng.choice(windows) * 1000 + rng.randrange(60_000)
        # Now and then the gate is another session's, as after a break. Drawn aside: a seed's world stays as it was.
        aside = random.Random(scanned)
        gate = f"hall-{number if aside.random() < 0.6 else aside.choice(numbers)}" + aside.choice(("", "-back"))
        scan = Scan(
            seat=seat, session=number, direction=rng.choice(tuple(Direction)), forced=False, scanned_at_ms=scanned,
            received_at_ms=scanned + rng.randrange(100_000), gate=gate, nonce=f"{seat}-{visit}", refusal="",
        )  # fmt: skip
        if rng.random() < 0.1:
            scan = Scan(
                **{name: getattr(scan, name) for name in Scan.__slots__} | {"seat": 0, "refusal": "ticket_forged"}
            )
        world.scans.append(scan)
        if rng.random() < 0.2:  # uploaded again, later, with another clock
            received, scanned = scan.received_at_ms + 70_000, scan.scanned_at_ms + 60_000
            world.scans.append(replace(scan, received_at_ms=received, scanned_at_ms=scanned))


def fixed_world(seed: int = 7, people: int = 30) -> World:
    """Return one lively event, always the same for a seed."""
    rng = random.Random(seed)
    world = world_of(rng, people)
    while len({fact[3] for fact in world.net()}) < 2 or not world.event.counting.exclude_categories:
        world = world_of(rng, people)
    return world


def with_invalid_traffic(world: World, rng: random.Random) -> World:
    """Flag joins, some people's all of them, and have the event exclude some of the reasons."""
    wholly = {person for person in world.person_of_seat.values() if rng.random() < 0.3}
    world.joins = [
        replace(join, filters=rng.randrange(16))
        if join.kind is not JoinKind.BADGE and (world.person_of_seat[join.seat] in wholly or rng.random() < 0.2)
        else join
        for join in world.joins
    ]
    reasons = ("datacentre", "declared-bot", "impossible-rate", "crowded-address")
    excluded = tuple(reason for reason in reasons if rng.random() < 0.7)
    world.event = replace(world.event, counting=replace(world.event.counting, exclude_traffic=excluded))
    return world


@dataclass
class Sealed:
    """A world's log entries and evidence."""

    entries: list[bytes]
    files: dict[str, bytes]


def seal(
    world: World,
    *,
    late: frozenset[int] = frozenset(),
    missing: frozenset[int] = frozenset(),
    absent: Mapping[int, Sequence[str]] = MappingProxyType({}),
    granted: Sequence[Granted] = (),
    later: Collection[tuple[int, str]] = (),
    passed_over: Collection[int] = (),
    leaves_of_version_2_from: int = 0,
) -> Sealed:
    """Seal a world as the ledger does.

    Args:
        world: what happened.
        late: windows of which one segment comes late.
        missing: windows that miss a worker whom nobody knows.
        absent: workers missing, by window.
        granted: the seats of each worker.
        later: (window, gateway) whose segments come late.
        passed_over: windows that get no leaf.
        leaves_of_version_2_from: the first window whose leaf is of version 2.
    """
    event, files = world.event, dict[str, bytes]()
    entries = [
        canonical_json.encode(
            {
                "type": "event", "version": 1, "event": canonical_json.decode(event.canonical()),
                "event_sha256": event.digest, "pseudonym_key_sha256": "0" * 64, "software": SOFTWARE,
                "simulated": event.simulated, "locked_at": world.locked_at or event.iso(START - 3600),
            }
        )
    ]  # fmt: skip

    def store(data: bytes) -> str:
        digest = sha256(data).hexdigest()
        files[digest] = data
        return digest

    exclusions, before, before_window = ExclusionsSoFar(event), dict[int, SessionPresence](), -1
    delayed = []
    segments = world.segments()
    world.known_until = max(segments.keys() | set(event.scheduled_windows())) + 60
    for window in sorted((segments.keys() | set(event.scheduled_windows())) - set(passed_over)):
        here = list(segments.get(window, []))
        if window in late and here:
            delayed.append((window, here.pop(0)))
        delayed += [(window, segment) for segment in here if (window, segment.head.gateway) in later]
        here = [segment for segment in here if (window, segment.head.gateway) not in later]
        stored = []
        for segment in here:
            data = evidence.encode(segment)
            stored.append(StoredSegment(store(data), len(data), segment))
        nobody = [*absent.get(window, ()), *(["00000000000000ff"] if window in missing else [])]
        version = world.version(window)
        manifest = build_manifest(event, window, stored, nobody, SOFTWARE, version=version, granted=granted)
        store(manifest.encode())
        journals = [segment for segment in here if isinstance(segment, JournalSegment)]
        exclusions.add(journals)
        left_out = exclusions.leave_out(views_opened(journals, exclusions.excluded).left_out)
        previous = before if before_window == window - 60 else {}
        told = None if window < leaves_of_version_2_from else left_out
        entries.append(build_leaf(event, window, here, previous, exclusions.excluded, manifest, views_left_out=told))
        before = merge_presence([segment for segment in here if isinstance(segment, PresenceSegment)])
        before_window = window
    for window, segment in delayed:
        data = evidence.encode(segment)
        came = [StoredSegment(store(data), len(data), segment)]
        version = world.version(window)
        manifest = build_manifest(event, window, came, [], SOFTWARE, version=version, granted=granted)
        store(manifest.encode())
        entries.append(build_late_leaf(event, window, manifest, START + 7200))
    return Sealed(entries, files)
