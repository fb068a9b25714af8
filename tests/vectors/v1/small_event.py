"""How `data.tar.gz` beside this file was made: a small simulated event of version 1, ended by `kill -9` of everything.

    git checkout 5198396 && git checkout <newer> -- tests/vectors/v1/small_event.py
    python -m tests.vectors.v1.small_event FOLDER       writes FOLDER/data.tar.gz

In the same way e0f5f63 made ../v2: there the certificate is of version 2.

It is kept as it is and never made again: it stands for the data of an event that an older Turnout has counted. It
holds, all of it as version 1 wrote it: the event file, log, evidence, reports (the last of them of a window that is not
sealed), grants, secrets, a certificate with its proof, a steering change with its revocations, a window sealed without
one worker and the late leaf that mends it, scans, and the spools of two killed workers, one of them with a window that
nobody has handed over. `expected.json` says what is in it.
"""

import gzip
import io
import json
import os
import signal
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counters.clock import SimulatedClock
from counters.event import load_event
from counters.ledger.log import LogReader
from counters.ledger.note import Verifier
from counters.secrets import load_secrets
from counters.spool_lock import read_lock
from counters.spooled_window import read_window, window_chunks
from gateway.development_issuer import DevelopmentIssuer
from gateway.viewing_token import TokenKeys
from tests.gateway.commands import FREE_PORTS, Running, children_of, living, port_of, started, turnout
from tests.gateway.serving import ask, until

EVENT_FILE = """
[event]
id = "expo"
name = "Expo"
time_zone = "Asia/Shanghai"
late_until = 2023-11-23T00:00:00+08:00

[[session]]
number = 1
id = "opening"
title = "Opening"
starts_at = 2023-11-19T09:00:00+08:00
ends_at = 2023-11-19T09:06:00+08:00
gates = ["hall-a"]

[[session]]
number = 2
id = "forum"
title = "Forum"
starts_at = 2023-11-19T09:03:00+08:00
ends_at = 2023-11-19T09:08:00+08:00
gates = ["hall-b"]

[[issuer]]
id = "tickets"
issuer = "https://tickets.example"
audience = "expo"
jwks = "jwks.json"
namespace = "tickets"
operated_by = "Ticket Shop"
algorithms = ["ES256"]
attributes = { country = "country", category = "category", outlet = "outlet" }
development = true

[simulation]
starts_at = 2023-11-19T08:59:00+08:00
"""
START = 1700355600
"""09:00 on 2023-11-19 at UTC+8."""
KEPT = ("log", "log.writer", "evidence", "ledger", "certificates", "development-issuer", "secrets.json", "clock")
"""Of the data directory, what is not of one run on one machine."""
COUNTRIES = ("CN", "FR", "JP")
PEOPLE = [f"person {number}" for number in range(30)]


class Players:
    """Everybody at the event: joins, heartbeats, and who was in which window."""

    def __init__(self, up: dict[str, Any], data: Path, event_file: Path) -> None:
        self.port = port_of(up["gateway"])
        self.ledger_port = port_of(up["ledger"])
        self.event = load_event(event_file)
        self.secrets = load_secrets(data / "secrets.json")
        self.minter = DevelopmentIssuer.load(data / "development-issuer", "tickets")
        self.keys = TokenKeys.derive(self.secrets, self.event.id)
        self.tokens: dict[tuple[str, str], str] = {}
        self.seats: dict[str, int] = {}
        self.present: dict[str, set[int]] = {}
        self.now = START - 60

    def ticket(self, person: str) -> str:
        number = int(person.rpartition(" ")[2])
        return self.minter.mint(
            self.event.issuers[0],
            person,
            now=self.now,
            claims={"country": COUNTRIES[number % 3], "category": "visitor"},
        )

    def join(self, person: str, session: str) -> None:
        who = {"Authorization": f"Bearer {self.ticket(person)}"}
        answer = ask(self.port, "POST", f"/v1/events/expo/sessions/{session}/join", b"", who)
        assert answer.status == 201, answer
        token = answer.json["token"]
        self.tokens[person, session] = token
        self.seats[person] = self.keys.open(token.encode()).seat

    def beat(self, person: str, session: str) -> None:
        answer = ask(self.port, "POST", "/v1/beat", self.tokens[person, session].encode())
        assert answer.status == 204, answer
        self.present.setdefault(f"{self.event.iso(self.now // 60 * 60)} {session}", set()).add(self.seats[person])

    def scan(self, person: str, gate: str, direction: str, nonce: str) -> None:
        who = {"Authorization": f"Bearer {self.secrets.scanner_key}", "Content-Type": "application/json"}
        scan = {
            "nonce": nonce,
            "badge": self.ticket(person),
            "gate": gate,
            "direction": direction,
            "scanned_at": self.event.iso(self.now),
        }
        answer = ask(self.port, "POST", "/v1/events/expo/checkins", json.dumps({"scans": [scan]}).encode(), who)
        assert answer.json["outcomes"][0]["outcome"] == "accepted", answer

    def organise(self, path: str, **asked: Any) -> None:
        who = {"Authorization": f"Bearer {self.secrets.organiser_key}"}
        answer = ask(self.ledger_port, "POST", path, json.dumps(asked).encode(), who)
        assert answer.status == 200, answer

    def jump(self, now: int) -> None:
        self.now = now
        self.organise("/v1/simulation/clock", now=self.event.iso(now))


def workers_in(spool: Path) -> dict[str, int]:
    """Worker id -> process id."""
    folders = [folder for folder in spool.iterdir() if folder.is_dir()]
    return {folder.name: int(read_lock(folder)["pid"]) for folder in folders}


