"""Settings: flags before environment before file before default; slips are refused, secrets are never shown."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from counters.event import load_event
from counters.redis_address import with_password
from gateway.cli import main
from gateway.mendable import SettingsError
from gateway.serving_commands import gateway, witness
from gateway.setting_sources import check_environment, read_settings_file, settings_of
from gateway.settings import MASK, OF_COMMANDS, GatewaySettings, LedgerSettings, UpSettings, WitnessSettings, masked

NEEDED = ("--redis", "redis://r", "--ledger", "http://l")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.json"
    path.write_text("{}")
    return path


def told(command: click.Command, *arguments: object) -> dict[str, Any]:
    """What click reads, by its parameters' names."""
    return command.make_context(str(command.name), [*map(str, arguments)]).params


def of_gateway(event_file: Path, secrets: Path, *arguments: object) -> GatewaySettings:
    return settings_of(GatewaySettings, told(gateway, event_file, *NEEDED, "--secrets", secrets, *arguments))


def written(folder: Path, text: str) -> Path:
    path = folder / "turnout.toml"
    path.write_text(text, encoding="utf-8")
    return path


def said(*arguments: object, env: dict[str, str] | None = None) -> str:
    result = CliRunner().invoke(main, [*map(str, arguments)], env=env)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


# Where they come from.


