"""The HTTP interface as a whole: one address for players, scanners, organisers, auditors; one shape of refusal."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.worker import cell_names
from tests.gateway.serving import NOW, Connection, RunningLedger, Serving, ledger, request_bytes, serving, until

Mint = Callable[..., str]


@pytest.fixture(scope="module")
def both(
    simulated_event_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Serving, RunningLedger]]:
    """A worker and its ledger, sharing secrets and clock."""
    data = tmp_path_factory.mktemp("interface")
    with (
        ledger(simulated_event_file, data) as service,
        serving(simulated_event_file, data, ledger_url=service.url) as worker,
    ):
        service.jump(NOW)
        until(lambda: len(service.windows()) == 10, "ten windows are sealed")
        yield worker, service


@pytest.fixture
def served(both: tuple[Serving, RunningLedger]) -> Serving:
    return both[0]


@pytest.fixture(scope="module")
def alone(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A worker whose ledger and Redis do not answer."""
    with serving(event_file, tmp_path_factory.mktemp("alone")) as worker:
        yield worker


# Every answer.


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v2/beat", 404, "not_found"),
        ("GET", "/v1/beat", 405, "method_not_allowed"),
        ("PUT", "/v1/leave", 405, "method_not_allowed"),
        ("GET", "/v1/events/expo/sessions/opening/join", 405, "method_not_allowed"),
        ("POST", "/v1/events/expo/live", 405, "method_not_allowed"),
        ("GET", "/v1/events/fair/live", 404, "event_unknown"),
        ("POST", "/v1/events/fair/checkins", 404, "event_unknown"),
        ("GET", "/metrics", 404, "not_found"),
        ("POST", "/v1/ledger/seats", 404, "not_found"),
        ("POST", "/v1/simulation/clock", 404, "not_found"),
    ],
)
def test_what_there_is_not_is_refused_as_problem_details(
    alone: Serving, method: str, path: str, status: int, reason: str
) -> None:
    answer = alone.ask(method, path)
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert ("allow" in answer.headers) == (status == 405)


def test_a_browsers_preflight_is_allowed_and_remembered(alone: Serving) -> None:
    for path in ("/v1/events/expo/sessions/opening/join", "/v1/beat"):
        answer = alone.ask("OPTIONS", path, headers={"Origin": "https://a.example"})
        assert answer.status == 204
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert int(answer.headers["access-control-max-age"]) <= 7200


def test_a_worker_says_that_it_lives_and_whether_it_is_ready(alone: Serving) -> None:
    assert (alone.ask("GET", "/healthz").body, alone.ask("GET", "/readyz").body) == (b"ok\n", b"ready\n")


def test_every_outcome_has_one_cell() -> None:
    names = cell_names()
    assert len(set(names)) == len(names)


# Live numbers.


def test_live_numbers_are_stale_until_the_gateway_has_some(alone: Serving) -> None:
    document = alone.ask("GET", "/v1/events/expo/live").json
    assert (document["event"], document["stale"], document["numbers"]) == ("expo", True, [])


def test_live_numbers_are_the_gateways_last_and_a_broken_file_is_stale(alone: Serving) -> None:
    path = Path(alone.worker.config.live_file)
    written = {"event": "expo", "as_of": "2023-11-19T09:10:00+08:00", "stale": False, "numbers": [{"value": 7}]}
    path.write_text(json.dumps(written))
    answer = alone.ask("GET", "/v1/events/expo/live")
    assert answer.json == written
    assert answer.headers["access-control-allow-origin"] == "*"
    for broken in ("", "[]", "{", "7"):
        path.write_text(broken)
        assert alone.ask("GET", "/v1/events/expo/live").json["stale"] is True
    path.unlink()


# What is the ledger's.


def test_the_log_is_at_the_gateways_address_too(both: tuple[Serving, RunningLedger]) -> None:
    served, service = both
    checkpoint = served.ask("GET", "/log/checkpoint")
    assert checkpoint.body == service.ask("GET", "/log/checkpoint").body
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    size = checkpoint.body.split(b"\n")[1].decode()
    tile = served.ask("GET", f"/log/tile/entries/000.p/{size}")
    assert tile.body == service.ask("GET", f"/log/tile/entries/000.p/{size}").body
    assert tile.headers["content-type"] == "application/octet-stream"
    assert "immutable" in tile.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    ["/log/%2e%2e/secrets.json", "/log/../secrets.json", "/log/..%2f..%2fsecrets.json",
     "/log/%2e%2e/v1/events/expo/live", "/log/tile/0/%2e%2e/%2e%2e/checkpoint"],
)  # fmt: skip
def test_no_path_leads_out_of_the_log_through_the_gateway(served: Serving, path: str) -> None:
    answer = served.ask("GET", path)
    assert (answer.status, answer.reason) == (404, "not_found")


