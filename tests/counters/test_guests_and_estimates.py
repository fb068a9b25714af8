"""Guests have cells of their own, and the peak of views is an estimate that the public leaves can give."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from counters import canonical_json
from counters.journal import Assurance, JoinKind
from tests.counters.published import plain_world, publish, signed_anew
from tests.counters.synthetic import START, World, seal
from tests.counters.test_certificate import certify, read, row_of

GUESTS = (2**31 + 7, 2**31 + 8, 90_001)  # two that bit 31 marks, one that its join does


def with_guests(world: World, seats: tuple[int, ...] = GUESTS) -> World:
    """Return the world, with guests in session 1 for one minute, each with two views."""
    ticket = next(join for join in world.joins if join.kind is JoinKind.TICKET)
    for seat in seats:
        world.person_of_seat[seat] = f"guest-{seat}"
        name = world.person_of_seat[seat].encode().ljust(16, b"\0")
        for view in (seat, seat + 50_000_000):
            guest = replace(ticket, seat=seat, view=view, pseudonym=name, assurance=Assurance.GUEST, session=1)
            world.joins.append(guest)
        world.beats.append((0, START, 1, seat, False))
    return world


def test_guests_are_devices_in_cells_of_their_own_and_in_no_number_of_people(tmp_path: Path) -> None:
    before = read(certify(world := plain_world(), seal(world)))
    files = publish(with_guests(plain_world()), tmp_path)
    document = read(files.certificate)
    devices = row_of(document, "unique-attendees", assurance="guest")
    assert (devices["value"], devices["unit"]) == (3, "devices")
    assert row_of(document, "views", assurance="guest")["value"] == 6
    assert row_of(document, "views")["value"] == row_of(before, "views")["value"] + 6
    for rule in ("unique-attendees", "session-attendance-sum", "peak-concurrent-attendees"):
        assert row_of(document, rule)["value"] == row_of(before, rule)["value"]
    assert not any("assurance" in row["scope"] for row in before["numbers"])
    assert files.report().holds, files.report().failed


def test_a_handful_of_guests_is_withheld_as_any_small_cell_is() -> None:
    world = with_guests(plain_world())
    world.event = replace(world.event, counting=replace(world.event.counting, suppress_below=5))
    document = read(certify(world, seal(world)))
    assert row_of(document, "unique-attendees", assurance="guest")["suppressed"]
    assert row_of(document, "views", assurance="guest")["value"] == 6


def test_the_peak_of_views_says_its_error_and_follows_from_the_leaves(tmp_path: Path) -> None:
    files = publish(plain_world(), tmp_path)
    document = read(files.certificate)
    peak = row_of(document, "peak-concurrent-views")
    assert (peak["kind"], peak["unit"], peak["checkable_by"]) == ("estimate", "views", "log")
    assert 0.004 < peak["standard_error"] <= 0.008125
    low, high = peak["interval95"]
    assert low <= peak["value"] <= high
    assert peak["value"] >= row_of(document, "peak-concurrent-attendees", channel="online")["value"]
    sessions = [row_of(document, "peak-concurrent-views", session=one)["value"] for one in ("s1", "s2")]
    assert max(sessions) <= peak["value"] <= sum(
        row["value"] for row in document["numbers"]
        if row["rule"] == "peak-concurrent-views" and "session" in row["scope"]
    )  # fmt: skip


@pytest.mark.parametrize("change", [{"standard_error": 0.001}, {"interval95": [0, 1]}, {"value": 99}])
def test_an_estimate_with_another_error_than_its_own_is_found_out(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "sound").mkdir()
    (tmp_path / "forged").mkdir()
    files = publish(plain_world(), tmp_path / "sound")
    said = json.loads(files.certificate)
    row_of(said, "peak-concurrent-views", session="s1").update(change)
    forged = signed_anew(files, tmp_path / "forged", canonical_json.encode(said))
    assert "public numbers" in [check.name for check in forged.report(evidence_dir=None).failed]
