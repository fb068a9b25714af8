"""Steering with real processes: what was put into force stays so while ledger and gateway come and go."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from counters.event import Event, load_event
from counters.secrets import Secrets, load_secrets
from deploy.embedded_redis import ServerProgram
from gateway.development_issuer import load_event_creating_keys
from gateway.settings import GatewaySettings
from gateway.viewing_token import TokenKeys, ViewingToken
from tests.gateway.commands import CERTAIN_S, FREE_PORTS, end, port_of, started, turnout
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import NO_LEDGER, NO_REDIS, NOW, Answer, ask, ledger, until

STEERING = "/v1/events/expo/steering"
BARRED, PRESENT = 7, 8


@pytest.fixture
def event_file(tmp_path: Path) -> Path:
    path = tmp_path / "expo.toml"
    path.write_text(EVENT_FILE + "[simulation]\nstarts_at = 2023-11-19T08:59:00+08:00\n")
    load_event_creating_keys(path, tmp_path / "development-issuer")
    return path


@dataclass(frozen=True)
class Gateway:
    """A gateway's process as a player meets it."""

    process: "subprocess.Popen[bytes]"
    port: int
    event: Event
    secrets: Secrets

    def token(self, seat: int) -> str:
        fields = ViewingToken(seat, 1, 77, 99, (1 << 40) + seat, int(NOW) + 36_000)
        return TokenKeys.derive(self.secrets, self.event.id).seal(fields)

    def joined_s(self) -> int:
        """The interval in the answer to a join."""
        who = {"Authorization": f"Bearer {self.token(PRESENT)}"}
        answer = ask(self.port, "POST", "/v1/events/expo/sessions/opening/join", headers=who)
        assert answer.status == 201, answer
        return int(answer.json["interval_s"])

    def beat(self, seat: int) -> Answer:
        return ask(self.port, "POST", "/v1/beat", self.token(seat).encode(), {"Content-Type": "text/plain"})

    def steer(self, **change: object) -> Answer:
        who = {"Authorization": f"Bearer {self.secrets.organiser_key}"}
        return ask(self.port, "POST", STEERING, json.dumps(change).encode(), who)

    def holds_to(self, interval_s: int) -> None:
        """Check what players are told, by a worker that has just started or by one that has long served."""
        assert self.joined_s() == interval_s
        answer = self.beat(PRESENT)
        assert answer.status == 204
        assert abs(int(answer.headers["turnout-interval"]) - interval_s) <= interval_s / 10
        assert (self.beat(BARRED).status, self.beat(BARRED).reason) == (410, "token_revoked")


@contextmanager
def gateway(event_file: Path, data: Path, ledger_url: str) -> Iterator[Gateway]:
    """Run a gateway on the ledger's clock; killed at the end if the test has not ended it."""
    ready = data / "gateway.json"
    ready.unlink(missing_ok=True)
    config = GatewaySettings(
        event_file=str(event_file), secrets_file=str(data / "secrets.json"), spool=str(data / "spool"),
        registry_url=NO_REDIS, live_url=NO_REDIS, ledger_url=ledger_url, host="127.0.0.1", port=0,
        metrics_host="127.0.0.1", metrics_port=0, workers=1, gateway="gw", clock_file=str(data / "clock"),
        ready_file=str(ready),
    )  # fmt: skip
    with (data / "gateway.said").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.supervisor"], stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    assert process.stdin is not None
    try:
        process.stdin.write(config.start_line())
        process.stdin.flush()
        until(lambda: ready.exists() or process.poll() is not None, "the gateway serves", CERTAIN_S)
        assert process.poll() is None, (data / "gateway.said").read_text()
        port = port_of(json.loads(ready.read_text())["gateway"])
        yield Gateway(process, port, load_event(event_file), load_secrets(data / "secrets.json"))
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def test_steering_survives_ledger_and_gateway_and_every_window_has_its_interval(
    event_file: Path, tmp_path: Path
) -> None:
    data = tmp_path / "turnout-data"
    with ledger(event_file, data) as first:
        first.jump(NOW)
        with gateway(event_file, data, first.url) as steered:
            assert steered.joined_s() == 30
            assert steered.beat(BARRED).status == 204
            assert steered.steer(interval_s=55).status == 400
            answer = steered.steer(interval_s=45, revoke=[{"seat": BARRED}])
            assert (answer.status, answer.json["number"]) == (200, 1)
            until(lambda: steered.joined_s() == 45, "the worker follows")
            steered.holds_to(45)
            first.process.send_signal(signal.SIGTERM)
            first.process.wait(CERTAIN_S)
            assert steered.steer(interval_s=20).status == 503
            until(lambda: b"steering stays as it is" in (data / "gateway.said").read_bytes(), "the ledger is missed")
            steered.holds_to(45)
            steered.process.kill()  # what it accepted in the window of NOW is in its spool
        with gateway(event_file, data, NO_LEDGER) as orphan:
            orphan.holds_to(45)

    with ledger(event_file, data) as second, gateway(event_file, data, second.url) as later:
        assert second.organise("GET", STEERING).json.items() >= {"number": 1, "interval_s": 45}.items()
        later.holds_to(45)
        for minute in (1, 2):
            second.jump(NOW + 60 * minute)
            later.beat(PRESENT)
        until(lambda: later.event.iso(NOW) in second.windows(), "the window is sealed")
        leaf = second.windows()[later.event.iso(NOW)]
        assert leaf["interval_s"] == 45, "a dead gateway's window has the interval that its players were told"
        assert leaf["refusals"]["token_revoked"] > 0
        (change,) = [leaf for leaf in second.leaves() if leaf["type"] == "steering"]
        assert (change["interval_s"], change["revoked"]) == (45, {"seats": 1, "views": 0})
        assert later.steer(restore=[{"seat": BARRED}], interval_s=30).json["number"] == 2
        until(lambda: later.joined_s() == 30, "the worker follows")
        assert later.beat(BARRED).status == 204
        certified = turnout("certify", event_file, "--data", data, "-o", tmp_path / "certificate.json", cwd=tmp_path)
        assert certified.returncode == 0, certified.stderr
    verified = turnout("verify", "certificate.json", "--evidence", data / "evidence", "--policy", data / "trust-policy",
                       cwd=tmp_path)  # fmt: skip
    assert verified.returncode == 0, verified.stdout
    settings = json.loads((tmp_path / "certificate.json").read_text())["settings"]
    assert [change["interval_s"] for change in settings["steering"]] == [45, 30]


