"""Whether a command would start with what deploy/ tells it: `turnout config check`, with the files in place."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from click.testing import CliRunner

from counters.secrets import load_or_create_secrets
from gateway.cli import main
from gateway.development_issuer import load_event_creating_keys
from tests.gateway.conftest import EVENT_FILE

PLACES = ("/etc/turnout", "/run/secrets/turnout", "/run/secrets/redis", "/run/secrets", "/var/lib/turnout/secrets")
"""Folders that deploy/ mounts, whose files are put into one folder here."""


def furnish(folder: Path) -> Path:
    """Put into a folder what a command reads: event, secrets, passwords, the list of logs."""
    (folder / "event.toml").write_text(EVENT_FILE, encoding="utf-8")
    load_event_creating_keys(folder / "event.toml", folder / "development-issuer")
    load_or_create_secrets(folder / "secrets.json")
    (folder / "redis-password").write_text("a password")
    (folder / "logs.txt").touch()
    return folder


def problems(folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """What is wrong with a command's arguments and settings; "" if it would start."""

    def here(text: str) -> str:
        for place in PLACES:
            text = text.replace(f"{place}/", f"{folder}/")
        return text.replace("/var/lib/turnout", f"{folder}/var")

    told = {name: here(value) for name, value in environment.items()}
    checked = CliRunner().invoke(main, ["config", "check", *map(here, arguments)], env=told)
    return "" if checked.exit_code == 0 else checked.output
