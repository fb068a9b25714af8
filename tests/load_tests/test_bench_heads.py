"""Mixed, pipelined and split heartbeats: what is sent is what the table says, and the door answers all of it."""

import itertools
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.door_keeper import HEADS_LIMIT
from gateway.request_head import EMPTY_LINE, Kind, read_head
from load_tests.bench import contenders, heads, request_heads, segments, turns, wrk
from load_tests.bench.heads import Found
from load_tests.bench.spread import Spread
from load_tests.http_client import Address

TOKENS = ["a" * 64, "b" * 64, "c" * 64]


def test_heads_are_different_repeatable_and_all_understood_by_the_door() -> None:
    found = request_heads.different(1000)
    assert len(set(found)) == 1000
    assert found == request_heads.different(1000)
    assert found[0] == wrk.BROWSER
    for headers in found:
        request = wrk.browser_request("beat.example", TOKENS[0], headers)
        head = read_head(request.partition(EMPTY_LINE)[0] + EMPTY_LINE)
        assert head is not None
        assert (head.kind, head.whole) == (Kind.BEAT, len(request))


def test_the_variants_lie_on_both_sides_of_what_the_door_remembers() -> None:
    assert heads.FEW < HEADS_LIMIT < heads.MANY
    assert heads.NEVER_AGAIN > 2 * HEADS_LIMIT


def test_a_cycle_sends_each_head_once_and_all_tokens() -> None:
    requests = heads.mixed(300, 300, TOKENS)
    assert len({request.partition(b"\r\n\r\n")[0] for request in requests}) == 300
    assert {request[-64:] for request in requests} == {token.encode() for token in TOKENS}


def test_a_random_order_keeps_to_its_number_of_heads() -> None:
    requests = heads.mixed(20, 1000, TOKENS)
    assert len(requests) == 1000
    assert len({request.partition(b"\r\n\r\n")[0] for request in requests}) == 20


def test_parts_are_the_request_and_none_is_empty() -> None:
    request, source = wrk.browser_request("beat.example", TOKENS[0]), random.Random(3)
    for count in (1, 2, 8, len(request)):
        parts = segments.cut(request, count, source)
        assert (len(parts), b"".join(parts)) == (count, request)
        assert all(parts)


def test_the_share_of_heads_in_memory_is_unknown_until_turnout_says_it() -> None:
    assert heads.remembered(None, 100) is None
    assert heads.remembered(0, 0) is None
    assert heads.remembered(25, 100) == 0.75
    assert heads.remembered(101, 100) == 0.0


def test_the_table_shows_turnout_beside_nginx_and_a_dash_for_what_is_not_known() -> None:
    found = [Found("one", Spread(6, 5, 7), Spread(4, 4, 4), 0.995, 1000), Found("two", Spread(6, 5, 7), None, None, 10)]
    assert heads.markdown(found).splitlines()[2:] == [
        "| one | 6.00 µs (5.00 to 7.00) | 4.00 µs (4.00 to 4.00) | 1.50 × | 99.5% | 1,000 |",
        "| two | 6.00 µs (5.00 to 7.00) | – | – | – | 10 |",
    ]


