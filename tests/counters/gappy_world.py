"""Events of which a part is hidden behind gaps, and the whole truth about them.

Three gateways of one worker each. Every person's seat is out of the blocks of the gateway that first let them in;
joins, heartbeats and scans then go to any of them. Then something happens: a gateway is never heard of again, loses its
power, cannot read its files, comes too late, has a wrong clock; or for a minute there is none; or the log passes over
one.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pyroaring import BitMap

from counters import hyperloglog
from counters.evidence import Coverage, JournalSegment, PresenceSegment, SegmentHead, SessionPresence
from counters.journal import Assurance, Direction, Join, JoinKind, Scan
from counters.manifest import Granted
from tests.counters.synthetic import COUNTRIES, OUTLETS, START, THUMBPRINT, Sealed, World, event_of, seal
from tests.counters.synthetic_rules import playing

GATEWAYS = range(3)
BLOCK = 65_536
HAPPENINGS = ("missing", "unreadable", "power", "late", "clock", "nobody", "no leaf")
Fact = Join | Scan | tuple[int, int, int, int, bool]
"""A beat is (gateway, window, session, seat, background)."""


def worker(gateway: int) -> str:
    return f"{gateway:016x}"


@dataclass
class GappyWorld(World):
    """A world whose evidence lacks something. `joins`, `scans` and `beats` are the truth."""

    accepted: list[tuple[int, int, Fact]] = field(default_factory=list)  # gateway, true time in ms, what
    hidden: set[int] = field(default_factory=set)  # positions in `accepted` of what is not in the evidence
    rows: dict[tuple[int, int], Coverage] = field(default_factory=dict)  # by (window, gateway); what differs from usual
    silent: set[tuple[int, int]] = field(default_factory=set)  # (window, gateway) that hand nothing over
    absent: dict[int, list[str]] = field(default_factory=dict)
    later: set[tuple[int, str]] = field(default_factory=set)
    passed_over: set[int] = field(default_factory=set)
    offset_s: dict[int, int] = field(default_factory=dict)  # by gateway
    busy: set[int] = field(default_factory=set)  # gateways to which something has happened

    def windows(self) -> range:
        return range(START - 60, self.event.scheduled_windows()[-1] + 60, 60)

    def segments(self) -> dict[int, list[PresenceSegment | JournalSegment]]:
        """Return by window what the gateways hand over."""
        rooms: dict[tuple[int, int], dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        records: dict[tuple[int, int], list[Join | Scan]] = defaultdict(list)
        scheduled = set(self.event.scheduled_windows())
        for position, (gateway, at_ms, fact) in enumerate(self.accepted):
            said_ms = at_ms + self.offset_s.get(gateway, 0) * 1000
            place = (said_ms // 60_000 * 60, gateway)
            if position in self.hidden:
                continue
            if isinstance(fact, Join):
                records[place].append(replace(fact, joined_at_ms=said_ms))
            elif isinstance(fact, Scan):
                records[place].append(replace(fact, received_at_ms=said_ms))
            else:
                rooms[place][fact[2]].add(fact[3])
        found: dict[int, list[PresenceSegment | JournalSegment]] = defaultdict(list)
        places = {(window, gateway) for window in scheduled for gateway in GATEWAYS}
        for window, gateway in sorted((places | rooms.keys() | records.keys() | self.rows.keys()) - self.silent):
            head, presences = self.head(gateway, window), []
            for session, seats in sorted(rooms[window, gateway].items()):
                registers = hyperloglog.empty()
                for seat in seats:
                    hyperloglog.add(registers, self.person_of_seat[seat].encode())
                presences.append(SessionPresence(session, BitMap(seats), BitMap(), registers, playing(seats)))
            found[window].append(PresenceSegment.of(head, {}, presences))
            if records[window, gateway]:
                found[window].append(JournalSegment.of(head, records[window, gateway]))
        return dict(found)

    def head(self, gateway: int, window: int, *, crashed: bool = False) -> SegmentHead:
        """Return the head of a gateway's segments."""
        start = window * 1000
        usual = Coverage(worker(gateway), f"gw-{gateway}", start, start + 60_000, start + 60_000, crashed, 1)
        row = self.rows.get((window, gateway), usual)
        if self.version(window) == 1:
            return SegmentHead(self.event.digest, f"gw-{gateway}", window, self.event.interval_s, (row,), 1)
        offset_ms = self.offset_s.get(gateway, 0) * 1000
        row = replace(row, clock_offset_ms=offset_ms or 3, records=0 if row.unreadable else 1)
        return SegmentHead(self.event.digest, f"gw-{gateway}", window, self.event.interval_s, (row,))

    def sealed(self) -> Sealed:
        """Seal what is in the evidence."""
        granted = [Granted(worker(gateway), START - 60, (gateway, gateway + 3)) for gateway in GATEWAYS]
        return seal(self, absent=self.absent, granted=granted, later=self.later, passed_over=self.passed_over)


