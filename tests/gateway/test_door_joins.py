"""Joins at the door: answered there, a few at a time, while heartbeats go on."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from counters.journal import Join
from gateway import admission, door_keeper
from tests.gateway.at_the_door import JOIN, Effect, beat, join_request, went_through_the_door
from tests.gateway.serving import NOW, Answer, Connection, Serving, parse_answers, request_bytes, serving, until


def test_a_player_joins_beats_switches_and_leaves_on_one_connection_without_aiohttp(
    served: Serving, mint: Callable[..., str]
) -> None:
    ways = served.ways()
    connection = Connection(served.port)

    def ask(request: bytes) -> Answer:
        connection.send(request)
        (answer,) = connection.read_answers(1)
        assert went_through_the_door(answer)
        return answer

    preflight = ask(request_bytes("OPTIONS", JOIN, b"", {"Access-Control-Request-Method": "POST"}))
    assert preflight.status == 204
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    joined = ask(join_request(mint("door-1", now=NOW)))
    assert joined.status == 201
    assert ask(beat(served, joined.json["token"].encode())).status == 204
    switched = ask(join_request(joined.json["token"], JOIN.replace("opening", "forum") + "?outlet=tv-1"))
    assert (switched.status, switched.json["beat_url"]) == (201, "http://gateway.test/v1/beat")
    assert ask(beat(served, switched.json["token"].encode())).status == 204
    assert ask(beat(served, switched.json["token"].encode(), path="/v1/leave")).status == 204
    connection.close()
    assert served.ways()[:2] == ways[:2]
    join = served.journal()[-1]
    assert isinstance(join, Join)
    assert (join.outlet, join.session, join.agent) == ("tv-1", 2, "other")


def test_what_comes_behind_a_join_waits_for_its_answer(served: Serving, mint: Callable[..., str]) -> None:
    token = served.token().encode()
    stream = beat(served, token) + join_request(mint("door-2", now=NOW)) + beat(served, token) + join_request("junk")
    answers = served.raw(stream)
    assert [answer.status for answer in answers] == [204, 201, 204, 401]
    for place in range(1, len(stream), 97):
        connection = Connection(served.port)
        connection.send(stream[:place])
        connection.send(stream[place:])
        assert [answer.status for answer in connection.read_answers(4)] == [204, 201, 204, 401], place
        connection.close()


def test_a_heartbeat_that_is_read_while_a_join_is_under_way_is_answered_after_it(
    served: Serving, mint: Callable[..., str]
) -> None:
    until(lambda: not served.doors.doors, "earlier connections are closed")
    connection = Connection(served.port)
    until(lambda: len(served.doors.doors) == 1, "the connection is open")
    (door,) = served.doors.doors

    def all_at_once() -> None:  # reading is paused, but what was read before comes in all the same
        door.data_received(beat(served) + join_request(mint("door-4", now=NOW)))
        door.data_received(beat(served))

    served.call(all_at_once)
    assert [answer.status for answer in connection.read_answers(3)] == [204, 201, 204]
    connection.close()


def test_a_player_that_goes_while_its_join_is_under_way_harms_nobody(served: Serving, mint: Callable[..., str]) -> None:
    for number in range(20):
        connection = Connection(served.port)
        connection.send(join_request(mint(f"gone-{number}", now=NOW)))
        connection.close()
    until(lambda: not served.doors.doors and not served.doors.joining, "all have gone")
    assert served.raw(beat(served))[0].status == 204


def test_a_refused_join_says_why_and_the_connection_goes_on(served: Serving, mint: Callable[..., str]) -> None:
    effect = Effect(served)
    forged = mint("door-3", now=NOW)[:-8] + "AAAAAAAA"
    answers = served.raw(
        join_request(forged),
        join_request(""),
        join_request(served.token(), JOIN.replace("expo", "other")),
        join_request(served.token(), JOIN.replace("opening", "nothing")),
        beat(served),
    )
    assert [answer.status for answer in answers] == [401, 401, 404, 404, 204]
    reasons = [answer.reason for answer in answers[:-1]]
    assert reasons == ["ticket_forged", "ticket_missing", "event_unknown", "session_unknown"]
    assert effect()[1] == {f"refused.join.{reason}": 1 for reason in reasons} | {"beat.playing": 1}


def test_a_rush_gets_503_and_those_who_are_in_go_on_beating(
    served: Serving, mint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "AT_ONCE_LIMIT", 2)
    until(lambda: not served.doors.doors, "earlier connections are closed")
    effect = Effect(served)
    tickets = [mint(f"rush-{number}", now=NOW) for number in range(30)]
    connections = [Connection(served.port) for _ in tickets]
    until(lambda: len(served.doors.doors) == len(tickets), "all are here")

    def at_once() -> None:  # in one turn of the loop, as the kernel brings them in a rush
        for door, ticket in zip(tuple(served.doors.doors), tickets, strict=True):
            door.data_received(join_request(ticket))

    served.call(at_once)
    assert served.raw(beat(served))[0].status == 204
    answers = [connection.read_answers(1)[0] for connection in connections]
    refused = [answer for answer in answers if answer.status == 503]
    assert len(refused) == 28
    assert {answer.reason for answer in refused} == {"too_many_joins"}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert effect()[1] == {
        "join.accepted": 2, "registry.away": 2, "refused.join.too_many_joins": 28, "beat.playing": 1
    }  # fmt: skip
    for connection in connections:
        connection.close()


def test_heartbeats_do_not_wait_for_the_joins_that_came_before_them(
    served: Serving, mint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_keeper, "CROWD_SLICE_S", 0.0)  # one join in each turn of the loop
    until(lambda: not served.doors.doors, "earlier connections are closed")
    tickets = [*(mint(f"crowd-{number}", now=NOW) for number in range(10)), "junk", served.token()]
    connections = [Connection(served.port) for _ in [*tickets, "beating"]]
    until(lambda: len(served.doors.doors) == len(connections), "all are here")
    cells = served.worker.cells

    def counted(*names: str) -> int:
        return sum(cells.values[cells.index(name)] for name in names)

    async def in_one_turn() -> tuple[int, int, int]:
        *joining, beating = served.doors.doors
        before = counted("beat.playing"), counted("join.accepted", "refused.join.token_malformed")
        for door, ticket in zip(joining, tickets, strict=True):
            door.data_received(join_request(ticket))
        beating.data_received(beat(served))
        beaten, joined = counted("beat.playing"), counted("join.accepted", "refused.join.token_malformed")
        turns = 0
        while any(door.joining for door in joining):
            turns += 1
            await asyncio.sleep(0)
        return beaten - before[0], joined - before[1], turns

    beaten, joined, turns = served.do(in_one_turn())
    assert (beaten, joined) == (1, 0)
    assert turns >= len(tickets)
    statuses = sorted(connection.read_answers(1)[0].status for connection in connections)
    assert statuses == [201] * 11 + [204, 401]
    for connection in connections:
        connection.close()


def test_a_stopping_worker_answers_the_joins_under_way(
    event_file: Path, tmp_path: Path, mint: Callable[..., str]
) -> None:
    with serving(event_file, tmp_path) as served:
        connection = Connection(served.port)
        until(lambda: len(served.doors.doors) == 1, "the connection is open")
        (door,) = served.doors.doors
        served.call(lambda: door.data_received(join_request(mint("last", now=NOW))))
    (answer,) = parse_answers(connection.read_to_end())
    assert answer.status == 201
    connection.close()
