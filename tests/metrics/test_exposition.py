"""A snapshot becomes text that Prometheus reads, with closed sets of labels and every metric in it."""

import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from prometheus_client.core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from counters.ledger.witness_protocol import Verdict
from metrics.catalogue import (
    CATALOGUE,
    COSIGNING_OUTCOMES,
    FLUSH_BUCKETS_S,
    HANDOVER_BUCKETS_S,
    HEARTBEAT_BUCKETS_S,
    HEARTBEAT_OUTCOMES,
    HTTP_BUCKETS_S,
    JOIN_BUCKETS_S,
    OF_PROCESS,
    SEAL_BUCKETS_S,
    WITNESS_VERDICTS,
    Kind,
    Process,
)
from metrics.exposition import UnknownLabelError, Vocabulary, render
from metrics.gateway_snapshot import GatewaySnapshot, PlaceVitals
from metrics.ledger_snapshot import LedgerSnapshot, Sealing, Vouching
from metrics.readings import Durations, Identity, Snapshot
from metrics.window_snapshot import WindowSnapshot
from metrics.witness_snapshot import WitnessSnapshot

VOCABULARY = Vocabulary(
    sessions=("opening", "forum-7"),
    refusals=("token_expired", "draining"),
    witnesses=("news", "town"),
    workers=("0", "1"),
    countries=("other", "CN", "FR"),
)
IDENTITY = Identity(
    version="0.1.0",
    event="wiotc2023",
    simulated=True,
    sessions={"opening": (100.0, 3700.0), "forum-7": (4000.0, 7600.0)},
)
GATEWAY = GatewaySnapshot(
    identity=IDENTITY,
    requests={("beat", "204"): 1207, ("beat", "410"): 3, ("live", "200"): 9, ("live", "500"): 0},
    request_durations={"live": Durations.none(HTTP_BUCKETS_S).observed(0.003)},
    workers=2,
    workers_wanted=2,
    places={
        "0": PlaceVitals(1, 12.5, silence_s=0.4, lag_s=0.002, connections=812, memory_bytes=65_000_000),
        "1": PlaceVitals(3, 9.25),
    },
    heartbeats={"playing": 1200, "paused": 7, "token_expired": 3},
    heartbeat_durations=Durations.none(HEARTBEAT_BUCKETS_S).observed(0.00001),
    joins={"accepted": 300},
    join_durations=Durations.none(JOIN_BUCKETS_S).observed(0.02),
    joins_waiting=4,
    checkins={"accepted": 12},
    leaves=5,
    handed_over_connections=4,
    handed_over_heartbeats=3,
    heads_read=11,
    live_attendees={
        ("", "online"): 812,
        ("", "onsite"): 95,
        ("", "either"): 899,
        ("opening", "online"): 700,
        ("opening", "onsite"): 95,
        ("opening", "either"): 790,
        ("forum-7", "online"): 140,
    },
    live_views={"": 900, "opening": 760, "forum-7": 140},
    live_uniques={"": 1500, "opening": 1300, "forum-7": 420},
    interval_s=30,
    revoked=2,
    live_span_s=50,
    live_age_s=0.4,
    live_stale=False,
    redis_flush=Durations.none(FLUSH_BUCKETS_S).observed(0.003).observed(4.0),
    redis_flush_bytes=24_576,
    sketches_sent=2,
    redis_flush_failures=1,
    registry_failures=2,
    seats_leased=130_772,
    seats_used=300,
    clock_offset_s=-0.25,
    spool_bytes=8192,
    spool_oldest_s=0.0,
    spool_disk_free_bytes=1 << 33,
    handovers={"accepted": 4},
    handover_durations=Durations.none(HANDOVER_BUCKETS_S).observed(0.03),
)
LEDGER = LedgerSnapshot(
    identity=IDENTITY,
    requests={("seats", "200"): 2, ("log", "404"): 1},
    request_durations={"seats": Durations.none(HTTP_BUCKETS_S).observed(0.004)},
    sealing=Sealing(
        size=42,
        withheld=3,
        sealed_window_s=1700355600,
        seal_lag_s=1.5,
        checkpoint_s=1700355661.5,
        set_back=False,
        overdue=1,
        sealed=40,
        with_gaps=2,
        late=1,
        missing_workers=0,
        durations=Durations.none(SEAL_BUCKETS_S).observed(0.02),
    ),
    vouching=Vouching(
        witnesses=2,
        quorum=1,
        quorum_held=True,
        cosigned_s=1700355661,
        by_witness_s={"news": 1700355662},
        cosignings={("news", "cosigned"): 5, ("town", "unreachable"): 2},
        timestamps={"kept": 2, "unreachable": 1},
    ),
    gateways=2,
    gateways_silent=1,
    evidence_bytes=1_000_000,
    disk_free_bytes=5_000_000_000,
    disk_refuses=False,
    window=WindowSnapshot(
        attendees={
            ("", "online"): 812,
            ("", "onsite"): 40,
            ("", "either"): 820,
            ("opening", "online"): 808,
            ("forum-7", "either"): 50,
        },
        countries={"FR": 500, "other": 20},
        differences={"": 0.4, "opening": -1.25},
        compared=39,
    ),
)
WITNESS = WitnessSnapshot(
    version="0.1.0",
    requests={("add_checkpoint", "200"): 4, ("add_checkpoint", "500"): 1},
    request_durations={"add_checkpoint": Durations.none(HTTP_BUCKETS_S).observed(0.02)},
    verdicts={"cosigned": 4, "failed": 1},
    logs=2,
    cosigned_s=1700355661,
)


