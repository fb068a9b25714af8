"""The event: its sessions, issuers and counting rules, frozen, with one canonical form whose digest locks the rules.

How the canonical form is written is in counters.event_canonical.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from counters.beacon import DRAND
from counters.event_canonical import as_tables, write
from counters.event_file import check_sealed, read
from counters.event_problems import EventFileError, MissingDevelopmentKeys, MissingKeys, Problem
from counters.segment import WINDOW_S

__all__ = [
    "Audit",
    "Counting",
    "Event",
    "EventFileError",
    "Issuer",
    "MissingDevelopmentKeys",
    "MissingKeys",
    "OwnRule",
    "Problem",
    "Session",
    "Simulation",
    "WitnessOfEvent",
    "load_event",
]

CANONICAL_LIMIT_BYTES: Final = 60_000
"""Leaf 0 holds the canonical form and a few hundred bytes more; a tlog entry is at most 65,535 bytes."""
EARLY_SCAN_S: Final = 60 * 60
"""How long before a session people are let in: an in-scan counts for the next session at its gate."""
LATE_SCAN_S: Final = 60 * 60
"""How long after a session people are still leaving: an out-scan counts for the session that ended at its gate."""


@dataclass(frozen=True, slots=True)
class Session:
    """One programme item. It is on during [starts_at, ends_at)."""

    number: int  # 1 … 65535
    id: str
    title: str
    starts_at: datetime  # aware, whole seconds
    ends_at: datetime
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who vouches for attendees: a ticketing or identity provider that signs JWTs."""

    id: str
    issuer: str  # the `iss` claim
    audience: str
    namespace: str
    subject_claim: str
    operated_by: str
    algorithms: tuple[str, ...]  # of ES256, Ed25519, RS256
    attributes: Mapping[str, str]  # JWT claim -> attribute (country, category or outlet)
    development: bool
    keys: tuple[Mapping[str, Any], ...]  # public JWKs


@dataclass(frozen=True, slots=True)
class Counting:
    """What is counted, and for whom."""

    rules: tuple[str, ...]
    exclude_categories: tuple[str, ...]
    suppress_below: int = 10
    exclude_traffic: tuple[str, ...] = ()  # reasons of counters.invalid_traffic: what falls under them is in no number


@dataclass(frozen=True, slots=True)
class OwnRule:
    """A counting rule that the event declares by parameters: it has either `windows` or `percent`."""

    id: str
    windows: int | None = None  # clock minutes of presence that somebody needs to count
    percent: int | None = None  # of a session's scheduled clock minutes
    consecutive: bool = False
    in_schedule: bool = False  # whether only presence in a session while it is scheduled counts; so for `percent`
    channel: str | None = None  # "online" or "onsite"; None = either
    category: tuple[str, ...] = ()  # only attendees of these; () = of any
    counts: str = "people"

    def parameters(self) -> dict[str, Any]:
        """Return it as leaf 0 and certificates have it: what does not apply is not there."""
        said = asdict(self) | {"category": list(self.category)}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class WitnessOfEvent:
    """An outside party that is asked to cosign the event's log."""

    name: str
    vkey: str
    operated_by: str
    url: str = field(default="", compare=False)  # where it is asked; not locked, and so unknown to a reader of the log


@dataclass(frozen=True, slots=True)
class Audit:
    """How the roll is audited: which round of a public beacon decides what is opened, and how many leaves are."""

    beacon: str  # counters.beacon
    round: int
    k: int
    round_at: datetime | None = None  # when that round happens; None for beacons whose rounds' times are known
    retain_tokens_until: datetime | None = None  # None = attendees' tokens are not kept

    def at(self) -> int:
        """Return when the round happens, unix seconds."""
        return int(self.round_at.timestamp()) if self.round_at else DRAND[self.beacon].at(self.round)


