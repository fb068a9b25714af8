"""A worker's process and its clients' sockets: parts and pipelines, silence, and senders that take their time.

The worker is whole: its own process, uvloop, sweeps, aiohttp behind the door. Only its patience is shorter, and that
from when a test first wants it: until then a client that stands still for a while is not taken for a slow sender.
"""

import os
import signal
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
from gateway.worker_config import READY, WorkerConfig
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import NO_LEDGER, NO_REDIS, NOW, Connection, parse_answers, request_bytes, until

IDLE_S, PARTIAL_S, SWEEP_S = 1.5, 0.6, 0.05
PAUSE_S = PARTIAL_S / 20
"""Between two drops of a slow sender, and two heartbeats of a player."""
SHORTER = f"""
import gateway.door_keeper, gateway.viewer_api, gateway.worker, signal
def be_patient(idle_s, partial_s):
    gateway.door_keeper.IDLE_S, gateway.door_keeper.PARTIAL_S = idle_s, partial_s
    gateway.viewer_api.PARTIAL_S = partial_s
be_patient({CERTAIN_S}, {CERTAIN_S})
signal.signal(signal.SIGUSR2, lambda *_: be_patient({IDLE_S}, {PARTIAL_S}))
gateway.worker.IDLE_S = {IDLE_S}  # aiohttp's
gateway.worker.SWEEP_S, gateway.worker.SEATS_PATIENCE_S = {SWEEP_S}, 0.1
gateway.worker.main()
"""
PADDING = {"X-Padding": "p" * 1500}
"""A request with it is longer than anybody drips."""
AIOHTTPS = request_bytes("GET", "/v1/openapi.json", headers=PADDING)


class Player:
    """Makes heartbeats that the worker accepts."""

    def __init__(self, port: int, token: str, worker: int) -> None:
        self.port = port
        self.worker = worker  # process id
        self.beat = request_bytes("POST", "/v1/beat", token.encode())
        self.padded = request_bytes("POST", "/v1/beat", token.encode(), PADDING)
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
        yield Player(port, keys.seal(ViewingToken(expires_at=int(NOW) + 3600, **fields)), process.pid)
    finally:
        process.stdin.close()  # as if the supervisor were gone: it drains and stops
        assert process.wait(CERTAIN_S) == 0


@pytest.fixture
def impatient(player: Player) -> Player:
    """The player of a worker that has little patience, from now on."""
    os.kill(player.worker, signal.SIGUSR2)
    return player


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
    impatient: Player,
) -> None:
    silent = impatient.connect()
    while not answered(silent, impatient.beat):  # this machine stood still before it spoke
        silent.close()
        silent = impatient.connect()
    mute, beating = impatient.connect(), impatient.connect()
    opened = [silent, mute]
    deadline = time.monotonic() + CERTAIN_S
    spoke = time.monotonic()
    while True:
        assert time.monotonic() < deadline, "they are not closed"
        before, spoke = spoke, time.monotonic()
        if not answered(beating, impatient.beat):
            assert time.monotonic() - before > IDLE_S, "it is closed though it beats"
            beating.close()  # this machine stood still for so long
            beating = impatient.connect()
        if not opened:
            break
        opened = [connection for connection in opened if not closed(connection)]
    for connection in (silent, mute, beating):
        connection.close()


def answered(connection: Connection, beat: bytes) -> bool:
    """Whether a heartbeat is accepted; False: the connection is closed."""
    connection.socket.settimeout(CERTAIN_S)
    try:
        connection.send(beat)
        said = connection.socket.recv(65_536)
    except OSError:
        return False
    assert said == b"" or said.startswith(b"HTTP/1.1 204 ")
    return bool(said)


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
def test_half_a_heartbeat_is_answered_408_when_its_time_is_over(impatient: Player, part: bytes | None) -> None:
    connection = impatient.connect()
    connection.send(impatient.beat + (impatient.beat[:-1] if part is None else part))
    assert [answer.status for answer in parse_answers(connection.read_to_end())] == [204, 408]
    connection.close()


def test_a_body_that_aiohttp_waits_for_is_answered_408_too(impatient: Player) -> None:
    connection = impatient.connect()
    connection.send(impatient.other[:-1])
    (answer,) = connection.read_answers(1)
    assert (answer.status, answer.reason) == (408, "request_timeout")
    connection.close()


@pytest.mark.parametrize("which", ["beat", "aiohttps"])
def test_a_request_that_comes_in_drops_does_not_live_on_by_dripping(impatient: Player, which: str) -> None:
    request = impatient.padded if which == "beat" else AIOHTTPS
    # It would be whole long after its time is over, also of a worker that stands still for a while.
    assert len(request) * PAUSE_S > 20 * IDLE_S
    connection = impatient.connect()
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


def test_half_a_request_that_is_aiohttps_is_not_waited_for_without_end(impatient: Player) -> None:
    for part in (b"GET / HTT", AIOHTTPS[:-2]):
        connection = impatient.connect()
        connection.send(part)
        assert not [answer for answer in parse_answers(connection.read_to_end()) if answer.status != 408]
        connection.close()
