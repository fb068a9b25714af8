"""The door's share, for real: joins and heartbeats mixed through the keep-alive pool of a real nginx."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from load_tests.bench import mix, servers, wrk
from load_tests.bench.mix import DIRECT, NGINX, Mix, Turn
from load_tests.bench.raw_connections import Connections
from load_tests.bench.servers import Turnout

JOINS = 0.05
"""More than in a real mix: so few requests must bring joins on every connection of the pool."""


@pytest.fixture(scope="module")
def turnout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turnout]:
    with servers.turnout(tmp_path_factory.mktemp("mix"), tokens=16) as running:
        yield running


def test_of_joins_and_heartbeats_through_one_pool_of_nginx_every_heartbeat_takes_the_door(
    turnout: Turnout, tmp_path: Path, needed: Callable[[str], str]
) -> None:
    needed("nginx")
    with mix.front(turnout.server.address, tmp_path) as nginx:
        turn = Mix(turnout, nginx).turn(NGINX, JOINS, 2.0)  # every answer is checked, and that it was counted
    assert turn.joins > 10
    assert turn.heartbeats > 10 * turn.joins
    assert turn.share >= mix.WANTED
    # nginx opens another one after 1,000 requests; a door that lost one with each join would need as many as joins.
    assert turn.opened <= 64 + (turn.heartbeats + turn.joins) / 500


def test_a_heartbeat_that_aiohttp_takes_lowers_the_share(turnout: Turnout, monkeypatch: pytest.MonkeyPatch) -> None:
    with_type = wrk.browser_request

    def as_json(host: str, token: str) -> bytes:
        request = with_type(host, token)
        return request.replace(b"text/plain;charset=UTF-8", b"application/json") if token in odd else request

    odd = turnout.tokens[:4]
    monkeypatch.setattr(wrk, "browser_request", as_json)
    turn = Mix(turnout, None).turn(DIRECT, JOINS, 0.5)
    assert turn.heartbeats > 100
    assert 0.6 < turn.share < 0.9  # 4 of 16 tokens; one in four heartbeats


def test_connections_to_a_port_are_counted_from_either_end(turnout: Turnout) -> None:
    before = mix.clients_of(turnout.server.address.port)
    with Connections(turnout.server.address, 5):
        assert len(mix.clients_of(turnout.server.address.port) - before) == 5
    # Closed by us, they are still to be seen.
    assert len(mix.clients_of(turnout.server.address.port) - before) == 5


def test_the_lowest_share_of_all_turns_is_reported() -> None:
    turns = [Turn(DIRECT, 0.01, 99, 1, share, 64, 10.0, 0.0) for share in (1.0, 0.5, 0.75)]
    (summary,) = mix.summarise(turns)
    assert (summary.share, summary.heartbeats, summary.joins, summary.opened) == (0.5, 297, 3, 192)
    assert "| straight to the worker | 1% | 297 | 3 | 50.000% | 192 |" in mix.markdown([summary])
