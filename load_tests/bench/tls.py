"""What TLS adds: the CPU of a heartbeat on a kept connection, on a new one, with a resumed and with a full handshake.

The door has no TLS: workers share a port but would not share ticket keys, so nginx ends TLS before them, and answers
an empty 204 itself or passes the heartbeat on to one worker over a pool of kept connections. Certificate: ECDSA P-256.
Kept connections are wrk's (64). Otherwise a few Python threads make a connection for each heartbeat, see that it was
resumed or not as asked, and close it. CPU is that of nginx and of the worker, from /proc/PID/stat; both run on core 0,
the client on core 1. What it does not say: how many handshakes a second a core does (the client is slower than nginx),
and what a certificate chain, OCSP or RSA add.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from load_tests.bench import peers, processes, programs, report, servers, table, wrk
from load_tests.bench.servers import Server
from load_tests.bench.spread import Spread, spread
from load_tests.ports import free_port

NAME: Final = "localhost"
THREADS: Final = 8
ANSWER_S: Final = 10.0
SETTLE_S: Final = 0.3


class Kind(Enum):
    """How a heartbeat reaches nginx."""

    PLAIN_KEPT = "no TLS, kept connection"
    PLAIN_NEW = "no TLS, a connection each"
    KEPT = "TLS 1.3, kept connection"
    RESUMED = "TLS 1.3, resumed each"
    FULL = "TLS 1.3, full handshake each"
    RESUMED_12 = "TLS 1.2, resumed each"
    FULL_12 = "TLS 1.2, full handshake each"

    @property
    def kept(self) -> bool:
        """Return whether the connection is."""
        return self in {Kind.PLAIN_KEPT, Kind.KEPT}

    @property
    def resumed(self) -> bool:
        """Return whether every handshake but the first is to be short."""
        return self in {Kind.RESUMED, Kind.RESUMED_12}

    @property
    def version(self) -> ssl.TLSVersion | None:
        """Return which TLS; None for none."""
        if self in {Kind.PLAIN_KEPT, Kind.PLAIN_NEW}:
            return None
        return ssl.TLSVersion.TLSv1_2 if self in {Kind.RESUMED_12, Kind.FULL_12} else ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True, slots=True)
class Front:
    """An nginx that is up, and what is behind it."""

    name: str
    nginx: Server
    worker: Server | None
    plain_port: int
    tls_port: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One kind of connection at one front, for a while."""

    front: str
    kind: Kind
    nginx_us: float  # CPU per heartbeat
    worker_us: float  # 0 without a worker
    requests: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All turns of one kind at one front."""

    front: str
    kind: str
    nginx_us: Spread
    worker_us: Spread
    requests: int


def make_certificate(scratch: Path) -> Path:
    """Write certificate.pem and key.pem: ECDSA P-256, signed by itself, for a day; returns the certificate's path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (scratch / "key.pem").write_bytes(private)
    path = scratch / "certificate.pem"
    path.write_bytes(certificate.public_bytes(pem))
    return path


@contextmanager
def fronts(scratch: Path, worker: Server) -> Iterator[tuple[Front, Front]]:
    """Run nginx; yields it answering by itself, and in front of the worker. Raises MissingError without nginx."""
    tls, front, front_tls = free_port(), free_port(), free_port()
    values = {"keys": scratch, "worker": worker.address.port, "tls": tls, "front": front, "front_tls": front_tls}
    written = {name: str(value) for name, value in values.items()}
    with peers.nginx(peers.FILES / "nginx_tls.conf", "nginx", scratch, **written) as nginx:
        yield (
            Front("nginx, empty 204", nginx, None, nginx.address.port, tls),
            Front("nginx in front of Turnout", nginx, worker, front, front_tls),
        )


class Caller:
    """One thread that makes a connection for each heartbeat. Owns the session it would resume."""

    def __init__(self, port: int, kind: Kind, certificate: Path) -> None:
        self._port = port
        self._kind = kind
        self._context = None
        self._session: ssl.SSLSession | None = None
        if kind.version is not None:
            self._context = ssl.create_default_context(cafile=str(certificate))
            self._context.minimum_version = self._context.maximum_version = kind.version

    def beat(self, request: bytes) -> None:
        """Send one heartbeat. Raises RuntimeError unless it is answered 204 on the kind of connection asked for."""
        with socket.create_connection(("127.0.0.1", self._port), ANSWER_S) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is None:
                self._exchange(plain, request)
                return
            with self._context.wrap_socket(plain, server_hostname=NAME, session=self._session) as secure:
                if secure.session_reused is not (self._session is not None):
                    raise RuntimeError(f"{self._kind.value}: the handshake was not as asked")
                self._exchange(secure, request)
                if self._kind.resumed:  # in TLS 1.3 the ticket comes with the first answer
                    self._session = secure.session

    def _exchange(self, line: socket.socket, request: bytes) -> None:
        line.sendall(request)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            part = line.recv(65_536)
            if not part:
                break
            answer += part
        if not answer.startswith(b"HTTP/1.1 204"):
            raise RuntimeError(f"{self._kind.value}: answered {answer[:80]!r}")


