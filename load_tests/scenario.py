"""A scenario: which event is replayed and what its audience is like, read from two TOML files.

The event file is the organiser's, the same one that `turnout up` gets; it is read here with a plain TOML parser and not
with Turnout's own, because the generator is an outsider that must not inherit a misreading. The scenario file beside it
says how many people come, where from, and how they behave.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

SCENARIOS: Final = Path(__file__).parent / "scenarios"
"""The scenarios that come with Turnout."""

DEMO: Final = SCENARIOS / "wiotc2023.toml"
REHEARSAL: Final = SCENARIOS / "rehearsal.toml"
"""The demo in a few seconds: two short days, some three hundred attendees."""


@dataclass(frozen=True, slots=True)
class ProgrammeItem:
    """One session as the event file has it."""

    number: int
    id: str
    title: str
    starts_at: int  # unix s
    ends_at: int  # unix s, exclusive
    gates: tuple[str, ...]
    day: str  # local date of its start, "2023-11-19"


@dataclass(frozen=True, slots=True)
class Programme:
    """What an outsider has to know of an event."""

    event: str
    name: str
    zone: ZoneInfo
    interval_s: int
    starts_at: int  # unix s at which the simulated clock starts; without one, the first session
    sessions: tuple[ProgrammeItem, ...]
    issuer_id: str
    issuer: str
    audience: str
    excluded: frozenset[str]  # categories that are not counted

    def iso(self, unix_s: int) -> str:
        """The time in the event's zone, ISO 8601 with offset."""
        return datetime.fromtimestamp(unix_s, self.zone).isoformat()

    def day(self, unix_s: int) -> str:
        """The local calendar date."""
        return datetime.fromtimestamp(unix_s, self.zone).date().isoformat()

    @property
    def days(self) -> tuple[str, ...]:
        """The days with sessions, in order."""
        return tuple(sorted({session.day for session in self.sessions}))

    @property
    def ends_at(self) -> int:
        """The end of the last session, unix s."""
        return max(session.ends_at for session in self.sessions)


@dataclass(frozen=True, slots=True)
class People:
    """How many come, and how often."""

    online: int  # attendees who watch; staff not counted
    onsite: int  # attendees with a badge; staff not counted
    both: int  # of these, doing both
    staff: int  # people of an excluded category
    loyal_per_session: int  # watch a session from the first to the last minute
    days: tuple[float, ...]  # share of attendees who come on one day, on two, …
    sessions_a_day: tuple[float, ...]  # likewise for the sessions that they choose on a day

    def scaled(self, scale: float) -> "People":
        """Return the same people in another number; the loyal ones stay, and so does at least one of each kind."""

        def some(count: int) -> int:
            return max(1, round(count * scale)) if count else 0

        online = max(some(self.online), self.loyal_per_session * 2)
        onsite = some(self.onsite)
        return People(
            online,
            onsite,
            min(some(self.both), online, onsite),
            some(self.staff),
            self.loyal_per_session,
            self.days,
            self.sessions_a_day,
        )


@dataclass(frozen=True, slots=True)
class Viewing:
    """How people watch. Shares are of views."""

    median_view_s: float
    view_spread: float  # standard deviation of the logarithm of a view's length
    second_device: float
    pauses: float
    background: float
    reloads: float
    leaves: float


@dataclass(frozen=True, slots=True)
class Badges:
    """How people pass the gates.

    Shares are of visits (never out), of entries at least a minute early (give up: out again before the session begins)
    and of scans (the others).
    """

    sessions_a_day: tuple[float, ...]
    never_out: float
    give_up: float
    retried: float
    offline: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """An event and its audience."""

    path: Path
    event_file: Path
    programme: Programme
    seed: int
    represents: int  # people for whom one simulated attendee stands
    people: People
    viewing: Viewing
    badges: Badges
    popularity: Mapping[str, float]  # by session id; 1 unless named
    categories: Mapping[str, float]  # weights
    countries: Mapping[str, float]  # weights; "" = the ticket names none
    outlets: Mapping[str, float]  # weights; "" = the organiser's own page


def read_programme(event_file: Path) -> Programme:
    """Read an event file as an outsider would. Raises KeyError or ValueError for one that `turnout up` would refuse."""
    raw = tomllib.loads(event_file.read_text())
    event, issuer = raw["event"], raw["issuer"][0]
    zone = ZoneInfo(event["time_zone"])
    starts_at = raw.get("simulation", min(raw["session"], key=lambda session: session["starts_at"]))["starts_at"]
    return Programme(
        event=event["id"],
        name=event["name"],
        zone=zone,
        interval_s=event.get("interval_s", 30),
        starts_at=int(starts_at.timestamp()),
        sessions=tuple(_programme_item(session, zone) for session in raw["session"]),
        issuer_id=issuer["id"],
        issuer=issuer["issuer"],
        audience=issuer["audience"],
        excluded=frozenset(raw["counting"].get("exclude_categories", ())),
    )


def _programme_item(raw: Mapping[str, Any], zone: ZoneInfo) -> ProgrammeItem:
    return ProgrammeItem(
        number=raw["number"],
        id=raw["id"],
        title=raw["title"],
        starts_at=int(raw["starts_at"].timestamp()),
        ends_at=int(raw["ends_at"].timestamp()),
        gates=tuple(raw.get("gates", ())),
        day=raw["starts_at"].astimezone(zone).date().isoformat(),
    )


def read_scenario(path: Path = DEMO, *, scale: float = 1.0) -> Scenario:
    """Read a scenario file and the event file that it names. `scale` multiplies the number of people."""
    raw = tomllib.loads(path.read_text())
    people = dict(raw["people"])
    for shares in ("days", "sessions_a_day"):
        people[shares] = tuple(people[shares])
    badges = raw["badges"] | {"sessions_a_day": tuple(raw["badges"]["sessions_a_day"])}
    event_file = path.parent / raw["scenario"]["event_file"]
    everyone = People(**people)
    return Scenario(
        path=path,
        event_file=event_file,
        programme=read_programme(event_file),
        seed=raw["scenario"]["seed"],
        represents=raw["scenario"]["represents"],
        people=everyone if scale == 1.0 else everyone.scaled(scale),
        viewing=Viewing(**raw["viewing"]),
        badges=Badges(**badges),
        popularity=raw["popularity"],
        categories=raw["categories"],
        countries=raw["countries"],
        outlets=raw["outlets"],
    )
