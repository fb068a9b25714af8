"""A worker's process and its clients' sockets: parts and pipelines, silence, and senders that take their time.

The worker is whole: its own process, uvloop, sweeps, aiohttp behind the door. Only its patience is shorter.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from counters.clock import SimulatedClock
from counters.event import load_event
from counters.secrets import load_or_create_secrets
from gateway.viewing_token import TokenKeys, ViewingToken
from gateway.worker import READY, WorkerConfig
from tests.gateway.serving import NO_LEDGER, NO_REDIS, NOW, Connection, parse_answers, request_bytes, until

IDLE_S, PARTIAL_S, SWEEP_S = 1.5, 0.6, 0.05
PAUSE_S = PARTIAL_S / 20
"""Between two drops of a slow sender, and two heartbeats of a player."""
SHORTER = f"""
import gateway.door_keeper, gateway.viewer_api
gateway.door_keeper.IDLE_S, gateway.door_keeper.PARTIAL_S = {IDLE_S}, {PARTIAL_S}
gateway.viewer_api.PARTIAL_S = {PARTIAL_S}
import gateway.worker
gateway.worker.SWEEP_S, gateway.worker.SEATS_PATIENCE_S = {SWEEP_S}, 0.1
assert gateway.worker.IDLE_S == {IDLE_S}
gateway.worker.main()
"""
AIOHTTPS = request_bytes("GET", "/v1/openapi.json", headers={"X-Padding": "p" * 400})


class Player:
    """Makes heartbeats that the worker accepts."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.beat = request_bytes("POST", "/v1/beat", token.encode())
        self.other = request_bytes("POST", "/v1/beat", token.encode(), {"Content-Type": "application/json"})

    def connect(self) -> Connection:
        return Connection(self.port)


