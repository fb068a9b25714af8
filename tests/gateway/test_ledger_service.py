"""The ledger's HTTP interface: gateways with the event's secret hand over, the organiser asks, anyone reads the log."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from counters.attendee import SEATS_PER_BLOCK
from counters.clock import SimulatedClock
from counters.event import Event
from counters.handover import HandOver, WorkerReport
from counters.log_key import load_or_create_signer
from counters.secrets import Secrets
from gateway.ledger_client import (
    DIGEST_HEADER,
    GRANT_PATH,
    GREETING_PATH,
    HAND_OVER_PATH,
    MAC_HEADER,
    STEERING_PATH,
    TOKENS_PATH,
    LedgerClient,
    LedgerRefusedError,
    LedgerUnavailableError,
    WorkerName,
    content_digest,
    signed_headers,
)
from gateway.ledger_metrics import ROUTES
from tests.gateway.serving import (
    NO_LEDGER,
    NOW,
    Answer,
    Connection,
    RunningLedger,
    ask,
    ledger,
    request_bytes,
    until,
)

WORKER = "00000000000000a1"
ORGANISER_ONLY = [
    ("GET", "/v1/events/expo/attendance"),
    ("POST", "/v1/events/expo/certificates"),
    ("POST", "/v1/simulation/clock"),
]


@pytest.fixture(scope="module")
def running(simulated_event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path_factory.mktemp("ledger")) as service:
        yield service


def signed(running: RunningLedger, path: str, body: bytes, secrets: Secrets | None = None) -> Answer:
    return running.ask("POST", path, body, signed_headers(secrets or running.secrets, "POST", path, body))


def wish(event: Event, running: RunningLedger, **changes: object) -> bytes:
    plain = {
        "worker": WORKER,
        "gateway": "g",
        "event_sha256": event.digest,
        "pseudonym_key_sha256": running.secrets.pseudonym_commitment,
        "blocks": 1,
        "after": -1,
    }
    return orjson.dumps(plain | changes)


def promise(event: Event, window: int, worker: str = WORKER, *, ended: bool = True) -> bytes:
    return HandOver(event.digest, "g", window, (WorkerReport(worker, window + 60, ended),), ()).encode()


# Gateways.


def test_seats_are_granted_once(running: RunningLedger, simulated: Event) -> None:
    first = signed(running, GRANT_PATH, wish(simulated, running, blocks=2)).json["blocks"]
    # Whoever recorded the question and asks it again takes no seats.
    again = signed(running, GRANT_PATH, wish(simulated, running, blocks=2)).json["blocks"]
    assert again == first
    second = signed(running, GRANT_PATH, wish(simulated, running, blocks=2, after=max(first))).json["blocks"]
    assert len({*first, *second}) == 4
    signed(running, HAND_OVER_PATH, promise(simulated, int(NOW)))


@pytest.mark.parametrize("path", [GRANT_PATH, HAND_OVER_PATH])
def test_a_request_without_the_events_secret_is_refused(running: RunningLedger, simulated: Event, path: str) -> None:
    body = wish(simulated, running)
    stranger = Secrets(bytes(32), bytes(32))
    answers = [
        running.ask("POST", path, body),
        running.ask("POST", path, body, {MAC_HEADER: ""}),
        running.ask("POST", path, body, {MAC_HEADER: "\xff" * 64}),
        signed(running, path, body, stranger),
        running.ask("POST", path, body + b" ", signed_headers(running.secrets, "POST", path, body)),
        running.ask("POST", path, body, signed_headers(running.secrets, "POST", "/v1/other", body)),
        running.ask("POST", path, body, signed_headers(running.secrets, "GET", path, body)),
        running.ask(
            "POST",
            path,
            body,
            signed_headers(running.secrets, "POST", path, body) | {DIGEST_HEADER: content_digest(b"")},
        ),
    ]
    assert [(answer.status, answer.reason) for answer in answers] == [(403, "mac_wrong")] * len(answers)


def test_a_gateway_of_another_event_or_pseudonym_key_gets_no_seats(running: RunningLedger, simulated: Event) -> None:
    for changes, reason in (
        ({"event_sha256": "00" * 32}, "other_event"),
        ({"pseudonym_key_sha256": "00" * 32}, "other_pseudonym_key"),
    ):
        answer = signed(running, GRANT_PATH, wish(simulated, running, **changes))
        assert (answer.status, answer.reason) == (409, reason)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'{"worker": 1}', b"\xff"])
def test_a_malformed_request_for_seats_is_refused(running: RunningLedger, body: bytes) -> None:
    answer = signed(running, GRANT_PATH, body)
    assert (answer.status, answer.reason) == (400, "body_malformed")


def test_a_number_of_blocks_that_is_none_is_refused(running: RunningLedger, simulated: Event) -> None:
    answer = signed(running, GRANT_PATH, wish(simulated, running, blocks="many"))
    assert (answer.status, answer.reason) == (400, "body_malformed")


def test_a_malformed_hand_over_changes_nothing(running: RunningLedger, simulated: Event) -> None:
    good = promise(simulated, int(NOW))
    size = len(running.leaves())
    for body in (
        b"",
        b"\n",
        b"{}\n",
        good[:-2],
        good + b"x",
        good.replace(b'"g"', b"7"),
        good.replace(b'"version":1', b'"version":2'),
    ):
        answer = signed(running, HAND_OVER_PATH, body)
        assert (answer.status, answer.reason) == (422, "evidence_malformed"), body
    unsound = HandOver(simulated.digest, "g", int(NOW), (), (b"TURNSEG\0 and nothing",)).encode()
    assert signed(running, HAND_OVER_PATH, unsound).reason == "evidence_malformed"
    other = HandOver("00" * 32, "g", int(NOW), (), ()).encode()
    assert (signed(running, HAND_OVER_PATH, other).status, signed(running, HAND_OVER_PATH, other).reason) == (
        409,
        "other_event",
    )
    assert len(running.leaves()) == size


def test_the_client_tells_a_refusal_from_an_outage(running: RunningLedger, simulated: Event) -> None:
    async def ask() -> None:
        name = WorkerName(WORKER, "g", simulated.digest)
        async with LedgerClient(running.url, running.secrets) as client:
            (block,) = await client.grant(name, 1, -1)
            assert block * SEATS_PER_BLOCK < 2**31
            running.jump(NOW)
            assert await client.hand_over(promise(simulated, int(NOW))) == "promise"
            with pytest.raises(LedgerRefusedError, match="another event file") as refused:
                await client.grant(WorkerName(WORKER, "g", "00" * 32), 1, -1)
            assert refused.value.reason == "other_event"
        async with LedgerClient(running.url, Secrets(bytes(32), bytes(32))) as stranger:
            with pytest.raises(LedgerRefusedError, match="this event's secret"):
                await stranger.grant(name, 1, -1)
        for url in (NO_LEDGER, running.url + "/elsewhere", "http://localhost:x", "nonsense"):
            async with LedgerClient(url, running.secrets) as nobody:
                with pytest.raises((LedgerUnavailableError, LedgerRefusedError)):
                    await nobody.grant(name, 1, -1)

    uvloop.run(ask())


# Anyone.


def test_the_log_is_served_as_tlog_tiles(running: RunningLedger, simulated: Event) -> None:
    checkpoint = running.ask("GET", "/log/checkpoint")
    assert checkpoint.status == 200
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.body.startswith(b"ledger.test/expo\n")
    assert "immutable" not in checkpoint.headers.get("cache-control", "")
    size = int(checkpoint.body.split(b"\n")[1])
    for path in (f"/log/tile/0/000.p/{size}", f"/log/tile/entries/000.p/{size}"):
        tile = running.ask("GET", path)
        assert tile.status == 200, path
        assert "immutable" in tile.headers["cache-control"]
        assert tile.headers["content-type"] == "application/octet-stream"
        assert tile.headers["access-control-allow-origin"] == "*"
    assert simulated.digest.encode() in running.ask("GET", f"/log/tile/entries/000.p/{size}").body


@pytest.mark.parametrize(
    "path",
    [
        "/log/../secrets.json",
        "/log/%2e%2e/secrets.json",
        "/log/%2e%2e%2fsecrets.json",
        "/log/..%2fsecrets.json",
        "/log/tile/%2e%2e/%2e%2e/secrets.json",
        "/log/tile/0/000%00",
        "/log/tile/0/../../../secrets.json",
        "/log/tile/",
        "/log/tile/0/001",
        "/log/tile/entries",
        "/log//etc/passwd",
        "/log/%2fetc/passwd",
        "/log/checkpoint/",
        "/log/" + "a" * 5000,
        "/evidence/00",
        "/secrets.json",
    ],
)
def test_nothing_but_the_log_is_served(running: RunningLedger, path: str) -> None:
    answer = running.ask("GET", path)
    assert answer.status == 404
    assert b"secret" not in answer.body


def test_health_and_metrics_are_served(running: RunningLedger) -> None:
    assert running.ask("GET", "/healthz").status == 200
    port = int(running.metrics.rpartition(":")[2].partition("/")[0])
    answer = ask(port, "GET", "/metrics")
    assert answer.status == 200
    assert b"turnout_" in answer.body


def counted(running: RunningLedger) -> dict[tuple[str, str], float]:
    port = int(running.metrics.rpartition(":")[2].partition("/")[0])
    text = ask(port, "GET", "/metrics").body.decode()
    (family,) = (family for family in text_string_to_metric_families(text) if family.name == "turnout_http_requests")
    return {(sample.labels["route"], sample.labels["code"]): sample.value for sample in family.samples}


def test_every_answer_is_counted_by_route_and_status(running: RunningLedger) -> None:
    event = "/v1/events/expo"
    asked = {
        ("GET", "/healthz"): ("healthz", "200"),
        ("GET", "/readyz"): ("readyz", "200"),
        ("GET", "/log/checkpoint"): ("log", "200"),
        ("GET", "/log/elsewhere"): ("log", "404"),
        ("GET", "/verify"): ("verify", "200"),
        ("GET", f"{event}/live"): ("live", "200"),
        ("GET", f"{event}/attendance"): ("attendance", "401"),
        ("GET", f"{event}/receipt"): ("receipt", "401"),
        ("GET", f"{event}/certificates/none"): ("certificates", "404"),
        ("GET", f"{event}/steering"): ("steering", "401"),
        ("GET", f"{event}/issuer-keys"): ("issuer_keys", "401"),
        ("POST", f"{event}/roll"): ("roll", "401"),
        ("POST", f"{event}/audits"): ("audits", "401"),
        ("POST", f"{event}/audits/1/results"): ("audits", "401"),
        ("POST", f"{event}/gateways/g/retire"): ("retire", "401"),
        ("POST", "/v1/simulation/clock"): ("clock", "401"),
        ("POST", GRANT_PATH): ("seats", "403"),
        ("POST", HAND_OVER_PATH): ("evidence", "403"),
        ("POST", TOKENS_PATH): ("tokens", "403"),
        ("POST", STEERING_PATH): ("gateway_steering", "403"),
        ("POST", GREETING_PATH): ("greeting", "403"),
        ("GET", "/nothing/here"): ("other", "404"),
    }
    assert {route for route, _ in asked.values()} == set(ROUTES)
    before = counted(running)
    for (method, path), (_, code) in asked.items():
        assert str(running.ask(method, path).status) == code, path
    more = Counter({pair: int(count - before.get(pair, 0)) for pair, count in counted(running).items()})
    assert +more == Counter(asked.values())
    assert before["evidence", "503"] == 0, "a rate of faults needs the series before the first"


def test_live_numbers_without_redis_are_stale_and_not_an_error(running: RunningLedger) -> None:
    answer = running.ask("GET", "/v1/events/expo/live")
    assert (answer.status, answer.json["stale"], answer.json["numbers"]) == (200, True, [])


# The organiser.


@pytest.mark.parametrize(("method", "path"), ORGANISER_ONLY)
def test_what_is_the_organisers_needs_the_organisers_key(running: RunningLedger, method: str, path: str) -> None:
    for key, status, reason in (
        (None, 401, "key_missing"),
        ("organiser-0", 403, "key_wrong"),
        (running.secrets.scanner_key, 403, "key_wrong"),
        ("\xff" * 20, 403, "key_wrong"),
    ):
        answer = running.ask(method, path, b"", {"Authorization": f"Bearer {key}"} if key else {})
        assert (answer.status, answer.reason) == (status, reason)


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("?rule=headcount", 400, "query_malformed"),
        ("?by=shoe-size", 400, "query_malformed"),
        ("?colour=red", 400, "query_malformed"),
        ("?session=closing", 404, "session_unknown"),
        ("?rule=%FF&by=%00", 400, "query_malformed"),
    ],
)
def test_a_query_for_what_there_is_not_is_refused(running: RunningLedger, query: str, status: int, reason: str) -> None:
    answer = running.organise("GET", "/v1/events/expo/attendance" + query)
    assert (answer.status, answer.reason) == (status, reason)


def test_attendance_has_the_one_shape_of_a_number(running: RunningLedger) -> None:
    answer = running.organise("GET", "/v1/events/expo/attendance?rule=views&by=session&session=opening")
    assert answer.status == 200
    assert answer.json.keys() == {"event", "as_of", "stale", "numbers"}
    for number in answer.json["numbers"]:
        assert (number["rule"], number["scope"]["session"]) == ("views", "opening")
        assert number.keys() >= {"rule_version", "value", "unit", "kind", "checkable_by", "as_of"}


@pytest.mark.parametrize(
    "name", ["x", "..", "%2e%2e%2fsecrets", "99999999", "99999999.pdf", "1.json", "-1", "1.tlog-proof.new", "%00"]
)
def test_a_certificate_that_there_is_not_is_404(running: RunningLedger, name: str) -> None:
    assert running.ask("GET", f"/v1/events/expo/certificates/{name}").status == 404


def test_another_events_pages_are_404(running: RunningLedger) -> None:
    for page in ("live", "attendance", "certificates", "certificates/1"):
        answer = running.organise("GET", f"/v1/events/fair/{page}")
        assert (answer.status, answer.reason) == (404, "event_unknown")


def test_a_method_that_an_address_does_not_take_is_405_and_says_which_it_does(running: RunningLedger) -> None:
    answer = running.ask("DELETE", "/v1/events/expo/certificates")
    assert (answer.status, answer.reason) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


# The simulated clock, and the whole way.


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"now": 1700000000}', b'{"now": "2023-11-19T10:00:00"}', b'{"now": "soon"}', b"null",
     b'{"now": "2023-11-19T08:00:00+08:00"}', b'{"now": "0001-01-01T00:00:00+00:00"}'],
)  # fmt: skip
def test_the_clock_takes_no_other_time_than_a_later_one(running: RunningLedger, body: bytes) -> None:
    answer = running.organise("POST", "/v1/simulation/clock", body)
    assert (answer.status, answer.reason) == (400, "body_malformed")


def test_a_real_events_clock_cannot_be_set(event_file: Path, tmp_path: Path) -> None:
    with ledger(event_file, tmp_path) as service:
        answer = service.jump(NOW)
        assert (answer.status, answer.reason) == (404, "not_found")


def test_windows_are_sealed_as_time_goes_on_and_a_certificate_is_issued(
    simulated_event_file: Path, simulated: Event, tmp_path: Path
) -> None:
    with ledger(simulated_event_file, tmp_path) as service:
        assert [leaf["type"] for leaf in service.leaves()] == ["event"]
        assert service.leaves()[0]["simulated"] is True
        assert service.jump(NOW).json == {"now": simulated.iso(NOW)}
        # Nobody holds seats, so nobody is waited for: ten scheduled minutes have passed.
        until(lambda: len(service.windows()) == 10, "ten windows are sealed")
        issued = service.organise("POST", "/v1/events/expo/certificates")
        assert issued.status == 201
        name = issued.json["id"]
        certificate = service.ask("GET", f"/v1/events/expo/certificates/{name}")
        assert certificate.headers["content-type"].startswith("application/json")
        assert json.loads(certificate.body)["simulated"] is True
        proof = service.ask("GET", f"/v1/events/expo/certificates/{name}.tlog-proof")
        assert proof.headers["content-type"].startswith("text/plain")
        for suffix, begins in ((".pdf", b"%PDF-"), (".xlsx", b"PK"), (".zip", b"PK")):
            file = service.ask("GET", f"/v1/events/expo/certificates/{name}{suffix}")
            assert (file.status, file.body[: len(begins)]) == (200, begins)
            assert f'filename="expo-{name}{suffix}"' in file.headers["content-disposition"]
        listed = service.ask("GET", "/v1/events/expo/certificates").json["certificates"]
        assert listed == [{"id": name, "superseded_by": None}]
        assert service.leaves()[name]["certificate_sha256"] == issued.json["certificate_sha256"]


def test_a_worker_that_holds_seats_is_waited_for(simulated_event_file: Path, simulated: Event, tmp_path: Path) -> None:
    with ledger(simulated_event_file, tmp_path) as service:
        start = int(simulated.sessions[0].starts_at.timestamp())
        assert service.jump(start).status == 200
        signed(service, GRANT_PATH, wish(simulated, service))
        assert service.jump(start + 60).status == 200
        assert service.windows() == {}
        signed(service, HAND_OVER_PATH, promise(simulated, start, ended=False))
        until(lambda: len(service.windows()) == 1, "the window is sealed once its worker has reported")
        assert service.windows()[simulated.iso(start)]["missing"] == []


def test_a_stop_does_not_wait_for_a_clock_that_waits(
    simulated_event_file: Path, simulated: Event, tmp_path: Path
) -> None:
    with ledger(simulated_event_file, tmp_path) as service:
        start = int(simulated.sessions[0].starts_at.timestamp())
        service.jump(start)
        signed(service, GRANT_PATH, wish(simulated, service))
        waiting = Connection(service.port)
        body = json.dumps({"now": simulated.iso(start + 7200)}).encode()
        key = {"Authorization": f"Bearer {service.secrets.organiser_key}"}
        waiting.send(request_bytes("POST", "/v1/simulation/clock", body, key))
        clock = SimulatedClock(tmp_path / "clock")
        until(lambda: clock.now() == start + 7200, "the clock has jumped and its answer waits for 120 windows")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0, service.said.read_text()
        waiting.close()


def test_a_restart_goes_on_with_the_same_log_and_one_ledger_at_a_time_has_it(
    simulated_event_file: Path, tmp_path: Path
) -> None:
    with ledger(simulated_event_file, tmp_path) as service:
        service.jump(NOW)
        until(lambda: len(service.windows()) == 10, "ten windows are sealed")
        before = service.leaves()
        vkey = json.loads((tmp_path / "ledger.json").read_text())["log"]
        with pytest.raises(AssertionError, match="is being written by process"), ledger(simulated_event_file, tmp_path):
            pass
    with ledger(simulated_event_file, tmp_path) as service:
        assert service.leaves()[: len(before)] == before
        assert json.loads((tmp_path / "ledger.json").read_text())["log"] == vkey


def test_another_event_file_does_not_get_the_log(event_file: Path, simulated_event_file: Path, tmp_path: Path) -> None:
    with ledger(simulated_event_file, tmp_path):
        pass
    with pytest.raises(AssertionError, match="another event file"), ledger(event_file, tmp_path):
        pass


def test_the_logs_key_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "log.key"
    before = os.umask(0)
    try:
        signer = load_or_create_signer(path, "log.example/expo")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_signer(path, "log.example/another") == signer


def test_a_tile_that_the_checkpoint_does_not_cover_is_not_served_though_it_is_there(running: RunningLedger) -> None:
    size = int(running.ask("GET", "/log/checkpoint").body.split(b"\n")[1])
    staged = running.data / "log" / "tile" / "0" / "000.p" / str(size + 1)
    staged.write_bytes(bytes(32 * (size + 1)))
    try:
        assert running.ask("GET", f"/log/tile/0/000.p/{size + 1}").reason == "not_found"
        assert running.ask("GET", f"/log/tile/0/000.p/{size}").status == 200
    finally:
        staged.unlink()