class Listener:
    """Reads what the connections bring, one `recv` after another, and answers each request of `size` bytes."""

    def __init__(self, size: int, answer: bytes) -> None:
        self._size, self._answer = size, answer
        self.reads: list[list[int]] = []  # lengths of what came, by request
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=wrk.CONNECTIONS)
        self.address = Address("127.0.0.1", self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        for _ in range(wrk.CONNECTIONS):
            threading.Thread(target=self._serve, args=[self._socket.accept()[0]], daemon=True).start()
        self._socket.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            read: list[int] = []
            while part := connection.recv(65536):
                read.append(len(part))
                if sum(read) == self._size:
                    self.reads.append(read)
                    read = []
                    connection.sendall(self._answer)


def test_parts_go_out_one_by_one_and_refusals_are_counted() -> None:
    request = wrk.browser_request("beat.example", TOKENS[0])
    parts = segments.cut(request, 3, random.Random(1))
    listener = Listener(len(request), b"HTTP/1.1 204 No Content\r\n\r\n")
    found = segments.run(listener.address, 0.0, [parts])
    assert found.requests == 0
    listener = Listener(len(request), b"HTTP/1.1 204 No Content\r\n\r\n")
    found = segments.run(listener.address, 0.2, [parts])
    assert found.sound
    assert found.requests == len(listener.reads)
    assert {sum(read) for read in listener.reads} == {len(request)}
    assert any(len(read) == 3 for read in listener.reads)
    refusing = Listener(len(request), b"HTTP/1.1 401 Unauthorized\r\n\r\n")
    assert segments.run(refusing.address, 0.2, [parts]).other == wrk.CONNECTIONS


class Kept:
    """A client that keeps what it was asked."""

    def __init__(self, run: wrk.Run) -> None:
        self.run = run

    def load(self, address: Address, seconds: int, *, check: bool = False) -> wrk.Run:  # noqa: ARG002
        return self.run


@pytest.fixture(scope="module")
def field() -> Iterator[contenders.Field]:
    with contenders.field([]) as found:
        yield found


def test_an_answer_that_is_no_204_and_a_heartbeat_that_is_not_counted_end_the_measurement(
    field: contenders.Field,
) -> None:
    (ours,) = field.contenders
    bad = wrk.Run(10, 1_000, 0, 0, 0, other=1, p99_us=1)
    with pytest.raises(RuntimeError, match="does not answer everything with 204"):
        turns.admit(ours, Kept(bad))
    never_sent = wrk.Run(10, 1_000, 0, 0, 0, 0, p99_us=1)
    with pytest.raises(RuntimeError, match="10 heartbeats answered, but only 0 counted"):
        turns.measure(ours, Kept(never_sent), 1, tokens=1)


@pytest.mark.parametrize("variant", heads.VARIANTS, ids=lambda variant: variant.name)
def test_turnout_answers_and_counts_every_variant(
    tmp_path: Path, needed: Callable[[str], str], field: contenders.Field, variant: heads.Variant
) -> None:
    needed("wrk")
    (ours,) = field.contenders
    client = variant.client(tmp_path, field.turnout.tokens)
    assert turns.measure(ours, client, 1, tokens=len(field.turnout.tokens)).requests > 0


def requests_in(written: Sequence[bytes]) -> int:
    return sum(request.count(b"POST /v1/beat") for request in written)


def test_a_player_with_a_connection_of_its_own_always_sends_the_same_head(tmp_path: Path) -> None:
    (variant,) = [one for one in heads.VARIANTS if one.name.startswith("a head of its own")]
    variant.client(tmp_path, [f"{number:064}" for number in range(200)])
    requests = [parts[0] for parts in json.loads((tmp_path / "parts.json").read_text())]
    assert len(requests) == 3 * wrk.CONNECTIONS
    by_connection = [
        {request.partition("\r\n\r\n")[0] for request in requests[number :: wrk.CONNECTIONS]}
        for number in range(wrk.CONNECTIONS)
    ]
    assert [len(of_one) for of_one in by_connection] == [1] * wrk.CONNECTIONS
    assert len(set.union(*by_connection)) == wrk.CONNECTIONS


def test_pipelined_requests_are_eight_in_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Sequence[bytes]] = []
    monkeypatch.setattr(wrk, "write_script", lambda _, requests, **__: written.append(requests))
    (variant,) = [one for one in heads.VARIANTS if one.name == "200 heads, 8 requests pipelined"]
    variant.client(tmp_path, [f"{number:064}" for number in range(256)])
    requests = list(itertools.chain.from_iterable(written[:1]))
    assert requests_in(requests) == heads.DEPTH * len(requests) == heads.DEPTH * 256
