"""The certificate: its numbers are the truth, its cross-check and gaps say what there is, nothing is made up."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import canonical_json
from counters.certificate import CertificateError, certificate_entry, compute_certificate
from counters.evidence import SegmentHead
from counters.evidence_store import EvidenceError
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.merkle import leaf_hash, tree_root
from counters.rule_ids import KNOWN_RULES
from counters.rules import OF_TIME
from tests.counters.synthetic import SIGNER, SOFTWARE, Sealed, World, fixed_world, seal, with_invalid_traffic, world_of

ISSUED_AT = "2023-11-21T18:00:00+08:00"


def certify(world: World, sealed: Sealed, **changes: Any) -> bytes:
    checkpoint = Checkpoint(SIGNER.name, len(sealed.entries), tree_root([leaf_hash(one) for one in sealed.entries]))

    def read(digest: str) -> bytes:
        if digest not in sealed.files:
            raise EvidenceError(f"evidence {digest} cannot be read")
        return sealed.files[digest]

    arguments: dict[str, Any] = {
        "log_origin": SIGNER.name,
        "log_vkey": SIGNER.verifier.encode(),
        "checkpoint": checkpoint,
        "issued_at": ISSUED_AT,
        "software": SOFTWARE,
    }
    return compute_certificate(world.event, sealed.entries, read, **arguments | changes)


def read(certificate: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(certificate)
    return document


def row_of(document: dict[str, Any], rule: str, **scope: str) -> dict[str, Any]:
    return next(row for row in document["numbers"] if row["rule"] == rule and row["scope"] == scope)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_every_number_is_the_truth_and_log_is_said_only_of_what_the_leaves_hold(
    seed: int, late: bool, invalid: bool
) -> None:
    rng = random.Random(seed)
    world = world_of(rng)
    if invalid:
        world = with_invalid_traffic(world, rng)
    sealed = seal(world, late=frozenset(world.segments()) if late else frozenset())
    document = read(certify(world, sealed))
    expected = [(rule, scope) for rule in KNOWN_RULES for scope in world.scopes(rule)]
    assert len(document["numbers"]) == len(expected)
    for rule, scope in expected:
        row = row_of(document, rule, **scope)
        assert row["kind"] == ("estimate" if rule == "peak-concurrent-views" else "exact")
        if "suppressed" in row:  # which must be is tests/counters/test_suppression.py's
            continue
        truth = world.number(rule, scope)
        shown = {name: row[name] for name in ("value", "at", "bounds", "suppressed") if name in row}
        if row["value"] is not None and "bounds" in shown:  # nothing is lost: the truth is what was counted
            least, most = shown.pop("bounds")
            assert least <= row["value"]
            assert most is None or row["value"] <= most
        assert shown == truth
        if row["checkable_by"] == "log":
            assert rule in ("views", "peak-concurrent-attendees", "peak-concurrent-views", *OF_TIME)
            assert not {"country", "category", "outlet"} & scope.keys()


def test_a_calm_event_is_checkable_by_the_log_alone() -> None:
    world = fixed_world()
    world.event = replace(world.event, counting=replace(world.event.counting, exclude_categories=(), suppress_below=1))
    world.event = replace(world.event, issuers=tuple(replace(one, namespace="one") for one in world.event.issuers))
    world.joins = list(
        {world.person_of_seat[join.seat]: join for join in world.joins if join.pseudonym.strip(b"\0")}.values()
    )
    seats = {join.seat for join in world.joins}
    world.beats = [beat for beat in world.beats if beat[3] in seats]
    document = read(certify(world, seal(world)))
    for rule in ("peak-concurrent-attendees", "average-minute-audience", "hours-viewed"):
        assert row_of(document, rule, channel="online")["checkable_by"] == "log"
        assert row_of(document, rule, session="s1", channel="online")["checkable_by"] == "log"
    assert row_of(document, "views")["checkable_by"] == "log"
    assert row_of(document, "views", day="2023-11-20")["checkable_by"] == "log"
    assert row_of(document, "unique-attendees-online")["checkable_by"] == "evidence"


def test_the_cross_check_compares_sketches_with_gross_counts_after_aliases() -> None:
    world = fixed_world(people=60)
    check = read(certify(world, seal(world)))["cross_check"]
    online = {fact[0] for fact in world.facts() if fact[3] == "online"}
    whole = check["unions"][0]
    assert whole["scope"] == {"channel": "online"}
    assert whole["exact"] == len(online)
    assert whole["estimate"] == len(online), "a few dozen people are estimated exactly"
    assert {row["difference_in_standard_errors"] for row in check["unions"]} == {0}
    pairs = {(window, session) for _, window, session, channel in world.facts() if channel == "online"}
    assert check["windows"]["compared"] == len(pairs)
    assert check["windows"]["over_5_standard_errors_in_3_windows_running"] == []


def test_the_cross_check_does_not_tell_what_the_numbers_withhold() -> None:
    """Numbers withheld in a smaller one's place as well: with them the smaller one follows from the sum."""
    replaced = 0
    for seed in (3, 6, 7):
        world = world_of(random.Random(seed), people=30)
        issuers = tuple(replace(issuer, namespace="one") for issuer in world.event.issuers)
        counting = replace(world.event.counting, exclude_categories=(), suppress_below=5)
        world.event = replace(world.event, counting=counting, issuers=issuers)
        document = read(certify(world, seal(world)))
        for row in document["cross_check"]["unions"]:
            scope = {name: value for name, value in row["scope"].items() if name != "channel"}
            if "suppressed" in row_of(document, "unique-attendees-online", **scope):
                assert (row["exact"], row["estimate"], row["suppressed"]) == (None, None, True)
                replaced += row["difference_in_standard_errors"] is None
    assert replaced


