"""A scenario on the wall clock: a crowd of players against a running gateway for some minutes, read from one TOML file.

Times in the file are seconds from the start of the run. The event is either the organiser's own, whose event file is
named on the command line, or one that is written here for the minutes that follow (`event_file`).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from load_tests.scenario import SCENARIOS

STEADY: Final = SCENARIOS / "steady.toml"
CUT, KILL_WORKERS = "cut", "kill-workers"
KINDS: Final = (CUT, KILL_WORKERS)
NOON_H: Final = 12
LATE_S: Final = 6 * 3600
"""Late evidence counts for so long: far beyond the end of a run."""


@dataclass(frozen=True, slots=True)
class CrowdSession:
    """One session of the event that is written for the run."""

    id: str
    from_s: int
    until_s: int
    weight: float  # how much likelier than others it is to be chosen


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A share of the crowd that arrives evenly spread over a span."""

    share: float
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Habits:
    """How people watch. Shares are of stretches of watching, unless said otherwise."""

    median_stay_s: float
    stay_spread: float  # standard deviation of the logarithm
    second_device: float  # share of people who watch on a second device as well
    pauses: float
    background: float
    returns: float  # come back to the same session with the viewing token: the same view goes on
    switches: float  # go on to another session with the viewing token: another view
    fresh_ticket: float  # share of those who come back or go on with their ticket instead: a view of its own
    leaves: float  # say goodbye; the others fall silent
    warm_s: float = 0.0  # players connect up to so long before they join, as a page that is open already


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that happens to the connections."""

    at_s: float
    kind: str  # "cut": all connections at once; "kill-workers": SIGKILL to every worker of the local gateway
    back_within_s: float  # each player beats again within this time


@dataclass(frozen=True, slots=True)
class CrowdScenario:
    """A crowd and what happens to it."""

    name: str
    says: str  # one sentence for the report
    seed: int
    lasts_s: int
    interval_s: int  # of the event that is written for the run
    workers: int
    people: int  # staff included
    staff: int  # of a category that is not counted
    sessions: tuple[CrowdSession, ...]
    arrivals: tuple[Arrivals, ...]
    habits: Habits
    disturbances: tuple[Disturbance, ...]
    countries: Mapping[str, float]  # weights; "" = the ticket names none

    def scaled(self, scale: float) -> "CrowdScenario":
        """Return the same crowd in another number, at least one of each kind."""
        staff = max(1, round(self.staff * scale)) if self.staff else 0
        return replace(self, people=max(2 + staff, round(self.people * scale)), staff=staff)


def read_crowd_scenario(path: Path) -> CrowdScenario:
    """Read a scenario file. Raises OSError, KeyError, TypeError or ValueError for one that is none."""
    raw: dict[str, Any] = tomllib.loads(path.read_text())
    scenario = CrowdScenario(
        name=path.stem,
        sessions=tuple(CrowdSession(**session) for session in raw["session"]),
        arrivals=tuple(Arrivals(**arrivals) for arrivals in raw["arrivals"]),
        habits=Habits(**raw["habits"]),
        disturbances=tuple(Disturbance(**one) for one in raw.get("disturbance", ())),
        countries=raw["countries"],
        **raw["crowd"],
    )
    if unknown := {one.kind for one in scenario.disturbances} - set(KINDS):
        raise ValueError(f"{path.name}: there is no disturbance {sorted(unknown)}; there are {', '.join(KINDS)}")
    return scenario


def noon_zone(unix_s: float) -> str:
    """Return a time zone in which it is about noon, so that no run crosses a midnight."""
    ahead = NOON_H - datetime.fromtimestamp(unix_s, UTC).hour
    return "Etc/GMT" + (f"-{ahead}" if ahead > 0 else f"+{-ahead}" if ahead < 0 else "")


def event_file(scenario: CrowdScenario, starts_at: int) -> str:
    """Return the event file (TOML) of a run that starts at `starts_at` (unix s)."""

    def time(unix_s: int) -> str:
        return datetime.fromtimestamp(unix_s, UTC).isoformat()

    sessions = "".join(
        f'\n[[session]]\nnumber = {number}\nid = "{session.id}"\ntitle = "{session.id}"\n'
        f"starts_at = {time(starts_at + session.from_s)}\nends_at = {time(starts_at + session.until_s)}\n"
        for number, session in enumerate(scenario.sessions, start=1)
    )
    return f"""# Written by load_tests.players for one run of {scenario.name}. Invented throughout.

[event]
id = "load-test"
name = "Load test: {scenario.name}"
organiser = "Turnout load tests"
time_zone = "{noon_zone(starts_at)}"
interval_s = {scenario.interval_s}
late_until = {time(starts_at + scenario.lasts_s + LATE_S)}

[[issuer]]
id = "tickets"
issuer = "https://tickets.load-test.example"
audience = "load-test"
jwks = "jwks.json"
namespace = "tickets"
subject_claim = "sub"
operated_by = "Turnout load tests"
algorithms = ["ES256"]
attributes = {{ country = "country", category = "category" }}
development = true

[counting]
exclude_categories = ["staff"]
{sessions}"""
