"""A Redis Cluster of three masters and three replicas: it is as good as one server, and better when one is killed."""

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client

from counters import hyperloglog
from counters.event import Event
from counters.live import BUCKET_TTL_S, LivePoller, SketchStore, bucket_key, room_key, uniques_key
from counters.redis_address import open_link
from counters.redis_cluster import SLOTS, slot_of, tag_in
from counters.registry import SeatRegistry, seat_key
from counters.rooms import Rooms, in_order
from counters.shared_scans import SharedScans
from deploy.embedded_redis import ServerProgram
from gateway.development_issuer import load_event_creating_keys
from load_tests.ports import free_port
from tests.counters.test_onsite import EVENT as WITH_GATES
from tests.counters.test_onsite import IN, scan
from tests.faults.live_numbers import expected, until_live_is
from tests.faults.redis_servers import ClusterAtHand, Server, cluster_at_hand
from tests.faults.rig import WINDOW, Rig
from tests.gateway.commands import CERTAIN_S
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import until


class AwayError(Exception):
    """What failures are raised as here."""


@pytest.fixture(scope="module")
def rig_event(tmp_path_factory: pytest.TempPathFactory) -> Event:
    path = tmp_path_factory.mktemp("event") / "expo.toml"
    path.write_text(EVENT_FILE, encoding="utf-8")
    return load_event_creating_keys(path, path.parent / "development-issuer")


@pytest.fixture(scope="module")
def cluster(redis_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterAtHand]:
    with cluster_at_hand(tmp_path_factory.mktemp("cluster"), redis_program) as started:
        yield started


def test_a_keys_slot_and_a_slots_tag_are_those_of_redis(cluster: ClusterAtHand) -> None:
    keys = [
        "a",
        "{}a",
        "a{b}c",
        "a{b}{c}",
        "{a}",
        "a{",
        "a}b{c}",
        seat_key("expo", bytes(16)),
        uniques_key("é", 1, 2, "d"),
    ]
    assert [slot_of(key) for key in keys] == [cluster.nodes[0].ask("CLUSTER", "KEYSLOT", key) for key in keys]
    for slot in (0, 1, 5461, SLOTS - 1):
        assert cluster.nodes[0].ask("CLUSTER", "KEYSLOT", f"turnout:{{{tag_in(slot)}}}:x") == slot


def sketch(people: int, seed: int) -> hyperloglog.Registers:
    rng, registers = random.Random(seed), hyperloglog.empty()
    for _ in range(people):
        hyperloglog.add(registers, rng.randbytes(16))
    return registers


def test_live_numbers_are_those_of_one_server(
    cluster: ClusterAtHand, redis_program: ServerProgram, tmp_path: Path, rig_event: Event
) -> None:
    alone = Server(tmp_path, redis_program, "alone", ())
    alone.start()
    batch: dict[str, Any] = {}
    for session in (0, 1, 2):
        for bucket in range(WINDOW - 40, WINDOW + 10, 10):
            batch[bucket_key("expo", session, bucket, "attendees")] = sketch(50, session + bucket)
            batch[bucket_key("expo", session, bucket, "views")] = sketch(60, session + bucket)
        for shard in range(16 if session == 0 else 4):
            batch[uniques_key("expo", session, shard, "2023-11-19")] = sketch(30, shard)

    async def said(url: str) -> Any:
        store, poller = SketchStore(url, CERTAIN_S), LivePoller(url, rig_event, CERTAIN_S)
        try:
            assert await store.merge(batch, BUCKET_TTL_S, "inc") == len(batch)
            assert await store.merge({}, BUCKET_TTL_S, "inc") == 0, "nothing is missed, on no master"
            return await poller.poll(WINDOW)
        finally:
            await store.close()
            await poller.close()

    try:
        counts = asyncio.run(said(cluster.url))
        assert counts.failure == ""
        assert counts == asyncio.run(said(alone.url))
    finally:
        alone.end()
    assert len({cluster.holder_of(key).port for key in batch}) == 3, "they lie on all masters"


def test_what_one_master_has_forgotten_is_sent_again_to_that_one(cluster: ClusterAtHand) -> None:
    batch: dict[str, Any] = {bucket_key("flushed", session, 0, "views"): sketch(10, session) for session in range(30)}

    async def run() -> None:
        store = SketchStore(cluster.url, CERTAIN_S)
        try:
            await store.merge(batch, BUCKET_TTL_S, "inc")
            victim = cluster.holder_of(next(iter(batch)))
            there = [key for key in batch if cluster.holder_of(key) is victim]
            victim.ask("FLUSHALL")
            assert await store.merge({}, BUCKET_TTL_S, "inc") == len(there) < len(batch)
            assert [victim.ask("EXISTS", key) for key in there] == [1] * len(there)
        finally:
            await store.close()

    asyncio.run(run())


def test_gateways_share_scans_through_it_and_each_room_is_beside_its_buckets(cluster: ClusterAtHand) -> None:
    entry = scan(IN, 0)
    entered = (bytes(16), in_order(entry))

    async def run() -> None:
        one, other = (SharedScans(cluster.url, "shared", name) for name in ("a", "b"))
        rooms = Rooms(WITH_GATES)
        try:
            one.add([entered])
            heard: list[Any] = []
            for _ in range(2):
                await one.exchange(lambda: [entered])
                heard += await other.exchange(list)
            assert rooms.take(heard) == [entered]
            await other.show(rooms.sketches(entry.scanned_at_ms / 1000))
            for session in (0, entry.session):
                key = room_key("shared", session)
                assert slot_of(key) == slot_of(bucket_key("shared", session, 0, "attendees"))
                assert cluster.holder_of(key).ask("PFCOUNT", key) == 1
        finally:
            await one.close()
            await other.close()

    asyncio.run(run())