def test_sketches_that_count_people_who_are_not_there_are_called_out() -> None:
    world = fixed_world()
    segments = world.segments()

    def crowded() -> Any:
        for rows in segments.values():
            for segment in rows:
                for session in getattr(segment, "sessions", ()):
                    session.attendees[:200] = 2
        return segments

    world.segments = crowded  # type: ignore[method-assign]
    windows = read(certify(world, seal(world)))["cross_check"]["windows"]
    assert windows["over_5_standard_errors_in_3_windows_running"]
    assert abs(windows["largest_deviation"]["difference_in_standard_errors"]) > 5


def test_a_certificate_of_an_event_that_goes_on_says_so_and_calls_nothing_lost_that_is_still_to_come() -> None:
    world = fixed_world()
    sealed = seal(world)
    sealed.entries = sealed.entries[:3]
    last = read(sealed.entries[-1])["window"]
    scheduled = [world.event.iso(window) for window in world.event.scheduled_windows()]
    gaps = read(certify(world, sealed))["gaps"]
    assert gaps["scheduled_windows_without_leaf"] == []
    assert gaps["scheduled_windows_to_come"] == sum(window > last for window in scheduled) > 0


def test_every_gap_is_printed() -> None:
    world = fixed_world()
    first, second, *_ = world.event.scheduled_windows()
    world.person_of_seat[999] = "stranger"
    world.beats += [(1, second, 1, 999, False)]
    head = world.head

    def crashed(gateway: int, window: int, **_: bool) -> SegmentHead:
        return head(gateway, window, crashed=gateway == 1)

    world.head = crashed  # type: ignore[method-assign]
    late = max(world.segments())
    sealed = seal(world, late=frozenset((late,)), missing=frozenset((second,)))
    sealed.entries = [entry for entry in sealed.entries if read(entry).get("window") != world.event.iso(first)]
    gaps = read(certify(world, sealed))["gaps"]
    assert gaps["scheduled_windows_without_leaf"] == [world.event.iso(first)]
    assert gaps["scheduled_windows_to_come"] == 0
    assert gaps["windows_with_missing_workers"] == [
        {"window": world.event.iso(second), "missing": ["00000000000000ff"]}
    ]
    assert [(row["window"], row["counted"]) for row in gaps["late_evidence"]] == [(world.event.iso(late), True)]
    assert gaps["attendees_present_without_journal_entry"] >= 1
    assert {row["worker"] for row in gaps["crashed_workers"]} == {f"{1:016x}"}
    assert {row["until_ms"] - row["from_ms"] for row in gaps["unsynced_intervals"]} == {1000}


def test_an_event_without_gaps_says_so_item_by_item() -> None:
    world = fixed_world()
    gaps = read(certify(world, seal(world)))["gaps"]
    assert gaps.pop("bounds")["rows"] == []
    assert set(map(str, gaps.values())) <= {"[]", "0"}


def test_evidence_after_late_until_is_shown_apart_and_not_counted() -> None:
    world = fixed_world()
    late = frozenset(world.segments())
    last = max(one.ends_at for one in world.event.sessions)
    on_time = read(certify(world, seal(world, late=late)))
    world.event = replace(world.event, late_until=last + timedelta(seconds=1))
    too_late = read(certify(world, seal(world, late=late)))
    assert {row["counted"] for row in on_time["gaps"]["late_evidence"]} == {True}
    assert {row["counted"] for row in too_late["gaps"]["late_evidence"]} == {False}
    assert on_time["exclusions"]["gross"] > too_late["exclusions"]["gross"]


