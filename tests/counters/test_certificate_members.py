"""What a certificate prints besides numbers: waterfall, minutes, what is apart, curve; counted in plain Python."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from statistics import median_low
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import canonical_json
from counters.apart import Foreground, apart
from counters.distribution import bands, median, minutes_attended
from tests.counters.synthetic import World, fixed_world, rounded, seal, with_invalid_traffic, world_of
from tests.counters.test_attendance import attendance_of
from tests.counters.test_certificate import certify, read

REASONS = ("datacentre", "declared-bot", "impossible-rate", "crowded-address")
SEEDS = st.integers(0, 2**32 - 1)
UNTIL_SEALED = settings(max_examples=20, deadline=None)


def shown(world: World) -> World:
    """The same world, of which nothing is withheld."""
    world.event = replace(world.event, counting=replace(world.event.counting, suppress_below=1))
    return world


def figure(world: World, persons: Iterable[str]) -> Any:
    """How many these are, as it is printed: of an event of several namespaces of each by itself."""
    names = {issuer.namespace for issuer in world.event.issuers}
    found = Counter(world.namespace(person) for person in persons)
    return dict.fromkeys(names, 0) | found if len(names) > 1 else found.total()


def by_space(world: World) -> dict[str | None, set[str]]:
    """Return by namespace, as minutes and curve are printed, who counts; under None if there is only one."""
    net = {fact[0] for fact in world.net()}
    of_each = figure(world, net)
    if isinstance(of_each, int):
        return {None: net}
    return {name: {person for person in net if world.namespace(person) == name} for name in sorted(of_each)}


def scheduled(world: World, number: int) -> set[int]:
    session = next(one for one in world.event.sessions if one.number == number)
    first = int(session.starts_at.timestamp()) // 60 * 60
    return set(range(first, int(session.ends_at.timestamp()), 60))


@UNTIL_SEALED
@given(SEEDS)
def test_the_waterfall_adds_up_and_each_row_is_the_truth(seed: int) -> None:
    rng = random.Random(seed)
    world = shown(with_invalid_traffic(world_of(rng), rng))
    document = read(certify(world, seal(world)))
    said = document["waterfall"]
    gross, *minus, net = said["rows"]
    assert (gross["step"], {row["step"] for row in minus} <= {"minus"}, net["step"]) == ("gross", True, "net")
    present = {fact[0] for fact in world.facts()}
    assert (gross["people"], gross["views"]) == (figure(world, present), len(world.opened()))
    assert (net["people"], net["views"]) == (figure(world, {fact[0] for fact in world.net()}), len(world.views()))
    assert gross["views"] - sum(row["views"] for row in minus) == net["views"]
    taken = [row["people"] for row in minus]
    if isinstance(gross["people"], int):
        assert gross["people"] - sum(taken) == net["people"]
    else:
        for name, count in gross["people"].items():
            assert count - sum(row.get(name, 0) for row in taken) == net["people"].get(name, 0)
    people, views = defaultdict[str, set[str]](set), Counter[str]()
    for person in present & world.invalid():
        reasons = [world.reason(join) for join in world.joins if world.person_of_seat[join.seat] == person]
        people[min((reason for reason in reasons if reason), key=REASONS.index)].add(person)
    for join in world.opened():
        views[world.reason(join) or ""] += 1
    excluded = world.event.counting.exclude_traffic
    assert [(row["reason"], row["people"], row["views"]) for row in minus if row["kind"] != "category"] == [
        (reason, figure(world, people[reason]), views[reason]) for reason in REASONS if reason in excluded
    ]
    assert {row["reason"]: row["kind"] for row in said["flagged"]} == dict(
        zip(REASONS, ["GIVT"] * 2 + ["SIVT"] * 2, strict=True)
    )
    for bit, row in enumerate(said["flagged"]):
        assert row["joins"] == sum(1 for join in world.joins if join.filters >> bit & 1)
        assert row["excluded"] == (row["reason"] in excluded)


def test_what_was_refused_at_the_door_is_apart_and_what_the_leaves_say() -> None:
    world = fixed_world()
    sealed = seal(world)
    said = read(certify(world, sealed))["waterfall"]
    leaves = [json.loads(entry) for entry in sealed.entries if b'"type":"window"' in entry]
    refused = Counter[str]()
    for leaf in leaves:
        refused.update(leaf["refusals"])
    assert refused
    assert said["refused"] == [{"reason": reason, "count": count} for reason, count in sorted(refused.items())]
    assert said["scans_refused"] == sum(leaf["scans"]["refused"] for leaf in leaves) > 0
    assert said["guests"] == {"devices": 0, "views": 0}
    assert (said["revoked"]["attendees"], said["revoked"]["views"]) == (0, 0)


def test_excluded_categories_of_few_people_are_one_row() -> None:
    world = fixed_world(people=60)
    names = ("staff", "visitor")
    issuers = tuple(replace(issuer, namespace="one") for issuer in world.event.issuers)
    for below, expected in ((1, names), (50, ("other categories",))):
        counting = replace(world.event.counting, exclude_categories=names, suppress_below=below)
        world.event = replace(world.event, counting=counting, issuers=issuers)
        rows = read(certify(world, seal(world)))["waterfall"]["rows"]
        assert tuple(row["reason"] for row in rows if row["step"] == "minus") == expected
        assert rows[0]["people"] - sum(row["people"] for row in rows[1:]) == 0


def test_a_single_small_category_is_not_told_by_the_row_of_the_others() -> None:
    """With another that may be shown it makes one row; where it is all that is excluded, gross and net tell it."""
    world = fixed_world(people=60)
    issuers = tuple(replace(issuer, namespace="one") for issuer in world.event.issuers)
    world.event = replace(world.event, issuers=issuers)

    def taken(*names: str, below: int = 1) -> dict[str, int]:
        counting = replace(world.event.counting, exclude_categories=names, suppress_below=below)
        world.event = replace(world.event, counting=counting)
        rows = read(certify(world, seal(world)))["waterfall"]["rows"]
        return {row["reason"]: row["people"] for row in rows if row["step"] == "minus"}

    few, many = sorted(taken("staff", "visitor").items(), key=lambda row: row[1])
    assert 0 < few[1] < many[1]
    assert taken("staff", "visitor", "nobody", below=many[1]) == {"nobody": 0, "other categories": few[1] + many[1]}
    assert taken(few[0], "nobody", below=few[1] + 1) == {"nobody": 0, "other categories": few[1]}


@UNTIL_SEALED
@given(SEEDS)
def test_minutes_are_the_windows_in_which_somebody_was_present(seed: int) -> None:
    world = shown(world_of(random.Random(seed)))
    said = read(certify(world, seal(world)))["minutes"]
    spaces = by_space(world)
    ids: dict[int | None, dict[str, str]] = {None: {}}
    ids |= {one.number: {"session": one.id} for one in world.event.sessions}
    of_whom = [(number, name) for number in ids for name in spaces]
    assert [row["scope"] for row in said] == [
        ids[number] | ({} if name is None else {"namespace": name}) for number, name in of_whom
    ]
    for row, (number, name) in zip(said, of_whom, strict=True):
        windows = {
            (person, window)
            for person, window, session, _ in world.net()
            if number in (None, session) and person in spaces[name]
        }
        minutes = Counter(person for person, _ in windows)
        assert sum(band["people"] for band in row["bands"]) == len(minutes)
        for band in row["bands"]:
            inside = [m for m in minutes.values() if band["from"] <= m and (band["to"] is None or m <= band["to"])]
            assert band["people"] == len(inside)
        assert row["median"] == (median_low(minutes.values()) if minutes else None)
        mean = rounded(Fraction(len(windows), len(minutes))) if minutes else None
        assert row["mean"] == mean


@given(st.lists(st.integers(0, 12), min_size=1, max_size=600), st.integers(1, 30))
def test_no_band_holds_few_people_and_the_bands_add_up(counts: list[int], below: int) -> None:
    histogram = np.array([0, *counts], np.int64)
    found = bands(histogram, below)
    total = int(histogram.sum())
    assert sum(band["people"] for band in found) == total
    assert all(band["people"] == 0 or band["people"] >= min(below, total) for band in found)
    assert found[0]["from"] == 1
    assert found[-1]["to"] is None
    assert all(one["to"] + 1 == two["from"] for one, two in pairwise(found))
    if total:
        assert median(histogram) == median_low(np.repeat(np.arange(len(histogram)), histogram).tolist())


@UNTIL_SEALED
@given(SEEDS, st.booleans())
def test_what_is_apart_adds_up_to_all_of_it(seed: int, late: bool) -> None:
    world = shown(world_of(random.Random(seed)))
    sealed = seal(world, late=frozenset(world.segments()) if late else frozenset())
    rows = read(certify(world, sealed))["apart"]["rows"]
    net = world.net()
    front = {(world.person_of_seat[seat], window, room) for _, window, room, seat, hidden in world.beats if not hidden}
    totals = Counter[str]()
    everybody_in, everybody_front = set[str](), set[str]()
    for row, session in zip(rows[1:], world.event.sessions, strict=True):
        assert row["scope"] == {"session": session.id}
        here = {(person, window) for person, window, number, _ in net if number == session.number}
        online = {(person, window) for person, window, number, by in net if (number, by) == (session.number, "online")}
        on_time = {one for one in here if one[1] in scheduled(world, session.number)}
        seen = {one for one in online if (*one, session.number) in front}
        persons = {person for person, _ in on_time}, {person for person, _ in seen}
        everybody_in |= persons[0]
        everybody_front |= persons[1]
        truth = {
            "in_schedule": (persons[0], len(on_time)),
            "outside": ({person for person, _ in here} - persons[0], len(here - on_time)),
            "foreground": (persons[1], len(seen)),
            "background": ({person for person, _ in online} - persons[1], len(online - seen)),
        }
        for part, (people, minutes) in truth.items():
            assert row[part] == {"people": figure(world, people), "person_minutes": minutes}, part
            totals[part] += minutes
    online_ever = {person for person, _, _, by in net if by == "online"}
    whole = {
        "in_schedule": everybody_in,
        "outside": {fact[0] for fact in net} - everybody_in,
        "foreground": everybody_front,
        "background": online_ever - everybody_front,
    }
    for part, who in whole.items():
        assert rows[0][part] == {"people": figure(world, who), "person_minutes": totals[part]}, part


@UNTIL_SEALED
@given(SEEDS)
def test_the_curve_is_who_was_present_minute_by_minute(seed: int) -> None:
    world = world_of(random.Random(seed))
    said = read(certify(world, seal(world)))["curve"]
    below = world.event.counting.suppress_below
    facts = world.net()
    minutes = {window for _, window, _, _ in facts}.union(
        *(scheduled(world, one.number) for one in world.event.sessions)
    )
    assert said["windows"] == [world.event.iso(window) for window in sorted(minutes)]
    for name, persons in by_space(world).items():
        columns = [said[channel] if name is None else said[channel][name] for channel in ("online", "onsite", "either")]
        for at, window in enumerate(sorted(minutes)):
            here = {(person, by) for person, minute, _, by in facts if minute == window and person in persons}
            counted = [
                len({person for person, by in here if channel in (None, by)}) for channel in ("online", "onsite", None)
            ]
            expected = [None if 0 < people < below else people for people in counted]
            if None in expected[:2]:
                expected[2] = None
            assert [column[at] for column in columns] == expected


@pytest.mark.parametrize(
    ("histogram", "expected"),
    [
        ([0, 1, 0, 0, 0, 9], [(1, 14, 10)]),
        ([0, 9, 0, 0, 0, 1], [(1, None, 10)]),
        ([0, 1], [(1, None, 1)]),
        ([0, 20, 0, 0, 0, 0, 0, 30], [(1, 4, 20), (5, 14, 30)]),
    ],
)
def test_a_band_of_one_person_is_joined_with_its_neighbour(
    histogram: list[int], expected: list[tuple[int, int | None, int]]
) -> None:
    found = bands(np.array(histogram, np.int64), 5)
    assert [(band["from"], band["to"], band["people"]) for band in found if band["people"]] == expected


@pytest.mark.parametrize("rule", ["unique-attendees", "unique-attendees-online"])
def test_what_is_withheld_in_another_s_place_does_not_follow_either(rule: str) -> None:
    world = shown(fixed_world(people=40))
    attendance = attendance_of(world)
    session = world.event.sessions[0]
    scope = {"session": session.id}
    (minutes,) = [row for row in minutes_attended(attendance, {(rule, session.id)}) if row["scope"] == scope]
    rows = apart(attendance, Foreground(), {(rule, session.id)})["rows"]
    (row,) = [row for row in rows if row["scope"] == scope]
    of_all, online = rule == "unique-attendees", rule == "unique-attendees-online"
    assert (minutes["bands"] is None, "suppressed" in row["in_schedule"]) == (of_all, of_all)
    assert "suppressed" in row["background"] if online else "suppressed" not in row["background"]


def test_nothing_tells_how_many_people_a_withheld_session_had() -> None:
    world = fixed_world(people=40)
    world.event = replace(world.event, counting=replace(world.event.counting, suppress_below=1000))
    document = read(certify(world, seal(world)))
    for session in world.event.sessions:
        scope = {"session": session.id}
        assert any("suppressed" in row for row in document["numbers"] if row["scope"] == scope)
        (minutes,) = [row for row in document["minutes"] if row["scope"] == scope]
        assert (minutes["bands"], minutes["median"], minutes["mean"]) == (None, None, None)
        (apart,) = [row for row in document["apart"]["rows"] if row["scope"] == scope]
        nothing = {"people": None, "person_minutes": None, "suppressed": True}
        assert [apart[part] for part in ("in_schedule", "outside", "foreground", "background")] == [nothing] * 4


@pytest.mark.parametrize("excluded", [(), ("datacentre",)])
def test_the_canonical_event_has_exclude_traffic_only_if_it_names_any(excluded: tuple[str, ...]) -> None:
    world = fixed_world()
    event = replace(world.event, counting=replace(world.event.counting, exclude_traffic=excluded))
    assert ("exclude_traffic" in canonical_json.decode(event.canonical())["counting"]) == bool(excluded)
    assert type(event).from_canonical(event.canonical()) == event