def gappy_world(rng: random.Random, *happenings: str, people: int = 8) -> GappyWorld:
    """Return a random event to which some of `HAPPENINGS` have happened."""
    event = replace(event_of(rng), late_until=datetime.fromtimestamp(START, UTC) + timedelta(hours=1))
    world = GappyWorld(event)
    for number in range(people):
        _live(world, rng, number)
    for happening in happenings:
        _HAPPEN[happening](world, rng)
    for _, _, fact in world.accepted:
        if isinstance(fact, Join):
            world.joins.append(fact)
        elif isinstance(fact, Scan):
            world.scans.append(fact)
        else:
            world.beats.append(fact)
    return world


def _live(world: GappyWorld, rng: random.Random, number: int) -> None:
    name = f"person-{number}"
    numbers = [session.number for session in world.event.sessions]
    country, category = rng.choice(COUNTRIES), rng.choice(("", "visitor", "staff"))
    issuer = rng.choice(world.event.issuers).id
    last = world.windows()[-1] + 60
    for which in range(rng.choice((1, 1, 1, 2))):  # two seats: the registry was away
        owner = rng.choice(GATEWAYS)
        seat = BLOCK * rng.choice((owner, owner + 3)) + 10 * number + which + 1
        world.person_of_seat[seat] = name
        at_ms = rng.randrange((START - 60) * 1000, (START + 240) * 1000)
        gateway, joined = owner, dict[int, int]()
        for again in range(rng.choice((1, 2, 3))):
            kind = rng.choice((JoinKind.TICKET, JoinKind.TICKET, JoinKind.BADGE) if not again else tuple(JoinKind))
            known = kind is not JoinKind.VIEWING_TOKEN
            session = rng.choice(numbers)
            join = Join(
                seat=seat, session=session, kind=kind, assurance=Assurance.TICKETED, filters=0,
                view=0 if kind is JoinKind.BADGE else rng.randrange(1, 2**63), joined_at_ms=at_ms,
                pseudonym=name.encode().ljust(16, b"\0") if known else bytes(16), token_digest=bytes(32),
                address=bytes(8), issuer=issuer if known else "",
                key_thumbprint=THUMBPRINT if known else "", country=country if known else "",
                category=category if known else "", network="", agent="",
                outlet=random.Random(at_ms).choice(OUTLETS) if kind is JoinKind.TICKET else "",
            )  # fmt: skip
            world.accepted.append((gateway, at_ms, join))
            if kind is JoinKind.BADGE:
                _scan(world, rng, join, gateway)
            else:
                joined.setdefault(session, at_ms)
            at_ms, gateway = at_ms + rng.randrange(120_000), rng.choice(GATEWAYS)
        for session, since_ms in joined.items():
            for window in world.windows():
                beat_ms = window * 1000 + rng.randrange(60_000)
                if beat_ms >= since_ms and rng.random() < 0.7:
                    gateway = rng.choice(GATEWAYS)
                    world.accepted.append((gateway, beat_ms, (gateway, window, session, seat, False)))
    world.accepted = [one for one in world.accepted if one[1] < last * 1000]


def _scan(world: GappyWorld, rng: random.Random, badge: Join, gateway: int) -> None:
    times = sorted(rng.randrange((START - 60) * 1000, (START + 540) * 1000) for _ in range(rng.choice((1, 2, 3, 4))))
    for place, scanned in enumerate(times):
        session = rng.choice(world.event.sessions)
        scan = Scan(
            seat=badge.seat, session=rng.choice((0, session.number)), direction=rng.choice(tuple(Direction)),
            forced=True, scanned_at_ms=scanned, received_at_ms=max(scanned, badge.joined_at_ms),
            gate=rng.choice(session.gates), nonce=f"{badge.seat}-{badge.joined_at_ms}-{place}", refusal="",
        )  # fmt: skip
        world.accepted.append((rng.choice((gateway, *GATEWAYS)), scan.received_at_ms, scan))


# What happens.


def _of(world: GappyWorld, gateway: int, first_s: float, end_s: float) -> list[int]:
    """Return the positions of what a gateway accepted from one time to another."""
    return [
        position
        for position, (by, at_ms, _) in enumerate(world.accepted)
        if by == gateway and first_s * 1000 <= at_ms < end_s * 1000
    ]


def _free(world: GappyWorld, rng: random.Random) -> int:
    """Return a gateway to which nothing has happened yet."""
    gateway = rng.choice([gateway for gateway in GATEWAYS if gateway not in world.busy])
    world.busy.add(gateway)
    return gateway