def test_a_simulated_event_says_so_in_plain_words() -> None:
    world = fixed_world()
    document = read(certify(world, seal(world)))
    assert document["simulated"] is True
    assert document["notice"].startswith("SIMULATED")
    issuers = tuple(replace(one, development=False) for one in world.event.issuers)
    world.event = replace(world.event, simulation=None, issuers=issuers)
    document = read(certify(world, seal(world)))
    assert document["simulated"] is False
    assert document["notice"] is None


def test_the_waterfall_leads_from_gross_to_net() -> None:
    world = fixed_world(people=60)
    row = read(certify(world, seal(world)))["exclusions"]
    assert row["gross"] == len({fact[0] for fact in world.facts()})
    assert row["net"] == len({fact[0] for fact in world.net()})
    assert row["gross"] == row["excluded"] + row["guests"] + row["net"]
    assert row["views_net"] == len(world.views())


def test_it_is_canonical_and_the_same_whoever_computes_it() -> None:
    world = fixed_world()
    certificate = certify(world, seal(world))
    assert canonical_json.encode(canonical_json.decode(certificate)) == certificate
    assert certify(fixed_world(), seal(fixed_world())) == certificate


def test_its_entry_follows_from_the_certificate_alone() -> None:
    world = fixed_world()
    certificate = certify(world, seal(world))
    entry = read(certificate_entry(certificate))
    assert entry["type"] == "certificate"
    assert entry["event_sha256"] == world.event.digest
    assert entry["issued_at"] == ISSUED_AT
    for wrong in (b"", b"{}", certificate[:-1], certificate + b"\n", b'{"type":"certificate","version":1}'):
        with pytest.raises(CertificateError):
            certificate_entry(wrong)


def test_progress_is_told_leaf_by_leaf_half_a_leaf_for_its_journals() -> None:
    world = fixed_world()
    sealed = seal(world)
    told: list[tuple[int, int]] = []
    certify(world, sealed, progress=lambda done, total: told.append((done, total)))
    leaves = len(sealed.entries) - 1
    assert told == [(halves // 2, leaves) for halves in range(1, 2 * leaves + 1)]


def _other_event(world: World, sealed: Sealed) -> tuple[World, Sealed]:
    world.event = replace(world.event, name="Another")
    return world, sealed


def _no_entries(world: World, _: Sealed) -> tuple[World, Sealed]:
    return world, Sealed([], {})


def _swapped(world: World, sealed: Sealed) -> tuple[World, Sealed]:
    first, one, two, *rest = sealed.entries
    return world, Sealed([first, two, one, *rest], sealed.files)


def _unknown_type(world: World, sealed: Sealed) -> tuple[World, Sealed]:
    entry = {"type": "schedule", "version": 1, "event_sha256": world.event.digest}
    return world, Sealed([*sealed.entries, canonical_json.encode(entry)], sealed.files)


@pytest.mark.parametrize("spoil", [_other_event, _no_entries, _swapped, _unknown_type])
def test_a_log_that_does_not_make_sense_makes_no_certificate(
    spoil: Callable[[World, Sealed], tuple[World, Sealed]],
) -> None:
    world = fixed_world()
    with pytest.raises(CertificateError):
        certify(*spoil(world, seal(world)))


def test_entries_that_are_not_the_checkpoint_s_make_no_certificate() -> None:
    world = fixed_world()
    sealed = seal(world)
    with pytest.raises(CertificateError, match="root"):
        certify(world, sealed, checkpoint=Checkpoint(SIGNER.name, len(sealed.entries), bytes(32)))
    with pytest.raises(CertificateError, match="checkpoint"):
        certify(world, sealed, log_origin="elsewhere")


def test_evidence_that_is_absent_or_changed_makes_no_certificate() -> None:
    world = fixed_world()
    sealed = seal(world)
    for digest in list(sealed.files)[:4]:
        data = sealed.files[digest]
        sealed.files[digest] = data + b" "
        with pytest.raises(EvidenceError, match="changed"):
            certify(world, sealed)
        del sealed.files[digest]
        with pytest.raises(EvidenceError, match="cannot be read"):
            certify(world, sealed)
        sealed.files[digest] = data
