"""Steering through real workers and a real ledger: what an organiser changes reaches players, and survives restarts."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from counters.announcements import Announcements
from counters.event import Event, load_event
from counters.keys_in_force import IssuerKeys
from counters.secrets import Secrets
from counters.steering import REVOKED_LIMIT, Steering, view_text
from gateway import steering as steering_module
from gateway.ledger_client import (
    STEERING_PATH,
    GatewayName,
    InForce,
    LedgerClient,
    LedgerRefusedError,
    LedgerUnavailableError,
    signed_headers,
)
from gateway.mendable import CannotServeError
from gateway.steering import STEERING_FILE, SteeringFollower, SteeringKeeper, Told, decode
from tests.gateway.serving import NO_LEDGER, NOW, Answer, RunningLedger, Serving, ledger, serving

STEERING = "/v1/events/expo/steering"
VIEW = 0x0123456789ABCDEF
Mint = Callable[..., str]


@pytest.fixture
def running(simulated_event_file: Path, tmp_path: Path) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path) as service:
        service.jump(NOW)
        yield service


def steer(running: RunningLedger, **change: Any) -> Answer:
    return running.organise("POST", STEERING, json.dumps(change).encode())


def steering_leaves(running: RunningLedger) -> list[dict[str, Any]]:
    return [leaf for leaf in running.leaves() if leaf["type"] == "steering"]


# What the organiser asks of the ledger.


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


# What gateways ask of it.


def asked(running: RunningLedger, body: bytes, secrets: Secrets | None = None) -> Answer:
    return running.ask(
        "POST", STEERING_PATH, body, signed_headers(secrets or running.secrets, "POST", STEERING_PATH, body)
    )


def test_a_gateway_learns_what_is_in_force_once(running: RunningLedger, simulated_event: Event) -> None:
    keys = IssuerKeys.of(simulated_event).digest

    async def learn(known: int) -> Steering | None:
        async with LedgerClient(running.url, running.secrets) as client:
            said = await client.steering(GatewayName("g", "1" * 16, simulated_event.digest), known, keys)
            assert said.key_changes is None
            return said.steering

    assert uvloop.run(learn(0)) is None
    steer(running, interval_s=45, revoke=[{"seat": 7}, {"view": view_text(VIEW)}])
    assert uvloop.run(learn(0)) == Steering(1, 45, frozenset({7, VIEW}))
    assert uvloop.run(learn(1)) is None
    assert uvloop.run(learn(99)) == Steering(1, 45, frozenset({7, VIEW})), "of another ledger's log: this one decides"


def test_who_is_revoked_is_told_to_nobody_without_the_events_secret(
    running: RunningLedger, simulated_event: Event
) -> None:
    question = {
        "event_sha256": simulated_event.digest,
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


# A gateway keeps it.


@pytest.fixture(scope="session")
def simulated_event(simulated_event_file: Path) -> Event:
    return load_event(simulated_event_file)


class Hand:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time


class LedgerAtHand:
    """What a ledger would say."""

    def __init__(self) -> None:
        self.says: Steering | Exception | None = None
        self.script: list[Steering | Exception | None] = []
        self.asked = 0

    async def steering(self, name: GatewayName, known: int, known_keys: str) -> InForce:
        assert len(name.event_digest) == len(known_keys) == 64
        assert known >= 0
        self.asked += 1
        if self.script:
            self.says = self.script.pop(0)
        if isinstance(self.says, Exception):
            raise self.says
        return InForce(self.says)


class Gateway:
    """A keeper and what it has announced so far."""

    def __init__(self, spool: Path, event: Event) -> None:
        self.clock, self.ledger = Hand(), LedgerAtHand()
        self.spool, self.event = spool, event
        self.announcements: Announcements | None = None
        self.begin()

    def begin(self) -> None:
        def applied(announcements: Announcements) -> None:
            self.announcements = announcements

        self.keeper = SteeringKeeper(self.spool, self.event, "g", self.clock, self.ledger, applied)  # type: ignore[arg-type]

    def ask(self) -> None:
        asyncio.run(self.keeper.ask())

    def interval_of(self, window: float) -> int:
        assert self.announcements is not None
        return self.announcements.longest_s(window, window + 60)


@pytest.fixture
def gateway(tmp_path: Path, event: Event) -> Gateway:
    return Gateway(tmp_path, event)


def followed(spool: Path, event: Event) -> list[Steering]:
    told: list[Steering] = []
    SteeringFollower(spool, event, lambda now: told.append(now.steering))
    return told


def test_before_any_change_there_is_no_file_and_the_event_files_interval_holds(gateway: Gateway, event: Event) -> None:
    gateway.ask()
    assert gateway.interval_of(NOW) == event.interval_s
    assert not (gateway.spool / STEERING_FILE).exists()
    assert followed(gateway.spool, event) == []


def test_what_the_ledger_says_is_on_disk_when_a_worker_can_read_it(gateway: Gateway, event: Event) -> None:
    gateway.ledger.says = Steering(1, 45, frozenset({7, VIEW}))
    gateway.ask()
    assert followed(gateway.spool, event) == [Steering(1, 45, frozenset({7, VIEW}))]
    assert gateway.interval_of(NOW) == 45


def test_a_ledger_that_is_away_leaves_what_was_told_last(gateway: Gateway, event: Event) -> None:
    gateway.ledger.says = Steering(1, 45, frozenset({7}))
    gateway.ask()
    gateway.ledger.says = LedgerUnavailableError("away")
    with pytest.raises(LedgerUnavailableError):
        gateway.ask()
    gateway.begin()
    with pytest.raises(LedgerUnavailableError):
        gateway.ask()
    assert gateway.keeper.told.steering == Steering(1, 45, frozenset({7}))
    assert followed(gateway.spool, event) == [Steering(1, 45, frozenset({7}))]


@pytest.mark.parametrize("reason", ["mac_wrong", "other_event", "other_pseudonym_key", "body_malformed"])
def test_a_gateway_that_the_ledger_refuses_from_the_start_ends_with_its_sentence(gateway: Gateway, reason: str) -> None:
    gateway.ledger.says = LedgerRefusedError("the ledger refused (409): why", reason)
    with pytest.raises(CannotServeError, match="why"):
        asyncio.run(gateway.keeper.keep())


def test_a_name_that_is_held_is_asked_for_again_for_some_seconds(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering_module, "ASK_EVERY_S", 0.001)
    monkeypatch.setattr(steering_module, "NAME_PATIENCE_S", 0.05)
    gateway.ledger.says = LedgerRefusedError("the name is taken", "gateway_name_taken")
    with pytest.raises(CannotServeError, match="taken"):
        asyncio.run(gateway.keeper.keep())
    assert gateway.ledger.asked > 1


def test_a_ledger_that_changed_does_not_end_a_gateway_that_it_once_took(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Started with other secrets by mistake, it would take every player off the air."""
    monkeypatch.setattr(steering_module, "ASK_EVERY_S", 0.001)

    class OverError(Exception):
        """The test has seen enough."""

    refusal = LedgerRefusedError("another secret", "mac_wrong")
    gateway.ledger.script = [None, refusal, refusal, OverError()]
    with pytest.raises(OverError):
        asyncio.run(gateway.keeper.keep())
    assert "another secret" in caplog.text


