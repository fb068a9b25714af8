"""The ledger's side of its gateways: who asks is known before a body is read, and a name is one gateway's."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from counters.secrets import Secrets
from gateway.gateway_api import HAND_OVER_LIMIT_BYTES, NAME_HELD_S, SMALL_BYTES, GatewayNames
from gateway.ledger_client import GRANT_PATH, HAND_OVER_PATH, STEERING_PATH, signed_headers
from gateway.problems import Refused
from tests.gateway.serving import NOW, Connection, RunningLedger, ledger

HUGE = 200 * 1024 * 1024


@pytest.fixture(scope="module")
def running(simulated_event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path_factory.mktemp("gateway-api")) as service:
        yield service


def answer_to_a_head(running: RunningLedger, path: str, length: int, headers: dict[str, str]) -> dict[str, str]:
    """What the ledger answers to a head whose body never comes."""
    lines = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with closing(Connection(running.port)) as connection:
        connection.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        # Not to the end of the connection: aiohttp would look for the rest of the body for ten seconds.
        (answer,) = connection.read_answers(1)
    return dict(answer.json)


def test_a_stranger_is_refused_before_a_byte_of_its_body_is_read(running: RunningLedger) -> None:
    for headers in ({}, signed_headers(Secrets(bytes(32), bytes(32)), "POST", HAND_OVER_PATH, b"x")):
        assert answer_to_a_head(running, HAND_OVER_PATH, HUGE, headers)["reason"] == "mac_wrong"


def test_what_is_too_large_is_refused_unread_too(running: RunningLedger) -> None:
    for path, length in ((HAND_OVER_PATH, HAND_OVER_LIMIT_BYTES + 1), (GRANT_PATH, SMALL_BYTES + 1)):
        headers = signed_headers(running.secrets, "POST", path, b"x")
        assert answer_to_a_head(running, path, length, headers)["reason"] == "body_too_large"


def test_a_body_is_read_only_if_it_is_the_one_that_the_head_was_made_for(running: RunningLedger) -> None:
    headers = signed_headers(running.secrets, "POST", HAND_OVER_PATH, b"one")
    assert running.ask("POST", HAND_OVER_PATH, b"two", headers).reason == "mac_wrong"
    assert running.ask("POST", HAND_OVER_PATH, b"one", headers).reason == "evidence_malformed"


def test_a_second_gateway_of_the_same_name_is_refused_and_one_that_comes_back_is_not() -> None:
    names = GatewayNames()
    names.claim("g", "one", 100)
    names.claim("h", "two", 100)
    names.claim("g", "one", 104)
    with pytest.raises(Refused, match="another spool, runs under the name 'g'"):
        names.claim("g", "two", 104 + NAME_HELD_S - 0.1)
    names.claim("g", "two", 104 + NAME_HELD_S)
    with pytest.raises(Refused, match="'g'"):
        names.claim("g", "one", 105 + NAME_HELD_S)


def test_whoever_asked_lately_is_heard_whichever_spool_it_has() -> None:
    names = GatewayNames()
    names.claim("g", "one", 100)
    names.claim("h", "two", 104)
    assert names.heard_within(10, 110) == {"g", "h"}
    assert names.heard_within(10, 110.5) == {"h"}
    names.claim("g", "three", 120)
    assert names.heard_within(10, 121) == {"g"}


def test_only_the_organiser_retires_a_gateway_and_only_one_that_had_seats(running: RunningLedger) -> None:
    path = "/v1/events/expo/gateways/lost%2Fhost/retire"
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert running.ask("POST", path, b"{}", headers).reason in {"key_missing", "key_wrong"}
    refused = running.organise("POST", path, b"{}")
    assert (refused.status, refused.reason) == (404, "gateway_unknown")
    assert "'lost/host'" in refused.json["detail"]
    assert [leaf["type"] for leaf in running.leaves()].count("retired") == 0
    running.jump(NOW)
    wish = {
        "worker": "00000000000000a1",
        "gateway": "lost/host",
        "event_sha256": running.leaves()[0]["event_sha256"],
        "pseudonym_key_sha256": running.secrets.pseudonym_commitment,
        "blocks": 1,
        "after": -1,
    }
    body = json.dumps(wish).encode()
    assert (
        running.ask("POST", GRANT_PATH, body, signed_headers(running.secrets, "POST", GRANT_PATH, body)).status == 200
    )
    retired = running.organise("POST", path, b"{}")
    assert retired.json["retired"] == ["00000000000000a1"]
    assert running.organise("POST", path, b"{}").json["retired"] == []
    (leaf,) = [leaf for leaf in running.leaves() if leaf["type"] == "retired"]
    assert (leaf["gateway"], leaf["workers"]) == ("lost/host", ["00000000000000a1"])
    unknown = running.organise("POST", path.replace("lost", "last"), b"{}")
    assert "there are lost/host" in unknown.json["detail"]


def test_a_gateway_that_is_at_work_is_retired_only_by_force(running: RunningLedger) -> None:
    running.jump(NOW)
    path = "/v1/events/expo/gateways/busy/retire"
    own = {
        "gateway": "busy",
        "event_sha256": running.leaves()[0]["event_sha256"],
        "pseudonym_key_sha256": running.secrets.pseudonym_commitment,
    }
    for wanted, more in (
        (GRANT_PATH, {"worker": "00000000000000b1", "blocks": 1, "after": -1}),
        (STEERING_PATH, {"instance": "2" * 16, "known": 0}),
    ):
        body = json.dumps(own | more).encode()
        assert running.ask("POST", wanted, body, signed_headers(running.secrets, "POST", wanted, body)).status == 200
    refused = running.organise("POST", path, b"{}")
    assert (refused.status, refused.reason) == (409, "gateway_at_work")
    assert running.organise("POST", path, b'{"force": true}').json["retired"] == ["00000000000000b1"]