@dataclass
class Venue:
    """A running event with its processes and its players."""

    folder: Path
    process: Running
    up: dict[str, Any]
    players: Players

    @property
    def data(self) -> Path:
        return self.folder / "turnout-data"

    def leaves(self) -> list[dict[str, Any]]:
        log = LogReader(self.data / "log", Verifier.decode(self.up["log"]))
        return [json.loads(entry) for entry in log.entries(0)]

    def sealed(self, window: int) -> bool:
        return any(leaf.get("window") == self.players.event.iso(window) for leaf in self.leaves())

    def busiest(self, window: int) -> tuple[str, int]:
        """The worker, and its process, that has the most heartbeats of a window."""
        workers = workers_in(self.data / "spool")
        worker = max(workers, key=lambda name: len(records_of(self.data / "spool" / name, window)))
        return worker, workers[worker]

    def first_minutes(self) -> None:
        """Joins, heartbeats, scans, and a window that is sealed without one worker, whose part comes late."""
        players = self.players
        players.jump(START)
        for person in PEOPLE:
            players.join(person, "opening")
            players.beat(person, "opening")
        for number in range(6):
            players.scan(f"person {number + 40}", "hall-a", "in", f"in-{number}")
        players.jump(START + 65)
        for person in PEOPLE[:24]:
            players.beat(person, "opening")
        _, slow = self.busiest(START + 60)
        os.kill(slow, signal.SIGSTOP)
        players.jump(START + 120)
        until(lambda: any(leaf.get("missing") for leaf in self.leaves()), "a window is sealed without a worker")
        os.kill(slow, signal.SIGCONT)
        until(lambda: any(leaf["type"] == "late" for leaf in self.leaves()), "its part is a late leaf")

    def more_minutes(self) -> None:
        """A change of steering, a second session, scans out, and a certificate."""
        players = self.players
        players.organise("/v1/events/expo/steering", interval_s=45, revoke=[{"seat": players.seats["person 29"]}])
        for person in PEOPLE[:10]:
            players.beat(person, "opening")
        players.jump(START + 180)
        for number in range(3):
            players.scan(f"person {number + 40}", "hall-a", "out", f"out-{number}")
        for person in PEOPLE[5:20]:
            players.join(person, "forum")
            players.beat(person, "forum")
        players.jump(START + 240)
        until(lambda: self.sealed(START + 180), "sealed")
        certified = turnout("certify", self.folder / "expo.toml", cwd=self.folder)
        assert certified.returncode == 0, certified.stderr

    def last_minute(self) -> str:
        """A window of which one worker's part is with the ledger, not sealed; the other's stays in its spool."""
        players = self.players
        for number, person in enumerate(PEOPLE[:12]):
            players.beat(person, "opening")
            if number > 5:
                players.beat(person, "forum")
        for number in range(50, 58):
            players.join(f"person {number}", "forum")
            players.beat(f"person {number}", "forum")
            players.scan(f"person {number + 10}", "hall-b", "in", f"in-{number}")
        worker, slow = self.busiest(START + 240)
        os.kill(slow, signal.SIGSTOP)
        reports = self.data / "ledger" / "reports.jsonl"
        before = reports.read_bytes()
        players.jump(START + 300)
        until(lambda: reports.read_bytes() != before, "one worker's part is with the ledger")
        return worker

    def kill_everything(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)  # or it would stop the others in good order
        below = children_of(self.process.pid)
        for pid in [self.up["gateway_pid"], *below, self.process.pid]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not living(below), "all have gone")
        assert not self.sealed(START + 240), "the ledger was quicker"


def run(folder: Path) -> dict[str, Any]:
    """Let the event take place in `folder`, kill it, and return what is to be found in its data."""
    event_file, data = folder / "expo.toml", folder / "turnout-data"
    event_file.write_text(EVENT_FILE, encoding="utf-8")
    with started("up", event_file, *FREE_PORTS, ready=data / "up.json", cwd=folder) as (process, up):
        players = Players(up, data, event_file)
        venue = Venue(folder, process, up, players)
        venue.first_minutes()
        venue.more_minutes()
        slow = venue.last_minute()
        venue.kill_everything()
        return {
            "log": up["log"],
            "leaves": len(venue.leaves()),
            "unsealed": players.event.iso(START + 240),
            "in_spool": len(records_of(data / "spool" / slow, START + 240)),
            "clock": players.event.iso(START + 300),
            "present": {place: sorted(seats) for place, seats in sorted(players.present.items())},
            "revoked": players.seats["person 29"],
        }


def records_of(folder: Path, window: int) -> Any:
    chunks = window_chunks(folder).get(window)
    return read_window(chunks).records if chunks else ()


def packed(folder: Path) -> bytes:
    """Everything that is kept of an event's folder, in an archive without dates, owners or names of this machine."""
    data = folder / "turnout-data"
    names = [data / name for name in KEPT] + [data / "spool", folder / "expo.toml", folder / "jwks.json"]
    names += [folder / "certificate.json", folder / "certificate.tlog-proof", folder / "expected.json"]
    files = [path for name in names for path in (name, *sorted(name.rglob("*"))) if path.is_file() or path.is_dir()]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in files:
            info = tar.gettarinfo(path, arcname=path.relative_to(folder).as_posix())
            info.mtime, info.uid, info.gid, info.uname, info.gname = START, 0, 0, "", ""
            if path.is_file():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    return gzip.compress(archive.getvalue(), 9, mtime=START)


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="turnout-backup-v1-") as name:
        folder = Path(name)
        expected = run(folder)
        SimulatedClock(folder / "turnout-data" / "clock")  # it is one
        (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        (target / "data.tar.gz").write_bytes(packed(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
