"""What a gateway says of its workers while they are stopped, replaced, killed and taken over."""

import os
import signal
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from deploy.embedded_redis import ServerProgram
from gateway.operations import vocabulary_of
from metrics.catalogue import CATALOGUE, CLOCK_OFFSET, HTTP_DURATION, OF_PROCESS, Kind, Metric, Process
from tests.faults.parts import GatewayPart
from tests.faults.rig import WINDOW, Rig
from tests.gateway.serving import ask, until

PEOPLE = 70
"""More than 64, so that one of their heartbeats is timed."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(gateway: GatewayPart) -> Samples:
    text = ask(gateway.metrics_port, "GET", "/metrics").body.decode()
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def of_workers(gateway: GatewayPart, name: str) -> dict[str, float]:
    """One metric by the worker's place."""
    return {
        dict(labels)["worker"]: value
        for (found, labels), value in scrape(gateway).items()
        if found == f"turnout_{name}"
    }


def accepted(gateway: GatewayPart) -> float:
    return scrape(gateway)["turnout_heartbeats_total", frozenset({("outcome", "playing")})]


def falls(before: Samples, after: Samples) -> list[str]:
    """The counters that fell or went, of those that workers count."""
    own = {metric.name for metric in CATALOGUE if metric.kind is Kind.COUNTER} - PARENTS
    return [str(key) for key, value in before.items() if key[0] in own and after.get(key, -1) < value]


PARENTS = {
    "turnout_worker_starts_total", "turnout_worker_cpu_seconds_total", "turnout_handovers_total",
    "turnout_redis_flush_bytes_total", "turnout_sketches_sent_total", "turnout_redis_flush_failures_total",
}  # fmt: skip
"""Counters of the serving process itself: a new one begins at zero, as every process does."""


def exposed_without_fault(samples: Samples, rig: Rig) -> set[str]:
    """The names of the metrics that have samples, when every label is in its closed set."""
    vocabulary = vocabulary_of(rig.event, workers=1)
    declared: dict[str, Metric] = {}
    for metric in (*CATALOGUE, *OF_PROCESS):
        ends = ("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",)
        declared |= {metric.name + end: metric for end in ends}
    for name, labels in samples:
        closed = {label.name: vocabulary.values(label) for label in declared[name].labels}
        said = {key: value for key, value in labels if key != "le"}
        assert said.keys() == closed.keys(), name
        for key, value in said.items():
            allowed = closed[key]
            assert allowed is None or value in allowed, (name, key, value)
    return {declared[name].name for name, _ in samples}


def test_metrics_are_right_whatever_happens_to_the_workers(redis_program: ServerProgram, tmp_path: Path) -> None:
    with Rig(tmp_path, redis_program, workers=1) as rig:
        (gateway,) = rig.gateways
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        assert rig.crowd.beat() == PEOPLE
        assert ask(gateway.port, "GET", "/v1/events/expo/live").status == 200
        until(lambda: accepted(gateway) == PEOPLE, "all are counted")
        until(lambda: of_workers(gateway, "worker_event_loop_lag_seconds").keys() == {"0"}, "it has spoken")

        # Every declared metric is there, but what is said to be absent here.
        rig.next_window()
        until(
            lambda: scrape(gateway)["turnout_handover_duration_seconds_count", frozenset()] >= 1, "one is handed over"
        )
        found = exposed_without_fault(scrape(gateway), rig)
        declared = {metric.name for metric in CATALOGUE if Process.GATEWAY in metric.processes}
        assert declared - found == {CLOCK_OFFSET.name}, "the clock is simulated"
        assert HTTP_DURATION.name in found
        assert {metric.name for metric in OF_PROCESS} <= found

        # Stopped: its silence grows.
        gateway.pause_workers()
        until(lambda: of_workers(gateway, "worker_silence_seconds")["0"] > 2.5, "silence")
        assert of_workers(gateway, "worker_resident_memory_bytes")["0"] > 1e6, "the system still knows it"
        gateway.resume_workers()
        until(lambda: of_workers(gateway, "worker_silence_seconds")["0"] < 2.0, "it speaks again")
        assert of_workers(gateway, "worker_event_loop_lag_seconds")["0"] > 1.0, "and says how long it stood still"

        # Replaced, killed, taken over: counters go on.
        before = scrape(gateway)
        with rig.crowd.playing():
            gateway.roll()
        assert of_workers(gateway, "worker_starts_total") == {"0": 2}
        rolled = scrape(gateway)
        assert falls(before, rolled) == []
        os.kill(gateway.workers()[0], signal.SIGKILL)
        until(lambda: of_workers(gateway, "worker_starts_total") == {"0": 3}, "another is started")
        rig.next_window()
        until(lambda: len(list(gateway.spool.glob("*/cells"))) == 1, "what the dead had is carried")
        killed = scrape(gateway)
        assert falls(rolled, killed) == []
        with rig.crowd.playing():
            assert gateway.succeed() == 0
        gateway.until_serving()
        assert falls(killed, scrape(gateway)) == []
        assert of_workers(gateway, "worker_starts_total") == {"0": 1}
        until(lambda: accepted(gateway) == rig.crowd.truth.beats, "no heartbeat is counted twice or not at all")
