"""What a certificate prints whatever the numbers are: all that its readers must find, and that it is interim."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from counters import canonical_json
from counters.certificate import MEMBERS
from counters.certificate_statements import stated_by_log
from counters.issuer_keys import thumbprint
from counters.log_entries import read_log
from tests.counters.gappy_world import gappy_world
from tests.counters.synthetic import SOFTWARE, World, fixed_world, seal
from tests.counters.test_certificate import certify, read


@pytest.fixture(scope="module")
def world() -> World:
    return fixed_world(people=60)


@pytest.fixture(scope="module")
def said(world: World) -> dict[str, Any]:
    return read(certify(world, seal(world)))


def number(said: dict[str, Any], **scope: str) -> bool:
    return any(row["scope"].items() >= scope.items() for row in said["numbers"])


LIST: dict[str, Callable[[dict[str, Any]], object]] = {
    "event": lambda said: said["event"]["id"] == "synthetic" and said["event"]["name"],
    "organiser": lambda said: said["event"]["organiser"],
    "format (physical / hybrid / online)": lambda said: said["event"]["format"] == "hybrid",
    "time zone": lambda said: said["event"]["time_zone"] == "Asia/Shanghai",
    "rule set": lambda said: all(rule["definition"] and rule["source"] for rule in said["rules"]),
    "its hash": lambda said: said["settings"]["rule_set"]["sha256"]
    == hashlib.sha256(canonical_json.encode(said["rules"])).hexdigest(),
    "and lock time": lambda said: said["settings"]["rule_set"]["locked_at"] == said["event"]["locked_at"]
    and said["settings"]["rule_set"]["locked_in"] == said["event_sha256"],
    "identity key": lambda said: said["identity"]["identity_key"]["statement"]
    and said["identity"]["identity_key"]["pseudonym_key_sha256"] == "0" * 64
    and [row["subject_claim"] for row in said["identity"]["issuers"]] == ["sub", "sub"],
    "and assurance": lambda said: {row["assurance"] for row in said["identity"]["issuers"]} == {"ticketed"},
    "heartbeat interval": lambda said: said["settings"]["interval_s"] in (30, 45),
    "silence timeout": lambda said: said["settings"]["silence_timeout_s"] == 60 and said["settings"]["silence"],
    "window length": lambda said: said["settings"]["window_s"] == 60,
    "pause rule": lambda said: "Paused" in said["settings"]["pause"],
    "each number with rule id, unit, exact or estimate": lambda said: all(
        row["rule"] and row["unit"] and row["kind"] in ("exact", "estimate") for row in said["numbers"]
    ),
    "estimate with standard error and 95 % interval": lambda said: said["cross_check"]["standard_error"] == 0.008125
    and all(row["interval95"][0] <= row["estimate"] <= row["interval95"][1] for row in said["cross_check"]["unions"]),
    "on-site / online / both": lambda said: {
        "unique-attendees-onsite", "unique-attendees-online", "unique-attendees-both"
    } <= {row["rule"] for row in said["numbers"]},
    "per session": lambda said: number(said, session="s1"),
    "per day": lambda said: number(said, day="2023-11-20"),
    "per country": lambda said: number(said, country="FR"),
    "distribution of minutes attended": lambda said: said["minutes"][0]["bands"],
    "waterfall gross → net": lambda said: said["waterfall"]["rows"][-1]["step"] == "net",
    "gaps (outages, late evidence)": lambda said: "late_evidence" in said["gaps"] and "crashed_workers" in said["gaps"],
    "HyperLogLog against exact with difference in standard errors": lambda said: all(
        "difference_in_standard_errors" in row for row in said["cross_check"]["unions"]
    ),
    "software version": lambda said: said["software"] == SOFTWARE,
    "ledger checkpoint": lambda said: said["log"]["size"] > 1 and said["log"]["root"],
    "and witnesses": lambda said: said["witnesses"] == [] and said["witnesses_statement"],
    "audit result": lambda said: said["audits"] == [],
    "corrections (superseded, never edited)": lambda said: said["corrections"] == [],
    "live versus time-shifted": lambda said: "live" in said["settings"]["time_shift"],
}  # fmt: skip
"""What STANDARDS.md says that a certificate prints, in its words and order; bounds of gaps are the test after this."""


@pytest.mark.parametrize("what", LIST)
def test_a_certificate_prints(said: dict[str, Any], what: str) -> None:
    assert LIST[what](said)


def test_a_certificate_prints_gaps_with_lower_and_upper_bound() -> None:
    world = gappy_world(random.Random(3), "missing")
    said = read(certify(world, world.sealed()))
    assert said["gaps"]["bounds"]["rows"]
    assert any("bounds" in row for row in said["numbers"])


def test_it_has_all_members_of_its_version_and_no_other(said: dict[str, Any]) -> None:
    assert set(said) == MEMBERS[3]


def test_an_issuer_is_named_with_the_keys_that_vouch(world: World, said: dict[str, Any]) -> None:
    for row, issuer in zip(said["identity"]["issuers"], world.event.issuers, strict=True):
        assert row["issuer"] == issuer.issuer
        assert row["keys"] == [thumbprint(key) for key in issuer.keys]


def test_of_an_event_that_goes_on_a_certificate_is_interim_and_says_how_much_is_to_come(world: World) -> None:
    sealed = seal(world)
    scheduled = sorted(world.event.scheduled_windows())
    last = world.event.iso(scheduled[2])
    cut = next(at for at, entry in enumerate(sealed.entries) if read(entry).get("window") == last)
    sealed.entries = sealed.entries[: cut + 1]
    said = read(certify(world, sealed))
    left = len(scheduled) - 3
    interim = f"INTERIM as of {world.event.iso(scheduled[2] + 60)}: {left} of {len(scheduled)} scheduled minutes"
    assert interim in said["notice"]
    assert said["notice"].startswith("SIMULATED")
    assert (said["event"]["scheduled_windows"], said["event"]["windows_to_come"]) == (len(scheduled), left)
    assert all(row["sentence"].startswith("SIMULATED: INTERIM: ") for row in said["press"])
    for row, session in zip(said["event"]["sessions"], world.event.sessions, strict=True):
        windows = world.event.session_windows(session)
        to_come = sum(window > scheduled[2] for window in windows)
        assert (row["scheduled_windows"], row["windows_to_come"]) == (len(windows), to_come)


def test_a_certificate_of_what_is_over_is_not_interim(said: dict[str, Any]) -> None:
    assert "INTERIM" not in said["notice"]
    assert said["press"]
    assert not any("INTERIM" in row["sentence"] for row in said["press"])
    assert said["event"]["windows_to_come"] == 0


def test_versions_1_and_2_say_what_they_said(world: World) -> None:
    log = read_log(seal(world).entries[:3])
    for version in (1, 2):
        stated = stated_by_log(log, version)
        assert "INTERIM" not in stated["notice"]
        assert set(stated["settings"]) == {"interval_s", "steering", "window_s", "silence", "pause", "onsite"}
        assert set(stated["identity"]) == {"issuers", "statement", "guests"}
        assert "scheduled_windows" not in stated["event"]
        assert "corrections" not in stated


def test_the_traffic_that_is_taken_out_is_named(world: World) -> None:
    event = replace(world.event, counting=replace(world.event.counting, exclude_traffic=("datacentre",)))
    other = replace_event(world, event)
    assert read(certify(other, seal(other)))["settings"]["exclude_traffic"] == ["datacentre"]


def replace_event(world: World, event: Any) -> World:
    return replace(world, event=event)
