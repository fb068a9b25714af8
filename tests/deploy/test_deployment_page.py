"""The settings file that docs/deployment.md shows is one with which the units' commands would start."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from metrics.rule import RUNBOOKS_LABEL
from tests.deploy.would_start import furnish, problems

ROOT = Path(__file__).parents[2]
UNITS = {"gateway": "turnout-gateway@", "ledger": "turnout-ledger", "witness": "turnout-witness"}


def test_the_page_makes_links_of_the_runbooks(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (command,) = re.findall(rf"^(sed .*{RUNBOOKS_LABEL}.*)$", page, re.MULTILINE)
    shutil.copy(ROOT / "deploy" / "prometheus" / "prometheus.yml", tmp_path)

    subprocess.run(shlex.split(command.replace("/etc/prometheus", str(tmp_path))), check=True)

    labels = yaml.safe_load((tmp_path / "prometheus.yml").read_text(encoding="utf-8"))["global"]["external_labels"]
    assert labels == {RUNBOOKS_LABEL: "https://wiki.example/turnout/runbooks"}


def problems_of(line: str, tmp_path: Path) -> str:
    """What is wrong with the settings that a command of the page names."""
    _, _, told = line.replace("turnout doctor", "turnout", 1).partition("bin/turnout ")
    return problems(tmp_path, shlex.split(told), {})


def test_what_the_page_has_doctor_look_at_is_what_would_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    lines = re.findall(r"`(/opt/turnout/bin/turnout doctor [^`]+)`", page)
    (settings,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (furnish(tmp_path) / "turnout.toml").write_text(settings)
    monkeypatch.chdir(tmp_path)

    assert [line.split()[2] for line in lines] == ["gateway", "ledger"]
    assert [problems_of(line, tmp_path) for line in lines] == ["", ""]
    assert problems_of(lines[0].replace("turnout.toml", "no.toml"), tmp_path)


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
