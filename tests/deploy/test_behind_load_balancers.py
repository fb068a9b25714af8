"""Turnout behind the nginx, the HAProxy and the Envoy of deploy/: real servers, and one gateway of two drains."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from counters import journal
from counters.cells import read_cells
from counters.invalid_traffic import Flags
from counters.journal import Join
from deploy.embedded_redis import ServerProgram
from gateway.relay_batches import BATCH_BYTES, LINES
from load_tests.bench.scrape import scrape, total
from tests.deploy.load_balancers import Envoy, HAProxy, LoadBalancer, Nginx, certificate
from tests.faults.crowd import Crowd
from tests.faults.rig import WINDOW, Rig
from tests.gateway.serving import Answer, Connection, ask, request_bytes, until

JOIN = "/v1/events/expo/sessions/opening/join"
LISTED, UNLISTED = "127.0.0.2", "127.0.0.3"
"""Loopback addresses of two players: one is in a data centre, by the list that the gateways are given."""
HANDED_OVER = ("handed_over.connections", "handed_over.heartbeats")
"""Counters of a worker: what aiohttp had to take. All other heartbeats took the door."""
DIFFERENT = {"date", "connection", "content-length", "server", "turnout-interval", "x-request-id"}
"""Headers that differ from one answer to the next, or belong to a connection."""


@dataclass(frozen=True, slots=True)
class Front:
    """A rig, and what stands in front of it."""

    rig: Rig
    by_name: dict[str, LoadBalancer]

    def ticket(self, name: str) -> str:
        return self.rig.crowd._mint(name)

    def join(self, balancer: LoadBalancer, name: str, address: str = UNLISTED, forwarded: str = "") -> str:
        """Join from an address; return the viewing token."""
        headers = {"Authorization": f"Bearer {self.ticket(name)}"}
        if forwarded:
            headers["X-Forwarded-For"] = forwarded
        answer = self.ask_from(address, balancer, "POST", JOIN, headers)
        assert answer.status == 201, answer
        return str(answer.json["token"])

    @staticmethod
    def ask_from(
        address: str, balancer: LoadBalancer, method: str, path: str, headers: dict[str, str] | None = None
    ) -> Answer:
        """Make one request from one of this machine's own addresses."""
        line = Connection.__new__(Connection)
        line.socket = socket.create_connection(("127.0.0.1", balancer.port), 20, source_address=(address, 0))
        try:
            line.send(request_bytes(method, path, b"", headers))
            (answer,) = line.read_answers(1)
            return answer
        finally:
            line.close()

    def journaled(self, token: str) -> Join:
        """The join on record for a viewing token."""
        fields = self.rig.crowd._keys.open(token.encode())
        for path in self.rig.folder.glob("spool-g*/*/w*.journal"):
            for record in journal.decode(path.read_bytes()):
                if isinstance(record, Join) and record.view == fields.view_id:
                    return record
        raise AssertionError(f"no journal has the view of seat {fields.seat}")

    def counted(self, *names: str) -> int:
        """The sum of counters of all workers of both gateways, at this moment."""
        cells = [read_cells(path) for path in self.rig.folder.glob("spool-g*/*/cells")]
        return sum(cell[name] for cell in cells for name in names)

    def measured(self, name: str) -> float:
        """The sum of a metric over both gateways, which may be a second old."""
        urls = [f"http://127.0.0.1:{gateway.metrics_port}/metrics" for gateway in self.rig.gateways]
        return sum(total(scrape(url), name) or 0.0 for url in urls)