def ledger_with(**changes: Any) -> LedgerSnapshot:
    """Return the ledger with something else about who vouches for it."""
    return replace(LEDGER, vouching=replace(LEDGER.vouching, **changes))


def families(snapshot: Snapshot) -> dict[str, Family]:
    """Return the families of a rendered snapshot as Prometheus' own parser reads them, by name."""
    text, _ = render(snapshot, VOCABULARY)
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def values(snapshot: Snapshot, name: str) -> dict[str, float]:
    """Return a family's numbers by the value of its one label, or by "" where it has none."""
    return {next(iter(s.labels.values()), ""): s.value for s in families(snapshot)[name].samples}


@pytest.mark.parametrize(
    ("snapshot", "process"), [(GATEWAY, Process.GATEWAY), (LEDGER, Process.LEDGER), (WITNESS, Process.WITNESS)]
)
def test_each_process_exposes_exactly_what_the_catalogue_declares_for_it_in_that_order(
    snapshot: Snapshot, process: Process
) -> None:
    declared = [
        (metric.name.removesuffix("_total"), metric.kind.value, metric.help)
        for metric in CATALOGUE
        if process in metric.processes
    ]
    exposed = [(name, family.type, family.documentation) for name, family in families(snapshot).items()]
    assert exposed == declared


@pytest.mark.parametrize("snapshot", [GATEWAY, LEDGER, WITNESS])
def test_every_label_is_declared_and_every_value_is_in_its_closed_set(
    snapshot: Snapshot,
) -> None:
    metrics = {metric.name.removesuffix("_total"): metric for metric in CATALOGUE}
    for name, family in families(snapshot).items():
        closed = {label.name: VOCABULARY.values(label) or ("0.1.0", "wiotc2023") for label in metrics[name].labels}
        for sample in family.samples:
            labels = {key: value for key, value in sample.labels.items() if key != "le"}
            assert labels.keys() == closed.keys(), sample
            assert all(value in closed[key] for key, value in labels.items()), sample


def test_a_counter_has_every_outcome_from_the_start_at_zero() -> None:
    beats = values(GATEWAY, "turnout_heartbeats")
    assert beats == {"playing": 1200, "background": 0, "paused": 7, "ended": 0, "token_expired": 3, "draining": 0}
    assert set(beats) == {*HEARTBEAT_OUTCOMES, *VOCABULARY.refusals}


def test_a_witness_that_was_never_asked_is_there_with_every_outcome_at_zero() -> None:
    samples = families(LEDGER)["turnout_ledger_cosignings"].samples
    said = {(s.labels["witness"], s.labels["outcome"]): s.value for s in samples}
    assert len(said) == 2 * len(COSIGNING_OUTCOMES)
    assert {pair: count for pair, count in said.items() if count} == LEDGER.vouching.cosignings


def test_an_event_without_witnesses_has_no_cosignings() -> None:
    text, _ = render(
        ledger_with(cosignings={}, by_witness_s={}), Vocabulary(("opening", "forum-7"), countries=("FR", "other"))
    )
    read = {family.name: family for family in text_string_to_metric_families(text.decode())}
    assert read["turnout_ledger_cosignings"].samples == []


