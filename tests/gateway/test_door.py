"""The door: whole heartbeats are answered at once, everything else is aiohttp's; the outcome is the same on both."""

import asyncio
import logging
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from counters.journal import Join
from gateway import admission, door_keeper
from gateway import door as door_module
from gateway.answers import announced
from gateway.door import Door
from gateway.door_keeper import HEADS_LIMIT, IDLE_S, PARTIAL_S, REMEMBERED_HEAD_BYTES
from gateway.request_head import HEAD_LIMIT_BYTES
from tests.gateway.serving import NOW, Answer, Connection, Serving, parse_answers, request_bytes, serving, until


@pytest.fixture(scope="module")
def pair(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Serving]]:
    """The same worker twice, with the door and without it; secrets and clock are shared."""
    folder = tmp_path_factory.mktemp("pair")
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it logs every malformed request with a traceback
    with serving(event_file, folder) as door, serving(event_file, folder, with_door=False) as plain:
        yield door, plain
    logging.getLogger("aiohttp.server").setLevel(logging.NOTSET)


@pytest.fixture
def served(pair: tuple[Serving, Serving]) -> Serving:
    return pair[0]


def beat(served: Serving, body: bytes | None = None, path: str = "/v1/beat", **headers: str) -> bytes:
    body = served.token().encode() if body is None else body
    return request_bytes("POST", path, body, {n.replace("_", "-"): value for n, value in headers.items()})


def went_through_the_door(answer: Answer) -> bool:
    return answer.headers.get("connection") != "close"


class Effect:
    """What requests have done to a worker since this was made."""

    def __init__(self, served: Serving) -> None:
        self.served = served
        self.counts = served.counts()
        self.records = len(served.records())

    def __call__(self) -> tuple[list[int], dict[str, int]]:
        counts = self.served.counts()
        return (
            self.served.records()[self.records :],
            {name: n for name in counts if (n := counts[name] - self.counts.get(name, 0))},
        )


# What the door answers.


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


# Joins.

JOIN = "/v1/events/expo/sessions/opening/join"


def join_request(credential: str, path: str = JOIN, **headers: str) -> bytes:
    named = {n.replace("_", "-"): value for n, value in headers.items()}
    return request_bytes("POST", path, b"", {"Authorization": f"Bearer {credential}"} | named)


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


# What it hands over.


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


# Both ways.

WORDS = st.sampled_from(
    ["Keep-Alive", "keep-alive", "close", "upgrade", "text/plain", "TEXT/plain; charset=utf-8", "application/json", "",
     "chunked", "identity", "gzip", "100-continue", "64", "66", "0", "-1", "+64", "064", "64, 64", "1e2", "h", "a b",
     "h:8080", "\x7f", "\x00", "\xff", "x\ty", "a" * 300, "websocket", "timeout=5"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["Connection", "Content-Type", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Expect", "Upgrade",
     "Host", "Origin", "X-Any", "connection", "CONTENT-LENGTH", "Content-Length ", " X-Folded", "Bad Name",
     "Keep-Alive", "Cookie", "Turnout", "Proxy-Connection", "", "Content_Length", "TE", "Sec-WebSocket-Key"]
)  # fmt: skip
LINES = st.sampled_from(
    ["POST /v1/beat HTTP/1.1"] * 6 + ["POST /v1/leave HTTP/1.1"] * 2 +
    ["POST /v1/beat HTTP/1.0", "post /v1/beat HTTP/1.1", "POST  /v1/beat HTTP/1.1", "POST /v1/beat/ HTTP/1.1",
     "POST /v1/beat?a=b HTTP/1.1", "POST http://h/v1/beat HTTP/1.1", "POST /v1/%62eat HTTP/1.1",
     "GET /v1/beat HTTP/1.1", "POST /v1/beat HTTP/2.0", "POST /v1/beat", "PUT /v1/leave HTTP/1.1",
     "POST /v1/beat HTTP/1.1 ", "OPTIONS /v1/beat HTTP/1.1", "POST /v1/beat\tHTTP/1.1"]
)  # fmt: skip
BODIES = st.sampled_from(
    ["good"] * 5 + ["good p", "good b", "good a", "good e", "good x", "good  p", "goodp", "expired", "expired b",
                    "session", "forged", "", "p", "x" * 64, "x" * 66, "good p\r\n"]
)  # fmt: skip
EXTRA = st.lists(st.tuples(NAMES, WORDS), max_size=3)


def spelled(served: Serving, body: str) -> bytes:
    good = served.token()
    named = {
        "good": good,
        "expired": served.token(expires_at=NOW - 1),
        "session": served.token(session=9),
        "forged": ("A" if good[10] != "A" else "B").join((good[:10], good[11:])),
    }
    for name, text in named.items():
        if body.startswith(name):
            return body.replace(name, text, 1).encode()
    return body.encode()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=LINES, extra=EXTRA, body=BODIES, length=st.sampled_from([0, 0, 0, 0, -1, 1, None]), end=st.sampled_from(
    ["\r\n"] * 5 + ["\n"]), host=st.sampled_from(["h", "h", "h", None]))  # fmt: skip
