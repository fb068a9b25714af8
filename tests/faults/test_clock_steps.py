"""The wall clock is set by minutes, forwards and backwards, under a real gateway and a real ledger: nothing is lost.

Real processes on the real clock, under libfaketime, which reads how far the wall clock is set from a file at each call.
They are told that it is twenty seconds before the end of a minute when they start, so that a window's end comes soon.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from counters import evidence
from counters.evidence import PresenceSegment
from counters.ledger.log import LogReader
from counters.ledger.note import Verifier
from counters.secrets import load_or_create_secrets
from deploy.embedded_redis import EmbeddedRedis, ServerProgram
from gateway.development_issuer import DevelopmentIssuer, load_event_creating_keys
from gateway.settings import GatewaySettings, LedgerSettings
from gateway.viewing_token import TokenKeys
from tests.gateway.commands import CERTAIN_S, port_of
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import ask, until

LEAD_S = 20.0
"""Between the start and the end of the first window."""


class SteppedHost:
    """A host whose wall clock can be set: only what is started here sees it. Owns the file that says how far."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._file = folder / "set-by"
        self._base_s = 60 - LEAD_S - time.time() % 60
        self.set(0)
        self.environment = os.environ | {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self._file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip

    def set(self, by_s: float) -> None:
        """Set the wall clock by so much against what it would say."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{self._base_s + by_s:+f}\n")
        fresh.rename(self._file)
        self.by_s = by_s

    def unstepped(self) -> float:
        """What a clock says that was read when the host began: the time that everything here goes by."""
        return time.time() + self._base_s


def started(host: SteppedHost, module: str, line: bytes, ready: Path, stack: ExitStack) -> "subprocess.Popen[bytes]":
    with ready.with_suffix(".said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", module], env=host.environment, stdin=subprocess.PIPE, stdout=said, stderr=said
        )
    stack.enter_context(process)
    stack.callback(process.kill)
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()
    until(lambda: ready.exists() or process.poll() is not None, f"{module} serves", CERTAIN_S)
    assert process.poll() is None, ready.with_suffix(".said").read_text()
    return process


def event_around(now: float) -> str:
    """The event, with its first session from the minute before `now` for an hour."""
    start = datetime.fromtimestamp(now // 60 * 60 - 60, UTC)
    moments = {
        "2023-11-19T09:00:00+08:00": start, "2023-11-19T10:30:00+08:00": start + timedelta(minutes=60),
        "2023-11-19T09:30:00+08:00": start + timedelta(minutes=60),
        "2023-11-19T11:00:00+08:00": start + timedelta(minutes=90),
        "2023-11-23T00:00:00+08:00": start + timedelta(days=4),
    }  # fmt: skip
    text = EVENT_FILE
    for before, after in moments.items():
        text = text.replace(before, after.isoformat())
    return text


@dataclass(frozen=True, slots=True)
class Heard:
    """A heartbeat that was acknowledged, and between which times on the clock that nobody sets."""

    seat: int
    sent: float
    answered: float

    @property
    def windows(self) -> set[int]:
        """Where it may be: to half a second, since the processes were not started at the same instant."""
        return {int(at) // 60 * 60 for at in (self.sent - 0.5, self.answered + 0.5)}


class SteppedEvent:
    """A ledger and a gateway on such a host. Its processes belong to the stack."""

    def __init__(self, folder: Path, redis_url: str, libfaketime: Path, stack: ExitStack) -> None:
        self.host = host = SteppedHost(folder, libfaketime)
        self.folder, self.data = folder, folder / "data"
        event_file = folder / "expo.toml"
        event_file.write_text(event_around(host.unstepped()))
        self.event = load_event_creating_keys(event_file, self.data / "development-issuer")
        self.tokens = TokenKeys.derive(load_or_create_secrets(self.data / "secrets.json"), self.event.id)
        self.issuer = DevelopmentIssuer.load(self.data / "development-issuer", "tickets")
        ledger = LedgerSettings(
            event_file=str(event_file), data=str(self.data), live_url=redis_url, host="127.0.0.1", port=0,
            metrics_host="127.0.0.1", metrics_port=0, log_origin="ledger.test/expo",
        )  # fmt: skip
        line = ledger.start_line()
        self.ledger = started(host, "gateway.ledger_service", line, self.data / "ledger.json", stack)
        address = json.loads((self.data / "ledger.json").read_text())
        self.verifier = Verifier.decode(address["log"])
        gateway = GatewaySettings(
            event_file=str(event_file), secrets_file=str(self.data / "secrets.json"), spool=str(folder / "spool"),
            registry_url=redis_url, live_url=redis_url, ledger_url=address["ledger"], host="127.0.0.1", port=0,
            metrics_host="127.0.0.1", metrics_port=0, workers=2, gateway="g0", ready_file=str(folder / "g0.json"),
        )  # fmt: skip
        line = gateway.start_line()
        self.gateway = started(host, "gateway.supervisor", line, folder / "g0.json", stack)
        self.port = port_of(json.loads((folder / "g0.json").read_text())["gateway"])

    def join_and_beat(self, name: str) -> Heard:
        ticket = self.issuer.mint(self.event.issuers[0], name, now=self.host.unstepped())
        credential = {"Authorization": f"Bearer {ticket}"}
        joined = ask(self.port, "POST", "/v1/events/expo/sessions/opening/join", b"", credential)
        assert joined.status == 201, joined
        token = joined.json["token"].encode()
        sent = self.host.unstepped()
        assert ask(self.port, "POST", "/v1/beat", token).status == 204
        return Heard(self.tokens.open(token).seat, sent, self.host.unstepped())

    def serving(self) -> list[int]:
        """The process ids of the workers that serve."""
        return list(json.loads((self.folder / "g0.json").read_text())["workers"])

    def replace_a_worker(self) -> None:
        """Kill one, and wait until another has its place."""
        gone = self.serving()[0]
        os.kill(gone, signal.SIGKILL)
        until(lambda: gone not in self.serving(), "another has its place", CERTAIN_S)

    def end(self) -> None:
        """Stop the gateway, wait until what it handed over is sealed, and stop the ledger."""
        self.gateway.send_signal(signal.SIGTERM)
        assert self.gateway.wait(CERTAIN_S) == 0, (self.folder / "g0.said").read_text()
        assert not list((self.folder / "spool").glob("*/w*"))
        until(lambda: bool(self.leaves()), "the first window is sealed", CERTAIN_S)
        self.ledger.send_signal(signal.SIGTERM)
        assert self.ledger.wait(CERTAIN_S) == 0

    def leaves(self) -> list[dict[str, Any]]:
        """The window leaves of the log."""
        entries = LogReader(self.data / "log", self.verifier).entries(0)
        return [leaf for leaf in map(json.loads, entries) if leaf["type"] == "window"]

    def present(self) -> list[tuple[int, int]]:
        """(seat, window) of all evidence, sorted: whoever is in two files of a window is there twice."""
        read = (path.read_bytes() for path in (self.data / "evidence").iterdir())
        segments = [evidence.decode(raw) for raw in read if raw.startswith(b"TURNSEG\0")]
        return sorted(
            (seat, segment.head.window)
            for segment in segments
            if isinstance(segment, PresenceSegment)
            for session in segment.sessions
            for seat in session.playing
        )


def test_the_wall_clock_may_be_set_by_minutes_and_nothing_is_lost_or_counted_twice(
    redis_program: ServerProgram, tmp_path: Path, libfaketime: Path
) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis(tmp_path / "redis", program=redis_program))
        event = SteppedEvent(tmp_path, redis.url, libfaketime, stack)
        heard = []
        for by_s in (0, 300, -600):
            event.host.set(by_s)
            heard.append(event.join_and_beat(f"set by {by_s}"))
            # A worker that is started now goes by the same clock as the others.
            event.replace_a_worker()
            heard.append(event.join_and_beat(f"after a restart, set by {by_s}"))
        over = max(heard[0].windows) + 61
        until(lambda: event.host.unstepped() >= over, "the first window is over", CERTAIN_S)
        for by_s in (1800, -1800):
            event.host.set(by_s)
            heard.append(event.join_and_beat(f"in another window, set by {by_s}"))
        event.end()
        assert [leaf["missing"] for leaf in event.leaves()] == [[]] * len(event.leaves())
    present = event.present()
    assert [seat for seat, _ in present] == sorted(each.seat for each in heard), "neither lost nor in two windows"
    windows = dict(present)
    assert len(windows) == 8
    assert all(windows[each.seat] in each.windows for each in heard)