def test_a_gateway_started_anew_knows_what_players_of_an_old_window_were_told(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering_module, "SETTLED_S", 0.0)
    gateway.clock.time = NOW + 30
    gateway.ledger.says = Steering(1, 54, frozenset())
    gateway.ask()
    gateway.clock.time = NOW + 400
    gateway.ledger.says = Steering(2, 20, frozenset())
    gateway.ask()
    gateway.begin()
    gateway.ledger.says = None
    gateway.ask()
    by_window = [gateway.interval_of(NOW + start) for start in range(-60, 600, 60)]
    assert by_window == [30, 54, 54, 54, 54, 54, 54, 54, 54, 54, 20], "until 400, and for 108 s more"


def test_another_log_is_never_handed_an_interval_that_it_did_not_have(gateway: Gateway) -> None:
    gateway.ledger.says = Steering(2, 54, frozenset({7}))
    gateway.ask()
    gateway.ledger.says = Steering(0, 30, frozenset())
    gateway.ask()
    assert gateway.interval_of(NOW) == 30
    gateway.begin()
    assert (gateway.interval_of(NOW), gateway.keeper.told.steering.revoked) == (30, frozenset())


def test_the_earlier_interval_counts_as_announced_until_every_worker_has_surely_looked(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.ledger.says = Steering(1, 20, frozenset())
    gateway.ask()
    gateway.ledger.says = None
    gateway.clock.time = NOW + 3600
    gateway.ask()
    assert gateway.interval_of(NOW + 3540) == 30
    later = time.monotonic() + steering_module.SETTLED_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    gateway.ask()
    assert gateway.interval_of(NOW + 3540) == 30
    assert gateway.interval_of(NOW + 3720) == 20


def test_a_disk_that_does_not_take_the_change_leaves_it_out_of_force_and_it_is_tried_again(
    gateway: Gateway, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    gateway.ledger.says = Steering(1, 45, frozenset({7}))
    with monkeypatch.context() as patched:
        patched.setattr(steering_module, "write_durably", full)
        with pytest.raises(OSError, match="no space"):
            gateway.ask()
    assert (gateway.keeper.told.steering.number, followed(gateway.spool, event)) == (0, [])
    gateway.ask()
    assert followed(gateway.spool, event) == [Steering(1, 45, frozenset({7}))]


@pytest.mark.parametrize("junk", [b"", b"null", b"[]", b"{}", b"\xff", b'{"version": 2}'])
def test_a_file_that_is_none_is_replaced_and_never_followed(gateway: Gateway, event: Event, junk: bytes) -> None:
    (gateway.spool / STEERING_FILE).write_bytes(junk)
    assert followed(gateway.spool, event) == []
    gateway.begin()
    gateway.ledger.says = Steering(1, 45, frozenset())
    gateway.ask()
    assert followed(gateway.spool, event) == [Steering(1, 45, frozenset())]


def test_another_events_file_is_not_followed(gateway: Gateway, event: Event) -> None:
    (gateway.spool / STEERING_FILE).write_bytes(Told.of(replace(event, id="another")).encode())
    assert followed(gateway.spool, event) == []
    steering = Steering(3, 45, frozenset({7, VIEW}))
    told = Told(steering, Announcements.of(30).announce(45, NOW), IssuerKeys.of(event))
    assert decode(told.encode(), event) == told


def test_a_worker_reads_the_file_when_it_changes_and_only_then(gateway: Gateway, event: Event) -> None:
    told: list[Steering] = []
    follower = SteeringFollower(gateway.spool, event, lambda now: told.append(now.steering))
    for number in (1, 2, 2):
        gateway.ledger.says = Steering(number, 40 + number, frozenset())
        gateway.ask()
        follower.look()
        follower.look()
    assert [steering.interval_s for steering in told] == [41, 42]
    (gateway.spool / STEERING_FILE).unlink()
    follower.look()
    assert len(told) == 2


# A worker does it.


def put(served: Serving, steering: Steering) -> None:
    told = Told(steering, Announcements.of(30).announce(steering.interval_s, NOW), IssuerKeys.of(served.event))
    path = Path(served.worker.config.spool) / STEERING_FILE
    path.with_suffix(".new").write_bytes(told.encode())
    path.with_suffix(".new").rename(path)
    served.call(served.worker._follower.look)
    served.call(lambda: served.worker.answers.refresh(NOW))


@pytest.fixture
def served(event_file: Path, tmp_path: Path) -> Iterator[Serving]:
    with serving(event_file, tmp_path) as worker:
        yield worker


def beat(served: Serving, token: str) -> Answer:
    return served.ask("POST", "/v1/beat", token.encode(), {"Content-Type": "text/plain"})


def test_heartbeat_and_join_announce_the_interval_in_force(served: Serving) -> None:
    token = served.token(view_id=VIEW)
    assert served.join(token).json["interval_s"] == 30
    put(served, Steering(1, 45, frozenset()))
    assert served.join(token).json["interval_s"] == 45
    assert abs(int(beat(served, token).headers["turnout-interval"]) - 45) <= 4


def test_a_revoked_view_is_refused_on_every_way_and_its_attendee_is_not(served: Serving) -> None:
    token, other = served.token(seat=7, view_id=VIEW), served.token(seat=7, view_id=VIEW + 1)
    assert beat(served, token).status == 204
    before = served.records()
    put(served, Steering(1, 30, frozenset({VIEW})))
    assert (beat(served, token).status, beat(served, other).status) == (410, 204)
    for session in ("opening", "forum"):
        answer = served.join(token, session)
        assert (answer.status, answer.reason) == (410, "token_revoked")
        assert served.join(other, session).status == 201
    assert served.counts()["refused.beat.token_revoked"] == 1
    assert served.counts()["refused.join.token_revoked"] == 2
    assert served.records()[: len(before)] == before, "what was counted before stays counted"
    put(served, Steering(2, 30, frozenset()))
    assert (beat(served, token).status, served.join(token).status) == (204, 201)


def test_a_revoked_seat_is_refused_with_every_token_of_it(served: Serving) -> None:
    put(served, Steering(1, 30, frozenset({7})))
    for view in (VIEW, VIEW + 1):
        token = served.token(seat=7, view_id=view)
        assert beat(served, token).reason == "token_revoked"
        assert served.join(token).reason == "token_revoked"
    assert beat(served, served.token(seat=8, view_id=VIEW)).status == 204


def test_a_barred_attendee_gets_in_with_no_ticket_and_a_revoked_views_owner_with_the_ticket(
    event_file: Path, tmp_path: Path, mint: Mint, redis: Any
) -> None:
    with serving(event_file, tmp_path, registry_url=redis.url) as served:
        ticket = mint("alice", now=NOW)
        token = served.keys.open(served.join(ticket).json["token"].encode())
        put(served, Steering(1, 30, frozenset({token.view_id})))
        again = served.join(ticket)
        assert again.status == 201
        assert served.keys.open(again.json["token"].encode()).seat == token.seat
        put(served, Steering(2, 30, frozenset({token.seat})))
        answer = served.join(ticket)
        assert (answer.status, answer.reason) == (403, "attendee_barred")
        assert served.join(mint("bob", now=NOW)).status == 201
        put(served, Steering(3, 30, frozenset()))
        assert served.join(ticket).status == 201


def test_a_worker_that_starts_later_knows_it_from_the_beginning(event_file: Path, tmp_path: Path) -> None:
    with serving(event_file, tmp_path) as first:
        put(first, Steering(1, 45, frozenset({7})))
    with serving(event_file, tmp_path, ledger_url=NO_LEDGER) as second:
        assert second.join(second.token(seat=8)).json["interval_s"] == 45
        assert beat(second, second.token(seat=7)).reason == "token_revoked"