def test_a_slot_that_moves_is_followed(cluster: ClusterAtHand) -> None:
    key = "turnout:{moving}:x"
    source = cluster.holder_of(key)
    target = next(node for node in cluster.nodes[:3] if node is not source)
    slot = slot_of(key)

    async def run() -> None:
        link = open_link(cluster.url, CERTAIN_S, AwayError)
        try:
            assert await link.run([("SET", key, 1), ("GET", key)]) == [b"OK", b"1"]
            target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
            source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
            assert await link.run([("GET", key)]) == [b"1"], "what is not moved yet is where it was"
            source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
            assert await link.run([("GET", key), ("INCR", key), ("GET", key)]) == [b"1", 2, b"2"]
            for node in (target, source):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)
            assert await link.run([("INCR", key), ("GET", key)]) == [3, b"3"]
        finally:
            await link.close()

    asyncio.run(run())
    with contextlib.suppress(redis_client.ResponseError):
        target.ask("DEL", key)
    for node in (source, target):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", source.id)


def test_a_master_that_hangs_keeps_nobody_from_the_others(cluster: ClusterAtHand) -> None:
    victim = cluster.nodes[1]
    cluster.replica_of(victim).ask("CONFIG", "SET", "cluster-replica-no-failover", "yes")

    async def run() -> None:
        registry = SeatRegistry(cluster.url, "hanging")
        try:
            names = [number.to_bytes(16, "big") for number in range(600)]
            there = {name for name in names if cluster.holder_of(seat_key("hanging", name)) is victim}
            victim.pause()
            failed = {*names}
            # At first everybody may have waited for it, and a machine that stands still fails anybody.
            async with asyncio.timeout(CERTAIN_S):
                while not failed <= there:
                    answers = await asyncio.gather(*(registry.claim(name, 1) for name in names), return_exceptions=True)
                    failed = {name for name, answer in zip(names, answers, strict=True) if answer != 1}
            assert failed, "its own keys are without a registry"
        finally:
            victim.resume()
            await registry.close()

    asyncio.run(run())
    cluster.replica_of(victim).ask("CONFIG", "SET", "cluster-replica-no-failover", "no")
    until(lambda: all(cluster.whole(node) for node in cluster.nodes), "the cluster is whole again", CERTAIN_S)


def test_nobody_there_is_the_exception_that_was_asked_for() -> None:
    async def run() -> None:
        link = open_link(f"redis+cluster://127.0.0.1:{free_port()}", 0.5, AwayError)
        with pytest.raises(AwayError, match="no node of the cluster"):
            await link.run([("GET", "a")])
        with pytest.raises(AwayError):
            await link.server_facts()
        await link.close()

    asyncio.run(run())


def test_a_master_is_killed_and_its_replica_takes_over(
    cluster: ClusterAtHand, redis_program: ServerProgram, tmp_path: Path
) -> None:
    for node in cluster.nodes[:3]:
        node.ask("FLUSHALL")
    rig = Rig(tmp_path, redis_program, gateways=2, workers=1)
    for gateway in rig.gateways:
        gateway.config = replace(gateway.config, registry_url=cluster.url, live_url=cluster.url)
    rig.ledger.config = replace(rig.ledger.config, live_url=cluster.url)
    with rig:
        rig.jump(WINDOW)
        crowd = rig.crowd
        crowd.join(30)
        crowd.join(20, "forum", gateway=1)
        assert crowd.beat() == 50
        until_live_is(rig, expected(rig, crowd.players), (0, 1))
        victim = cluster.holder_of(bucket_key("expo", 1, WINDOW, "attendees"))
        replica = cluster.replica_of(victim)
        victim.kill()
        names = [f"late {number}" for number in range(30)]
        late = [[player.seat for player in crowd.join(names, gateway=gateway)] for gateway in (0, 1)]
        assert any(at_one != at_other for at_one, at_other in zip(*late, strict=True)), "some had no registry"
        assert any(at_one == at_other for at_one, at_other in zip(*late, strict=True)), "others had theirs"
        assert crowd.beat() == len(crowd.players)
        until(lambda: replica.info("replication")["role"] == "master", "the replica takes over", CERTAIN_S)
        until_live_is(rig, expected(rig, crowd.players), (0, 1))
        until(lambda: agreed(rig, names), "every gateway gives everybody the same seat", CERTAIN_S)
        rig.next_window()
        assert crowd.beat() == len(crowd.players)
        until_live_is(rig, expected(rig, crowd.players), (0, 1))
        held = rig.hold()
    assert held.exact
    victim.start()


def agreed(rig: Rig, names: Sequence[str]) -> bool:
    """Whether both gateways give each of these the same seat."""
    seats = [[player.seat for player in rig.crowd.join(names, "forum", gateway=gateway)] for gateway in (0, 1)]
    return seats[0] == seats[1]