def test_the_verdicts_are_those_of_the_protocol() -> None:
    assert tuple(verdict.label for verdict in Verdict) == WITNESS_VERDICTS


def test_the_whole_event_is_its_own_metric_and_not_one_more_session() -> None:
    samples = families(GATEWAY)["turnout_live_attendees"].samples
    assert {(s.labels["session"], s.labels["channel"]): s.value for s in samples} == {
        ("opening", "online"): 700,
        ("opening", "onsite"): 95,
        ("opening", "either"): 790,
        ("forum-7", "online"): 140,
    }
    assert {s.labels["channel"] for s in families(GATEWAY)["turnout_live_views"].samples} == {"online"}
    assert values(GATEWAY, "turnout_live_event_attendees") == {"online": 812, "onsite": 95, "either": 899}
    assert values(LEDGER, "turnout_window_event_attendees_exact") == {"online": 812, "onsite": 40, "either": 820}
    assert values(LEDGER, "turnout_window_event_path_difference_standard_errors") == {"": 0.4}
    assert values(LEDGER, "turnout_window_path_difference_standard_errors") == {"opening": -1.25}


def test_a_number_of_people_that_must_not_be_shown_has_no_sample() -> None:
    samples = families(LEDGER)["turnout_window_attendees_exact"].samples
    shown = {(s.labels["session"], s.labels["channel"]): s.value for s in samples}
    assert shown == {("opening", "online"): 808, ("forum-7", "either"): 50}
    assert values(LEDGER, "turnout_window_country_attendees_exact") == {"FR": 500, "other": 20}


def test_what_is_not_known_yet_has_no_sample() -> None:
    sealing = replace(LEDGER.sealing, sealed_window_s=None, seal_lag_s=None, checkpoint_s=None)
    new = replace(ledger_with(cosigned_s=None), sealing=sealing, window=WindowSnapshot(), disk_free_bytes=None)
    for name in (
        "sealed_window_timestamp_seconds",
        "seal_lag_seconds",
        "cosigned_timestamp_seconds",
        "disk_free_bytes",
    ):
        assert families(new)[f"turnout_ledger_{name}"].samples == []
    assert families(new)["turnout_window_event_path_difference_standard_errors"].samples == []
    assert families(replace(GATEWAY, live_age_s=None))["turnout_live_age_seconds"].samples == []


@pytest.mark.parametrize(
    "wrong",
    [
        replace(GATEWAY, heartbeats={"dancing": 1}),
        replace(GATEWAY, joins={"playing": 1}),
        replace(GATEWAY, handovers={"token_expired": 1}),
        replace(GATEWAY, live_attendees={("party", "online"): 3}),
        replace(GATEWAY, requests={("party", "200"): 1}),
        replace(GATEWAY, places={"2": PlaceVitals(1, 0.0)}),
        replace(LEDGER, window=WindowSnapshot(attendees={("party", "online"): 30})),
        replace(LEDGER, window=WindowSnapshot(attendees={("opening", "asleep"): 30})),
        replace(LEDGER, window=WindowSnapshot(countries={"Atlantis": 30})),
        replace(LEDGER, window=WindowSnapshot(differences={"party": 1.0})),
        ledger_with(by_witness_s={"stranger": 1}),
        ledger_with(cosignings={("stranger", "cosigned"): 1}),
        ledger_with(cosignings={("news", "failed"): 1}),
    ],
)
def test_a_label_value_outside_its_closed_set_is_an_error(wrong: Snapshot) -> None:
    with pytest.raises(UnknownLabelError, match="not in the closed set"):
        render(wrong, VOCABULARY)


def test_a_simulated_clock_is_said() -> None:
    (sample,) = families(LEDGER)["turnout_event_info"].samples
    assert sample.labels == {"event": "wiotc2023", "simulated": "true"}


def test_both_say_when_the_sessions_begin_and_end() -> None:
    for snapshot in (GATEWAY, LEDGER):
        assert values(snapshot, "turnout_session_starts_timestamp_seconds") == {"opening": 100, "forum-7": 4000}
        assert values(snapshot, "turnout_session_ends_timestamp_seconds") == {"opening": 3700, "forum-7": 7600}


