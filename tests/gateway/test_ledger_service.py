"""The ledger's HTTP interface: gateways with the event's secret hand over, the organiser asks, anyone reads the log."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from counters.attendee import SEATS_PER_BLOCK
from counters.event import Event
from counters.handover import HandOver
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
from tests.gateway.handing_over import WORKER, promise, signed, wish
from tests.gateway.serving import NO_LEDGER, NOW, RunningLedger, ask, ledger

ORGANISER_ONLY = [
    ("GET", "/v1/events/expo/attendance"),
    ("POST", "/v1/events/expo/certificates"),
    ("POST", "/v1/simulation/clock"),
]


@pytest.fixture(scope="module")
def running(simulated_event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path_factory.mktemp("ledger")) as service:
        yield service


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


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"now": 1700000000}', b'{"now": "2023-11-19T10:00:00"}', b'{"now": "soon"}', b"null",
     b'{"now": "2023-11-19T08:00:00+08:00"}', b'{"now": "0001-01-01T00:00:00+00:00"}'],
)  # fmt: skip
def test_the_clock_takes_no_other_time_than_a_later_one(running: RunningLedger, body: bytes) -> None:
    answer = running.organise("POST", "/v1/simulation/clock", body)
    assert (answer.status, answer.reason) == (400, "body_malformed")


def test_a_tile_that_the_checkpoint_does_not_cover_is_not_served_though_it_is_there(running: RunningLedger) -> None:
    size = int(running.ask("GET", "/log/checkpoint").body.split(b"\n")[1])
    staged = running.data / "log" / "tile" / "0" / "000.p" / str(size + 1)
    staged.write_bytes(bytes(32 * (size + 1)))
    try:
        assert running.ask("GET", f"/log/tile/0/000.p/{size + 1}").reason == "not_found"
        assert running.ask("GET", f"/log/tile/0/000.p/{size}").status == 200
    finally:
        staged.unlink()
