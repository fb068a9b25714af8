"""The bench's own clients: an open loop that charges from the schedule, a closed one, and what they do on the wire."""

import itertools
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from load_tests.bench import closed_loop, open_loop
from load_tests.bench.open_loop import Outcome, Plan, Schedule
from load_tests.bench.raw_connections import NO_ANSWER, Connections
from load_tests.http_client import Address

ACCEPTED = b"HTTP/1.1 204 No Content\r\nTurnout-Interval: 30\r\n\r\n"
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"
LAST = b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n"
REQUEST = b"POST /v1/beat HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
STALL_S = 0.4


class Server(socketserver.ThreadingTCPServer):
    """Answers the n-th request of all with the parts that `answer(n)` gives; after no parts, or LAST, it hangs up."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[int], list[bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.numbers = itertools.count()

    @property
    def at(self) -> Address:
        return Address("127.0.0.1", self.server_address[1])


class Handler(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        received = b""
        while data := self.request.recv(65_536):
            received += data
            while received.startswith(REQUEST):
                received = received[len(REQUEST) :]
                parts = self.server.answer(next(self.server.numbers))
                for part in parts:
                    self.request.sendall(part)
                if not parts or parts == [LAST]:
                    return


@contextmanager
def server(answer: Callable[[int], list[bytes]]) -> Iterator[Server]:
    with Server(answer) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def driven(answer: Callable[[int], list[bytes]], *, count: int = 40, connections: int = 4) -> Outcome:
    with server(answer) as running:
        return open_loop.drive(Plan(running.at, (REQUEST,), count / 0.1, 0.1, connections))


def test_a_plan_is_the_same_schedule_each_time_and_another_seed_another_one() -> None:
    one, same, other = (Plan(Address("h", 1), (REQUEST,), 1000.0, 3.0, 7, seed=seed) for seed in (5, 5, 6))
    assert (one.times_s() == same.times_s()).all()
    assert (one.lines() == same.lines()).all()
    assert (one.times_s() != other.times_s()).any()
    assert (one.lines() != other.lines()).any()


def test_a_poisson_schedule_has_gaps_as_irregular_as_it_should_and_an_even_one_has_one_in_each_interval() -> None:
    """Exponential gaps: their standard deviation is their mean, here within 5 standard errors (1/√n each, seeded)."""
    poisson, even = (Plan(Address("h", 1), (REQUEST,), 10_000.0, 2.0, 7, schedule) for schedule in Schedule)
    gaps = np.diff(poisson.times_s())
    assert (gaps >= 0).all()
    assert abs(gaps.std() / gaps.mean() - 1) < 5 * np.sqrt(2 / len(gaps))
    assert (np.floor(even.times_s() * 10_000) == np.arange(20_000)).all()
    for plan in (poisson, even):
        assert len(plan.times_s()) == len(plan.lines()) == 20_000
        assert plan.times_s().max() < 2.0


def test_every_connection_is_used_once_before_any_is_used_again() -> None:
    lines = Plan(Address("h", 1), (REQUEST,), 1000.0, 1.0, 100).lines().reshape(10, 100)
    assert (np.sort(lines, axis=1) == np.arange(100)).all()
    assert (lines[0] != lines[1]).any()


def test_every_request_is_sent_when_due_or_later_and_its_answer_comes_after_that() -> None:
    outcome = driven(lambda _: [ACCEPTED])
    assert outcome.statuses == Counter({204: 40})
    assert (outcome.sent_s >= outcome.scheduled_s).all()
    assert (outcome.answered_s >= outcome.sent_s).all()
    assert (len(outcome.latency_s), outcome.opened) == (40, 4)
    assert len(outcome.late_s) == 40 - outcome.waited.sum()
    assert len(outcome.turns_s) > 0


def test_what_waits_behind_a_stalled_request_is_charged_for_it() -> None:
    stalled = threading.Event()

    def answer(number: int) -> list[bytes]:
        if number == 0:
            stalled.wait(STALL_S)
        return [ACCEPTED]

    outcome = driven(answer, connections=1)
    assert outcome.waited.sum() == 39
    assert len(outcome.late_s) == 1  # only the first could have been late by the client's own fault
    # The stall outlasts the schedule: everyone waited for the rest of it. A closed loop would see one slow request.
    assert (outcome.latency_s >= STALL_S - 0.1).all()
    assert (outcome.service_s[1:] < outcome.latency_s[1:]).all()
    assert (outcome.sent_s[1:] >= outcome.answered_s[:-1]).all()


def test_answers_in_parts_and_answers_with_a_body_are_read_whole() -> None:
    for parts in ([ACCEPTED[:9], ACCEPTED[9:]], [CREATED[:-3], CREATED[-3:]], [CREATED], [CREATED[:5], CREATED[5:]]):
        outcome = driven(lambda _, parts=parts: parts)  # type: ignore[misc]
        assert outcome.statuses == Counter({int(b"".join(parts)[9:12]): 40})


def test_a_connection_that_the_server_closes_is_opened_again_when_it_is_used_again() -> None:
    outcome = driven(lambda _: [LAST])
    assert outcome.statuses == Counter({204: 40})
    assert outcome.opened == 40


def test_a_request_whose_connection_ends_has_no_answer_and_no_latency() -> None:
    outcome = driven(lambda number: [] if number % 4 == 0 else [ACCEPTED])
    assert outcome.statuses == Counter({204: 30, NO_ANSWER: 10})
    assert len(outcome.latency_s) == 30
    assert np.isnan(outcome.answered_s).sum() == 10


def test_a_plan_is_driven_in_a_process_of_its_own() -> None:
    with (
        server(lambda _: [ACCEPTED]) as running,
        open_loop.elsewhere(Plan(running.at, (REQUEST,), 100.0, 0.2, 2)) as outcome,
    ):
        assert outcome.result(60).statuses == Counter({204: 20})


@pytest.mark.parametrize("active", [1, 3, 8])
def test_a_closed_loop_has_no_more_under_way_than_asked_and_goes_round_the_connections(active: int) -> None:
    lock, most, now = threading.Lock(), 0, 0

    def answer(_: int) -> list[bytes]:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.002)  # long enough for the others to arrive, if there are others
        with lock:
            now -= 1
        return [ACCEPTED]

    with server(answer) as running, Connections(running.at, 8) as connections:
        run = closed_loop.run(connections, [REQUEST] * 50, active)
        assert connections.opened == 8
    assert run.statuses == Counter({204: 50})
    assert run.requests == 50
    assert most <= active


def test_a_closed_loop_ends_with_its_time_and_every_answer() -> None:
    with server(lambda _: [ACCEPTED]) as running, Connections(running.at, 4) as connections:
        run = closed_loop.run(connections, itertools.repeat(REQUEST), 4, seconds=0.1)
    assert run.statuses.keys() == {204}
    assert next(running.numbers) == run.requests


def test_a_server_that_says_nothing_fails_a_closed_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_loop, "PATIENCE_S", 0.05)
    held = threading.Event()

    def answer(_: int) -> list[bytes]:
        held.wait(20)
        return [ACCEPTED]

    with server(answer) as running, Connections(running.at, 2) as connections:
        with pytest.raises(RuntimeError, match="2 requests under way"):
            closed_loop.run(connections, [REQUEST] * 5, 2)
        held.set()