def call(port: int, kind: Kind, certificate: Path, requests: Sequence[bytes], seconds: float) -> int:
    """Make a connection for each heartbeat from a few threads; returns how many. Raises RuntimeError, OSError."""
    over = threading.Event()

    def work(number: int) -> int:
        caller, sent = Caller(port, kind, certificate), 0
        while not over.is_set():
            caller.beat(requests[(number + sent) % len(requests)])
            sent += 1
        return sent

    with ThreadPoolExecutor(THREADS) as threads:
        working = [threads.submit(work, number) for number in range(THREADS)]
        wait(working, seconds, FIRST_EXCEPTION)
        over.set()
        return sum(one.result() for one in working)


class Bench:
    """Measures kinds of connections. Owns the turns taken so far."""

    def __init__(self, certificate: Path, script: Path, requests: Sequence[bytes]) -> None:
        self.turns: list[Turn] = []
        self._certificate = certificate
        self._script = script
        self._requests = requests
        wrk.write_script(script, requests, check=False)

    def turn(self, front: Front, kind: Kind, seconds: int) -> None:
        """Take one turn. Raises RuntimeError unless every heartbeat is answered 204."""
        time.sleep(SETTLE_S)
        port = front.plain_port if kind.version is None else front.tls_port
        before, worker_s = front.nginx.cpu_s(), front.worker.cpu_s() if front.worker else 0.0
        if kind.kept:
            scheme = "http" if kind.version is None else "https"
            run = wrk.run(wrk.client(), self._script, f"{scheme}://127.0.0.1:{port}/v1/beat", seconds)
            if not run.sound:
                raise RuntimeError(f"{front.name}, {kind.value}: {run}")
            requests = run.requests
        else:
            requests = call(port, kind, self._certificate, self._requests, seconds)
        nginx_s, worker_s = front.nginx.cpu_s() - before, (front.worker.cpu_s() if front.worker else 0.0) - worker_s
        self.turns.append(Turn(front.name, kind, nginx_s * 1e6 / requests, worker_s * 1e6 / requests, requests))


def summarise(turns: Sequence[Turn]) -> list[Summary]:
    """Return medians and ranges, kind by kind, fronts side by side."""
    summaries = []
    for kind in Kind:
        for front in dict.fromkeys(turn.front for turn in turns):
            own = [turn for turn in turns if (turn.kind, turn.front) == (kind, front)]
            if own:
                nginx, worker = spread(one.nginx_us for one in own), spread(one.worker_us for one in own)
                summaries.append(Summary(front, kind.value, nginx, worker, sum(one.requests for one in own)))
    return summaries


def markdown(summaries: Sequence[Summary]) -> str:
    """Return the table."""
    return table.markdown(
        ["connection", "server", "CPU of nginx per heartbeat", "CPU of the worker", "together", "answers, all 204"],
        [
            (
                one.kind,
                one.front,
                one.nginx_us.shown(1, "µs"),
                one.worker_us.shown(1, "µs") if one.worker_us.high else "",
                f"{one.nginx_us.median + one.worker_us.median:,.1f} µs",
                f"{one.requests:,}",
            )
            for one in summaries
        ],
    )


@click.command(name="tls")
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 30), default=3, show_default=True, help="Of each turn.")
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/tls-NAME.json.")
def command(rounds: int, seconds: int, save: str | None) -> None:
    """Measure what TLS adds to a heartbeat: kept, resumed and full handshakes."""
    notes = [] if processes.pinnable() else ["not pinned to cores: that needs taskset and two cores"]
    with report.or_nothing(), ExitStack() as stack:
        programs.need("nginx", "it ends TLS.")
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="turnout-bench-")))
        (scratch / "nginx").mkdir()
        turnout = stack.enter_context(servers.turnout(scratch))
        certificate = make_certificate(scratch / "nginx")
        both = stack.enter_context(fronts(scratch / "nginx", turnout.server))
        stack.enter_context(processes.staying_on(processes.CLIENT_CORE))
        requests = [wrk.browser_request(NAME, token) for token in turnout.tokens]
        bench = Bench(certificate, scratch / "tls.lua", requests)
        for _ in range(rounds):
            for kind in Kind:
                for front in both:
                    bench.turn(front, kind, seconds)
    summaries = summarise(bench.turns)
    measured = {
        "summary": [asdict(one) for one in summaries],
        "turns": [asdict(one) | {"kind": one.kind.value} for one in bench.turns],
    }
    versions = {"nginx": programs.version("nginx", "-v"), "openssl of the client": ssl.OPENSSL_VERSION.split()[1]}
    report.show("tls", markdown(summaries), measured, versions=versions, notes=notes, save=save)


if __name__ == "__main__":
    command()
