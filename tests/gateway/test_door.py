"""The door: whole heartbeats are answered at once, everything else is aiohttp's; the outcome is the same on both."""

from pathlib import Path

import pytest

from gateway.answers import announced
from gateway.request_head import HEAD_LIMIT_BYTES
from tests.gateway.at_the_door import Effect, beat, went_through_the_door
from tests.gateway.serving import NOW, Connection, Serving, parse_answers, request_bytes, serving, until


def test_a_heartbeat_is_answered_204_with_the_interval_and_is_in_the_spool(served: Serving) -> None:
    effect = Effect(served)
    (answer,) = served.raw(beat(served))
    assert answer.status == 204
    assert int(answer.headers["turnout-interval"]) in announced(30)
    assert "turnout-interval" in answer.headers["access-control-expose-headers"].lower()
    assert answer.headers["access-control-allow-origin"] == "*"
    assert went_through_the_door(answer)
    assert effect() == ([1 << 56 & 0 | 1 << 32 | 70_000], {"beat.playing": 1})


def test_every_state_is_counted_and_only_playing_ones_are_present(served: Serving) -> None:
    effect = Effect(served)
    token = served.token()
    answers = served.raw(*(beat(served, f"{token} {letter}".encode()) for letter in "pbae"))
    assert [answer.status for answer in answers] == [204] * 4
    records, counts = effect()
    assert [record >> 48 & 0xFF for record in records] == [0, 1]  # the background flag
    assert counts == {"beat.playing": 1, "beat.background": 1, "beat.paused": 1, "beat.ended": 1}


def test_a_refusal_is_problem_details_and_the_connection_goes_on(served: Serving) -> None:
    effect = Effect(served)
    expired = served.token(expires_at=NOW - 1).encode()
    first, second = served.raw(beat(served, expired), beat(served))
    assert (first.status, first.reason, second.status) == (410, "token_expired", 204)
    assert effect()[1] == {"refused.beat.token_expired": 1, "beat.playing": 1}


def test_a_leave_is_answered_at_the_door(served: Serving) -> None:
    effect = Effect(served)
    (answer,) = served.raw(beat(served, path="/v1/leave"))
    assert answer.status == 204
    assert went_through_the_door(answer)
    assert effect() == ([], {"leave.left": 1})


def test_three_pipelined_heartbeats_get_three_answers(served: Serving) -> None:
    effect = Effect(served)
    answers = served.raw(beat(served) * 3)
    assert [answer.status for answer in answers] == [204] * 3
    assert all(map(went_through_the_door, answers))
    assert effect()[1] == {"beat.playing": 3}


def test_three_pipelined_heartbeats_split_at_every_byte_boundary_get_three_answers(served: Serving) -> None:
    """The parts are given to the door of a real connection one by one, so that no kernel joins them again."""
    stream = beat(served) + beat(served, f"{served.token()} b".encode()) + beat(served, b"x" * 64)
    for place in range(1, len(stream)):
        effect = Effect(served)
        connection = Connection(served.port)
        until(lambda: len(served.doors.doors) == 1, "the connection is open")
        (door,) = served.doors.doors
        served.call(lambda part=stream[:place], door=door: door.data_received(part))  # type: ignore[misc]
        served.call(lambda part=stream[place:], door=door: door.data_received(part))  # type: ignore[misc]
        assert [answer.status for answer in connection.read_answers(3)] == [204, 204, 401], place
        assert effect()[1] == {"beat.playing": 1, "beat.background": 1, "refused.beat.token_malformed": 1}, place
        connection.close()
        until(lambda: not served.doors.doors, "the connection is closed")


