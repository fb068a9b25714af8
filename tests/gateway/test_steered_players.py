"""Players of a steered event: the interval that they are told, and who is turned away where."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from counters.announcements import Announcements
from counters.keys_in_force import IssuerKeys
from counters.steering import Steering
from gateway.steering import STEERING_FILE, Told
from tests.gateway.serving import NO_LEDGER, NOW, Answer, Serving, serving

VIEW = 0x0123456789ABCDEF

Mint = Callable[..., str]


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