def _a_window(world: GappyWorld, rng: random.Random, gateway: int) -> int:
    """Return a window, not the last, in which the gateway is there."""
    return rng.choice([window for window in world.windows()[:-1] if (window, gateway) not in world.silent])


def _never_heard_of_again(world: GappyWorld, rng: random.Random) -> None:
    gateway, windows = _free(world, rng), world.windows()
    first = rng.choice(windows[1:])
    world.hidden |= set(_of(world, gateway, first, windows[-1] + 60))
    for window in range(first, windows[-1] + 60, 60):
        world.silent.add((window, gateway))
        world.absent.setdefault(window, []).append(worker(gateway))


def _unreadable(world: GappyWorld, rng: random.Random) -> None:
    gateway = _free(world, rng)
    window = _a_window(world, rng, gateway)
    world.hidden |= set(_of(world, gateway, window, window + 60))
    start = window * 1000
    world.rows[window, gateway] = Coverage(
        worker(gateway), f"gw-{gateway}", start, start, start, crashed=True, records=0, unreadable=True
    )


def _power(world: GappyWorld, rng: random.Random) -> None:
    """The host loses its power in a window, or just after it has begun the next one; nobody notices in time."""
    gateway, windows = _free(world, rng), world.windows()
    window = _a_window(world, rng, gateway)
    lost = _of(world, gateway, window, window + 60)
    world.hidden |= set(rng.sample(lost, rng.randrange(len(lost) + 1)))
    began_next = rng.random() < 0.5
    start = window * 1000
    world.rows[window, gateway] = Coverage(
        worker(gateway), f"gw-{gateway}", start, start + 60_000, start + 58_000, crashed=True, records=1
    )
    if began_next:
        world.hidden |= set(_of(world, gateway, window + 60, window + 120))
    other = rng.choice([each for each in GATEWAYS if each != gateway])
    for position in _of(world, gateway, window + (120 if began_next else 60), windows[-1] + 60):
        _, at_ms, fact = world.accepted[position]
        world.accepted[position] = (other, at_ms, fact)
    world.silent |= {(each, gateway) for each in range(window + 60, windows[-1] + 60, 60)}


def _too_late(world: GappyWorld, rng: random.Random) -> None:
    gateway = _free(world, rng)
    for window in rng.sample(world.windows(), 2):
        world.later.add((window, f"gw-{gateway}"))
        world.absent.setdefault(window, []).append(worker(gateway))


def _clock(world: GappyWorld, rng: random.Random) -> None:
    if world.silent or world.passed_over:
        return  # whose minute that was would depend on the clock
    world.offset_s[_free(world, rng)] = rng.choice((-70, -20, -3, 3, 20, 70))


def _nobody(world: GappyWorld, rng: random.Random) -> None:
    """For a minute there is no gateway: whoever has joined goes on watching, and nobody is there to hear it."""
    if world.offset_s:
        return
    window = rng.choice(world.event.scheduled_windows())
    here = {position for gateway in GATEWAYS for position in _of(world, gateway, window, window + 60)}
    kept = []
    for position, one in enumerate(world.accepted):
        if position not in here or isinstance(one[2], tuple):
            kept.append(position)
    joined = {(one[2].seat, one[2].session) for position, one in enumerate(world.accepted)
              if isinstance(one[2], Join) and one[2].view and position in kept and one[1] < window * 1000}  # fmt: skip
    kept = [
        position
        for position in kept
        if not isinstance(fact := world.accepted[position][2], tuple) or fact[1] < window
        or (fact[3], fact[2]) in joined or _joined_later(world, fact, kept)
    ]  # fmt: skip
    hidden = {position for position in kept if position in here or position in world.hidden}
    world.hidden = {new for new, old in enumerate(kept) if old in hidden}
    world.accepted = [world.accepted[position] for position in kept]
    world.silent |= {(window, gateway) for gateway in GATEWAYS}


def _joined_later(world: GappyWorld, beat: tuple[int, int, int, int, bool], kept: list[int]) -> bool:
    facts = [world.accepted[position] for position in kept]
    return any(
        isinstance(fact, Join) and fact.view and (fact.seat, fact.session) == (beat[3], beat[2])
        and at_ms < beat[1] * 1000
        for _, at_ms, fact in facts
    )  # fmt: skip


def _no_leaf(world: GappyWorld, rng: random.Random) -> None:
    if world.offset_s:
        return
    window = rng.choice(world.event.scheduled_windows()[:-1])
    world.passed_over.add(window)
    world.hidden |= {position for gateway in GATEWAYS for position in _of(world, gateway, window, window + 60)}


_HAPPEN = {
    "missing": _never_heard_of_again,
    "unreadable": _unreadable,
    "power": _power,
    "late": _too_late,
    "clock": _clock,
    "nobody": _nobody,
    "no leaf": _no_leaf,
}
assert tuple(_HAPPEN) == HAPPENINGS
