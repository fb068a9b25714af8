"""What deploy/ holds is what the programs that will read it accept; each checker is seen to refuse something."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.stopping import LEDGER_ENDS_S, STOP_LIMIT_S
from tests.deploy.load_balancers import DEPLOY, Envoy, HAProxy, LoadBalancer, Nginx, certificate

Needed = Callable[[str], str]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, check=False, text=True)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory, needed: Needed) -> Path:
    return certificate(tmp_path_factory.mktemp("certificate"), needed("openssl"))


# Load balancers. A known-bad file has one word in it that the program does not know.


def spoiled(balancer: LoadBalancer, right: str, wrong: str) -> None:
    for path in balancer.folder.rglob("*"):
        if path.is_file() and right in (text := path.read_text()):
            path.write_text(text.replace(right, wrong, 1))
            return
    raise AssertionError(f"nothing says {right}")


@pytest.mark.parametrize("spoil", [False, True])
def test_nginx_takes_its_files(spoil: bool, tmp_path: Path, needed: Needed, pem: Path) -> None:
    nginx = Nginx(tmp_path, needed("nginx"), pem, (1, 2))
    nginx._prepare()
    if spoil:
        spoiled(nginx, "proxy_next_upstream_tries", "proxy_next_upstream_trys")

    checked = run(*nginx._command(), "-t", cwd=tmp_path)

    assert (checked.returncode != 0) == spoil, checked.stderr
    assert ("proxy_next_upstream_trys" in checked.stderr) == spoil
    assert ("warn" in checked.stderr) <= spoil, checked.stderr


@pytest.mark.parametrize("spoil", [False, True])
def test_haproxy_takes_its_file(spoil: bool, tmp_path: Path, needed: Needed, pem: Path) -> None:
    haproxy = HAProxy(tmp_path, needed("haproxy"), pem, (1, 2), (3, 4)).over_tls()
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    assert "option redispatch" in text
    file = tmp_path / "haproxy.cfg"
    file.write_text(text.replace("option redispatch", "option redispatsch") if spoil else text)

    *command, _ = haproxy._command()
    checked = run(*command, file, "-c", cwd=tmp_path)

    assert (checked.returncode != 0) == spoil, checked.stderr
    assert ("redispatsch" in checked.stderr) == spoil
    assert ("WARNING" in checked.stderr) <= spoil, checked.stderr


@pytest.mark.parametrize("spoil", [False, True])
def test_envoy_takes_its_file(spoil: bool, tmp_path: Path, envoy: str, pem: Path) -> None:
    balancer = Envoy(tmp_path, envoy, pem, (1, 2), (3, 4))
    balancer._prepare()
    if spoil:
        spoiled(balancer, "host_rewrite_literal", "host_rewrite_literally")

    checked = run(*balancer._command(), "--mode", "validate", cwd=tmp_path)

    assert (checked.returncode != 0) == spoil, checked.stderr
    assert ("host_rewrite_literally" in checked.stderr) == spoil
    assert ("[warning]" in checked.stderr) <= spoil, checked.stderr


# systemd.

UNITS = ("turnout-gateway@.service", "turnout-gateway@.socket", "turnout-ledger.service", "turnout-witness.service")
EXPOSURE = 15
"""Of 100, which is 1.5 of 10: with what each of these services needs it cannot be much less."""


def verified(folder: Path, program: str, unit: str, change: Callable[[str], str] = str) -> str:
    """What `systemd-analyze verify` says of a unit among all of them; its exit code says too little."""
    for name in UNITS:
        text = (DEPLOY / "systemd" / name).read_text().replace("/opt/turnout/bin/turnout", shutil.which("true") or "")
        text = change(text) if name == unit else text
        # A template is checked as one of its instances; the others are there to be referred to.
        (folder / name.replace("@.", "@8080.")).write_text(text)
    checked = run(program, "verify", "--man=no", "--recursive-errors=no", folder / unit.replace("@.", "@8080."),
                  cwd=folder)  # fmt: skip
    return checked.stdout + checked.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_has_nothing_to_say_about_a_unit(unit: str, tmp_path: Path, needed: Needed) -> None:
    assert verified(tmp_path, needed("systemd-analyze"), unit) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("NoNewPrivileges=", "NoNewPrivilege=", "'NoNewPrivilege'"),
        ("[Install]", "[Instal]", "'Instal'"),
        ("Restart=always", "Restart=ever", "ignoring: ever"),
    ],
)
def test_what_systemd_does_not_know_is_found(right: str, wrong: str, told: str, tmp_path: Path, needed: Needed) -> None:
    unit = "turnout-ledger.service"
    assert told in verified(tmp_path, needed("systemd-analyze"), unit, lambda text: text.replace(right, wrong))


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.endswith(".service")])
def test_a_service_is_exposed_to_little(unit: str, tmp_path: Path, needed: Needed) -> None:
    program = needed("systemd-analyze")
    threshold = f"--threshold={EXPOSURE}"
    text = (DEPLOY / "systemd" / unit).read_text()
    file, open_file = tmp_path / unit, tmp_path / f"open-{unit}"
    file.write_text(text)
    open_file.write_text(text.replace("ProtectSystem=strict", "").replace("RestrictNamespaces=yes", ""))

    asked = (program, "security", "--offline=yes", threshold)
    assert run(*asked, file, cwd=tmp_path).returncode == 0
    assert run(*asked, open_file, cwd=tmp_path).returncode != 0


def test_units_leave_time_to_drain_and_start_what_exists() -> None:
    for unit in UNITS:
        text = (DEPLOY / "systemd" / unit).read_text()
        if not unit.endswith(".service"):
            continue
        stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        start = re.search(r"^ExecStart=/opt/turnout/bin/turnout (\w+)(.*)$", text, re.MULTILINE)
        assert stop, unit
        assert start, unit
        assert int(stop[1]) > (STOP_LIMIT_S if "gateway" in unit else LEDGER_ENDS_S), unit
        options = {option for parameter in main.commands[start[1]].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", start[2])) <= options, unit