def test_a_request_line_with_a_whole_url_leads_to_this_events_ledger(both: tuple[Serving, RunningLedger]) -> None:
    served, service = both
    answer = served.ask("GET", "http://elsewhere.invalid:1/log/checkpoint")
    assert (answer.status, answer.body) == (200, service.ask("GET", "/log/checkpoint").body)


def test_the_organiser_reaches_the_ledger_through_the_gateway(both: tuple[Serving, RunningLedger]) -> None:
    served, service = both
    key = {"Authorization": f"Bearer {service.secrets.organiser_key}"}
    assert served.ask("GET", "/v1/events/expo/attendance", headers={}).reason == "key_missing"
    wrong = {"Authorization": "Bearer \xff\xfe", "Accept": "\xff"}
    assert served.ask("GET", "/v1/events/expo/attendance", headers=wrong).reason == "key_wrong"
    numbers = served.ask("GET", "/v1/events/expo/attendance?by=session&session=forum", headers=key)
    assert numbers.status == 200
    assert all(number["scope"]["session"] == "forum" for number in numbers.json["numbers"])
    assert served.ask("GET", "/v1/events/expo/attendance?by=shoe-size", headers=key).reason == "query_malformed"
    issued = served.ask("POST", "/v1/events/expo/certificates", headers=key)
    assert issued.status == 201
    certificate = served.ask("GET", f"/v1/events/expo/certificates/{issued.json['id']}")
    assert certificate.json["simulated"] is True
    assert served.ask("DELETE", "/v1/events/expo/certificates", headers=key).headers["allow"]


def test_without_the_ledger_its_pages_are_503_and_the_rest_goes_on(alone: Serving, mint: Mint) -> None:
    for path in ("/log/checkpoint", "/v1/events/expo/attendance", "/v1/events/expo/certificates/1"):
        answer = alone.ask("GET", path)
        assert (answer.status, answer.reason) == (503, "ledger_unavailable")
        assert 2 <= int(answer.headers["retry-after"]) <= 8
    token = alone.join(mint("alice", now=NOW)).json["token"]
    assert alone.ask("POST", "/v1/beat", token.encode()).status == 204


# Connections.


def test_through_a_pool_that_mixes_joins_with_heartbeats_every_heartbeat_takes_the_door(
    alone: Serving, mint: Mint
) -> None:
    """A load balancer's keep-alive pool: 1 % joins, each of which sends its connection's next user back to the door."""
    ticket = {"Authorization": f"Bearer {mint('bob', now=NOW)}"}
    join = request_bytes("POST", "/v1/events/expo/sessions/opening/join", b"", ticket)
    beat = request_bytes("POST", "/v1/beat", alone.token().encode())
    pool = [Connection(alone.port) for _ in range(4)]
    slow = 0
    for number in range(800):
        place = number % len(pool)
        pool[place].send(beat if number % 100 else join)
        (answer,) = pool[place].read_answers(1)
        assert answer.status == (204 if number % 100 else 201)
        if answer.headers.get("connection") == "close":
            slow += number % 100 != 0
            pool[place].close()
            pool[place] = Connection(alone.port)
    for connection in pool:
        connection.close()
    assert slow == 0


def test_a_half_sent_batch_is_answered_408(alone: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.problems.reading.__wrapped__.__defaults__", (0.05,))
    counts = alone.counts()
    key = {"Authorization": f"Bearer {alone.secrets.scanner_key}", "Content-Length": "1000"}
    connection = Connection(alone.port)
    connection.send(request_bytes("POST", "/v1/events/expo/checkins", b'{"scans":', key))
    (answer,) = connection.read_answers(1)
    connection.close()
    assert (answer.status, answer.reason) == (408, "request_timeout")
    assert alone.counts()["refused.checkin.request_timeout"] == counts.get("refused.checkin.request_timeout", 0) + 1


@pytest.mark.parametrize(
    "rest", [b"Content-Encoding: gzip\r\nContent-Length: 64\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"]
)
def test_a_body_that_is_not_encoded_as_its_head_says_is_refused_and_counted(alone: Serving, rest: bytes) -> None:
    connection = Connection(alone.port)
    connection.send(b"POST /v1/beat HTTP/1.1\r\nHost: h\r\n" + rest + b"x" * 64)
    (answer,) = connection.read_answers(1)
    connection.close()
    assert answer.status == 400
