"""A gateway that was told everything by file and environment: it logs in to Redis, and nobody can read the password."""

import json
from pathlib import Path

import pytest
import redis

from counters.secrets import load_or_create_secrets
from deploy.embedded_redis import EmbeddedRedis, Role, ServerProgram
from tests.gateway.commands import children_of, end, started
from tests.gateway.serving import until

PASSWORD = "hunter2-hunter2"


def test_a_password_from_a_file_opens_redis_and_stands_in_no_process_that_others_can_see(
    event_file: Path, tmp_path: Path, redis_program: ServerProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_or_create_secrets(tmp_path / "secrets.json")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "turnout.toml").write_text(
        '[gateway]\nsecrets = "secrets.json"\nspool = "spool"\nredis_password_file = "password"\nworkers = 1\n'
        'host = "127.0.0.1"\nport = 0\nmetrics_port = 0\nledger = "http://127.0.0.1:9"\n'
    )
    live = tmp_path / "spool" / "live.json"
    with EmbeddedRedis(tmp_path / "redis", Role.REGISTRY, redis_program) as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", PASSWORD)
        monkeypatch.setenv("TURNOUT_CONFIG", str(tmp_path / "turnout.toml"))
        monkeypatch.setenv("TURNOUT_GATEWAY_REDIS", server.url)
        with started("gateway", event_file, ready=live, cwd=tmp_path) as (process, _):
            until(lambda: json.loads(live.read_text())["stale"] is False, "Redis lets the gateway in")
            until(lambda: len(children_of(process.pid)) > 0, "a worker runs")
            for pid in (process.pid, *children_of(process.pid)):
                for file in ("cmdline", "environ"):
                    assert PASSWORD.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()
            assert end(process) == 0
        with redis.Redis.from_url(server.url, password=PASSWORD) as client:
            client.config_set("requirepass", "")
    assert PASSWORD not in (tmp_path / "said.log").read_text()
