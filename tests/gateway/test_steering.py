"""Steering through real workers and a real ledger: what an organiser changes reaches players, and survives restarts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from counters.event import Event
from counters.keys_in_force import IssuerKeys
from counters.secrets import Secrets
from counters.steering import REVOKED_LIMIT, Steering, view_text
from gateway.ledger_client import STEERING_PATH, GatewayName, LedgerClient, signed_headers
from tests.gateway.serving import NOW, Answer, RunningLedger, ledger

STEERING = "/v1/events/expo/steering"

VIEW = 0x0123456789ABCDEF


@pytest.fixture
def running(simulated_event_file: Path, tmp_path: Path) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path) as service:
        service.jump(NOW)
        yield service


def steer(running: RunningLedger, **change: Any) -> Answer:
    return running.organise("POST", STEERING, json.dumps(change).encode())


def steering_leaves(running: RunningLedger) -> list[dict[str, Any]]:
    return [leaf for leaf in running.leaves() if leaf["type"] == "steering"]


def test_an_organiser_reads_what_is_in_force_and_changes_it(running: RunningLedger) -> None:
    before = {"event": "expo", "number": 0, "interval_s": 30, "revoked": {"seats": [], "views": []}}
    answer = running.organise("GET", STEERING)
    assert (answer.status, answer.json) == (200, before | {"revoked_limit": REVOKED_LIMIT})
    answer = steer(running, interval_s=45, revoke=[{"seat": 7}, {"view": view_text(VIEW)}])
    assert answer.status == 200
    in_force = {"number": 1, "interval_s": 45, "revoked": {"seats": [7], "views": [view_text(VIEW)]}}
    assert answer.json.items() >= in_force.items()
    assert answer.json["changed"] == {
        "interval_s": 45,
        "revoked": {"seats": [7], "views": [view_text(VIEW)]},
        "restored": {"seats": [], "views": []},
    }
    assert running.organise("GET", STEERING).json.items() >= in_force.items()
    (leaf,) = steering_leaves(running)
    assert (leaf["at"], leaf["interval_s"], leaf["revoked"]) == (
        "2023-11-19T09:10:00+08:00", 45, {"seats": 1, "views": 1},
    )  # fmt: skip
    answer = steer(running, restore=[{"seat": 7}])
    assert (answer.json["number"], answer.json["revoked"]["seats"]) == (2, [])


def test_what_is_so_already_is_no_change_and_not_logged(running: RunningLedger) -> None:
    for _ in range(2):
        assert steer(running, interval_s=45, revoke=[{"seat": 7}]).json["number"] == 1
    assert len(steering_leaves(running)) == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_only_the_organiser_steers_or_sees(running: RunningLedger, headers: dict[str, str]) -> None:
    for method, body in (("GET", b""), ("POST", b'{"interval_s": 45}')):
        answer = running.ask(method, STEERING, body, headers)
        assert (answer.status, answer.reason) in {(401, "key_missing"), (403, "key_wrong")}
    assert running.organise("POST", "/v1/events/other/steering", b'{"interval_s": 45}').reason == "event_unknown"
    assert steering_leaves(running) == []


WRONG: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"interval_s=45", "not JSON"),
    "no object": (b"[45]", "interval_s, revoke, restore"),
    "nothing": (b"{}", "interval_s, revoke, restore"),
    "an unknown member": (b'{"interval": 45}', "interval_s, revoke, restore"),
    "too long": (b'{"interval_s": 55}', "use 5 to 54 seconds"),
    "too short": (b'{"interval_s": 4}', "use 5 to 54 seconds"),
    "no number": (b'{"interval_s": null}', "use 5 to 54 seconds"),
    "no list": (b'{"revoke": {"seat": 7}}', "'revoke' is no list"),
    "two names in one": (b'{"revoke": [{"seat": 7, "view": "0123456789abcdef"}]}', "revoke[0] is not one of"),
    "no name": (b'{"restore": [{"seat": 7}, 8]}', "restore[1] is not one of"),
    "no seat": (b'{"revoke": [{"seat": 0}]}', "revoke[0]: 0 is no seat"),
    "no view": (b'{"revoke": [{"view": "7"}]}', "revoke[0]: '7' is no view"),
    "no token": (b'{"revoke": [{"token": "' + b"A" * 64 + b'"}]}', "revoke[0]: it is no viewing token"),
    "both": (b'{"revoke": [{"seat": 7}], "restore": [{"seat": 7}]}', "revoked and restored at once"),
}


@pytest.fixture(scope="module")
def unsteered(simulated_event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path_factory.mktemp("unsteered")) as service:
        yield service


@pytest.mark.parametrize(("body", "why"), WRONG.values(), ids=WRONG.keys())
def test_what_makes_no_sense_is_refused_with_a_sentence_and_changes_nothing(
    unsteered: RunningLedger, body: bytes, why: str
) -> None:
    answer = unsteered.organise("POST", STEERING, body)
    assert (answer.status, answer.reason) == (400, "body_malformed")
    assert why in answer.json["detail"]
    assert unsteered.organise("GET", STEERING).json["number"] == 0


def test_a_full_list_refuses_loudly_and_takes_nothing(running: RunningLedger) -> None:
    assert steer(running, revoke=[{"seat": seat} for seat in range(1, REVOKED_LIMIT + 1)]).status == 200
    answer = steer(running, interval_s=45, revoke=[{"view": view_text(VIEW)}])
    assert (answer.status, answer.reason) == (409, "revocations_full")
    assert str(REVOKED_LIMIT) in answer.json["detail"]
    assert running.organise("GET", STEERING).json["interval_s"] == 30


def asked(running: RunningLedger, body: bytes, secrets: Secrets | None = None) -> Answer:
    return running.ask(
        "POST", STEERING_PATH, body, signed_headers(secrets or running.secrets, "POST", STEERING_PATH, body)
    )


def test_a_gateway_learns_what_is_in_force_once(running: RunningLedger, simulated: Event) -> None:
    keys = IssuerKeys.of(simulated).digest

    async def learn(known: int) -> Steering | None:
        async with LedgerClient(running.url, running.secrets) as client:
            said = await client.steering(GatewayName("g", "1" * 16, simulated.digest), known, keys)
            assert said.key_changes is None
            return said.steering

    assert uvloop.run(learn(0)) is None
    steer(running, interval_s=45, revoke=[{"seat": 7}, {"view": view_text(VIEW)}])
    assert uvloop.run(learn(0)) == Steering(1, 45, frozenset({7, VIEW}))
    assert uvloop.run(learn(1)) is None
    assert uvloop.run(learn(99)) == Steering(1, 45, frozenset({7, VIEW})), "of another ledger's log: this one decides"


def test_who_is_revoked_is_told_to_nobody_without_the_events_secret(running: RunningLedger, simulated: Event) -> None:
    question = {
        "event_sha256": simulated.digest,
        "pseudonym_key_sha256": running.secrets.pseudonym_commitment,
        "gateway": "g",
        "instance": "1" * 16,
        "known": 0,
    }
    body = orjson.dumps(question)
    assert asked(running, body, Secrets(bytes(32), bytes(32))).reason == "mac_wrong"
    assert running.ask("POST", STEERING_PATH, body).reason == "mac_wrong"
    assert asked(running, body).json == {"number": 0, "now": NOW}, "nothing is sent that is known"
    for changes, reason in (
        ({"event_sha256": "00" * 32}, "other_event"),
        ({"pseudonym_key_sha256": "00" * 32}, "other_pseudonym_key"),
        ({"gateway": 7}, "body_malformed"),
        ({"instance": None}, "body_malformed"),
    ):
        assert asked(running, orjson.dumps(question | changes)).reason == reason
    for junk in (b"", b"null", b"{}", b"\xff"):
        assert asked(running, junk).reason == "body_malformed"
