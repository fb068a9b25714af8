"""What the door gives a connection is bounded: time, answers that nobody reads, bytes gathered, heads remembered."""

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gateway import door as door_module
from gateway.door import Door
from gateway.door_keeper import HEADS_LIMIT, IDLE_S, PARTIAL_S, REMEMBERED_HEAD_BYTES
from tests.gateway.at_the_door import JOIN, Effect, beat, join_request
from tests.gateway.serving import NOW, Connection, Serving, parse_answers, request_bytes, until


def test_half_a_request_is_answered_408_and_counted_when_its_time_is_over(served: Serving) -> None:
    effect = Effect(served)
    connection = Connection(served.port)
    connection.send(beat(served)[:-1])
    until(lambda: any(door.gathered for door in served.doors.doors), "the half is here")
    now = served.loop.time()
    served.call(lambda: served.doors.sweep(now))
    served.call(lambda: served.doors.sweep(now + PARTIAL_S - 1))
    assert len(served.doors.doors) == 1
    served.call(lambda: served.doors.sweep(now + PARTIAL_S + 1))
    (answer,) = parse_answers(connection.read_to_end())
    assert (answer.status, answer.reason, answer.headers["connection"]) == (408, "request_timeout", "close")
    assert effect() == ([], {"refused.beat.request_timeout": 1})
    connection.close()


def test_a_request_that_dribbles_does_not_live_on_by_dribbling(served: Serving) -> None:
    connection = Connection(served.port)
    request = beat(served)
    now = served.loop.time()
    for second in range(int(PARTIAL_S)):
        connection.send(request[second : second + 1])
        part = request[: second + 1]
        until(lambda part=part: [door.gathered for door in served.doors.doors] == [part], "the drop is here")  # type: ignore[misc]
        served.call(lambda second=second: served.doors.sweep(now + second))  # type: ignore[misc]
    served.call(lambda: served.doors.sweep(now + PARTIAL_S + 1))
    assert parse_answers(connection.read_to_end())[0].status == 408
    connection.close()


def test_a_silent_connection_is_closed_and_a_beating_one_is_not(served: Serving) -> None:
    silent, beating = Connection(served.port), Connection(served.port)
    for connection in (silent, beating):
        connection.send(beat(served))
        connection.read_answers(1)
    now = served.loop.time()
    served.call(lambda: served.doors.sweep(now))
    beating.send(beat(served))
    beating.read_answers(1)
    served.call(lambda: served.doors.sweep(now + IDLE_S + 1))
    assert silent.read_to_end() == b""
    beating.send(beat(served))
    assert beating.read_answers(1)[0].status == 204
    silent.close()
    beating.close()


def test_a_client_that_never_reads_its_answers_is_not_read_from_without_end(served: Serving) -> None:
    effect = Effect(served)
    connection = Connection(served.port)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        connection.socket.setsockopt(socket.SOL_SOCKET, buffer, 16_384)
    connection.socket.settimeout(1.0)
    burst = beat(served) * 200
    sent = 0
    try:
        for _ in range(1000):
            sent += connection.socket.send(burst)
    except TimeoutError:
        pass
    assert sent < len(burst) * 1000, "the server read it all and kept the answers in memory"
    connection.socket.settimeout(20.0)
    whole, begun = divmod(sent, len(beat(served)))
    answered = b""
    while answered.count(b"HTTP/1.1 204") < whole:  # its answers read, the connection goes on where it stood
        answered += connection.socket.recv(1 << 20)
    connection.send(beat(served)[begun:])
    until(lambda: effect()[1]["beat.playing"] == whole + 1, "every heartbeat is recorded")
    connection.close()


@contextmanager
def narrow(served: Serving) -> Iterator[tuple[Connection, Door]]:
    """A connection on which a few answers that nobody reads are as many as elsewhere megabytes of them."""
    known = set(served.doors.doors)
    connection = Connection(served.port)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    until(lambda: bool(served.doors.doors - known), "the connection is open")
    (door,) = served.doors.doors - known
    theirs = door._transport.get_extra_info("socket")
    served.call(lambda: theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096))
    try:
        yield connection, door
    finally:
        connection.close()


def test_a_client_that_never_reads_its_answers_is_let_go_when_its_time_is_over(served: Serving) -> None:
    with narrow(served) as (_, door):
        served.call(lambda: door.data_received(beat(served) * 2000))
        assert served.call(door._transport.get_write_buffer_size) > 0
        now = served.loop.time()
        for second in (0.0, IDLE_S + 1, IDLE_S + 6):
            served.call(lambda second=second: served.doors.sweep(now + second))  # type: ignore[misc]
        until(lambda: door not in served.doors.doors, "the connection is gone, unread answers and all")


