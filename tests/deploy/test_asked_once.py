"""What the ledger does for an organiser is asked for once by the shipped nginx, HAProxy and Envoy, and waited for."""

import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway import relay
from tests.deploy.load_balancers import DEPLOY, Envoy, HAProxy, LoadBalancer, Nginx, certificate
from tests.gateway.serving import Connection, request_bytes, until

CERTIFICATES, JOIN = "/v1/events/expo/certificates", "/v1/events/expo/sessions/opening/join"


class DyingGateways:
    """Two gateways that are healthy, and die under every POST as soon as they have read it."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), self._handler()) for _ in range(2)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.ports = [server.server_address[1] for server in self._servers]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                asked[self.path] += 1
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def end(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def gateways() -> Iterator[DyingGateways]:
    dying = DyingGateways()
    yield dying
    dying.end()


@pytest.fixture(params=["nginx", "haproxy", "envoy"])
def balancer(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    gateways: DyingGateways,
    needed: Callable[[str], str],
    envoy: str,
) -> Iterator[LoadBalancer]:
    folder, ports = tmp_path, gateways.ports
    pem = certificate(folder, needed("openssl"))
    made: LoadBalancer
    if request.param == "nginx":
        made = Nginx(folder, needed("nginx"), pem, ports)
    elif request.param == "haproxy":
        made = HAProxy(folder, needed("haproxy"), pem, ports, ports)
    else:
        made = Envoy(folder, envoy, pem, ports, ports)
    with ExitStack() as ended:
        ended.callback(made.end)
        made.start()
        # Health checks have let both in: it serves.
        until(lambda: _ask(made, "GET", "/v1/openapi.json") == 200, "the load balancer finds its gateways")
        yield made


def _ask(balancer: LoadBalancer, method: str, path: str) -> int:
    line = Connection.__new__(Connection)
    line.socket = socket.create_connection(("127.0.0.1", balancer.port), 20)
    try:
        line.send(request_bytes(method, path, b"{}" if method == "POST" else b""))
        return line.read_answers(1)[0].status
    finally:
        line.close()


def test_a_certificate_is_not_asked_of_a_second_gateway(balancer: LoadBalancer, gateways: DyingGateways) -> None:
    """The first one may have passed it on before it died: then it would be issued twice, in a log that keeps both."""
    gateways.asked.clear()
    assert _ask(balancer, "POST", CERTIFICATES) in {502, 503}
    assert gateways.asked[CERTIFICATES] == 1


def test_a_join_is_asked_of_a_second_gateway(balancer: LoadBalancer, gateways: DyingGateways) -> None:
    gateways.asked.clear()
    _ask(balancer, "POST", JOIN)
    assert gateways.asked[JOIN] >= 2


@pytest.mark.parametrize(
    ("file", "limit"),
    [
        ("nginx/nginx.conf", r"certificates\|[^}]*proxy_read_timeout (\d+)s"),
        ("haproxy/haproxy.cfg", r"set-timeout server (\d+)s if of_the_ledger"),
        ("envoy/envoy.yaml", r"certificates\|(?s:.*?) timeout: (\d+)s"),
    ],
)
def test_a_certificate_is_waited_for_as_long_as_a_gateway_waits(file: str, limit: str) -> None:
    found = re.search(limit, Path(DEPLOY / file).read_text())
    assert found is not None
    assert int(found[1]) >= (relay.TIMEOUT.total or 0)