def test_durations_that_were_counted_by_other_buckets_are_an_error() -> None:
    with pytest.raises(ValueError, match="other buckets"):
        render(replace(GATEWAY, redis_flush=Durations.none((1.0, 2.0))), VOCABULARY)


def test_a_place_that_nobody_has_keeps_its_counters_and_loses_its_gauges() -> None:
    assert values(GATEWAY, "turnout_worker_starts") == {"0": 1, "1": 3}
    assert values(GATEWAY, "turnout_worker_cpu_seconds") == {"0": 12.5, "1": 9.25}
    for gauge in ("silence_seconds", "event_loop_lag_seconds", "connections", "resident_memory_bytes"):
        assert values(GATEWAY, f"turnout_worker_{gauge}").keys() == {"0"}


def test_requests_are_there_for_the_pairs_that_the_snapshot_names_and_no_others() -> None:
    samples = families(GATEWAY)["turnout_http_requests"].samples
    assert {(s.labels["route"], s.labels["code"]): s.value for s in samples} == GATEWAY.requests


def test_a_histogram_by_route_has_its_buckets_for_each_route() -> None:
    samples = families(GATEWAY)["turnout_http_request_duration_seconds"].samples
    buckets = [s.labels for s in samples if s.name.endswith("_bucket")]
    assert {labels["route"] for labels in buckets} == {"live"}
    assert [labels["le"] for labels in buckets] == [*map(str, HTTP_BUCKETS_S), "+Inf"]


def test_flush_times_are_a_histogram_with_cumulative_buckets() -> None:
    samples = families(GATEWAY)["turnout_redis_flush_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    assert (buckets["0.0025"], buckets["0.005"], buckets["2.5"], buckets["+Inf"]) == (0, 1, 1, 2)
    assert {s.name: s.value for s in samples if "le" not in s.labels} == {
        "turnout_redis_flush_seconds_count": 2,
        "turnout_redis_flush_seconds_sum": 4.003,
    }


@given(st.lists(st.floats(min_value=0, max_value=10) | st.sampled_from(FLUSH_BUCKETS_S), max_size=20))
def test_a_bucket_counts_every_duration_up_to_its_bound(seconds: list[float]) -> None:
    durations = Durations.none(FLUSH_BUCKETS_S)
    for duration in seconds:
        durations = durations.observed(duration)
    for at, bound in enumerate((*FLUSH_BUCKETS_S, math.inf)):
        assert sum(durations.counts[: at + 1]) == sum(duration <= bound for duration in seconds)


@given(
    counters=st.dictionaries(st.sampled_from((*HEARTBEAT_OUTCOMES, *VOCABULARY.refusals)), st.integers(0, 2**53)),
    leaves=st.integers(0, 2**53),
)
def test_integers_up_to_two_to_the_53_arrive_exactly(counters: dict[str, int], leaves: int) -> None:
    snapshot = replace(GATEWAY, heartbeats=counters, leaves=leaves)
    beats = values(snapshot, "turnout_heartbeats")
    assert {outcome: beats[outcome] for outcome in counters} == counters
    assert values(snapshot, "turnout_leaves") == {"": leaves}


def test_rendering_touches_no_process_global_registry() -> None:
    before = {family.name for family in REGISTRY.collect()}
    render(GATEWAY, VOCABULARY)
    assert {family.name for family in REGISTRY.collect()} == before


def test_what_the_system_says_of_the_process_has_the_names_of_every_client_library() -> None:
    text, _ = render(WITNESS, VOCABULARY, process=True)
    exposed = [(f.name, f.type, f.documentation) for f in text_string_to_metric_families(text.decode())]
    of_process = [(m.name.removesuffix("_total"), m.kind.value, m.help) for m in OF_PROCESS]
    assert [family for family in exposed if family[0].startswith("process_")] == of_process


def test_the_text_is_the_same_for_the_same_snapshot_and_says_its_type() -> None:
    text, content_type = render(GATEWAY, VOCABULARY)
    assert render(GATEWAY, VOCABULARY)[0] == text
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("snapshot", [GATEWAY, LEDGER], ids=["gateway", "ledger"])
def test_promtool_finds_nothing_to_improve(snapshot: Snapshot, needed: Callable[[str], str]) -> None:
    promtool = needed("promtool")
    text, _ = render(snapshot, VOCABULARY)
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_every_kind_of_metric_is_exercised() -> None:
    assert {metric.kind for metric in CATALOGUE} == set(Kind)