@dataclass(frozen=True, slots=True)
class Simulation:
    """The simulated clock."""

    starts_at: datetime
    speed: float = 0.0  # simulated seconds per real second; 0 = the clock stands still and only jumps when told


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The whole event. Sessions are sorted by number. Its canonical form and digest are computed once."""

    id: str
    name: str
    organiser: str
    time_zone: str
    interval_s: int = 30  # between two heartbeats of a player
    window_s: int = WINDOW_S
    late_until: datetime
    sessions: tuple[Session, ...]
    issuers: tuple[Issuer, ...]
    counting: Counting
    own_rules: tuple[OwnRule, ...] = ()
    simulation: Simulation | None = None
    witnesses: tuple[WitnessOfEvent, ...] = ()
    required_witnesses: int = 0  # so many must have cosigned a state of the log before it is published
    audit: Audit | None = None
    _canonical: bytes = field(init=False, repr=False, compare=False)
    _digest: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        canonical = write(self)
        object.__setattr__(self, "_canonical", canonical)
        object.__setattr__(self, "_digest", hashlib.sha256(canonical).hexdigest())

    @staticmethod
    def from_canonical(raw: bytes) -> "Event":
        """Return the event whose canonical form `raw` is.

        Raises:
            EventFileError: it is not the canonical form of a valid event.
        """
        source = "the event in the ledger"
        if len(raw) > CANONICAL_LIMIT_BYTES:
            raise _unreadable(source, f"it has {len(raw)} bytes, more than {CANONICAL_LIMIT_BYTES}")
        try:
            parsed = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise _unreadable(source, f"it is not JSON ({error})") from error
        if not isinstance(parsed, dict):
            raise _unreadable(source, "it is not a JSON object")
        event = _event(check_sealed(as_tables(parsed), source))
        if event.canonical() != raw:
            raise _unreadable(source, "it is not in canonical form (or the time zone data here differs)")
        return event

    def canonical(self) -> bytes:
        """Return the RFC 8785 JSON that counters.event_canonical describes."""
        return self._canonical

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, in hex."""
        return self._digest

    @property
    def zone(self) -> ZoneInfo:
        """The event's time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def simulated(self) -> bool:
        """Whether the clock is simulated: every output then says SIMULATED."""
        return self.simulation is not None

    @property
    def tokens_until(self) -> datetime | None:
        """Until when attendees' tokens are kept for the audit of the roll; None = they are not."""
        return None if self.audit is None else self.audit.retain_tokens_until

    def iso(self, unix_s: float) -> str:
        """Return a time as it is printed: "2023-11-19T09:00:00+08:00", in the event's zone, to the second."""
        return datetime.fromtimestamp(unix_s, self.zone).isoformat(timespec="seconds")

    def day(self, unix_s: float) -> str:
        """Return the local calendar date: "2023-11-19"."""
        return datetime.fromtimestamp(unix_s, self.zone).date().isoformat()

    def session(self, session_id: str) -> Session | None:
        """Return the session of that id."""
        return next((session for session in self.sessions if session.id == session_id), None)

    def session_numbered(self, number: int) -> Session | None:
        """Return the session of that number."""
        return next((session for session in self.sessions if session.number == number), None)

    def scheduled(self, window: int) -> tuple[Session, ...]:
        """Return the sessions whose [starts_at, ends_at) overlaps the clock minute that starts at `window` (unix s)."""
        return tuple(session for session in self.sessions if window in self.session_windows(session))

    def session_windows(self, session: Session) -> range:
        """Return the starts (unix s) of the clock minutes that the session's schedule touches."""
        starts, ends = int(session.starts_at.timestamp()), int(session.ends_at.timestamp())
        return range(starts - starts % WINDOW_S, ends, WINDOW_S)

    def scheduled_windows(self) -> list[int]:
        """Return every window in which at least one session is scheduled, ascending (unix s)."""
        return sorted({window for session in self.sessions for window in self.session_windows(session)})

    def session_at_gate(self, gate: str, unix_s: float, *, leaving: bool = False) -> Session | None:
        """Return the session that a scan at `gate` is for.

        That is the session that is on there. If none is: for somebody entering, the next one, if it starts within
        EARLY_SCAN_S; for somebody leaving, the last one, if it ended at most LATE_SCAN_S ago. The event file has no
        two sessions at one gate at the same time.
        """
        here = [session for session in self.sessions if gate in session.gates]
        spans = [(session.starts_at.timestamp(), session.ends_at.timestamp(), session) for session in here]
        for starts, ends, session in spans:
            if starts <= unix_s < ends:
                return session
        if leaving:
            left = [(ends, session) for _, ends, session in spans if 0 <= unix_s - ends <= LATE_SCAN_S]
            return max(left, key=lambda pair: pair[0])[1] if left else None
        coming = [(starts, session) for starts, _, session in spans if 0 < starts - unix_s <= EARLY_SCAN_S]
        return min(coming, key=lambda pair: pair[0])[1] if coming else None


def load_event(path: Path | str) -> Event:
    """Return the event of an event file (TOML, docs/event-file.md), its issuers' keys read from their files.

    Raises:
        MissingDevelopmentKeys: all is well but the keys of development issuers, which `turnout up` then creates.
        EventFileError: it cannot be used; the text lists every problem with its key, its meaning and the fix.
    """
    path = Path(path)
    event = _event(read(path))
    if len(event.canonical()) > CANONICAL_LIMIT_BYTES:
        wrong = f"its canonical form has {len(event.canonical())} bytes, more than {CANONICAL_LIMIT_BYTES}"
        fix = "Shorten titles, remove unused keys, or certify parts of the programme as events of their own."
        raise EventFileError(path.name, [Problem("file", "", wrong, fix)])
    return event


def _event(document: dict[str, Any]) -> Event:
    """Return the event of a document that counters.event_file has checked."""
    simulation, audit = document["simulation"], document["audit"]
    values = {
        "sessions": tuple(Session(**session) for session in document["sessions"]),
        "issuers": tuple(
            Issuer(**issuer | {"attributes": dict(issuer["attributes"]), "keys": tuple(issuer["keys"])})
            for issuer in document["issuers"]
        ),
        "counting": Counting(**document["counting"]),
        "own_rules": tuple(OwnRule(**rule) for rule in document["own_rules"]),
        "simulation": None if simulation is None else Simulation(**simulation),
        "witnesses": tuple(WitnessOfEvent(**witness) for witness in document["witnesses"]),
        "audit": None if audit is None else Audit(**audit),
    }
    return Event(**document | values)


def _unreadable(source: str, wrong: str) -> EventFileError:
    return EventFileError(source, [Problem("event", "", wrong, "Get the log again from its publisher.")])
