"""A door that takes leave: each connection is answered once more, told so, and closed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.serving import Connection, Serving, parse_answers, request_bytes, serving, until


@pytest.fixture
def worker(event_file: Path, tmp_path: Path) -> Iterator[Serving]:
    with serving(event_file, tmp_path) as worker:
        yield worker


def last_answers(connection: Connection) -> list[tuple[int, str]]:
    """Status and Connection header of each answer until the connection is closed."""
    answers = [(a.status, a.headers.get("connection", "")) for a in parse_answers(connection.read_to_end())]
    connection.close()
    return answers


def test_every_kind_of_request_gets_a_last_answer_that_says_so(worker: Serving) -> None:
    token = worker.token()
    credential = {"Authorization": f"Bearer {token}"}
    requests = [
        (204, request_bytes("POST", "/v1/beat", token.encode())),
        (200, request_bytes("POST", "/v1/beats", token.encode() + b"\n")),
        (401, request_bytes("POST", "/v1/beat", b"x" * 64)),
        (201, request_bytes("POST", "/v1/events/expo/sessions/opening/join", b"", credential)),
        (401, request_bytes("POST", "/v1/events/expo/sessions/opening/join", b"", {"Authorization": "Bearer a.b.c"})),
    ]
    lines = [Connection(worker.port) for _ in requests]
    # The door knows each connection's head by heart, and has to look closely all the same.
    for line in lines:
        line.send(requests[0][1])
        assert line.read_answers(1)[0].headers.get("connection") is None
    worker.call(worker.doors.take_leave)
    for line, (status, request) in zip(lines, requests, strict=True):
        line.send(request)
        ((answered, says),) = last_answers(line)
        assert (answered, says) == (status, "close"), request
    assert len(worker.records()) == len(lines) + 2


def test_what_comes_behind_a_last_answer_is_not_taken(worker: Serving) -> None:
    """RFC 9112, section 9.6: its sender knows that it was not, and sends it again on another connection."""
    beat = request_bytes("POST", "/v1/beat", worker.token().encode())
    line = Connection(worker.port)
    until(lambda: bool(worker.doors.doors), "the connection is there")
    worker.call(worker.doors.take_leave)
    line.send(beat * 3)
    assert last_answers(line) == [(204, "close")]
    assert len(worker.records()) == 1


def test_a_connection_that_comes_late_is_answered_once(worker: Serving) -> None:
    worker.call(worker.doors.take_leave)
    line = Connection(worker.port)
    line.send(request_bytes("POST", "/v1/beat", worker.token().encode()))
    assert last_answers(line) == [(204, "close")]


def test_half_a_request_is_waited_for_until_the_patience_ends(worker: Serving) -> None:
    beat = request_bytes("POST", "/v1/beat", worker.token().encode())
    slow, silent = Connection(worker.port), Connection(worker.port)
    slow.send(beat[:-9])
    until(lambda: any(door.gathered for door in worker.doors.doors), "half of it is there")
    worker.call(worker.doors.take_leave)
    slow.send(beat[-9:])
    assert last_answers(slow) == [(204, "close")]
    worker.do(worker.doors.all_gone(0.0))
    worker.do(worker.doors.close_all(0.0))
    assert last_answers(silent) == []
