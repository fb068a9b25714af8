"""`turnout config check`: every setting, where it came from, and everything that is wrong; nothing is started."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from counters.secrets import load_or_create_secrets
from gateway.cli import main
from gateway.settings_page import PAGE, with_tables
from tests.gateway.conftest import EVENT_FILE

URLS = ("--redis", "redis://r", "--ledger", "http://l")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.json"
    load_or_create_secrets(path)
    return path


def check(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["config", "check", *map(str, arguments)], env=env)


def rows(result: Result) -> dict[str, dict[str, Any]]:
    return {row["flag"]: row for row in json.loads(result.output)["settings"]}


def problems(*arguments: object) -> str:
    result = check(*arguments, "--json")
    assert result.exit_code == 2, result.output
    return " ".join(json.loads(result.output)["problems"])


def test_every_setting_is_shown_with_where_it_came_from(event_file: Path, secrets: Path, tmp_path: Path) -> None:
    path = tmp_path / "turnout.toml"
    path.write_text('[gateway]\nworkers = 4\nredis = "redis://:hunter2@r"\nsecrets = "secrets.json"\n')
    given = ("gateway", event_file, "--config", path, "--port", 81)
    env = {"TURNOUT_GATEWAY_LEDGER": "http://l"}
    result = check(*given, "--json", env=env)
    assert result.exit_code == 0, result.output
    found = {flag: (row["value"], row["from"], row["where"]) for flag, row in rows(result).items()}
    assert found["--port"] == (81, "flag", "--port")
    assert found["--ledger"] == ("http://l", "environment", "TURNOUT_GATEWAY_LEDGER")
    assert found["--workers"] == (4, "file", f"{path}: gateway.workers")
    assert found["--config"] == (str(path), "flag", "")
    assert found["EVENT.toml"] == (str(event_file), "flag", "")
    assert found["--host"] == ("0.0.0.0", "default", "")  # noqa: S104
    assert found["--live-redis"] == found["--redis"][:1] + ("default", "")  # noqa: RUF005 - as a tuple it reads best
    shown = check(*given, env=env)
    assert "would start with this" in shown.output
    assert "environment TURNOUT_GATEWAY_LEDGER" in shown.output
    assert "hunter2" not in result.output + shown.output
    assert str(secrets) in shown.output


def test_a_settings_file_that_the_environment_names_is_shown(event_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "turnout.toml"
    path.write_text("[up]\nworkers = 3\n")
    found = rows(check(event_file, "--json", env={"TURNOUT_CONFIG": str(path)}))
    assert (found["--config"]["where"], found["--workers"]["value"]) == ("TURNOUT_CONFIG", 3)


def test_everything_that_is_wrong_is_said_at_once(event_file: Path, tmp_path: Path) -> None:
    (tmp_path / "turnout.toml").write_text("[gateway]\nprot = 1\n")
    said = problems(
        "gateway", event_file, "--config", tmp_path / "turnout.toml", "--port", "x", "--ledger", "ftp://l",
        "--secrets", tmp_path / "none.json",
    )  # fmt: skip
    assert "did you mean port?" in said
    assert "'--port'" in said
    assert "'--redis'" in said  # not given
    assert "'--ledger'" in said
    assert "'--secrets'" in said
    assert "none.json" not in said  # it could be the secret itself


def test_what_is_wrong_in_the_files_is_said_beside_a_missing_flag(tmp_path: Path) -> None:
    bad, secrets = tmp_path / "bad.toml", tmp_path / "secrets.json"
    bad.write_text(EVENT_FILE.replace("operated_by", "operatedby"))
    secrets.write_text("{}")
    said = problems("gateway", bad, "--ledger", "http://l", "--secrets", secrets)
    assert "'--redis'" in said
    assert "operated_by" in said
    assert "cannot be read as secrets" in said
    assert "operated_by" in problems("ledger", bad)


def test_the_files_that_settings_name_are_read(event_file: Path, secrets: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(EVENT_FILE.replace("operated_by", "operatedby"))
    (tmp_path / "networks").write_text("no networks\n")
    secrets.write_text("{}")
    given = ("gateway", bad, *URLS, "--secrets", secrets, "--networks", tmp_path / "networks")
    said = problems(*given, "--metrics-port", "8080")
    assert "operated_by" in said
    assert "cannot be read as secrets" in said
    assert "networks" in said
    assert "--port and --metrics-port are both 8080" in said
    assert "redis://:x@r" not in problems("ledger", event_file, "--redis", "redis://:x@r", "--log-origin", "a b")


def test_what_is_odd_and_starts_all_the_same_is_a_warning(event_file: Path, secrets: Path) -> None:
    result = check("gateway", event_file, *URLS[2:], "--redis", "redis://:x@r", "--secrets", secrets)
    assert result.exit_code == 0, result.output
    assert "--redis has a password" in result.output
    result = check("ledger", "--redis", "redis://r", env={"TURNOUT_LEDGER_DATTA": "x"})
    assert result.exit_code == 0, result.output
    assert "did you mean TURNOUT_LEDGER_DATA?" in result.output
    assert "no event file was named" in result.output


def test_a_simulated_event_is_only_for_up(simulated_event_file: Path, secrets: Path) -> None:
    assert check(simulated_event_file).exit_code == 0
    assert "[simulation]" in problems("gateway", simulated_event_file, *URLS, "--secrets", secrets)


def test_up_may_have_its_development_keys_still_to_make(tmp_path: Path) -> None:
    path = tmp_path / "expo.toml"
    path.write_text(EVENT_FILE)
    assert check(path).exit_code == 0
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_witness_is_checked_too(tmp_path: Path) -> None:
    assert "name it with --name" in problems("witness", "--data", tmp_path)
    assert "'--name'" in problems("witness", "--data", tmp_path, "--name", "a b")
    assert problems("witness", "--data", tmp_path, "--name", "w.example", "--log", "nonsense")
    assert "no log is watched" in check("witness", "--data", tmp_path, "--name", "w.example").output


def test_the_page_of_settings_is_what_the_declarations_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page), "run `make generate`"
    assert "TURNOUT_WITNESS_METRICS_PORT" in page
