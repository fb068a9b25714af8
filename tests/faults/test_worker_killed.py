"""`kill -9` of workers in the middle of a window: every heartbeat that was answered 204 is in the evidence."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from counters import evidence
from counters.event import Event, load_event
from counters.evidence import JournalSegment, PresenceSegment
from counters.ledger.log import LogReader
from counters.ledger.note import Verifier
from counters.secrets import Secrets, load_secrets
from counters.spool import read_lock, read_window, window_chunks
from deploy.embedded_redis import ServerProgram
from gateway.development_issuer import DevelopmentIssuer
from gateway.viewing_token import TokenKeys
from tests.gateway.commands import FREE_PORTS, end, port_of, started, turnout
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import Connection, ask, request_bytes, until

WINDOW = int(datetime.fromisoformat("2023-11-19T09:00:00+08:00").timestamp())
ATTENDEES = 240
LINES = 6


@pytest.fixture
def event_file(redis_program: ServerProgram, tmp_path: Path) -> Path:  # noqa: ARG001 - it is there
    path = tmp_path / "expo.toml"
    path.write_text(EVENT_FILE + "[simulation]\nstarts_at = 2023-11-19T08:59:00+08:00\n", encoding="utf-8")
    return path


@dataclass
class Venue:
    """A running event as the players see it."""

    up: dict[str, Any]
    data: Path
    event: Event
    secrets: Secrets
    acknowledged: set[int] = field(default_factory=set)  # seats whose one heartbeat was answered 204
    broken: int = 0  # connections that a dying worker took with it

    @property
    def port(self) -> int:
        return port_of(self.up["gateway"])

    def jump(self, now: int) -> None:
        key = {"Authorization": f"Bearer {self.secrets.organiser_key}"}
        body = json.dumps({"now": self.event.iso(now)}).encode()
        answer = ask(port_of(self.up["ledger"]), "POST", "/v1/simulation/clock", body, key)
        assert answer.status == 200, answer

    def join_all(self) -> dict[int, bytes]:
        """Let everybody join; return the heartbeat of each seat."""
        minter = DevelopmentIssuer.load(self.data / "development-issuer", "tickets")
        keys = TokenKeys.derive(self.secrets, self.event.id)
        beats = {}
        for number in range(ATTENDEES):
            ticket = minter.mint(self.event.issuers[0], f"person {number}", now=WINDOW)
            answer = ask(
                self.port, "POST", "/v1/events/expo/sessions/opening/join", b"", {"Authorization": f"Bearer {ticket}"}
            )
            assert answer.status == 201, answer
            token = answer.json["token"].encode()
            beats[keys.open(token).seat] = request_bytes("POST", "/v1/beat", token)
        assert len(beats) == ATTENDEES
        return beats

    def play(self, beats: dict[int, bytes], midway: threading.Event) -> None:
        """Send one heartbeat for each seat over a few keep-alive lines; a line that breaks is opened again."""
        lines: list[Connection | None] = [None] * LINES
        for number, (seat, request) in enumerate(beats.items()):
            if number == len(beats) // 3:
                midway.set()
            place = number % LINES
            try:
                line = lines[place] = lines[place] or Connection(self.port)
                line.send(request)
                (answer,) = line.read_answers(1)
                assert answer.status == 204
                self.acknowledged.add(seat)
            except (OSError, AssertionError, HTTPException):
                # Not answered: this heartbeat may be lost, and its seat is not claimed.
                self.broken += 1
                with suppress(AttributeError):
                    lines[place].close()  # type: ignore[union-attr] # then there is nothing to close
                lines[place] = None
        for open_line in lines:
            if open_line is not None:
                open_line.close()

    def busiest_worker(self) -> int:
        """The process id of the worker with the most records in the open window."""
        records = {}
        for folder in (self.data / "spool").iterdir():
            if folder.is_dir() and WINDOW in (chunks := window_chunks(folder)):
                records[read_lock(folder)["pid"]] = len(read_window(chunks[WINDOW]).records)
        pid = max(records, key=lambda pid: records[pid])
        assert records[pid] > 0
        return int(pid)


def segments(data: Path) -> Iterator[PresenceSegment | JournalSegment]:
    for path in (data / "evidence").iterdir():
        raw = path.read_bytes()
        if raw.startswith(b"TURNSEG\0"):
            yield evidence.decode(raw)


@pytest.mark.parametrize("everyone", [False, True], ids=["one worker", "all workers at once"])
def test_what_a_killed_worker_had_answered_is_in_the_evidence(event_file: Path, tmp_path: Path, everyone: bool) -> None:
    data = tmp_path / "turnout-data"
    with started("up", event_file, *FREE_PORTS, ready=data / "up.json", cwd=tmp_path) as (process, up):
        venue = Venue(up, data, load_event(event_file), load_secrets(data / "secrets.json"))
        venue.jump(WINDOW)
        beats = venue.join_all()
        midway = threading.Event()
        players = threading.Thread(target=venue.play, args=(beats, midway))
        players.start()
        assert midway.wait(60)
        before = len(venue.acknowledged)
        for pid in up["workers"] if everyone else [venue.busiest_worker()]:
            assert pid in up["workers"]
            os.kill(pid, signal.SIGKILL)
        players.join(60)
        assert not players.is_alive()
        assert before > 0
        assert len(venue.acknowledged) > before, "nobody was answered after the kill"
        until(
            lambda: (
                len(set(json.loads((data / "up.json").read_text())["workers"]) - set(up["workers"]))
                == (2 if everyone else 1)
            ),
            "other workers serve in place of the dead",
        )
        for minute in (1, 2):
            venue.jump(WINDOW + 60 * minute)
        assert end(process) == 0, (tmp_path / "said.log").read_text()

    present: set[int] = set()
    joined: set[int] = set()
    for segment in segments(data):
        if isinstance(segment, PresenceSegment):
            for session in segment.sessions:
                assert (segment.head.window, session.session) == (WINDOW, 1)
                present.update(session.playing)
        else:
            joined.update(segment.joins["seat"].tolist())
    assert present >= venue.acknowledged
    assert present <= beats.keys()
    assert joined == beats.keys()
    assert not list((data / "spool").glob("*/w*")), "the spool has nothing that the ledger has not"

    log = LogReader(data / "log", Verifier.decode(up["log"]))
    leaves = [json.loads(entry) for entry in log.entries(1)]
    assert [leaf["missing"] for leaf in leaves if leaf.get("window") == venue.event.iso(WINDOW)] == [[]]

    certified = turnout("certify", event_file, cwd=tmp_path)
    assert certified.returncode == 0, certified.stderr
    verified = turnout("verify", "certificate.json", "--evidence", data / "evidence", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout
    certificate = json.loads((tmp_path / "certificate.json").read_text())
    unique = [n["value"] for n in certificate["numbers"] if (n["rule"], n["scope"]) == ("unique-attendees-online", {})]
    assert unique == [len(present)]