def test_joins_are_neither_taken_nor_read_on_while_their_answers_are_unread(served: Serving) -> None:
    effect = Effect(served)
    with narrow(served) as (connection, door):
        joins = request_bytes("POST", JOIN, headers={"Authorization": "Bearer no.ticket"}) * 1000
        served.call(lambda: door.data_received(joins))
        until(lambda: served.call(lambda: door.unread and not door.joining), "the answers pile up")
        assert not served.call(door._transport.is_reading)
        assert effect()[1]["refused.join.ticket_malformed"] < 1000
        assert len(parse_answers(connection.finish())) == 1000


@pytest.mark.parametrize("credential", ["viewing token", "ticket"])
def test_what_comes_while_a_join_waits_for_its_turn_does_not_end_the_reading(
    served: Serving, mint: Callable[..., str], credential: str
) -> None:
    with narrow(served) as (connection, door):
        shown = served.token() if credential == "viewing token" else mint("door-5", now=NOW)

        def before_its_turn() -> None:
            door.data_received(join_request(shown))
            door.data_received(beat(served))

        served.call(before_its_turn)
        assert [answer.status for answer in connection.read_answers(2)] == [201, 204]
        connection.send(beat(served))
        assert connection.read_answers(1)[0].status == 204


def test_of_many_batches_in_one_read_each_waits_until_others_had_their_turn(served: Serving) -> None:
    effect = Effect(served)
    with narrow(served) as (connection, door):
        one = request_bytes("POST", "/v1/beats", b"\n" * 100)

        def in_one_read() -> bytes:
            door.data_received(one * 50)
            return bytes(door.gathered)

        assert served.call(in_one_read) == one * 49
        assert [answer.status for answer in parse_answers(connection.finish())] == [200] * 50
    assert effect()[1] == {"refused.beat.token_malformed": 5000}


def test_joins_by_viewing_token_are_not_taken_while_their_answers_are_unread(served: Serving) -> None:
    effect = Effect(served)
    with narrow(served) as (connection, door):
        joins = join_request(served.token()) * 1000
        served.call(lambda: door.data_received(joins))
        until(lambda: served.call(lambda: door.unread and not door.joining), "the answers pile up")
        assert effect()[1]["join.accepted"] < 1000
        assert len(parse_answers(connection.finish())) == 1000


def test_a_hand_over_behind_unread_answers_is_answered_when_they_are_read(served: Serving) -> None:
    with narrow(served) as (connection, door):
        half = b"GET /healthz HTTP/1.1\r\nHost:"
        served.call(lambda: door.data_received(beat(served) * 2000 + half))
        assert door not in served.doors.doors
        connection.send(b" h\r\n\r\n")
        *beats, last = parse_answers(connection.read_to_end())
        assert [answer.status for answer in beats] == [204] * 2000
        assert (last.status, last.body) == (200, b"ok\n")


def test_what_all_connections_gather_together_is_bounded(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: not served.doors.doors, "earlier connections are closed")
    assert served.doors.gathered_bytes == 0
    monkeypatch.setattr(door_module, "GATHERED_LIMIT_BYTES", 300_000)
    batch = request_bytes("POST", "/v1/beats", served.token().encode() + b"\n" * 200_000)
    short = [Connection(served.port) for _ in range(2)]
    short[0].send(batch[:-1])
    until(lambda: served.doors.gathered_bytes == len(batch) - 1, "the first half batch is here")
    short[1].send(batch[:-1])
    (answer,) = parse_answers(short[1].read_to_end())
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert served.raw(beat(served))[0].status == 204
    for connection in short:
        connection.close()
    until(lambda: served.doors.gathered_bytes == 0, "what was gathered is let go")


def test_remembered_heads_are_bounded_in_number_and_size(served: Serving) -> None:
    requests = b"".join(beat(served, X_Request=str(i)) for i in range(HEADS_LIMIT + 10))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection = Connection(served.port)
    for at in range(0, len(requests), 65_536):
        connection.send(requests[at : at + 65_536])
    answers = connection.finish().count(b"HTTP/1.1 204")
    connection.close()
    assert answers == HEADS_LIMIT + 10
    assert len(served.doors.heads) <= HEADS_LIMIT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64_000
    long = beat(served, X_Long="a" * REMEMBERED_HEAD_BYTES)
    assert served.raw(long)[0].status == 204
    assert not any(len(head) > REMEMBERED_HEAD_BYTES for head in served.doors.heads)
    connection = Connection(served.port)
    ways = served.ways()
    for _ in range(3):
        connection.send(long)
        assert connection.read_answers(1)[0].status == 204
    connection.close()
    assert served.ways()[2] == ways[2] + 3, "a connection remembers a long head"