@pytest.fixture(scope="module")
def front(
    tmp_path_factory: pytest.TempPathFactory, redis_program: ServerProgram, needed: Callable[[str], str], envoy: str
) -> Iterator[Front]:
    """Two gateways that believe these load balancers, and all of those in front of them."""
    nginx, haproxy, openssl = needed("nginx"), needed("haproxy"), needed("openssl")
    folder = tmp_path_factory.mktemp("front")
    networks = folder / "networks.txt"
    networks.write_text(f"{LISTED}/32 datacentre\n")
    rig = Rig(folder, redis_program, gateways=2)
    for gateway in rig.gateways:
        gateway.config = replace(gateway.config, networks_file=str(networks), trusted_proxies="127.0.0.1/32")
    with rig, ExitStack() as ended:
        rig.jump(WINDOW)
        pem, ports = certificate(folder, openssl), [gateway.port for gateway in rig.gateways]
        operations = [gateway.metrics_port for gateway in rig.gateways]
        balancers: list[LoadBalancer] = [
            Nginx(folder, nginx, pem, ports),
            HAProxy(folder, haproxy, pem, ports, operations),
            Envoy(folder, envoy, pem, ports, operations),
        ]
        for balancer in balancers:
            ended.callback(balancer.end)
            balancer.start()
        # The crowd plays through them in place of the gateways: 0 is nginx, 1 HAProxy, 2 Envoy.
        rig.crowd = Crowd(rig.clock, rig.crowd._keys, lambda place: balancers[place].port, rig.crowd._mint)
        yield Front(rig, {balancer.name: balancer for balancer in balancers})


@pytest.fixture(params=["nginx", "haproxy", "envoy"])
def balancer(front: Front, request: pytest.FixtureRequest) -> LoadBalancer:
    return front.by_name[request.param]


def test_the_address_of_a_player_reaches_the_journal(front: Front, balancer: LoadBalancer) -> None:
    listed = front.journaled(front.join(balancer, f"{balancer.name} listed", LISTED))
    unlisted = front.journaled(front.join(balancer, f"{balancer.name} unlisted", UNLISTED))

    assert (listed.network, listed.filters & Flags.DATACENTRE) == ("datacentre", Flags.DATACENTRE)
    assert (unlisted.network, unlisted.filters) == ("", 0)


def test_no_player_can_pass_for_another_by_a_header_of_its_own(front: Front, balancer: LoadBalancer) -> None:
    accusing = front.journaled(front.join(balancer, f"{balancer.name} accusing", UNLISTED, forwarded=LISTED))
    hiding = front.journaled(front.join(balancer, f"{balancer.name} hiding", LISTED, forwarded="192.0.2.1, 127.0.0.1"))

    assert (accusing.network, hiding.network) == ("", "datacentre")


def test_answers_pass_as_the_gateway_gave_them(front: Front, balancer: LoadBalancer) -> None:
    token = front.join(balancer, f"{balancer.name} player").encode()
    preflight = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    requests: list[tuple[str, str, bytes, dict[str, str]]] = [
        ("POST", "/v1/beat", token, {"Origin": "https://page.example", "Cookie": "theirs=1"}),
        ("POST", "/v1/beat", token + b" a", {"Content-Type": "text/plain;charset=UTF-8"}),
        ("POST", "/v1/leave", token, {}),
        ("POST", "/v1/beat", b"no token", {}),
        ("OPTIONS", "/v1/beat", b"", preflight),
        ("OPTIONS", JOIN, b"", preflight | {"Access-Control-Request-Headers": "authorization"}),
        ("POST", JOIN, b"", {"Authorization": "Bearer nothing"}),
        ("GET", "/v1/events/expo/live", b"", {}),
        ("GET", "/v1/openapi.json", b"", {}),
        ("GET", "/nowhere", b"", {}),
    ]
    for request in requests:
        method, path, body, headers = request
        through, straight = (
            ask(port, method, path, body, headers) for port in (balancer.port, front.rig.gateways[0].port)
        )
        assert through.status == straight.status, request
        assert through.body == straight.body or path.endswith("/live"), request
        named = straight.headers.keys() - DIFFERENT
        assert {name: through.headers.get(name) for name in named} == {name: straight.headers[name] for name in named}
        assert ("turnout-interval" in through.headers) == ("turnout-interval" in straight.headers), request
    assert 27 <= int(ask(balancer.port, "POST", "/v1/beat", token).headers["turnout-interval"]) <= 33


def test_a_request_has_a_number_that_the_player_did_not_choose(balancer: LoadBalancer) -> None:
    first, second = (
        ask(balancer.port, "GET", "/nowhere", headers={"X-Request-Id": "chosen-by-me"}).headers["x-request-id"]
        for _ in range(2)
    )
    assert len({first, second, "chosen-by-me"}) == 3


