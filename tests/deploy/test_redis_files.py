"""deploy/redis and the users of deploy/make_secrets.sh, as real servers take them."""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from redis.backoff import NoBackoff
from redis.retry import Retry

from counters.registry import SeatRegistry
from deploy.embedded_redis import ServerProgram
from tests.faults.parts import RedisPart
from tests.faults.redis_servers import ClusterAtHand, Node
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import until

DEPLOY = Path(__file__).parents[2] / "deploy"
SHELL = "/bin/sh"


def make_secrets(folder: Path) -> str:
    """Run the script; return what it says that it made."""
    command = [SHELL, str(DEPLOY / "make_secrets.sh"), str(folder)]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


class Guarded(RedisPart):
    """A server with the users that make_secrets.sh made."""

    def __init__(self, folder: Path, program: ServerProgram, secrets: Path, *more: str) -> None:
        super().__init__(folder, program)
        self._more = ("--aclfile", str(secrets / "redis-users"), *more)
        self._password = (secrets / "redis-password").read_text()

    def _command(self) -> list[str | Path]:
        return [*super()._command(), *self._more]

    def _serves(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis_client.ConnectionError:
            return False

    def client(self, password: str | None = None) -> Any:
        once = Retry(NoBackoff(), 0)  # otherwise a wrong password is tried for ten seconds
        return redis_client.Redis(port=self.port, password=self._password if password is None else password, retry=once)


@pytest.fixture
def guarded(tmp_path: Path, redis_program: ServerProgram) -> Iterator[Guarded]:
    make_secrets(tmp_path / "secrets")
    server = Guarded(tmp_path, redis_program, tmp_path / "secrets")
    try:
        server.start()
        yield server
    finally:
        server.end()


def test_secrets_are_made_once_each_of_its_own_and_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"

    made = make_secrets(first)
    before = {path.name: path.read_bytes() for path in first.iterdir()}

    names = ("redis-password", "redis-operator-password", "redis-users", "grafana-password")
    assert made.split() == [f"{first}/{name}" for name in names]
    assert make_secrets(first) == ""
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    assert first.stat().st_mode & 0o777 == 0o700
    make_secrets(second)
    everything = [path.read_bytes() for folder in (first, second) for path in sorted(folder.iterdir())]
    assert len(set(everything)) == 8
    assert all(before[name] not in before["redis-users"] for name in names[:2])


def test_turnout_may_what_it_needs_and_whoever_steals_its_password_cannot_empty_the_registry(guarded: Guarded) -> None:
    client = guarded.client()
    assert client.execute_command("HSETNX", "turnout:{e:seat:00000}", "someone", 1) == 1
    assert client.execute_command("SET", "turnout:{e:scan:0}", "x", "NX", "GET", "EX", 60) is None
    assert client.execute_command("PFADD", "turnout:{e}", "someone") == 1
    assert client.execute_command("PFMERGE", "turnout:{e}2", "turnout:{e}")
    assert client.info("server")["redis_version"]
    assert client.execute_command("ROLE")[0] == b"master"
    for command in ("FLUSHALL", "CONFIG SET maxmemory 1", "SHUTDOWN", "KEYS *", "ACL LIST", "REPLICAOF a 1"):
        with pytest.raises(redis_client.exceptions.NoPermissionError):
            client.execute_command(*command.split())
    with pytest.raises(redis_client.AuthenticationError):
        guarded.client("no password of it").ping()


def test_turnouts_password_is_changed_as_the_page_says(guarded: Guarded, tmp_path: Path) -> None:
    page = (DEPLOY.parent / "docs" / "keys.md").read_text(encoding="utf-8").partition("## Redis password")[2]
    (block,) = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    first, second, third = re.findall(r"`(cat \S+ > redis-\S+)`", page)
    secrets = tmp_path / "secrets"
    old = (secrets / "redis-password").read_text()
    operator = redis_client.Redis(
        port=guarded.port, username="operator", password=(secrets / "redis-operator-password").read_text()
    )

    def step(command: str) -> None:
        subprocess.run([SHELL, "-eu", "-c", command], cwd=secrets, check=True)
        assert operator.acl_load()

    def good(password: str) -> bool:
        try:
            return bool(guarded.client(password).ping())
        except redis_client.AuthenticationError:
            return False

    step(block)
    new = (secrets / "redis-password.new").read_text()
    assert (good(old), good(new)) == (True, False)
    kept = guarded.client(old)
    kept.ping()
    step(first)
    assert (good(old), good(new), kept.ping()) == (True, True, True)
    step(second)
    step(third)
    assert (good(old), good(new)) == (False, True)
    assert (secrets / "redis-password").read_text() == new


class GuardedNode(Node):
    """A node of a cluster with those users; the test asks it as the operator."""

    def __init__(self, folder: Path, program: ServerProgram, name: str, secrets: Path) -> None:
        super().__init__(folder, program, name)
        self._password = (secrets / "redis-operator-password").read_text()
        users = ("--aclfile", str(secrets / "redis-users"), "--masteruser", "operator", "--masterauth", self._password)
        self._options = [*self._options, *users]

    @property
    def url(self) -> str:
        return f"redis://operator:{self._password}@127.0.0.1:{self.port}/0"

    def _serves(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis_client.ConnectionError:
            return False


async def claimed(url: str) -> list[int]:
    """The seats of two people, one of whom asks twice, in a registry there."""
    registry = SeatRegistry(url, "expo", CERTAIN_S)
    try:
        wished = ((bytes(16), 7), (bytes(16), 9), (bytes([9] * 16), 8))
        return [await registry.claim(pseudonym, seat) for pseudonym, seat in wished]
    finally:
        await registry.close()


def test_the_script_makes_a_cluster_of_six_nodes_once(
    tmp_path: Path, redis_program: ServerProgram, needed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed("redis-cli")
    secrets = tmp_path / "secrets"
    make_secrets(secrets)
    monkeypatch.setenv("REDIS_USER", "operator")
    monkeypatch.setenv("REDISCLI_AUTH", (secrets / "redis-operator-password").read_text())
    nodes = [GuardedNode(tmp_path, redis_program, f"node-{number}", secrets) for number in range(6)]
    places = [f"127.0.0.1:{node.port}" for node in nodes]
    script = [SHELL, str(DEPLOY / "redis" / "cluster.sh"), *places]
    with ExitStack() as ended:
        for node in nodes:
            ended.callback(node.end)
            node.start()
        made = subprocess.run(script, capture_output=True, check=False, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
        until(lambda: all(ClusterAtHand.whole(node) for node in nodes), "the cluster is whole")
        assert [node.info("replication")["role"] for node in nodes] == ["master"] * 3 + ["slave"] * 3
        until(lambda: all(node.info("replication")["master_link_status"] == "up" for node in nodes[3:]), "all follow")
        as_turnout = f"redis+cluster://default:{(secrets / 'redis-password').read_text()}@{','.join(places)}"
        assert asyncio.run(claimed(as_turnout)) == [7, 7, 8]
        again = subprocess.run(script, capture_output=True, check=True, text=True)
        assert again.stdout.startswith("they are a cluster already")
    assert subprocess.run(script[:-1], capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize("name", ["registry.conf", "live.conf", "cluster.conf"])
def test_a_setting_that_redis_does_not_know_is_found(name: str, tmp_path: Path, redis_program: ServerProgram) -> None:
    bad = tmp_path / name
    bad.write_text((DEPLOY / "redis" / name).read_text() + "appendfsnyc everysec\n")

    started = subprocess.run(
        [redis_program.path, bad, "--port", "0"], cwd=tmp_path, env=os.environ, capture_output=True, check=False,
        text=True, timeout=CERTAIN_S,
    )  # fmt: skip

    assert started.returncode == 1
    assert "appendfsnyc" in started.stdout + started.stderr
