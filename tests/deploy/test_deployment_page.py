"""The settings file that docs/deployment.md shows is one with which the units' commands would start."""

import re
import shlex
from pathlib import Path

import pytest

from tests.deploy.would_start import furnish, problems

ROOT = Path(__file__).parents[2]
UNITS = {"gateway": "turnout-gateway@", "ledger": "turnout-ledger", "witness": "turnout-witness"}


@pytest.mark.parametrize("spoil", [False, True])
@pytest.mark.parametrize("command", UNITS)
def test_a_unit_would_start_with_the_settings_file_of_the_page(
    command: str, spoil: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (furnish(tmp_path) / "turnout.toml").write_text(settings + ("port = 65536\n" if spoil else ""))
    unit = (ROOT / "deploy" / "systemd" / f"{UNITS[command]}.service").read_text()
    (start,) = re.findall(r"^ExecStart=/opt/turnout/bin/turnout (.*)$", unit, re.MULTILINE)
    told = start.replace("${CREDENTIALS_DIRECTORY}", str(tmp_path)).replace("%i", "8080")
    monkeypatch.chdir(tmp_path)  # the unit's WorkingDirectory

    said = problems(tmp_path, shlex.split(told), {"TURNOUT_CONFIG": "/etc/turnout/turnout.toml"})

    # The spoiled line is of the last table, which is the witness's; the others pass it over.
    assert bool(said) == (spoil and command == "witness"), said
    assert ("65536" in said) == bool(said)
