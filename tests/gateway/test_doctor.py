"""`turnout doctor` with real Redis servers, a real ledger and real ports: it says what to mend and changes nothing."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from counters.secrets import load_or_create_secrets
from deploy.embedded_redis import EmbeddedRedis, Role, ServerProgram
from gateway.cli import main
from gateway.development_issuer import DevelopmentIssuer, load_event_creating_keys
from gateway.doctor import redis_server
from tests.gateway.commands import port_of
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import RunningLedger, ledger

Findings = dict[str, dict[str, str]]
PORTS = ("--port", "0", "--metrics-port", "0")


@pytest.fixture(autouse=True)
def however_busy_this_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "SLOW_S", 60.0)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, redis_program: ServerProgram) -> Iterator[str]:
    """A registry with the configuration of deploy/."""
    with EmbeddedRedis(tmp_path_factory.mktemp("registry"), Role.REGISTRY, redis_program) as server:
        yield server.url


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, redis_program: ServerProgram) -> Iterator[str]:
    with EmbeddedRedis(tmp_path_factory.mktemp("live"), Role.LIVE, redis_program) as server:
        yield server.url


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, event_file: Path) -> Iterator[RunningLedger]:
    with ledger(event_file, tmp_path_factory.mktemp("ledger")) as one:
        yield one


@pytest.fixture
def configured(registry: str) -> Iterator[Callable[..., None]]:
    """Set the registry's server otherwise; it is put back."""
    with redis.Redis.from_url(registry, decode_responses=True) as client:
        before: dict[str, str] = {}

        def configure(**values: str) -> None:
            for name, value in values.items():
                option = name.replace("_", "-")
                before.update({option: client.config_get(option)[option]})
                client.config_set(option, value)

        yield configure
        for option, value in before.items():
            client.config_set(option, value)


def doctor(*arguments: object, code: int | None = None) -> Findings:
    """What is found, by the name of the check."""
    result = CliRunner().invoke(main, ["doctor", *map(str, arguments), "--json"], catch_exceptions=False)
    document = json.loads(result.output)
    assert result.exit_code == document["exit_code"]
    assert code is None or result.exit_code == code, result.output
    return {found["check"]: found for found in document["findings"]}


def of_gateway(running: RunningLedger, event_file: Path, folder: Path, *more: object, url: str) -> tuple[object, ...]:
    return (
        "gateway", event_file, "--redis", url, "--ledger", running.url, "--secrets", running.data / "secrets.json",
        "--spool", folder / "spool", "--host", "127.0.0.1", "--viewers", 100, *PORTS, *more,
    )  # fmt: skip


def verdicts(found: Findings) -> dict[str, str]:
    return {check: finding["verdict"] for check, finding in found.items()}


# Redis.


def test_a_good_gateway_has_nothing_to_mend(
    running: RunningLedger, event_file: Path, tmp_path: Path, registry: str, live: str
) -> None:
    found = doctor(*of_gateway(running, event_file, tmp_path, "--live-redis", live, url=registry), code=0)
    assert {check: verdict for check, verdict in verdicts(found).items() if verdict != "ok"}.keys() <= {
        "event", "clock", "cores", "accept queue", "issuer tickets", "spool"
    }  # fmt: skip
    assert "append-only file, noeviction" in found["registry Redis"]["detail"]
    assert found["live Redis"]["verdict"] == found["ledger"]["verdict"] == found["ledger's clock"]["verdict"] == "ok"
    assert not (tmp_path / "spool").exists()


def test_a_registry_that_evicts_and_keeps_no_file_fails_with_what_to_set(
    running: RunningLedger, event_file: Path, tmp_path: Path, registry: str, configured: Callable[..., None]
) -> None:
    configured(maxmemory_policy="allkeys-lru", appendonly="no")
    found = doctor(*of_gateway(running, event_file, tmp_path, url=registry), code=1)
    assert found["Redis: eviction"]["verdict"] == found["Redis: append-only file"]["verdict"] == "fail"
    assert "Set maxmemory-policy noeviction" in found["Redis: eviction"]["fix"]
    assert "Set appendonly yes" in found["Redis: append-only file"]["fix"]


