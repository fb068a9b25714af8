"""Bounds: whatever is hidden behind gaps, the truth lies between the least and the most that is printed."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from counters.certificate import assemble
from counters.event import Counting
from counters.evidence import Coverage, PresenceSegment
from counters.handover import accepted_nothing
from counters.journal import Assurance, Direction, Join, JoinKind, Scan
from counters.log_entries import read_log
from counters.numbers import are_bounds
from counters.reckoning import reckon
from counters.retirement import retired_entries
from counters.rule_ids import KNOWN_RULES
from counters.scope_keys import SMALL_SCOPES
from tests.counters.gappy_world import HAPPENINGS, GappyWorld, gappy_world, worker
from tests.counters.synthetic import START, rounded
from tests.counters.test_certificate import certify, read
from tests.counters.test_rules import told


def outside(world: GappyWorld, document: dict[str, Any]) -> list[str]:
    """Return the numbers that the truth contradicts."""
    wrong = []
    spaces = {world.namespace(person): set[str]() for person, *_ in world.net()}
    for person, *_ in world.net():
        spaces[world.namespace(person)].add(person)
    for row in document["numbers"]:
        if row.get("suppressed"):
            assert "bounds" not in row
            continue
        if row["value"] is None:
            truth = [world.measure(row["rule"], row["scope"], persons)[0] for persons in spaces.values()]
            least, most = row.get("bounds_with_gaps", row["bounds"])
            low, high = rounded(max(truth)), rounded(sum(truth))
        else:
            least, most = row.get("bounds", [row["value"]] * 2)
            low = high = rounded(world.measure(row["rule"], row["scope"])[0])
        if low < least or (most is not None and high > most):
            wrong.append(f"{row['rule']} {row['scope']}: {row['value']} in {least} … {most}, in truth {low} … {high}")
    return wrong


@settings(max_examples=60, deadline=None)
@example(14, ["missing"])  # somebody has only a seat that the missing worker gave
@example(5066, ["clock"])  # on one of two days nobody is certain
@example(29, ["late"])  # two seats of one person are not known to be one's
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(HAPPENINGS), max_size=3, unique=True))
def test_whatever_is_hidden_the_truth_lies_within_the_bounds(seed: int, happenings: list[str]) -> None:
    world = told(gappy_world(random.Random(seed), *happenings))
    assert outside(world, read(certify(world, world.sealed()))) == []


def certified(world: GappyWorld) -> dict[str, Any]:
    return read(certify(world, world.sealed()))


def number(document: dict[str, Any], rule: str, **scope: str) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in document["numbers"] if (row["rule"], row["scope"]) == (rule, scope))
    return row


def calm_world(people: int = 8) -> GappyWorld:
    """Return an event online only, of one namespace, in which nothing is excluded, withheld or lost."""
    world = gappy_world(random.Random(5), people=people)
    sessions = tuple(replace(session, gates=()) for session in world.event.sessions)
    issuers = tuple(replace(issuer, namespace="one") for issuer in world.event.issuers)
    counting = Counting(KNOWN_RULES, (), 1)
    world.event = replace(world.event, sessions=sessions, issuers=issuers, counting=counting)
    world.accepted = [one for one in world.accepted if not isinstance(one[2], Scan)]
    world.scans = []
    return world


def silenced(world: GappyWorld, gateway: int, first: int, end: int) -> None:
    """Let a gateway hand nothing over from one window to another, and be missing there."""
    for window in range(first, end, 60):
        world.silent.add((window, gateway))
        world.absent.setdefault(window, []).append(worker(gateway))


def kinds(document: dict[str, Any]) -> list[str]:
    return [row["gap"] for row in document["gaps"]["bounds"]["rows"]]


def test_without_gaps_no_number_has_bounds_and_the_numbers_are_those_of_version_1() -> None:
    world = calm_world()
    document = certified(world)
    assert kinds(document) == []
    log = read_log(world.sealed().entries)
    reckoning = reckon(log, world.sealed().files.__getitem__)
    before = read(assemble(log, reckoning, document["log"], document["issued_at"], document["software"], version=1))
    since = {"category", "outlet"}
    assert before["numbers"] == [row for row in document["numbers"] if not row["scope"].keys() & since]
    assert "bounds" not in before["gaps"]
    assert not any("bounds" in row for row in document["numbers"])


def test_a_worker_never_heard_of_again_may_have_seated_as_many_people_as_it_held_seats() -> None:
    world = calm_world()
    last = world.windows()[-1]
    silenced(world, 2, last, last + 60)
    document = certified(world)
    (row,) = document["gaps"]["bounds"]["rows"]
    assert (row["gap"], row["window"], row["worker"]) == ("worker-missing", world.event.iso(last), worker(2))
    online = number(document, "unique-attendees-online")
    known = {join.seat for join in world.joins}
    held = 2 * 65_536
    assert online["bounds"][0] == online["value"]
    assert held < online["bounds"][1] <= held + len(known)
    assert number(document, "views")["bounds"][1] is None
    assert number(document, "peak-concurrent-attendees", channel="online")["bounds"][1] == online["bounds"][1]


def test_a_day_on_which_nothing_is_missing_has_no_bounds() -> None:
    world = calm_world()
    last = world.windows()[-1]
    silenced(world, 2, last, last + 60)
    document = certified(world)
    days = {world.event.day(window) for window in world.windows()}
    assert len(days) == 2
    for row in document["numbers"]:
        onsite = row["rule"].endswith(("-onsite", "-both")) or row["scope"].get("channel") == "onsite"
        if "day" in row["scope"] and not onsite:
            assert ("bounds" in row) == (row["scope"]["day"] == max(days)), row


def test_a_report_that_comes_in_time_closes_the_gap() -> None:
    world = calm_world()
    window = world.windows()[3]
    world.absent[window] = [worker(1)]
    world.later = {(window, "gw-1")}
    world.event = replace(world.event, late_until=world.event.late_until + timedelta(days=1))
    document = certified(world)
    assert document["gaps"]["windows_with_missing_workers"]
    assert kinds(document) == []
    assert not any("bounds" in row for row in document["numbers"])


@pytest.mark.parametrize("in_order", [False, True])
def test_a_worker_that_ended_before_hides_nothing_after(*, in_order: bool) -> None:
    world = calm_world()
    *_, ended, last = world.windows()
    for position, (gateway, at_ms, fact) in enumerate(world.accepted):
        if gateway == 2 and at_ms >= last * 1000:
            world.accepted[position] = (1, at_ms, fact)
    silenced(world, 2, last, last + 60)
    assert set(kinds(certified(world))) == {"worker-missing"}
    end = (ended + 60) * 1000 - in_order
    world.rows[ended, 2] = Coverage(worker(2), "gw-2", ended * 1000, end, end, crashed=not in_order, records=1)
    assert kinds(certified(world)) == []
    # Unless its host lost power: then there may have been more.
    world.rows[ended, 2] = replace(world.rows[ended, 2], crashed=True, synced_until_ms=end - 1)
    assert "worker-missing" in kinds(certified(world))
    # One that could not open the window it ended in is told of later, by a row of no length.
    world.rows[ended, 2] = replace(world.rows[ended, 2], crashed=False, until_ms=(ended + 60) * 1000)
    assert "worker-missing" in kinds(certified(world))
    world.rows[last, 2] = accepted_nothing(worker(2), "gw-2", last)
    world.silent = set()
    assert kinds(certified(world)) == []


def test_a_worker_whose_seats_nobody_wrote_down_may_have_seated_anybody() -> None:
    world = calm_world()
    last = world.windows()[-1]
    silenced(world, 2, last, last + 60)
    world.upgraded_at = last + 60
    document = certified(world)
    assert {row["more_people_at_most"] for row in document["gaps"]["bounds"]["rows"]} == {None}
    assert all(row["bounds"][1] is None for row in document["numbers"])


def test_a_worker_that_is_missing_later_may_have_had_somebody_out_of_schedule_on_the_day_before() -> None:
    world = calm_world()
    (session, *_) = world.event.sessions
    starts_at = datetime.fromtimestamp(START + 240, UTC)  # past midnight
    session = replace(session, starts_at=starts_at, ends_at=starts_at + timedelta(minutes=2))
    world.event = replace(world.event, sessions=(session,))
    join = next(fact for *_, fact in world.accepted if isinstance(fact, Join) and fact.view)
    at_ms, early = (START - 60) * 1000, START + 60
    join = replace(join, session=session.number, joined_at_ms=at_ms)
    world.accepted = [(0, at_ms, join), (2, early * 1000, (2, early, session.number, join.seat, False))]
    world.joins, world.beats = [join], [(2, early, session.number, join.seat, False)]
    world.hidden = {1}
    silenced(world, 2, early, START + 360)
    world.absent = {
        window: names for window, names in world.absent.items() if window in world.event.scheduled_windows()
    }
    document = certified(world)
    assert outside(world, document) == []
    online = number(document, "unique-attendees-online", day=world.event.day(early))
    assert online["value"] == 0
    assert online["bounds"][1] >= 1
    assert world.event.iso(START + 180) in [row["window"] for row in document["gaps"]["bounds"]["rows"]]


def test_a_lost_scan_may_have_parted_a_stay_in_two() -> None:
    world = gappy_world(random.Random(5), people=0)
    (session, *_) = world.event.sessions
    starts_at = datetime.fromtimestamp(START, UTC)
    session = replace(session, starts_at=starts_at, ends_at=starts_at + timedelta(minutes=6))
    world.event = replace(world.event, sessions=(session,), counting=Counting(KNOWN_RULES, (), 1))
    going = {1: ((0, Direction.IN), (1, Direction.OUT), (3, Direction.IN), (4, Direction.OUT)), 2: ((2, Direction.IN),)}
    for seat, walks in going.items():
        badge = a_badge(seat, session.number)
        world.person_of_seat[seat] = f"person-{seat}"
        world.joins.append(badge)
        world.accepted.append((0, badge.joined_at_ms, badge))
        for minute, direction in walks:
            lost = seat == 1 and minute in (1, 3)
            scanned = (START + 60 * minute) * 1000
            scan = Scan(
                seat=seat, session=session.number, direction=direction, forced=True, scanned_at_ms=scanned,
                received_at_ms=(START + 240) * 1000 if lost else scanned, gate=session.gates[0],
                nonce=f"{seat}-{minute}", refusal="",
            )  # fmt: skip
            world.scans.append(scan)
            world.hidden |= {len(world.accepted)} if lost else set()
            world.accepted.append((2 if lost else 0, scan.received_at_ms, scan))
    world.rows[START + 240, 2] = replace(
        world.head(2, START + 240).workers[0], until_ms=(START + 240) * 1000, synced_until_ms=(START + 240) * 1000,
        records=0, unreadable=True,
    )  # fmt: skip
    document = certified(world)
    peak = number(document, "peak-concurrent-attendees", channel="onsite")
    assert peak["value"] == 2, "whose stay was one"
    assert world.measure("peak-concurrent-attendees", {"channel": "onsite"})[0] == 1
    assert peak["bounds"][0] == 1
    assert outside(world, document) == []


def a_badge(seat: int, session: int) -> Join:
    return Join(
        seat=seat, session=session, kind=JoinKind.BADGE, assurance=Assurance.TICKETED, filters=0, view=0,
        joined_at_ms=START * 1000, pseudonym=bytes([seat]) * 16, token_digest=bytes(32), address=bytes(8),
        issuer="issuer-0", key_thumbprint="k", country="FR", category="", outlet="", network="", agent="",
    )  # fmt: skip


def test_while_nobody_was_there_only_those_who_had_joined_may_have_watched() -> None:
    world = calm_world()
    window = world.event.scheduled_windows()[2]
    before_ms = window * 1000 - 1
    for position, (gateway, at_ms, fact) in enumerate(world.accepted):
        if at_ms // 60_000 * 60 == window:
            joined_before = replace(fact, joined_at_ms=before_ms) if isinstance(fact, Join) else fact
            world.accepted[position] = (gateway, before_ms if isinstance(fact, Join) else at_ms, joined_before)
            world.hidden |= set() if isinstance(fact, Join) else {position}
    world.silent = {(window, gateway) for gateway in range(3)}
    document = certified(world)
    (row,) = document["gaps"]["bounds"]["rows"]
    joined = {world.person_of_seat[fact.seat] for _, at_ms, fact in world.accepted
              if isinstance(fact, Join) and fact.view and at_ms < (window + 60) * 1000 + 4000}  # fmt: skip
    assert (row["gap"], row["seconds"], row["more_people_at_most"]) == ("nobody-there", 60, len(joined))
    assert number(document, "views")["value"] is not None
    assert "bounds" not in number(document, "views")


def test_a_gap_that_hides_nobody_bounds_nothing() -> None:
    """For a minute there was no gateway, and nobody had joined by then: nobody can have been there one minute more."""
    world = told(calm_world())
    window = world.event.scheduled_windows()[0]
    after_ms = (window + 120) * 1000
    world.accepted = [
        (gateway, max(at_ms, after_ms), replace(fact, joined_at_ms=max(at_ms, after_ms)))
        for gateway, at_ms, fact in world.accepted
        if isinstance(fact, Join)
    ]
    watched = [(fact.seat, fact.session) for *_, fact in world.accepted if isinstance(fact, Join) and fact.view]
    for minute in world.windows():
        if minute in world.windows()[-4:]:
            world.accepted += [
                (0, minute * 1000 + 50_000, (0, minute, session, seat, False)) for seat, session in watched
            ]
    world.joins = [fact for *_, fact in world.accepted if isinstance(fact, Join)]
    world.beats = [fact for *_, fact in world.accepted if isinstance(fact, tuple)]
    world.hidden = set()
    world.silent = {(window, gateway) for gateway in range(3)}
    document = certified(world)
    (row,) = document["gaps"]["bounds"]["rows"]
    assert (row["gap"], row["more_people_at_most"], row["fewer_people_at_most"]) == ("nobody-there", 0, 0)
    assert number(document, "five-minutes")["value"] is not None
    assert [one["rule"] for one in document["numbers"] if "bounds" in one] == []
    assert outside(world, document) == []


def test_a_withheld_cell_has_no_bounds_and_no_bound_tells_of_fewer_people_than_a_cell_may() -> None:
    below = 3
    for seed in range(20):
        world = gappy_world(random.Random(seed), "nobody", "late", people=12)
        world.event = replace(world.event, counting=replace(world.event.counting, suppress_below=below))
        document = certified(world)
        for row in document["gaps"]["bounds"]["rows"]:
            assert not 0 < row["more_people_at_most"] < below
        for row in document["numbers"]:
            if row.get("suppressed"):
                assert "bounds" not in row
            elif "bounds" in row and row["value"] is not None and row["scope"].keys() & SMALL_SCOPES:
                least, most = row["bounds"]
                if row["unit"] != "hours" and row["rule"] != "average-minute-audience" and most is not None:
                    assert not 0 < most - row["value"] < below, row
                    assert least == 0 or not 0 < row["value"] - least < below, row
        assert outside(world, document) == []


def test_people_of_several_namespaces_keep_their_interval_and_get_another_for_gaps() -> None:
    for seed in range(40):
        world = gappy_world(random.Random(seed), "missing", people=12)
        rows = [row for row in certified(world)["numbers"] if "bounds_with_gaps" in row]
        if rows:
            break
    assert rows
    for row in rows:
        (largest, both), (least, most) = row["bounds"], row["bounds_with_gaps"]
        assert row["value"] is None
        assert least <= largest <= both
        assert most is None or both <= most
        assert are_bounds(row, boundless=False, version=2)


@pytest.mark.parametrize(
    "row",
    [
        {"value": 5, "bounds": [6, 9]}, {"value": 5, "bounds": [1, 4]}, {"value": 5, "bounds": [5, 5]},
        {"value": 5, "bounds": [None, 9]}, {"value": 5, "bounds": ["1", 9]}, {"value": 5, "bounds_with_gaps": [1, 9]},
        {"value": None, "suppressed": True, "bounds": [0, 9]},
        {"value": None, "bounds": [3, 5], "bounds_with_gaps": [4, 9]},
        {"value": None, "bounds": [3, 5], "bounds_with_gaps": [3, 4]},
        {"value": None, "suppressed": True, "bounds_with_gaps": [0, 9]},
    ],
)  # fmt: skip
def test_bounds_that_cannot_be_are_refused(row: dict[str, Any]) -> None:
    assert not are_bounds(row, boundless=False, version=2)


def test_where_the_log_shows_that_nothing_bounds_a_number_an_upper_bound_is_refused() -> None:
    assert are_bounds({"value": 5, "bounds": [5, None]}, boundless=True, version=2)
    assert not are_bounds({"value": 5, "bounds": [5, 9]}, boundless=True, version=2)
    assert not are_bounds({"value": 5}, boundless=True, version=2)
    assert not are_bounds({"value": 5, "bounds": [5, 9]}, boundless=False, version=1)


def test_a_copy_of_a_spool_says_that_a_worker_died_and_what_that_one_loses_later_is_a_gap_all_the_same() -> None:
    world = calm_world()
    windows = list(world.windows())
    segments = world.segments()
    copied = PresenceSegment.of(world.head(2, windows[1], crashed=True), {}, [])
    segments[windows[1]].append(copied)
    world.segments = lambda: segments  # type: ignore[method-assign]
    segments[windows[-1]] = [one for one in segments[windows[-1]] if one.head.gateway != "gw-2"]
    world.absent[windows[-1]] = [worker(2)]
    assert "worker-missing" in kinds(certified(world))


@pytest.mark.parametrize("reports_its_last_window", [False, True])
def test_an_operator_who_retires_a_gateway_that_goes_on_hides_nobody(*, reports_its_last_window: bool) -> None:
    world = calm_world()
    windows = list(world.windows())
    first, at = windows[3], windows[2] if reports_its_last_window else windows[3]
    hidden = [one for one in world.accepted if one[0] == 2 and one[1] >= first * 1000]
    world.hidden = {world.accepted.index(one) for one in hidden}
    assert hidden
    for window in windows[3:]:
        world.silent.add((window, 2))
        if window <= at:
            world.absent.setdefault(window, []).append(worker(2))
    sealed = world.sealed()
    (entry,) = retired_entries(world.event, "gw-2", [worker(2)], at + 1, "turnout test")
    sealed.entries.append(entry)
    document = read(certify(world, sealed))
    assert outside(world, document) == []
    missing = [row["window"] for row in document["gaps"]["bounds"]["rows"] if row["gap"] == "worker-missing"]
    assert missing == [world.event.iso(window) for window in windows[3:]]
    (retired,) = document["gaps"]["gateways_retired"]
    assert (retired["gateway"], retired["workers"]) == ("gw-2", [worker(2)])
    most = number(document, "unique-attendees-online")["bounds"][1]
    assert (most is None) == reports_its_last_window  # then no leaf says which seats it held
