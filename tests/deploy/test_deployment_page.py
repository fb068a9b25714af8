"""The settings file that docs/deployment.md shows is one with which the units' commands would start."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from counters.secrets import load_or_create_secrets
from gateway.development_issuer import load_event_creating_keys
from tests.gateway.conftest import EVENT_FILE

ROOT = Path(__file__).parents[2]
UNITS = {"gateway": "turnout-gateway@", "ledger": "turnout-ledger", "witness": "turnout-witness"}


@pytest.mark.parametrize("command", UNITS)
def test_a_unit_would_start_with_the_settings_file_of_the_page(command: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "turnout.toml").write_text(settings)
    (tmp_path / "logs.txt").touch()
    (tmp_path / "event.toml").write_text(EVENT_FILE, encoding="utf-8")
    load_event_creating_keys(tmp_path / "event.toml", tmp_path / "development-issuer")
    load_or_create_secrets(tmp_path / "secrets.json")
    unit = (ROOT / "deploy" / "systemd" / f"{UNITS[command]}.service").read_text()
    (start,) = re.findall(r"^ExecStart=/opt/turnout/bin/turnout (.*)$", unit, re.MULTILINE)
    places = {"${CREDENTIALS_DIRECTORY}": str(tmp_path), "/var/lib/turnout": str(tmp_path / "var"), "%i": "8080"}
    for place, here in places.items():
        start = start.replace(place, here)

    check = [sys.executable, "-m", "gateway.cli", "config", "check", *shlex.split(start)]
    checked = subprocess.run(
        [*check, "--config", tmp_path / "turnout.toml"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
        capture_output=True, check=False, text=True,
    )  # fmt: skip

    assert checked.returncode == 0, checked.stdout + checked.stderr
