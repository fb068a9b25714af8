"""TLS: a real nginx with a certificate of the bench's own, with and without a server behind it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from load_tests.bench import peers, tls, wrk
from load_tests.bench.tls import Bench, Front, Kind, Turn

REQUESTS = [wrk.browser_request(tls.NAME, token) for token in ("one", "two")]


@pytest.fixture(autouse=True)
def _with_nginx(needed: Callable[[str], str]) -> None:
    needed("nginx")


@contextmanager
def fronts(scratch: Path) -> Iterator[tuple[tuple[Front, Front], Path]]:
    """Run nginx with TLS in front of another nginx, which stands for the worker."""
    for name in ("worker", "tls"):
        (scratch / name).mkdir()
    certificate = tls.make_certificate(scratch / "tls")
    with (
        peers.nginx(peers.FILES / "nginx_204.conf", "worker", scratch / "worker") as worker,
        tls.fronts(scratch / "tls", worker) as both,
    ):
        yield both, certificate


def test_every_kind_of_connection_is_what_it_says_and_every_heartbeat_is_answered(
    tmp_path: Path, needed: Callable[[str], str]
) -> None:
    needed("wrk")
    with fronts(tmp_path) as (both, certificate):
        for front in both:
            for kind in (kind for kind in Kind if not kind.kept):
                port = front.plain_port if kind.version is None else front.tls_port
                assert tls.call(port, kind, certificate, REQUESTS, 0.2) >= tls.THREADS
        bench = Bench(certificate, tmp_path / "tls.lua", REQUESTS)
        bench.turn(both[1], Kind.KEPT, 1)
        bench.turn(both[1], Kind.RESUMED, 1)
    assert all(turn.requests > 0 and turn.nginx_us > 0 for turn in bench.turns)


@pytest.mark.parametrize("kind", [Kind.RESUMED, Kind.RESUMED_12])
def test_a_handshake_that_is_not_resumed_as_asked_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    conf = (peers.FILES / "nginx_tls.conf").read_text()
    (tmp_path / "nginx_tls.conf").write_text(
        conf.replace("ssl_session_timeout 1h;", "ssl_session_tickets off;").replace("shared:sessions:10m", "off")
    )
    (tmp_path / "nginx_204.conf").write_text((peers.FILES / "nginx_204.conf").read_text())
    monkeypatch.setattr(peers, "FILES", tmp_path)
    with (
        fronts(tmp_path) as ((front, _), certificate),
        pytest.raises(RuntimeError, match="the handshake was not as asked"),
    ):
        tls.call(front.tls_port, kind, certificate, REQUESTS, 5.0)


def test_an_answer_that_is_no_204_fails(tmp_path: Path) -> None:
    with fronts(tmp_path) as ((front, _), certificate):
        request = REQUESTS[0].replace(b"Host: ", b"Host : ")
        with pytest.raises(RuntimeError, match=r"answered b'HTTP/1\.1 400"):
            tls.call(front.tls_port, Kind.FULL, certificate, [request], 5.0)


def test_fronts_stand_side_by_side_and_the_worker_is_added() -> None:
    alone = Turn("nginx, empty 204", Kind.FULL, 300.0, 0.0, 10)
    before = replace(alone, front="nginx in front of Turnout", nginx_us=320.0, worker_us=20.0)
    rows = tls.markdown(tls.summarise([before, alone, replace(alone, nginx_us=400.0)])).splitlines()[2:]
    assert "| TLS 1.3, full handshake each | nginx in front of Turnout | 320.0 µs (320.0 to 320.0) |" in rows[0]
    assert rows[0].endswith("| 340.0 µs | 10 |")
    assert "| nginx, empty 204 | 350.0 µs (300.0 to 400.0) |  | 350.0 µs | 20 |" in rows[1]