def test_the_command_steers_what_turnout_up_runs(tmp_path: Path, redis_program: ServerProgram) -> None:
    assert redis_program
    event_file, data = tmp_path / "expo.toml", tmp_path / "turnout-data"
    event_file.write_text(EVENT_FILE)
    with started("up", event_file, *FREE_PORTS, ready=data / "up.json", cwd=tmp_path) as (process, up):
        shown = turnout("steer", event_file, "--show", cwd=tmp_path)
        assert (shown.returncode, shown.stdout) == (0, "interval 30 s\nrevoked nobody\n"), shown.stderr
        keys = TokenKeys.derive(load_secrets(data / "secrets.json"), "expo")
        token = keys.seal(ViewingToken(BARRED, 1, 77, 99, 0x0123456789ABCDEF, 4_000_000_000))
        changed = turnout("steer", event_file, "--interval", "45", "--revoke", token, cwd=tmp_path)
        assert changed.stdout == (
            "change 1 is in the log\nthe token is of view:0123456789abcdef, seat:7\n"
            "interval 45 s\nrevoked view:0123456789abcdef\n"
        ), changed.stderr
        beat = ("POST", "/v1/beat", token.encode(), {"Content-Type": "text/plain"})
        until(lambda: ask(port_of(up["gateway"]), *beat).status == 410, "the token is refused")
        for url in (up["gateway"], up["ledger"]):
            live = partial(ask, port_of(url), "GET", "/v1/events/expo/live")
            until(lambda live=live: live().json["seen_within_s"] == 60, "live numbers look back as far as 45 s need")  # type: ignore[misc]
        restored = turnout(
            "steer", event_file, "--restore", "view:0123456789abcdef", "--revoke", f"seat:{BARRED}",
            "--ledger", up["gateway"], "--secrets", data / "secrets.json", cwd=tmp_path,
        )  # fmt: skip
        assert restored.stdout.splitlines() == ["change 2 is in the log", "interval 45 s", "revoked seat:7"]
        again = turnout("steer", event_file, "--interval", "45", cwd=tmp_path)
        assert again.stdout.startswith("nothing to change: it was so already\n")
        refused = turnout("steer", event_file, "--interval", "60", cwd=tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "use 5 to 54 seconds" in refused.stderr
        assert end(process) == 0
    gone = turnout("steer", event_file, "--show", cwd=tmp_path)
    assert gone.returncode == 2
    assert "Is it running?" in gone.stderr


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ((), "say what to change"),
        (("--show", "--interval", "45"), "say what to change"),
        (("--revoke", "alice"), "neither a viewing token of 64 characters, nor view:HEX, nor seat:N"),
        (("--revoke", "seat:x"), "neither a viewing token"),
        (("--show",), "name the ledger with --ledger"),
    ],
)
def test_what_cannot_be_meant_is_said(event_file: Path, tmp_path: Path, options: tuple[str, ...], what: str) -> None:
    data = tmp_path / "turnout-data"
    data.mkdir()
    (data / "secrets.json").write_text(
        json.dumps({"version": 1, "event_secret": "00" * 32, "pseudonym_key": "00" * 32})
    )
    done = turnout("steer", event_file, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert what in done.stderr
    assert "Traceback" not in done.stderr