def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(
    event_file: Path, secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert of_gateway(event_file, secrets).port == 8080
    monkeypatch.setenv("TURNOUT_CONFIG", str(written(tmp_path, "[gateway]\nport = 1\nworkers = 7\n[up]\nport = 9")))
    assert of_gateway(event_file, secrets).port == 1
    monkeypatch.setenv("TURNOUT_GATEWAY_PORT", "2")
    assert of_gateway(event_file, secrets).port == 2
    assert of_gateway(event_file, secrets, "--port", "3").port == 3
    assert of_gateway(event_file, secrets, "--port", "3").workers == 7


def test_everything_may_come_from_file_and_environment(
    event_file: Path, tmp_path: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, '[gateway]\nredis = "redis://file"\nsecrets = "secrets.json"\ntake_over = true\n')
    monkeypatch.setenv("TURNOUT_GATEWAY_LEDGER", "http://environment")
    settings = settings_of(GatewaySettings, told(gateway, event_file, "--config", path))
    assert (settings.registry_url, settings.ledger_url) == ("redis://file", "http://environment")
    assert settings.secrets_file == str(secrets)  # paths start from the file's folder
    assert settings.take_over is True


def test_what_may_be_given_again_is_a_list_in_the_file_and_spaced_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs").mkdir()
    path = written(tmp_path, '[witness]\nlog = ["a", "b"]\nlogs = ["logs"]\n')
    settings = settings_of(WitnessSettings, told(witness, "--config", path))
    assert (settings.log_keys, settings.log_files) == (("a", "b"), (str(tmp_path / "logs"),))
    monkeypatch.setenv("TURNOUT_WITNESS_LOG", "c d")
    assert settings_of(WitnessSettings, told(witness, "--config", path)).log_keys == ("c", "d")


@pytest.mark.parametrize("command", [*OF_COMMANDS])
def test_defaults_of_the_command_are_those_of_the_settings(command: str) -> None:
    options = {option.name: option for option in main.commands[command].params}
    for declared in OF_COMMANDS[command].declared():
        option = options[declared.setting.key]
        assert option.required == declared.required
        if declared.default:
            assert option.default == declared.default, option.name


# Slips.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gatway]\nport = 1", "there is no table [gatway] (did you mean gateway?)"),
        ("gateway = 1", "gateway is a table: [gateway]"),
        ("[gateway]\nprot = 1", "gateway has no setting 'prot' (did you mean port?)"),
        ("[ledger]\nsecrets = 'x'", "ledger has no setting 'secrets'"),
        ('[gateway]\nport = "1"', "gateway.port is a whole number"),
        ("[gateway]\nport = true", "gateway.port is a whole number"),
        ("[gateway]\nhost = 1", "gateway.host is a text"),
        ("[gateway]\ntake_over = 1", "gateway.take_over is true or false"),
        ("[witness]\nlog = 'a'", "witness.log is a list of texts"),
        ("[gateway", "cannot be read as TOML"),
    ],
)
def test_a_slip_in_the_file_is_refused_with_what_was_meant(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings_file(written(tmp_path, text))
    assert words in str(refused.value)


def test_all_slips_of_a_file_are_said_at_once_and_by_every_command(event_file: Path, tmp_path: Path) -> None:
    path = written(tmp_path, "[gateway]\nprot = 1\n[witness]\nnam = 'x'")
    words = said("up", event_file, "--config", path)
    assert "did you mean port?" in words
    assert "did you mean name?" in words


def test_a_bad_value_says_where_it_came_from(event_file: Path, secrets: Path, tmp_path: Path) -> None:
    given = ("gateway", event_file, *NEEDED, "--secrets", secrets)
    assert "(environment TURNOUT_GATEWAY_PORT)" in said(*given, env={"TURNOUT_GATEWAY_PORT": "70000"})
    path = written(tmp_path, "[gateway]\nport = 70000")
    assert f"(file {path}: gateway.port)" in said(*given, "--config", path)
    assert "TURNOUT_GATEWAY_REDIS" in said("gateway", event_file, "--ledger", "http://l", "--secrets", secrets)


def test_an_unknown_variable_is_a_warning_with_what_was_meant() -> None:
    assert check_environment({"TURNOUT_GATEWAY_PROT": "1", "PATH": "x", "TURNOUT_REQUIRE_ALL": "1"}) == [
        "TURNOUT_GATEWAY_PROT is no setting (did you mean TURNOUT_GATEWAY_PORT?)"
    ]


def test_service_links_of_kubernetes_are_told_apart(event_file: Path, secrets: Path) -> None:
    links = {"TURNOUT_GATEWAY_SERVICE_HOST": "10.0.0.1", "TURNOUT_GATEWAY_PORT_8080_TCP": "tcp://10.0.0.1:8080"}
    (warning,) = check_environment(links)
    assert "enableServiceLinks: false" in warning
    given = ("gateway", event_file, *NEEDED, "--secrets", secrets)
    assert "enableServiceLinks: false" in said(*given, env={"TURNOUT_GATEWAY_PORT": "tcp://10.0.0.1:8080"})


# Secrets.


def test_a_secret_where_a_file_is_wanted_is_refused_and_not_repeated(event_file: Path, secrets: Path) -> None:
    given = ("gateway", event_file, *NEEDED)
    password = {"TURNOUT_GATEWAY_REDIS_PASSWORD": "hunter2"}
    for words, wanted in (
        (said(*given, "--secrets", secrets, "--redis-password-file", "hunter2"), "Name the file"),
        (said(*given, env={"TURNOUT_GATEWAY_SECRETS": '{"event_secret": "hunter2"}'}), "Name the file"),
        (said(*given, "--secrets", secrets, env=password), "Put it into a file"),
    ):
        assert "hunter2" not in words
        assert wanted in words


def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings_file(written(tmp_path, '[ledger]\nredis_password = "hunter2"'))
    assert "redis_password_file" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_password_comes_from_its_file_into_the_url_and_is_shown_nowhere(event_file: Path, tmp_path: Path) -> None:
    event = load_event(event_file)
    password = tmp_path / "password"
    password.write_text("p@ss/word\n")
    given: dict[str, Any] = {
        "event_file": str(event_file),
        "ledger_url": "http://l",
        "redis_password_file": str(password),
    }
    settings = GatewaySettings(registry_url="redis://turnout@r:1/0", **given).completed(event)
    assert settings.registry_url == settings.live_url == "redis://turnout:p%40ss%2Fword@r:1/0"
    assert "p%40ss" not in repr(settings)
    assert "p%40ss" in settings.start_line().decode()
    apart = GatewaySettings(registry_url="redis://r", live_url="redis://l", **given).completed(event)
    assert apart.live_url == "redis://l"  # another server has another password, or none
    with pytest.raises(SettingsError, match="has a password already"):
        GatewaySettings(registry_url="redis://:x@r", **given).completed(event)
    password.write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        GatewaySettings(registry_url="redis://r", **given).completed(event)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/0", "redis://:p%20w@h:1/0"),
        ("unix:///run/redis.sock", "unix://:p%20w@/run/redis.sock"),
        ("redis+sentinel://u@a,b:2/service?db=1", "redis+sentinel://u:p%20w@a,b:2/service?db=1"),
        ("rediss+cluster://[::1]:7000,b", "rediss+cluster://:p%20w@[::1]:7000,b"),
    ],
)
def test_a_password_finds_its_place_in_every_form_of_the_url(url: str, expected: str) -> None:
    assert with_password(url, "p w") == expected


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://u:secret@h:1/0", f"redis://u:{MASK}@h:1/0"),
        ("redis://:se@cr/et@h", f"redis://:{MASK}@h"),
        ("redis+sentinel://h/s?db=1&sentinel_password=secret&x=1", f"redis+sentinel://h/s?db=1&sentinel_password={MASK}&x=1"),
        ("https://h/?token=secret", f"https://h/?token={MASK}"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        (("redis://:secret@h",), (f"redis://:{MASK}@h",)),
        (8080, 8080),
    ],
)  # fmt: skip
def test_what_is_shown_has_no_password(value: object, shown: object) -> None:
    assert masked(value) == shown


# As one value.


def test_a_child_process_reads_what_its_parent_wrote() -> None:
    settings = WitnessSettings(data="d", log_keys=("a", "b"), port=1)
    assert WitnessSettings.from_line(settings.start_line()) == settings


def test_up_tells_its_parts_what_it_was_told(event_file: Path) -> None:
    event = load_event(event_file)
    up = UpSettings(event_file="e", log_origin="log.example/x", workers=5, log_format="json", networks_file="n")
    ledger = LedgerSettings.sharing(up, live_url="unix:///r", port=0)
    assert (ledger.log_origin, ledger.log_format, ledger.event_file) == ("log.example/x", "json", "e")
    assert LedgerSettings(event_file="e", live_url="unix:///r").completed(event).log_origin == "turnout.invalid/expo"
    gateway_part = GatewaySettings.sharing(up, registry_url="unix:///r", ledger_url="http://l")
    assert (gateway_part.workers, gateway_part.networks_file) == (5, "n")