def test_the_same_bytes_have_the_same_outcome_at_the_door_and_on_aiohttps_route(
    pair: tuple[Serving, Serving],
    line: str,
    extra: list[tuple[str, str]],
    body: str,
    length: int | None,
    end: str,
    host: str | None,
) -> None:
    # What lies behind a request is another's; aiohttp alone would refuse the first for it.
    raw_body = b"" if line.startswith("OPTIONS") else spelled(pair[0], body)
    headers = [("Host", host)] if host else []
    headers += [("Content-Length", str(len(raw_body) + length))] if length is not None else []
    headers += extra
    assume(
        all(int(value) == len(raw_body) for name, value in headers if value in {"64", "66"} and "ength" in name.lower())
    )
    head = end.join([line, *(f"{name}: {value}" for name, value in headers), "", ""])
    stream = head.encode("latin-1") + raw_body
    outcomes = []
    for served in pair:
        effect = Effect(served)
        answers = served.raw(stream)
        outcomes.append((answers[0].status if answers else None, effect()))
    assert outcomes[0] == outcomes[1]
    # aiohttp quotes an unknown expectation in its 417, and cannot if it is not Unicode.
    assert outcomes[0][0] != 500 or ("Expect", "\xff") in extra


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=60), place=st.integers(0, 80))
def test_damaged_bytes_have_the_same_outcome_on_both(pair: tuple[Serving, Serving], noise: bytes, place: int) -> None:
    good = beat(pair[0])
    noise = noise.translate(bytes.maketrans(b"0123456789", b"zyxwvutsrq"))  # it does not change the length of the body
    stream = good[:place] + noise + good[place + len(noise) :]
    outcomes = []
    for served in pair:
        effect = Effect(served)
        answers = served.raw(stream)
        outcomes.append((answers[0].status if answers else None, effect()))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] != 500


JOIN_LINES = st.sampled_from(
    [f"POST {JOIN} HTTP/1.1"] * 6 +
    [f"POST {JOIN}?outlet=tv HTTP/1.1", f"POST {JOIN}?outlet=a%20b HTTP/1.1", f"POST {JOIN}?outlet=+ HTTP/1.1",
     f"POST {JOIN}?outlet=&x=1 HTTP/1.1", f"POST {JOIN}? HTTP/1.1", f"POST {JOIN}/ HTTP/1.1", f"GET {JOIN} HTTP/1.1",
     f"OPTIONS {JOIN} HTTP/1.1", f"POST {JOIN.replace('expo', 'EXPO')} HTTP/1.1", f"POST {JOIN} HTTP/1.0",
     f"POST {JOIN.replace('opening', 'nothing')} HTTP/1.1", f"POST {JOIN.replace('opening', '%6fpening')} HTTP/1.1"]
)  # fmt: skip
CREDENTIALS = st.sampled_from(
    ["Bearer {good}"] * 6 + ["bearer {good}", "Bearer  {good} ", "Bearer{good}", "Basic {good}", "Bearer {good} x",
     "Bearer", "", "Bearer {expired}", "Bearer {forged}", "Bearer \xff", "Bearer x.y.z", "{good}", "Bearer\t{good}"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    line="POST /v1/events/expo/sessions/opening/join HTTP/1.1",
    credential="Bearer {good}",
    extra=[("Proxy-Connection", "close")],
    length=None,
)
@given(line=JOIN_LINES, credential=CREDENTIALS, extra=EXTRA, length=st.sampled_from([None, 0, 0, "00", 1]))
def test_a_join_has_the_same_outcome_at_the_door_and_on_aiohttps_route(
    pair: tuple[Serving, Serving], line: str, credential: str, extra: list[tuple[str, str]], length: int | str | None
) -> None:
    credential = credential.format(good=spelled(pair[0], "good").decode(), expired=spelled(pair[0], "expired").decode(),
                                   forged=spelled(pair[0], "forged").decode())  # fmt: skip
    assume(not any(value in {"64", "66"} and "ength" in name for name, value in extra))
    headers = [("Host", "h"), ("Authorization", credential), *extra]
    headers += [("Content-Length", str(length))] if length is not None else []
    head = "\r\n".join([line, *(f"{name}: {value}" for name, value in headers), "", ""])
    stream = head.encode("latin-1") + (b"x" if length == 1 else b"")
    outcomes = []
    for served in pair:
        effect, before = Effect(served), len(served.journal())
        answers = served.raw(stream)
        journal = [(record.session, record.outlet, record.agent, record.address)  # type: ignore[union-attr]
                   for record in served.journal()[before:]]  # fmt: skip
        outcomes.append((answers[0].status if answers else None, effect(), journal))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] != 500 or ("Expect", "\xff") in extra


def test_both_raise_the_same_registers(pair: tuple[Serving, Serving]) -> None:
    for served in pair:
        served.raw(beat(served, served.token(attendee=63 << 24 | 16_383, view=50 << 24 | 1, session=2).encode()))
    high = [[(at, rank) for at, rank in enumerate(served.registers()) if rank >= 50] for served in pair]
    assert high[0] == high[1]
    assert [rank for _, rank in high[0]] == [63, 50]


def test_a_host_that_is_no_unicode_is_said_back_as_it_came_on_both(pair: tuple[Serving, Serving]) -> None:
    for served in pair:
        connection = Connection(served.port)
        headers = {"Host": "caf\xe9", "Authorization": f"Bearer {served.token()}"}
        connection.send(request_bytes("POST", JOIN, headers=headers))
        (answer,) = connection.read_answers(1)
        assert (answer.status, answer.json["beat_url"]) == (201, "http://caf\xe9/v1/beat")
        connection.close()


# What takes too long, and what never ends.


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


def test_a_stopping_worker_closes_its_connections(event_file: Path, tmp_path: Path) -> None:
    with serving(event_file, tmp_path) as served:
        connection = Connection(served.port)
        connection.send(beat(served))
        connection.read_answers(1)
    assert connection.read_to_end() == b""
    connection.close()
