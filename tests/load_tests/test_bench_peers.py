"""What Turnout is measured beside: every peer runs for real, answers 204, and counts what it says it counts."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner

from load_tests.bench import contenders, peer_redis, peers, processes, wrk
from load_tests.bench.__main__ import main
from load_tests.http_client import Address
from tests.gateway.commands import CERTAIN_S

Needed = Callable[[str], str]
Absent = Callable[[str], NoReturn]


@pytest.mark.parametrize(("answer", "sound"), [("204", True), ("200", False)])
def test_wrk_counts_every_answer_that_is_no_204(tmp_path: Path, needed: Needed, answer: str, sound: bool) -> None:
    client = needed("wrk")
    needed("nginx")
    conf, script = tmp_path / "peer.conf", tmp_path / "check.lua"
    conf.write_text((peers.FILES / "nginx_204.conf").read_text().replace("return 204", f"return {answer}"))
    wrk.write_script(script, [wrk.browser_request("beat.example", token) for token in ("a", "b")], check=True)
    (tmp_path / "nginx").mkdir()
    with peers.nginx(conf, "nginx", tmp_path / "nginx") as server:
        found = wrk.run([client], script, f"http://127.0.0.1:{server.address.port}", 1)
    assert found.requests > 0
    assert found.sound is sound
    assert (found.other > 0) is not sound


TOKENS = ["first-token", "second-token", "first-token"]


def answers(address: Address, tokens: Sequence[str]) -> list[bytes]:
    """Send heartbeats over one connection; return the status lines."""
    found = []
    with socket.create_connection((address.host, address.port), 10) as connection, connection.makefile("rb") as reader:
        for token in tokens:
            connection.sendall(wrk.browser_request("beat.example", token))
            head = [line for line in iter(reader.readline, b"\r\n") if line]
            found.append(head[0].strip())
    return found


@pytest.fixture(scope="module")
def redis_server(absent: Absent) -> str:
    return peer_redis.program() or absent("there is no redis-server")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[peer_redis.PeerRedis]:
    with peer_redis.running(redis_server, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def redis_on_a_socket(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[peer_redis.PeerRedis]:
    with peer_redis.running(redis_server, tmp_path_factory.mktemp("redis"), unix=True) as server:
        yield server


@pytest.mark.parametrize("peer", [peer for peer in peers.PEERS if peer.pfadd], ids=lambda peer: peer.name)
def test_a_peer_reaches_its_redis_over_a_unix_socket_too(
    tmp_path: Path, redis_on_a_socket: peer_redis.PeerRedis, absent: Absent, peer: peers.Peer
) -> None:
    redis_on_a_socket.forget()
    try:
        with peer.start(tmp_path, redis_on_a_socket.address) as server:
            assert answers(server.address, TOKENS) == [b"HTTP/1.1 204 No Content"] * 3
    except peers.MissingError as missing:
        absent(str(missing))
    assert redis_on_a_socket.counted() == (3, 2)
    assert redis_on_a_socket.address.startswith("unix:///")


@pytest.mark.parametrize("peer", peers.PEERS, ids=lambda peer: peer.name)
def test_a_peer_answers_204_and_counts_what_it_says_it_counts(
    tmp_path: Path, redis: peer_redis.PeerRedis, absent: Absent, peer: peers.Peer
) -> None:
    redis.forget()
    try:
        with peer.start(tmp_path, redis.address) as server:
            assert server.name == peer.name
            said = answers(server.address, TOKENS)
            assert server.cpu_s() >= 0
    except peers.MissingError as missing:
        absent(str(missing))
    assert said == [b"HTTP/1.1 204 No Content"] * 3
    assert redis.counted() == ((3, 2) if peer.pfadd else (0, 0))


@pytest.mark.parametrize("peer", [peer for peer in peers.PEERS if peer.pfadd], ids=lambda peer: peer.name)
def test_a_peer_that_cannot_count_does_not_answer_204(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, redis_server: str, absent: Absent, peer: peers.Peer
) -> None:
    with peer_redis.running(redis_server, tmp_path_factory.mktemp("redis")) as own:
        own.client.config_set("maxmemory", "1")
        try:
            with peer.start(tmp_path, own.address) as server:
                (said,) = answers(server.address, ["token"])
        except peers.MissingError as missing:
            absent(str(missing))
    assert b" 500 " in said


def test_a_peer_that_counts_too_little_is_found(redis: peer_redis.PeerRedis) -> None:
    counting = contenders.InRedis(redis)
    counting.begin()
    assert counting.fault(1, 1) == "1 heartbeats answered, but only 0 PFADDs"
    for _ in range(100):
        redis.client.pfadd("beats:1", "always the same")
    assert counting.fault(100, 50) == "50 different tokens sent, but PFCOUNT says 1"
    for number in range(49):
        redis.client.pfadd("beats:2", f"another {number}")
    assert counting.fault(149, 50) == ""
    counting.begin()
    assert redis.counted() == (0, 0)


def test_a_peer_without_its_program_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for peer, program in ((peers.PEERS[0], "nginx"), (peers.PEERS[1], "nginx"), (peers.PEERS[2], "node")):
        with (
            pytest.raises(peers.MissingError, match=f"{program} is not on the PATH"),
            peer.start(tmp_path, "redis://127.0.0.1:1"),
        ):
            pass


def test_a_server_that_does_not_start_says_why() -> None:
    broken = [sys.executable, "-c", "import sys; sys.stderr.write('port is taken\\n' * 20_000); sys.exit(3)"]
    with (
        pytest.raises(RuntimeError, match=r"(?s)broken does not listen\. .*port is taken"),
        peers.child("broken", broken, 1),
    ):
        pass


def test_a_bench_that_is_terminated_takes_its_servers_along(needed: Needed, tmp_path: Path) -> None:
    needed("wrk")
    needed("nginx")
    command = [sys.executable, "-m", "load_tests.bench", "--only", peers.NGINX_204, "--rounds", "9", "--seconds", "9"]
    bench = subprocess.Popen(
        command, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + CERTAIN_S
        while not list(tmp_path.glob("*/plain.lua")):  # written when all servers are up
            assert bench.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        started = processes.descendants(bench.pid)
        bench.terminate()
        assert bench.wait(CERTAIN_S) == 128 + signal.SIGTERM
    finally:
        bench.kill()
        bench.wait()
    assert len(started) > 3
    assert [pid for pid in started if (Path("/proc") / str(pid)).exists()] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_bench_measures_turnout_beside_a_peer_and_draws_it(tmp_path: Path, needed: Needed) -> None:
    needed("wrk")
    needed("nginx")
    drawn = tmp_path / "cost.svg"
    arguments = ["--rounds", "1", "--seconds", "1", "--only", peers.NGINX_204, "--plot", str(drawn)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    for name in ("Turnout, one worker", peers.NGINX_204):
        assert f"| {name} | " in done.output
        assert name in drawn.read_text()
    assert peers.FASTAPI not in done.output
