"""docs/counting-rules.md: every rule has its section, and the worked example comes out as it says."""

import random
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from counters.attendance import Attendance
from counters.event import Counting, Event, OwnRule, Session
from counters.evidence import JournalSegment, PresenceSegment
from counters.journal import Assurance, Direction, Join, JoinKind, Scan
from counters.numbers import all_numbers
from counters.reckoning import runs_of
from counters.rule_ids import KNOWN_RULES
from tests.counters.synthetic import World, event_of

PAGE: Final = (Path(__file__).parents[2] / "docs" / "counting-rules.md").read_text(encoding="utf-8")
SEATS: Final = {"Ana": 1, "Ben": 2, "Cy": 3}
ZONE: Final = ZoneInfo("Asia/Shanghai")
DAYS: Final = {"opening": 19, "forum": 20}
OWN: Final = (OwnRule("five", windows=5), OwnRule("five-of-one", windows=5, in_schedule=True))


def unix(session: str, time: str) -> int:
    hour, minute = map(int, time.split(":"))
    return int(datetime(2023, 11, DAYS[session], hour, minute, tzinfo=ZONE).timestamp())


def session(number: int, name: str, ends: str) -> Session:
    starts, until = (datetime.fromtimestamp(unix(name, time), ZONE) for time in ("09:00", ends))
    return Session(number, name, name, starts, until, (f"gate-{number}",))


def table(*names: str) -> list[list[str]]:
    """Return the rows of the page's table with these columns."""
    head = re.escape(f"| {' | '.join(names)} |")
    rows = re.search(rf"^{head}\n\|[-|]+\|\n((?:\|.*\|\n)+)", PAGE, re.MULTILINE)
    assert rows
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows[1].splitlines()]


@pytest.fixture(scope="module")
def world() -> World:
    event: Event = replace(
        event_of(random.Random(1)),
        interval_s=30,
        sessions=(session(1, "opening", "10:00"), session(2, "forum", "09:10")),
        counting=Counting(KNOWN_RULES, (), 1),
        own_rules=OWN,
    )
    world = World(replace(event, issuers=tuple(replace(one, namespace="one") for one in event.issuers)))
    numbers, view = {"opening": 1, "forum": 2}, 0
    for who, where, at, start, end, views in table("who", "where", "session", "from", "to", "views"):
        seat, number, first = SEATS[who], numbers[at], unix(at, start)
        last = unix(at, end) if end else first
        world.person_of_seat |= {seat: who, seat + 10: who}
        ticket = Join(
            seat=seat, session=number, kind=JoinKind.TICKET, assurance=Assurance.TICKETED, filters=0, view=0,
            joined_at_ms=first * 1000, pseudonym=who.encode().ljust(16, b"\0"), token_digest=bytes(32),
            address=bytes(8), issuer="issuer-0", key_thumbprint="", country="", category="", outlet="", network="",
            agent="",
        )  # fmt: skip
        if where == "onsite":
            world.joins.append(replace(ticket, kind=JoinKind.BADGE))
            passed = [(Direction.IN, first)] + ([(Direction.OUT, last)] if end else [])
            world.scans += [
                Scan(
                    seat=seat, session=number, direction=direction, forced=False, scanned_at_ms=time * 1000,
                    received_at_ms=time * 1000, gate=f"gate-{number}", nonce=f"{seat}-{time}", refusal="",
                )
                for direction, time in passed
            ]  # fmt: skip
            continue
        for device in range(int(views)):  # a second device is a second seat here: the sketch has a view for each seat
            view += 1
            world.joins.append(replace(ticket, seat=seat + 10 * device, view=view))
            world.beats += [(0, window, number, seat + 10 * device, False) for window in range(first, last + 60, 60)]
    return world


def numbers(world: World, until: int) -> dict[str, int | float]:
    """Return the event-wide numbers of both channels, as of some time, by rule."""
    found = {window: rows for window, rows in world.segments().items() if window < until}
    presence = {window: [one for one in rows if isinstance(one, PresenceSegment)] for window, rows in found.items()}
    journals = [one for rows in found.values() for one in rows if isinstance(one, JournalSegment)]
    attendance = Attendance.from_evidence(world.event, presence, journals, runs_of(world.event))
    rows = all_numbers(attendance, lambda _rule, _cell: None, "now")
    return {
        row["rule"]: row["value"]
        for row in rows
        if row["scope"] == {} or (row["scope"] == {"channel": "online"} and row["rule"].startswith(("r", "av", "ho")))
    }


def test_the_worked_example_comes_out_as_the_page_says(world: World) -> None:
    said = {rule.strip("`"): float(number) for rule, number, _ in table("rule", "number", "by hand")}
    assert list(said) == list(KNOWN_RULES)
    found = numbers(world, 2**40)
    assert {rule: found[rule] for rule in said} == said
    assert "`windows = 5` counts 2" in PAGE
    assert (found["five"], found["five-of-one"]) == (2, 2)


def test_who_is_inside_before_the_end_is_as_the_page_says(world: World) -> None:
    assert "09:06 on the 20th it is 1: Ben" in PAGE
    assert numbers(world, unix("forum", "09:06"))["inside-count"] == 1


def test_every_rule_has_a_section() -> None:
    titles = {name for line in re.findall(r"^## (.*)$", PAGE, re.MULTILINE) for name in line.split(", ")}
    assert set(KNOWN_RULES) <= titles
