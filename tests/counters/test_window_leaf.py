"""The leaf of a window: its totals against plain sets, and what it withholds."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from counters import hyperloglog
from counters.evidence import JournalSegment, PresenceSegment, SessionPresence
from counters.journal import Join, JoinKind
from counters.window_leaf import (
    LeafError,
    StoredSegment,
    build_leaf,
    build_manifest,
    merge_presence,
    window_totals,
)
from tests.counters.synthetic import SOFTWARE, World, event_of, fixed_world, seal, world_of


def windows_of(world: World) -> list[dict[str, Any]]:
    return [entry for entry in map(json.loads, seal(world).entries) if entry["type"] == "window"]


def excluded_so_far(world: World) -> dict[int, set[int]]:
    """Return by window the seats whose first journaled identity, window by window, is excluded."""
    decided: dict[int, bool] = {}
    found = {}
    for window, segments in sorted(world.segments().items()):
        journals = [one for one in segments if isinstance(one, JournalSegment)]
        joins = [join for one in journals for join in one.records() if isinstance(join, Join)]
        for join in sorted(joins, key=lambda join: join.joined_at_ms):
            if join.kind is not JoinKind.VIEWING_TOKEN:
                decided.setdefault(join.seat, join.category in world.event.counting.exclude_categories)
        found[window] = {seat for seat, out in decided.items() if out}
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_totals_are_what_happened_seat_by_seat(seed: int) -> None:
    world = world_of(random.Random(seed))
    excluded = excluded_so_far(world)
    out: set[int] = set()
    below = world.event.counting.suppress_below
    by_window = {entry["window"]: entry for entry in windows_of(world)}
    for window in sorted(world.segments().keys() | set(world.event.scheduled_windows())):
        out = excluded.get(window, out)
        rows = {row["session"]: row for row in by_window[world.event.iso(window)]["totals"]}
        for session in ("", *(one.id for one in world.event.sessions)):
            numbers = {one.number for one in world.event.sessions if session in ("", one.id)}

            def seats(at: int, numbers: set[int] = numbers, out: set[int] = out) -> dict[int, bool]:
                found: dict[int, bool] = {}
                for gateway_window in world.beats:
                    _, minute, number, seat, background = gateway_window
                    if minute == at and number in numbers and seat not in out:
                        found[seat] = found.get(seat, True) and background
                return found

            here = seats(window)
            before = seats(window - 60)
            views = {
                (join.session, join.view)
                for join in world.joins
                if join.view and join.session in numbers and join.seat not in out
                and join.joined_at_ms // 60_000 * 60 == window
            }  # fmt: skip
            counts = {
                "present": len(here),
                "arrived": len(here.keys() - before.keys()),
                "background": sum(here.values()),
                "views": len(views),
            }
            if not here and not views:
                assert session not in rows
            elif 0 < (len(here) or len(views)) < below:
                assert rows[session] == {"session": session, "channel": "online", "suppressed": True} | dict.fromkeys(
                    counts
                )
            else:
                assert rows[session] == {"session": session, "channel": "online"} | counts


def test_a_seat_is_in_the_background_only_if_every_gateway_heard_it_there() -> None:
    world = fixed_world()

    def segment(gateway: int, hidden: list[int]) -> PresenceSegment:
        row = SessionPresence(1, BitMap([1, 2, 3]), BitMap(hidden), hyperloglog.empty(), hyperloglog.empty())
        return PresenceSegment.of(world.head(gateway, 60), {}, [row])

    merged = merge_presence([segment(0, [1, 2]), segment(1, [2, 3])])
    assert merged[1].playing == BitMap([1, 2, 3])
    assert merged[1].background == BitMap([2])


def test_guests_and_excluded_seats_are_in_no_total() -> None:
    event = event_of(random.Random(2))
    row = SessionPresence(1, BitMap([1, 2, 3, 2**31 + 5]), BitMap(), hyperloglog.empty(), hyperloglog.empty())
    event = replace(event, counting=replace(event.counting, suppress_below=1))
    totals = window_totals(event, {1: row}, {}, BitMap([2]), {})
    assert [(one["session"], one["present"]) for one in totals] == [("", 2), ("s1", 2)]


def test_a_leaf_says_what_was_refused_scanned_scheduled_and_missing() -> None:
    world = fixed_world(people=20)
    leaves = windows_of(world)
    assert sum(leaf["refusals"].get("token_expired", 0) for leaf in leaves) > 0
    scans = {name: sum(leaf["scans"][name] for leaf in leaves) for name in ("in", "out", "refused")}
    assert sum(scans.values()) == len(world.scans)
    assert scans["refused"] == sum(1 for scan in world.scans if scan.refusal)
    for leaf in leaves:
        assert leaf["simulated"] is True
        assert leaf["missing"] == []
        assert len(leaf["manifest_sha256"]) == 64


def test_estimates_are_withheld_where_totals_are() -> None:
    world = fixed_world(people=20)
    world.event = replace(world.event, counting=replace(world.event.counting, suppress_below=1000))
    for leaf in windows_of(world):
        assert all(row["estimate"] is None for row in leaf["sketches"])
        assert all(row["present"] is None for row in leaf["totals"])


def test_evidence_of_another_window_or_event_makes_no_leaf() -> None:
    world = fixed_world()
    window, segments = min(world.segments().items())
    stored = [StoredSegment("0" * 64, 1, segments[0])]
    with pytest.raises(LeafError, match="window"):
        build_manifest(world.event, window + 60, stored, [], SOFTWARE)
    with pytest.raises(LeafError, match="another event"):
        build_manifest(replace(world.event, name="Another"), window, stored, [], SOFTWARE)
    manifest = build_manifest(world.event, window, stored, [], SOFTWARE)
    with pytest.raises(LeafError, match="window"):
        build_leaf(world.event, window + 60, segments[:1], {}, BitMap(), manifest)