def test_the_largest_batch_of_a_relay_fits(front: Front, balancer: LoadBalancer) -> None:
    line = front.join(balancer, f"{balancer.name} relayed").encode() + b" b\n"
    batch = line * LINES

    fits, too_long = (ask(balancer.port, "POST", "/v1/beats", body) for body in (batch, batch + line))

    assert len(batch) == BATCH_BYTES
    assert (fits.status, fits.json) == (200, {"accepted": LINES, "refused": []})
    assert too_long.status == 413


def test_what_is_for_operators_is_not_for_players(front: Front, balancer: LoadBalancer) -> None:
    asked = [front.ask_from(UNLISTED, balancer, "GET", path) for path in ("/metrics", "/healthz", "/readyz")]
    assert [answer.status for answer in asked] == [404] * 3


def test_heartbeats_take_the_door_though_joins_and_much_else_come_between(front: Front) -> None:
    before = {name: front.counted(name) for name in ("beat.playing", *HANDED_OVER)}
    for place, balancer in enumerate(front.by_name.values()):
        front.rig.crowd.join(5, gateway=place)
        for _ in range(40):
            assert front.rig.crowd.beat() == len(front.rig.crowd.players)
            assert ask(balancer.port, "GET", "/v1/openapi.json").status == 200
        front.rig.crowd.join(5, gateway=place)
    connections, heartbeats = (front.counted(name) - before[name] for name in HANDED_OVER)

    assert front.rig.crowd.truth.beats == 40 * (5 + 15 + 25) == front.counted("beat.playing") - before["beat.playing"]
    assert heartbeats <= 0.01 * front.rig.crowd.truth.beats
    assert connections >= 120  # the others are aiohttp's

    def told() -> bool:
        return all(
            front.measured(f"turnout_door_{cell.replace('.', '_')}_total") == front.counted(cell)
            for cell in HANDED_OVER
        )

    until(told, "/metrics says so")


def test_a_gateway_hears_nothing_of_what_a_players_browser_adds(front: Front, balancer: LoadBalancer) -> None:
    token = front.join(balancer, f"{balancer.name} browser").encode()
    before = front.counted("heads.read")
    for number in range(40):
        headers = {"Cookie": f"theirs={number}", "User-Agent": f"Player {number}", "Referer": f"https://page/{number}"}
        headers |= {"X-Forwarded-For": f"192.0.2.{number}", "Accept-Language": f"en;q=0.{number}"}
        assert ask(balancer.port, "POST", "/v1/beat", token, headers).status == 204
    # One head, which each of four workers reads once at most.
    assert front.counted("heads.read") - before <= 4


def test_over_tls_and_http_2_heartbeats_take_the_door_too(front: Front, needed: Callable[[str], str]) -> None:
    curl = needed("curl")
    nginx, haproxy, envoy = (front.by_name[name] for name in ("nginx", "haproxy", "envoy"))
    assert isinstance(haproxy, HAProxy)
    over_tls = haproxy.over_tls()
    with ExitStack() as ended:
        ended.callback(over_tls.end)
        over_tls.start()
        token = front.join(nginx, "somebody over TLS")
        before = front.counted("handed_over.heartbeats"), front.counted("beat.playing")
        for port in (nginx.tls_port, over_tls.tls_port, envoy.tls_port):
            asked = [curl, "--silent", "--insecure", "--http2", "--output", "/dev/null", "--write-out",
                     "%{http_version} %{http_code}", "--data-raw", token, "--header", "Content-Type: text/plain",
                     f"https://localhost:{port}/v1/beat"]  # fmt: skip
            assert subprocess.run(asked, capture_output=True, check=True, text=True).stdout == "2 204"
        after = front.counted("handed_over.heartbeats"), front.counted("beat.playing")
        assert after == (before[0], before[1] + 3)


def test_a_gateway_that_drains_costs_no_heartbeat_and_no_join(front: Front) -> None:
    rig, crowd = front.rig, front.rig.crowd
    for place in range(3):
        crowd.join(10, gateway=place)
    with crowd.playing():
        crowd.until_heard()
        assert rig.gateways[0].stop() == 0
        for place in range(3):
            crowd.join(20, gateway=place)
        crowd.until_heard()
    truth = crowd.truth

    assert (truth.broken, truth.refused_connections, truth.unanswered_joins) == (0, 0, 0)
    assert set(truth.answers) == {204}
