"""deploy/compose.yaml: of the specification's shape, and in step with everything that it speaks of."""

import re
import shlex
import subprocess
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli import main
from gateway.setting_sources import CONFIG, variable_of
from gateway.settings import OF_COMMANDS
from gateway.stopping import LEDGER_ENDS_S, STOP_LIMIT_S
from tests.deploy.would_start import furnish, problems

DEPLOY = Path(__file__).parents[2] / "deploy"
KNOWN = {CONFIG} | {
    variable_of(command, declared.setting.key) for command, kind in OF_COMMANDS.items() for declared in kind.declared()
}
"""Every variable that is a setting."""
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if str(service["image"]).startswith("turnout:")}
SHAPES = re.compile(r"\$\{\w+:([-?]).*?\}")


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60}[unit]


def with_values(text: str) -> str:
    """A text with variables replaced by their defaults; the only one that is required here is a URL."""
    return re.sub(r"\$\{\w+:\?.*?\}", "https://live.example", re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text))


@pytest.mark.parametrize("spoil", [False, True])
def test_compose_files_are_of_the_specifications_shape(
    spoil: bool, tmp_path: Path, beside_python: Callable[[str], str]
) -> None:
    file = tmp_path / "compose.yaml"
    text = (DEPLOY / "compose.yaml").read_text()
    assert "    healthcheck:" in text
    file.write_text(text.replace("    healthcheck:", "    healthchek:", 1) if spoil else text)

    checked = subprocess.run(
        [beside_python("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True, check=False, text=True,
    )  # fmt: skip

    assert (checked.returncode != 0) == spoil, checked.stdout
    assert ("healthchek" in checked.stdout) == spoil


def test_every_file_that_is_mounted_is_there_or_made_by_the_operator() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    ours = {path for path in mounted if path.startswith("./")}
    assert [path for path in sorted(ours) if not (DEPLOY / path).exists()] == []
    assert {path for path in mounted if not path.startswith(("./", "$"))} <= COMPOSE["volumes"].keys()
    made = re.findall(r"\| keep ([\w-]+)$", (DEPLOY / "make_secrets.sh").read_text(), re.MULTILINE)
    files = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert files == {*made, "turnout.pem"} - {"redis-operator-password"}
    assert {secret for service in SERVICES.values() for secret in service.get("secrets", ())} == {*COMPOSE["secrets"]}
    configured = [each["source"] for service in SERVICES.values() for each in service.get("configs", ())]
    assert set(configured) == {*COMPOSE["configs"]}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_a_service_of_ours_is_a_setting_of_its_command(name: str) -> None:
    service = OURS[name]
    command, *arguments = service["command"] or ["-"]
    told = set(service.get("environment", {}))
    required = {
        variable_of(command, each.setting.key) for each in OF_COMMANDS[command].declared() if each.required
    } if command in OF_COMMANDS else set()  # fmt: skip
    assert told <= KNOWN
    assert all(variable.startswith(f"TURNOUT_{command.upper()}_") for variable in told)
    assert required <= told
    if command != "-":
        assert command in main.commands
        assert arguments == (["/etc/turnout/event.toml"] if command != "witness" else [])


@pytest.mark.parametrize("name", [name for name, service in OURS.items() if service["command"]])
def test_a_service_of_ours_would_start_with_what_it_is_told(name: str, tmp_path: Path) -> None:
    service = OURS[name]
    given = {variable: with_values(str(value)) for variable, value in service.get("environment", {}).items()}
    arguments = service["command"]

    assert problems(furnish(tmp_path), arguments, given) == ""
    wrong = {variable: value.replace("redis://", "radish://") for variable, value in given.items()}
    assert ("problem: " in problems(tmp_path, arguments, wrong)) == (name != "witness")


def test_a_variable_that_is_no_setting_would_be_found() -> None:
    assert "TURNOUT_GATEWAY_REDIS" in KNOWN
    assert "TURNOUT_GATEWAY_REDDIS" not in KNOWN


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_fenced_in(name: str) -> None:
    service = SERVICES[name]
    image = with_values(service["image"])
    assert re.fullmatch(r"[\w./-]+:[\w.-]+", image)
    assert not image.endswith(":latest")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "healthcheck" in service
    assert "networks" in service or service.get("network_mode") == "none"
    public = [port for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")]
    assert public == (["443:8443"] if name == "load-balancer" else [])


def test_everybody_has_time_to_end() -> None:
    for name, service in OURS.items():
        limit_s = STOP_LIMIT_S if name.startswith("gateway") else LEDGER_ENDS_S
        assert seconds(service["stop_grace_period"]) > limit_s, name
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    hard_stop = re.search(r"hard-stop-after (\w+)", text)
    assert hard_stop
    assert seconds(SERVICES["load-balancer"]["stop_grace_period"]) > seconds(hard_stop[1])


def test_no_two_gateways_share_a_spool_or_a_name_and_only_the_ledger_writes_its_data() -> None:
    gateways = [service for name, service in OURS.items() if name.startswith("gateway")]
    spools = [volume for each in gateways for volume in each["volumes"] if volume.endswith("/spool")]
    names = [each["environment"]["TURNOUT_GATEWAY_NAME"] for each in gateways]
    writers = [name for name, service in SERVICES.items() for volume in service.get("volumes", ())
               if volume.startswith("ledger:") and not volume.endswith(":ro")]  # fmt: skip
    assert len(gateways) == len(set(spools)) == len(set(names)) == 2
    assert all(each["environment"]["TURNOUT_GATEWAY_SPOOL"] == "/var/lib/turnout/spool" for each in gateways)
    assert writers == ["ledger"]


def test_addresses_agree() -> None:
    defaults = {
        command: {each.setting.key: each.default for each in kind.declared()} for command, kind in OF_COMMANDS.items()
    }
    balancer = SERVICES["load-balancer"]
    gateways = [name for name in OURS if name.startswith("gateway")]
    port, operations = defaults["gateway"]["port"], defaults["gateway"]["metrics_port"]
    for number, name in enumerate(gateways, 1):
        assert balancer["environment"][f"GATEWAY_{number}"] == f"{name}:{port}"
        assert balancer["environment"][f"GATEWAY_{number}_OPERATIONS"] == str(operations)
        environment = OURS[name]["environment"]
        assert environment["TURNOUT_GATEWAY_LEDGER"] == f"http://ledger:{defaults['ledger']['port']}"
        trusted = ip_network(environment["TURNOUT_GATEWAY_TRUSTED_PROXIES"])
        address = ip_address(balancer["networks"]["edge"]["ipv4_address"])
        assert trusted.num_addresses == 1
        assert address in trusted
        assert address in ip_network(COMPOSE["networks"]["edge"]["ipam"]["config"][0]["subnet"])
    targets = {name: yaml.safe_load(with_values(config["content"])) for name, config in COMPOSE["configs"].items()}
    assert targets["gateways"] == [{"targets": [f"{name}:{operations}" for name in gateways]}]
    assert targets["ledgers"] == [{"targets": [f"ledger:{defaults['ledger']['metrics_port']}"]}]
    for name, command in (("gateway-1", "gateway"), ("ledger", "ledger"), ("witness", "witness")):
        assert f":{defaults[command]['metrics_port']}/" in str(SERVICES[name]["healthcheck"]["test"])
    listens = shlex.split(balancer["environment"]["LISTEN"])
    assert balancer["ports"] == [f"443{listens[0]}"]
    presets = dict(re.findall(r'presetenv (\w+) "(.*)"', (DEPLOY / "haproxy" / "haproxy.cfg").read_text()))
    assert balancer["environment"].keys() <= presets.keys()
    assert presets["OPERATIONS"].strip(":") in str(balancer["healthcheck"]["test"])


def test_grafana_finds_its_dashboards_and_prometheus() -> None:
    service = SERVICES["grafana"]
    provisioned = "".join(path.read_text() for path in sorted((DEPLOY / "grafana" / "provisioning").rglob("*.yaml")))
    places = [volume.split(":")[1] for volume in service["volumes"]]
    assert re.findall(r'path: "(.*)"', provisioned) == [place for place in places if place.endswith("/dashboards")]
    for variable in re.findall(r'"\$(\w+)"', provisioned):
        assert service["environment"][variable] == "http://prometheus:9090"


def test_whoever_is_waited_for_says_when_it_is_there() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = how["condition"]
            assert wanted in {"service_healthy", "service_completed_successfully"}, name
            assert ("healthcheck" in SERVICES[other]) or wanted != "service_healthy", name


def test_every_variable_of_the_file_has_a_default_or_says_what_is_missing() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    assert len(re.findall(r"(?<!\$)\$\{", text)) == len(SHAPES.findall(text)) > 5
