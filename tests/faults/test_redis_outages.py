"""Redis away in every way: heartbeats and joins go on, live numbers say their age, and all is as if nothing had been.

One rig goes through one outage after another. In each, forty people play on and others join: new ones, and one of them
at both gateways, who gets two seats where the registry cannot say that there is one. Afterwards the live numbers are to
the last person those that sketches without an outage give, every worker gives whoever joined in the outage the same
seat, and in the end the certificate counts each person once.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis as redis_client

from deploy.embedded_redis import ServerProgram
from tests.faults.crowd import Player
from tests.faults.live_numbers import document, expected, until_live_is, until_stale
from tests.faults.rig import WINDOW, Rig
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import until

BOTH = (0, 1)
PLAYING = 40
USER, PASSWORD = "turnout", "s3cret"
STALL_S = 15.0
"""Fifteen times the time-out of a flush, sixty times that of a join."""


@contextmanager
def connected(rig: Rig) -> Iterator[Any]:
    with redis_client.Redis.from_url(rig.redis.url) as client:
        yield client


@contextmanager
def stalled(rig: Rig) -> Iterator[None]:
    """SIGSTOP: it accepts connections, and never answers."""
    began = time.monotonic()
    rig.redis.pause()
    yield
    time.sleep(max(0.0, began + STALL_S - time.monotonic()))
    rig.redis.resume()


@contextmanager
def killed(rig: Rig) -> Iterator[None]:
    """`kill -9`, and started again with its append-only file."""
    rig.redis.kill()
    yield
    rig.redis.start()
    let_in(rig)


@contextmanager
def hung_line(rig: Rig) -> Iterator[None]:
    """The network takes every byte and delivers none."""
    for line in rig.redis_line:
        line.hang()
    yield
    for line in rig.redis_line:
        line.heal()


@contextmanager
def out_of_memory(rig: Rig) -> Iterator[None]:
    """Every write is refused, every question answered."""
    with connected(rig) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@contextmanager
def no_log_in(rig: Rig) -> Iterator[None]:
    """Gateway 0 has a wrong password (WRONGPASS), gateway 1 none where one is asked for (NOAUTH)."""
    with connected(rig) as client:
        client.execute_command("ACL", "SETUSER", USER, "resetpass", ">another")
        client.config_set("requirepass", "unknown to gateways")
        client.client_kill_filter(_type="normal", skipme=True)
        yield
        client.config_set("requirepass", "")
    let_in(rig)


@contextmanager
def no_permission(rig: Rig) -> Iterator[None]:
    """They may log in and may do nothing with these keys: NOPERM."""
    with connected(rig) as client:
        client.execute_command("ACL", "SETUSER", "admin", "on", "nopass", "allkeys", "+@all")
    with redis_client.Redis.from_url(rig.redis.url, username="admin", password="any") as admin:
        for user in (USER, "default"):
            admin.execute_command("ACL", "SETUSER", user, "resetkeys")
        yield
        for user in (USER, "default"):
            admin.execute_command("ACL", "SETUSER", user, "allkeys")


def let_in(rig: Rig) -> None:
    """Make the user of gateway 0, which no file of the server has."""
    with connected(rig) as client:
        client.execute_command("ACL", "SETUSER", USER, "on", "resetpass", f">{PASSWORD}", "allkeys", "+@all")


OUTAGES: list[Callable[[Rig], contextlib.AbstractContextManager[None]]] = [
    stalled, killed, hung_line, out_of_memory, no_log_in, no_permission
]  # fmt: skip


@pytest.fixture(scope="module")
def rig(redis_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    prepared = Rig(tmp_path_factory.mktemp("outages"), redis_program, gateways=2, workers=1)
    as_user = prepared.gateways[0].config.live_url.replace("redis://", f"redis://{USER}:{PASSWORD}@")
    prepared.gateways[0].config = replace(prepared.gateways[0].config, registry_url=as_user, live_url=as_user)
    with prepared as running:
        # Until here gateway 0 was not let in: it has started all the same.
        let_in(running)
        running.jump(WINDOW)
        running.crowd.join(PLAYING // 2)
        running.crowd.join(PLAYING // 2, "forum", gateway=1)
        running.crowd.beat()
        until_live_is(running, expected(running, running.crowd.players), BOTH)
        yield running


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.__name__)
def test_an_outage_of_redis_stops_nobody_and_leaves_no_trace(
    rig: Rig, outage: Callable[[Rig], contextlib.AbstractContextManager[None]]
) -> None:
    crowd, name = rig.crowd, outage.__name__
    rig.next_window()
    assert crowd.beat() == len(crowd.players)
    before = expected(rig, crowd.players)
    until_live_is(rig, before, BOTH)
    with outage(rig):
        rig.jump(crowd.window() + 10)
        # Whatever is asked is answered at once: a player gives up after two seconds, and none has to.
        newcomers = crowd.join([f"{name} {number}" for number in range(10)])
        twice = [crowd.join([f"{name} twice"], gateway=gateway)[0] for gateway in BOTH]
        again = crowd.join([f"{name} twice"], "forum", gateway=1)[0]
        assert twice[0].seat != twice[1].seat
        assert again.seat == twice[1].seat, "one worker gives one person one seat"
        assert crowd.beat() == len(crowd.players), "every heartbeat is acknowledged"
        until_stale(rig, before, BOTH)
        rig.jump(crowd.window() + 22)
        until(lambda: all((document(rig, gateway)["age_s"] or 0) >= 12 for gateway in BOTH), "they say their age")
    until_live_is(rig, expected(rig, crowd.players), BOTH)
    until_agreed(rig, [*newcomers, twice[0]])


def until_agreed(rig: Rig, players: list[Player]) -> None:
    """Wait until the registry has a seat for each, and check that every gateway gives it."""

    def agreed() -> bool:
        with connected(rig) as client:
            return known(client) >= len({rig.crowd.truth.people[player.seat] for player in rig.crowd.players})

    until(agreed, "the registry has everybody", CERTAIN_S)
    for player in players:
        there, here = (rig.crowd.join([player.name], gateway=gateway)[0].seat for gateway in BOTH)
        assert there == here
        assert here in {seat for seat, name in rig.crowd.truth.people.items() if name == player.name}


def known(client: Any) -> int:
    """How many people the registry knows."""
    return sum(client.hlen(key) for key in client.scan_iter("turnout:{expo:seat:*", count=10_000))


def test_after_all_outages_everybody_is_counted_once(rig: Rig) -> None:
    people = len(set(rig.crowd.truth.people.values()))
    twice = {name for name in rig.crowd.truth.people.values() if name.endswith("twice")}
    assert len(rig.crowd.truth.joined) == people + len(twice), "each outage gave one person two seats"
    proven = rig.hold()
    assert proven.exact
    (unique,) = [
        row["value"] for row in proven.certificate["numbers"]
        if (row["rule"], row["scope"]) == ("unique-attendees-online", {})
    ]  # fmt: skip
    assert unique == people