def test_a_redis_that_has_not_enough_memory_fails(
    running: RunningLedger, event_file: Path, tmp_path: Path, registry: str, configured: Callable[..., None]
) -> None:
    configured(maxmemory="20mb")
    found = doctor(*of_gateway(running, event_file, tmp_path, "--attendees", 10_000_000, url=registry), code=1)
    assert "Raise maxmemory" in found["Redis: memory"]["fix"]


def test_a_redis_that_is_not_there_fails(running: RunningLedger, event_file: Path, tmp_path: Path) -> None:
    found = doctor(*of_gateway(running, event_file, tmp_path, url="unix:///nonexistent/redis.sock"), code=1)
    assert found["Redis"]["verdict"] == "fail"
    assert "address and password" in found["Redis"]["fix"]


def test_a_live_redis_used_as_registry_is_found_out(
    running: RunningLedger, event_file: Path, tmp_path: Path, live: str
) -> None:
    found = doctor(*of_gateway(running, event_file, tmp_path, url=live), code=1)
    assert verdicts(found)["Redis: append-only file"] == "fail"


# The ledger.


def test_other_secrets_and_another_event_are_refused_by_the_ledger(
    running: RunningLedger, event_file: Path, tmp_path: Path, registry: str
) -> None:
    load_or_create_secrets(tmp_path / "secrets.json")
    given = of_gateway(running, event_file, tmp_path, "--secrets", tmp_path / "secrets.json", url=registry)
    assert verdicts(doctor(*given, code=1))["ledger"] == "fail"
    other = tmp_path / "other.toml"
    other.write_text(EVENT_FILE.replace('name = "Expo"', 'name = "Other"'))
    (tmp_path / "jwks.json").write_bytes((event_file.parent / "jwks.json").read_bytes())
    found = doctor(*of_gateway(running, other, tmp_path, url=registry), code=1)
    assert "Take event file and secrets.json" in found["ledger"]["fix"]


def test_a_ledger_that_is_not_there_fails(
    running: RunningLedger, event_file: Path, tmp_path: Path, registry: str
) -> None:
    given = of_gateway(running, event_file, tmp_path, "--ledger", "http://127.0.0.1:9", url=registry)
    assert "Start it" in doctor(*given, code=1)["ledger"]["fix"]


def test_the_data_of_a_ledger_are_looked_at(
    running: RunningLedger, event_file: Path, tmp_path: Path, live: str
) -> None:
    given = ("ledger", event_file, "--redis", live, "--viewers", 100, *PORTS, "--data")
    found = doctor(*given, running.data, "--log-origin", "other.example", code=0)
    assert found["log"]["verdict"] == "warn"
    assert "--log-origin other.example does nothing" in found["log"]["detail"]
    assert found["witnesses"]["verdict"] == "warn"
    found = doctor(*given, running.data, code=0)
    assert "holds this event's log" in found["log"]["detail"]
    found = doctor(*given, tmp_path / "empty", code=0)
    assert "begins with the first start" in found["log"]["detail"]
    assert not (tmp_path / "empty").exists()
    (tmp_path / "other.toml").write_text(EVENT_FILE.replace('id = "expo"', 'id = "other"'))
    (tmp_path / "jwks.json").write_bytes((event_file.parent / "jwks.json").read_bytes())
    found = doctor("ledger", tmp_path / "other.toml", *given[2:], running.data, code=1)
    assert "another event file" in found["log"]["detail"]


# Ports.


def test_a_taken_port_is_named_with_who_has_it(
    running: RunningLedger, event_file: Path, tmp_path: Path, live: str
) -> None:
    given = (
        "ledger",
        event_file,
        "--redis",
        live,
        "--viewers",
        100,
        "--data",
        tmp_path,
        "--metrics-port",
        "0",
        "--port",
    )
    with socket.create_server(("127.0.0.1", 0)) as other:
        found = doctor(*given, other.getsockname()[1], code=1)
        assert "another port" in found["port"]["fix"]
        assert f"process {os.getpid()}:" in found["port"]["detail"]
    found = doctor(*given, port_of(running.url), code=0)
    assert found["port"]["verdict"] == "warn"
    assert "Turnout runs here already" in found["port"]["fix"]


