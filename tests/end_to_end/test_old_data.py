"""Data of an older version: what it wrote is opened, verified and gone on with. One archive for each version."""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from counters import evidence
from counters.event import load_event
from counters.evidence import JournalSegment, PresenceSegment
from counters.ledger.log import LogReader
from counters.ledger.note import Verifier
from counters.secrets import load_secrets
from deploy.embedded_redis import ServerProgram
from tests.gateway.commands import FREE_PORTS, end, port_of, started, turnout
from tests.gateway.serving import ask, until

VECTORS = Path(__file__).parents[1] / "vectors"
LAST_WINDOW = "2023-11-19T09:08:00+08:00"


@dataclass(frozen=True)
class OldEvent:
    """An event that an older version counted, unpacked."""

    folder: Path
    expected: dict[str, Any]

    @property
    def data(self) -> Path:
        return self.folder / "turnout-data"

    @property
    def log(self) -> LogReader:
        return LogReader(self.data / "log", Verifier.decode(self.expected["log"]))

    def leaves(self) -> list[dict[str, Any]]:
        return [json.loads(entry) for entry in self.log.entries(0)]

    def segments(self) -> Iterator[PresenceSegment | JournalSegment]:
        for path in (self.data / "evidence").iterdir():
            if (raw := path.read_bytes()).startswith(b"TURNSEG\0"):
                yield evidence.decode(raw)

    def present(self) -> dict[str, list[int]]:
        """Who was present, by window and session, as the evidence says."""
        event = load_event(self.folder / "expo.toml")
        ids = {session.number: session.id for session in event.sessions}
        seats: dict[str, set[int]] = {}
        for segment in self.segments():
            if isinstance(segment, PresenceSegment):
                for session in segment.sessions:
                    place = f"{event.iso(segment.head.window)} {ids[session.session]}"
                    seats.setdefault(place, set()).update(session.playing)
        return {place: sorted(found) for place, found in sorted(seats.items()) if found}


def with_rules(event_file: str, line: str) -> str:
    """Return an event file with a line in its table [counting]."""
    if "[counting]\n" in event_file:
        return event_file.replace("[counting]\n", f"[counting]\n{line}\n")
    return f"{event_file}\n[counting]\n{line}\n"


@pytest.fixture(params=sorted(path.name for path in VECTORS.glob("v*")))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> OldEvent:
    with tarfile.open(VECTORS / request.param / "data.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    for lock in tmp_path.glob("turnout-data/spool/*/lock"):
        # Of another boot, as it is everywhere but on the machine that made the archive.
        lock.write_text(json.dumps(json.loads(lock.read_text()) | {"boot": "0" * 32}))
    return OldEvent(tmp_path, json.loads((tmp_path / "expected.json").read_text()))


def test_an_old_certificate_verifies_with_its_log_and_evidence(old: OldEvent) -> None:
    assert old.log.full_check().size == old.expected["leaves"]
    said = turnout("verify", "certificate.json", "--log", old.data / "log", "--evidence", old.data / "evidence",
                   cwd=old.folder)  # fmt: skip
    assert said.returncode == 3, said.stdout
    assert "What could be checked holds; not checked: trusted key, witnesses, members, witness delay" in said.stdout


def test_an_old_ledger_goes_on_and_takes_what_old_workers_left(
    old: OldEvent,
    redis_program: ServerProgram,  # noqa: ARG001 - it is there
) -> None:
    before = old.leaves()
    event_file = old.folder / "expo.toml"
    # It names no rules, and this version has more: the ledger says which line keeps those that are locked.
    refused = turnout("up", event_file, *FREE_PORTS, cwd=old.folder)
    assert refused.returncode == 2
    (line,) = re.findall(r"write (rules = \[.*\]) in the table \[counting\]", refused.stdout + refused.stderr)
    event_file.write_text(with_rules(event_file.read_text(), line))
    with started("up", event_file, *FREE_PORTS, ready=old.data / "up.json", cwd=old.folder) as (process, up):
        assert up["log"] == old.expected["log"]
        key = {"Authorization": f"Bearer {load_secrets(old.data / 'secrets.json').organiser_key}"}

        def jump(at: str) -> None:
            answer = ask(port_of(up["ledger"]), "POST", "/v1/simulation/clock", json.dumps({"now": at}).encode(), key)
            assert answer.status == 200, answer

        until(lambda: any(leaf.get("window") == old.expected["unsealed"] for leaf in old.leaves()), "it is sealed")
        steering = ask(port_of(up["ledger"]), "GET", "/v1/events/expo/steering", b"", key).json
        assert (steering["number"], steering["interval_s"]) == (1, 45)
        jump(LAST_WINDOW)
        until(lambda: old.leaves()[-1].get("window") == "2023-11-19T09:07:00+08:00", "the event is sealed")
        assert end(process) == 0, (old.folder / "said.log").read_text()

    leaves = old.leaves()
    assert leaves[: len(before)] == before
    assert old.log.full_check().size == len(leaves)
    assert old.present() == old.expected["present"]
    (sealed,) = [leaf for leaf in leaves if leaf.get("window") == old.expected["unsealed"] and leaf["type"] == "window"]
    everybody = {seat for place, seats in old.expected["present"].items() for seat in seats
                 if place.startswith(old.expected["unsealed"])}  # fmt: skip
    assert sealed["missing"] == []
    assert [row["present"] for row in sealed["totals"] if row["session"] == ""] == [len(everybody)]
    assert not list((old.data / "spool").glob("*/w*")), "the spool has nothing that the ledger has not"
    minutes = [datetime.fromisoformat(leaf["window"]).minute for leaf in leaves if leaf["type"] == "window"]
    assert minutes[-8:] == list(range(8))

    certified = turnout("certify", event_file, "-o", "new.json", cwd=old.folder)
    assert certified.returncode == 0, certified.stderr
    verified = turnout("verify", "new.json", "--log", old.data / "log", "--evidence", old.data / "evidence",
                       "--policy", old.data / "trust-policy", cwd=old.folder)  # fmt: skip
    assert verified.returncode == 0, verified.stdout