def test_a_heartbeat_that_trickles_in_over_the_wire_is_answered(served: Serving) -> None:
    request = beat(served)
    for place in (1, 5, 13, 20, request.index(b"\r\n\r\n") + 2, len(request) - 1):
        connection = Connection(served.port)
        connection.send(request[:place])
        part = request[:place]
        until(lambda part=part: any(door.gathered == part for door in served.doors.doors), "the part is here")  # type: ignore[misc]
        connection.send(request[place:])
        (answer,) = connection.read_answers(1)
        assert answer.status == 204
        assert went_through_the_door(answer)
        connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "close"},
        {"Connection": "Upgrade", "Upgrade": "websocket"},
        {"Content-Type": "application/json"},
        {"Expect": "100-continue"},
        {"Content-Length": "064"},
    ],
)
def test_a_request_that_the_door_does_not_take_is_taken_by_aiohttp_and_sends_the_player_back(
    served: Serving, headers: dict[str, str]
) -> None:
    effect = Effect(served)
    connection = Connection(served.port)
    connection.send(request_bytes("POST", "/v1/beat", served.token().encode(), headers))
    (answer,) = parse_answers(connection.read_to_end())
    connection.close()
    assert answer.status == 204
    assert answer.headers["connection"] == "close"
    assert int(answer.headers["turnout-interval"]) in announced(30)
    assert effect()[1] == {"beat.playing": 1}


def test_a_chunked_heartbeat_is_taken_by_aiohttp(served: Serving) -> None:
    effect = Effect(served)
    token = served.token().encode()
    head = b"POST /v1/beat HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"20\r\n" + token[:32] + b"\r\n20\r\n" + token[32:] + b"\r\n0\r\n\r\n"
    (answer,) = served.raw(head + chunks)
    assert answer.status == 204
    assert effect()[1] == {"beat.playing": 1}


def test_a_body_that_comes_in_parts_after_the_hand_over_is_taken_whole(served: Serving) -> None:
    effect = Effect(served)
    request = beat(served, Content_Type="application/json")
    connection = Connection(served.port)
    connection.send(request[:-20])
    until(lambda: not served.doors.doors, "the connection is aiohttp's")
    connection.send(request[-20:])
    (answer,) = connection.read_answers(1)
    connection.close()
    assert (answer.status, effect()[1]) == (204, {"beat.playing": 1})


def test_heartbeats_before_a_hand_over_are_answered_first(served: Serving) -> None:
    effect = Effect(served)
    other = request_bytes("GET", "/v1/events/expo/live")
    first, second = served.raw(beat(served) + other)
    assert (first.status, second.status) == (204, 200)
    assert second.headers["connection"] == "close"
    assert effect()[1] == {"beat.playing": 1}


def test_junk_behind_a_heartbeat_does_not_touch_it(served: Serving) -> None:
    for junk in (b"x", b"\r\n", b"GET / HTTP/1.1", b"\x00\xff" * 50, b"POST /v1/bea"):
        effect = Effect(served)
        answers = served.raw(beat(served) + junk)
        assert answers[0].status == 204
        assert all(400 <= answer.status < 500 for answer in answers[1:])
        assert effect()[1] == {"beat.playing": 1}


def test_an_oversized_head_is_refused_and_counts_nothing(served: Serving) -> None:
    effect = Effect(served)
    for size in (HEAD_LIMIT_BYTES, 100_000):
        (answer,) = served.raw(beat(served, X_Long="a" * size))
        assert answer.status == 400
    assert effect() == ([], {})


def test_a_body_that_is_too_long_or_too_short_is_refused_once(served: Serving) -> None:
    for body in (b"", b"a" * 63, b"a" * 65, b"a" * 67, b"a" * 1000, b"a" * 300_000):
        effect = Effect(served)
        answer = served.raw(beat(served, body))[0]
        assert (answer.status, answer.reason) == (401, "token_malformed")
        assert effect() == ([], {"refused.beat.token_malformed": 1})


def test_a_stopping_worker_closes_its_connections(event_file: Path, tmp_path: Path) -> None:
    with serving(event_file, tmp_path) as served:
        connection = Connection(served.port)
        connection.send(beat(served))
        connection.read_answers(1)
    assert connection.read_to_end() == b""
    connection.close()