@pytest.fixture(scope="module")
def player(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    folder = tmp_path_factory.mktemp("wire")
    secrets = load_or_create_secrets(folder / "secrets.json")
    SimulatedClock.create(folder / "clock", NOW, 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = WorkerConfig(
            event_file=str(event_file), secrets_file=str(folder / "secrets.json"), spool=str(folder / "spool"),
            live_file=str(folder / "live.json"), registry_url=NO_REDIS, ledger_url=NO_LEDGER, gateway="test",
            worker="1" * 16, listen_fd=listener.fileno(), clock_file=str(folder / "clock"), public_url="",
        )  # fmt: skip
        process = subprocess.Popen([sys.executable, "-c", SHORTER], stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
        port = listener.getsockname()[1]
    assert process.stdin is not None
    process.stdin.write(config.start_line())
    process.stdin.flush()
    try:
        until(lambda: any(folder.glob(f"spool/*/{READY}")) or process.poll() is not None, "the worker serves")
        keys = TokenKeys.derive(secrets, load_event(event_file).id)
        fields = {"seat": 7, "session": 1, "attendee": 5 << 24 | 77, "view": 3 << 24 | 99, "view_id": 1 << 32 | 1}
        yield Player(port, keys.seal(ViewingToken(expires_at=int(NOW) + 3600, **fields)))
    finally:
        process.stdin.close()  # as if the supervisor were gone: it drains and stops
        assert process.wait(20) == 0


# Parts and pipelines.


def test_two_requests_and_half_a_third_get_two_answers_and_the_third_when_it_is_whole(player: Player) -> None:
    for place in (1, 20, player.beat.index(b"\r\n\r\n") + 2, len(player.beat) - 64, len(player.beat) - 1):
        connection = player.connect()
        connection.send(player.beat * 2 + player.beat[:place])
        assert [answer.status for answer in connection.read_answers(2)] == [204, 204], place
        connection.send(player.beat[place:] + player.beat)
        assert [answer.status for answer in connection.read_answers(2)] == [204, 204], place
        connection.close()


def test_requests_split_at_every_byte_are_all_answered(player: Player) -> None:
    connection = player.connect()
    for place in range(1, len(player.beat)):
        connection.send(player.beat[:place])
        connection.send(player.beat[place:])
        assert connection.read_answers(1)[0].status == 204, place
    connection.close()


def test_requests_that_come_byte_by_byte_are_all_answered(player: Player) -> None:
    connection = player.connect()
    for byte in player.beat * 3:
        connection.send(bytes([byte]))
    assert [answer.status for answer in connection.read_answers(3)] == [204] * 3
    connection.close()


def test_as_many_pipelined_requests_as_a_client_likes_are_answered_in_order(player: Player) -> None:
    bad = request_bytes("POST", "/v1/beat", b"x" * 64)
    connection = player.connect()
    connection.send((player.beat + bad) * 500)
    assert [answer.status for answer in connection.read_answers(1000)] == [204, 401] * 500
    connection.close()


# Silence.


def test_connections_that_fall_silent_or_never_said_anything_are_closed_and_a_beating_one_is_not(
    player: Player,
) -> None:
    silent, mute, beating = player.connect(), player.connect(), player.connect()
    silent.send(player.beat)
    assert silent.read_answers(1)[0].status == 204
    ended = [silent, mute]
    deadline = time.monotonic() + 20
    while ended and time.monotonic() < deadline:
        beating.send(player.beat)
        assert beating.read_answers(1)[0].status == 204
        ended = [connection for connection in ended if not closed(connection)]
    assert not ended
    beating.send(player.beat)
    assert beating.read_answers(1)[0].status == 204
    for connection in (silent, mute, beating):
        connection.close()


def closed(connection: Connection) -> bool:
    """Whether a connection is closed, waiting a little for it; whatever comes instead is a fault."""
    connection.socket.settimeout(PAUSE_S)
    try:
        assert connection.socket.recv(1) == b""
    except TimeoutError:
        return False
    return True


# Senders that take their time.


@pytest.mark.parametrize("part", [b"P", b"POST /v1/beat HTTP/1.1\r\nHo", None], ids=["a letter", "a head", "a body"])
def test_half_a_heartbeat_is_answered_408_when_its_time_is_over(player: Player, part: bytes | None) -> None:
    connection = player.connect()
    connection.send(player.beat + (player.beat[:-1] if part is None else part))
    assert [answer.status for answer in parse_answers(connection.read_to_end())] == [204, 408]
    connection.close()


def test_a_body_that_aiohttp_waits_for_is_answered_408_too(player: Player) -> None:
    connection = player.connect()
    connection.send(player.other[:-1])
    (answer,) = connection.read_answers(1)
    assert (answer.status, answer.reason) == (408, "request_timeout")
    connection.close()


@pytest.mark.parametrize("which", ["beat", "aiohttps"])
def test_a_request_that_comes_in_drops_does_not_live_on_by_dripping(player: Player, which: str) -> None:
    request = player.beat if which == "beat" else AIOHTTPS
    assert len(request) * PAUSE_S > 2 * IDLE_S  # it would be whole long after its time is over
    connection = player.connect()
    for place in range(len(request) - 1):
        try:
            connection.send(request[place : place + 1])
        except OSError:  # the worker has closed it
            break
        if closed_or_answered(connection):
            break
    else:
        pytest.fail("the worker waited for all of it")
    connection.close()


def closed_or_answered(connection: Connection) -> bool:
    connection.socket.settimeout(PAUSE_S)
    try:
        said = connection.socket.recv(65_536)
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    assert said == b"" or said.startswith(b"HTTP/1.1 408 ")
    return True


def test_half_a_request_that_is_aiohttps_is_not_waited_for_without_end(player: Player) -> None:
    for part in (b"GET / HTT", AIOHTTPS[:-2]):
        connection = player.connect()
        connection.send(part)
        assert not [answer for answer in parse_answers(connection.read_to_end()) if answer.status != 408]
        connection.close()