# Issuers.


class Publishing(BaseHTTPRequestHandler):
    """An identity provider's discovery document and key set."""

    keys: list[dict[str, Any]]

    def do_GET(self) -> None:
        address = f"http://{self.headers['Host']}"
        document = {"jwks_uri": f"{address}/keys"} if self.path.startswith("/.well-known/") else {"keys": self.keys}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, format: str, *arguments: object) -> None: ...  # noqa: A002 - its name there


@pytest.fixture
def issuer() -> Iterator[tuple[str, type[Publishing]]]:
    """The address of an identity provider, and what it publishes."""
    publishing = type("PublishingHere", (Publishing,), {"keys": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), publishing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", publishing
        server.shutdown()


def test_keys_that_an_issuer_publishes_and_the_event_file_lacks_are_a_warning(
    issuer: tuple[str, type[Publishing]], tmp_path: Path, live: str
) -> None:
    address, publishing = issuer
    path = tmp_path / "expo.toml"
    path.write_text(EVENT_FILE.replace("https://tickets.example", address))
    (known,) = load_event_creating_keys(path, tmp_path / "development-issuer").issuers[0].keys
    path.write_text(path.read_text().replace("development = true\n", ""))
    given = ("ledger", path, "--redis", live, "--viewers", 100, "--data", tmp_path / "data", *PORTS)
    publishing.keys = [dict(known)]
    check = "issuer tickets: published keys"
    assert verdicts(doctor(*given, code=0))[check] == "ok"
    fresh = DevelopmentIssuer.create(tmp_path / "fresh", "fresh", tmp_path / "fresh.json")
    publishing.keys = [dict(known), dict(fresh.public_jwk)]
    found = doctor(*given, code=0)[check]
    assert (found["verdict"], "1 of 2 are not in the event file" in found["detail"]) == ("warn", True)
    publishing.keys = []
    assert verdicts(doctor(*given, code=0))[check] == "warn"


# The command.


def test_settings_that_cannot_be_used_end_it_before_anything_is_looked_at(event_file: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "gateway", str(event_file), "--redis", "elsewhere"])
    assert result.exit_code == 2
    assert "--redis" in result.output
    assert "--ledger" in result.output
    assert "✓" not in result.output


def test_a_witness_is_looked_at_too(tmp_path: Path) -> None:
    found = doctor("witness", "--data", tmp_path, "--name", "w.example/1", *PORTS, code=0)
    assert found.keys() == {"settings", "data", "clock", "port", "metrics port"}


def test_what_is_odd_about_the_settings_is_said_too(tmp_path: Path, live: str) -> None:
    given = ("ledger", "--redis", live, "--data", tmp_path / "data", "--viewers", 100, *PORTS)
    found = doctor(*given, "--timestamp-url", "https://user:hunter2@authority.example", code=3)
    assert found["event"]["verdict"] == "could not check"
    assert found["settings"]["verdict"] == "warn"


def test_up_is_looked_at_by_default_and_every_fault_has_what_to_do(
    tmp_path: Path, redis_program: ServerProgram
) -> None:
    assert redis_program
    path = tmp_path / "expo.toml"
    path.write_text(EVENT_FILE)
    given = [str(path), "--data", str(tmp_path / "data"), "--viewers", "100000000", "--ledger-port", "0", *PORTS]
    result = CliRunner().invoke(main, ["doctor", *given])
    assert result.exit_code == 1  # so many viewers no host can serve
    assert "✗ open files" in result.output
    for finding in doctor(*given).values():
        assert bool(finding["fix"]) == (finding["verdict"] != "ok"), finding
    assert sorted(tmp_path.iterdir()) == [path]
