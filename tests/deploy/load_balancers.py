"""The shipped nginx, HAProxy and Envoy in front of a rig's gateways: their own files, with other addresses in them."""

import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from load_tests.ports import free_port
from tests.faults.parts import Part

DEPLOY = Path(__file__).parents[2] / "deploy"


class LoadBalancer(Part):
    """One of them; players reach it at `port`, over TLS at `tls_port`."""

    def __init__(self, name: str, folder: Path, program: str, certificate: Path) -> None:
        super().__init__(name, folder)
        self.folder = folder / name
        self._program = program
        self._certificate = certificate
        self.port, self.tls_port = free_port(), free_port()

    def _serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class Nginx(LoadBalancer):
    """nginx with a copy of deploy/nginx, in which the two files that are the operator's say other addresses."""

    def __init__(self, folder: Path, program: str, certificate: Path, gateways: Sequence[int]) -> None:
        super().__init__("nginx", folder, program, certificate)
        self._gateways = gateways

    def _prepare(self) -> None:
        shutil.copytree(DEPLOY / "nginx", self.folder, dirs_exist_ok=True)
        gateways, listen = self.folder / "gateways.conf", self.folder / "listen.conf"
        text = gateways.read_text()
        for number, port in enumerate(self._gateways, 1):
            text = text.replace(f"gateway-{number}:8080", f"127.0.0.1:{port}")
        gateways.write_text(text)
        text = re.sub(r"listen \[::\].*\n", f"listen 127.0.0.1:{self.port};\n", listen.read_text())
        listen.write_text(text.replace("listen 443", f"listen 127.0.0.1:{self.tls_port}"))
        (self.folder / "tls").mkdir(exist_ok=True)
        shutil.copy(self._certificate, self.folder / "tls" / "certificate.pem")
        shutil.copy(self._certificate, self.folder / "tls" / "key.pem")

    def _command(self) -> list[str | Path]:
        directives = f"daemon off; pid {self.folder / 'pid'}; error_log stderr warn;"
        return [self._program, "-c", self.folder / "nginx.conf", "-e", "stderr", "-g", directives]


class HAProxy(LoadBalancer):
    """HAProxy with deploy/haproxy/haproxy.cfg as it is, told the addresses by the variables that it has for them."""

    def __init__(
        self, folder: Path, program: str, certificate: Path, gateways: Sequence[int], operations: Sequence[int]
    ) -> None:
        super().__init__("haproxy", folder, program, certificate)
        self.environment: Mapping[str, str] = {
            "LISTEN": f"127.0.0.1:{self.port}",
            "MAX_CONNECTIONS": "200",  # a machine on which tests run may not have so many files
            "OPERATIONS": f"127.0.0.1:{free_port()}",
            **{f"GATEWAY_{n}": f"127.0.0.1:{port}" for n, port in enumerate(gateways, 1)},
            **{f"GATEWAY_{n}_OPERATIONS": str(port) for n, port in enumerate(operations, 1)},
        }

    def _prepare(self) -> None:
        """Nothing: it runs with the file that is shipped."""

    def _command(self) -> list[str | Path]:
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return ["/usr/bin/env", *variables, self._program, "-db", "-f", DEPLOY / "haproxy" / "haproxy.cfg"]

    def over_tls(self) -> "HAProxy":
        """The same with the listener that the file has by default: TLS, HTTP/2."""
        other = HAProxy(self.said.parent, self._program, self._certificate, (), ())
        listen = f"127.0.0.1:{other.tls_port} ssl crt {self._certificate} alpn h2,http/1.1"
        other.environment = {**self.environment, "LISTEN": listen, "OPERATIONS": f"127.0.0.1:{free_port()}"}
        other.port = other.tls_port
        return other


class Envoy(LoadBalancer):
    """Envoy with deploy/envoy/envoy.yaml in which addresses are others, and its listener once more without TLS."""

    def __init__(
        self, folder: Path, program: str, certificate: Path, gateways: Sequence[int], operations: Sequence[int]
    ) -> None:
        super().__init__("envoy", folder, program, certificate)
        self._ports = list(zip(gateways, operations, strict=True))

    def _prepare(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "envoy.yaml").write_text(yaml.safe_dump(self.configuration()))

    def configuration(self) -> dict[str, Any]:
        text = (DEPLOY / "envoy" / "envoy.yaml").read_text()
        for name in ("certificate.pem", "key.pem"):
            text = text.replace(f"/etc/envoy/tls/{name}", str(self._certificate))
        document: dict[str, Any] = yaml.safe_load(text)
        document["admin"]["address"] = _address(free_port())
        listeners = document["static_resources"]["listeners"]
        plain = deepcopy(listeners[0]) | {"name": "plain", "address": _address(self.port)}
        del plain["filter_chains"][0]["transport_socket"]
        listeners[0]["address"] = _address(self.tls_port)
        listeners.append(plain)
        for cluster in document["static_resources"]["clusters"]:
            endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
            for each, (port, operations) in zip(endpoints, self._ports, strict=True):
                each["endpoint"] = {
                    "address": _address(port), "health_check_config": {"port_value": operations},
                }  # fmt: skip
        return document

    def _command(self) -> list[str | Path]:
        return [self._program, "-c", self.folder / "envoy.yaml", "--log-level", "warn", "--disable-hot-restart"]


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def certificate(folder: Path, openssl: str) -> Path:
    """A file with a fresh certificate for localhost and its key, as HAProxy takes it; nginx takes it for both."""
    key, both = folder / "key.pem", folder / "turnout.pem"
    made = subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", key, "-out", both],
        capture_output=True, check=True,
    )  # fmt: skip
    assert made.returncode == 0
    both.write_bytes(both.read_bytes() + key.read_bytes())
    return both
