"""A master and its replica behind Sentinels: who takes over is found, and what it does not know is made up for."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from counters.redis_address import open_link
from counters.redis_link import RedisLink
from deploy.embedded_redis import ServerProgram
from load_tests.ports import free_port
from tests.faults.live_numbers import expected, until_live_is
from tests.faults.redis_servers import SERVICE, SentinelSet, sentinels_at_hand
from tests.faults.rig import WINDOW, Rig
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import until


class AwayError(Exception):
    """What failures are raised as here."""


@pytest.fixture
def together(redis_program: ServerProgram, tmp_path: Path) -> Iterator[SentinelSet]:
    with sentinels_at_hand(tmp_path, redis_program) as started:
        yield started


def test_a_replica_that_lags_takes_over_and_nobody_is_lost_or_counted_twice(
    together: SentinelSet, redis_program: ServerProgram, tmp_path: Path
) -> None:
    (tmp_path / "rig").mkdir()
    rig = Rig(tmp_path / "rig", redis_program, gateways=2, workers=1)
    for gateway in rig.gateways:
        gateway.config = replace(gateway.config, registry_url=together.url, live_url=together.url)
    rig.ledger.config = replace(rig.ledger.config, live_url=together.url)
    with rig:
        rig.jump(WINDOW)
        crowd = rig.crowd
        known = crowd.join(20)
        crowd.join(10, "forum", gateway=1)
        assert crowd.beat() == 30
        until_live_is(rig, expected(rig, crowd.players), (0, 1))
        until(lambda: together.lag() == 0, "the replica knows all that", CERTAIN_S)
        # From here on the replica is told nothing: not even what would wait in its socket.
        together.replica.pause()
        together.master.ask("CLIENT", "KILL", "TYPE", "replica")
        unknown = crowd.join([f"unknown {number}" for number in range(10)])
        assert crowd.beat() == 40
        until_live_is(rig, expected(rig, crowd.players), (0, 1))
        together.master.kill()
        together.replica.resume()
        crowd.join([f"meanwhile {number}" for number in range(5)])
        assert crowd.beat() == 45
        until(together.promoted, "the replica is the master", CERTAIN_S)
        # The replica never had the last sketches: they are sent again, because it is another server.
        until_live_is(rig, expected(rig, crowd.players), (0, 1))
        again = {player.name: player.seat for player in crowd.join([p.name for p in (*known, *unknown)], gateway=1)}
        assert [again[player.name] for player in known] == [player.seat for player in known]
        assert all(again[player.name] != player.seat for player in unknown), "two seats, one person"
        assert crowd.beat() == len(crowd.players)
        until_live_is(rig, expected(rig, crowd.players), (0, 1))
        people = len(set(crowd.truth.people.values()))
        assert len(crowd.truth.joined) == people + len(unknown)
        held = rig.hold()
    assert held.exact
    (unique,) = [
        row["value"] for row in held.certificate["numbers"]
        if (row["rule"], row["scope"]) == ("unique-attendees-online", {})
    ]  # fmt: skip
    assert unique == people == 45


def test_a_master_that_another_has_replaced_is_left_though_it_lives(together: SentinelSet) -> None:
    with asyncio.Runner() as runner:
        link = open_link(together.url, 1.0, AwayError)

        def written() -> str:
            """Where: its run id; "" if nobody takes it."""
            with contextlib.suppress(AwayError):
                if runner.run(link.run([("SET", "b", 2)])) == [b"OK"]:
                    return runner.run(link.server_facts()).run_id
            return ""

        while not (before := written()):
            pass
        replica = RedisLink(together.replica.url, CERTAIN_S, AwayError, only_master=True)
        with pytest.raises(AwayError, match="this server is a replica"):
            runner.run(replica.run([("PING",)]))
        runner.run(replica.close())
        # Sentinels cannot make it a replica, which would end our connection: for all it knows it is the master.
        together.master.ask("ACL", "SETUSER", "default", "-slaveof", "-replicaof")
        together.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
        until(together.promoted, "the replica is the master", CERTAIN_S)
        until(lambda: written() not in {"", before}, "the link follows", CERTAIN_S)
        assert together.replica.ask("GET", "b") == "2"
        runner.run(link.close())
        # With one Sentinel gone the other two still say where the master is.
        together.sentinels[0].kill()
        link = open_link(together.url, CERTAIN_S, AwayError)
        assert runner.run(link.run([("GET", "b")])) == [b"2"]
        runner.run(link.close())


def test_what_is_wrong_with_sentinels_is_said(together: SentinelSet) -> None:
    async def why(url: str) -> str:
        link = open_link(url, 0.5, AwayError)
        try:
            await link.run([("PING",)])
        except AwayError as error:
            return str(error)
        finally:
            await link.close()
        return ""

    other = together.url.removesuffix(SERVICE) + "other"
    assert "they watch no 'other'" in asyncio.run(why(other))
    nobody = f"redis+sentinel://127.0.0.1:{free_port()}/turnout"
    assert "connecting to" in asyncio.run(why(nobody))
