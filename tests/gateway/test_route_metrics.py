"""Every answer of a worker is counted by route and status, and timed, whether door or aiohttp gave it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from counters.cells import read_cells
from gateway import ledger_metrics, witness_service
from gateway.reasons import Reason
from gateway.route_metrics import (
    ALWAYS_THERE,
    BY_OUTCOME,
    RouteMetrics,
    by_status,
    request_cells,
    request_durations,
    requests,
)
from gateway.timed_cells import PlainCells
from gateway.worker_counters import MEASURES
from gateway.worker_measures import NAMES, ROUTES, heartbeat_durations, join_durations
from metrics.catalogue import HEARTBEATS_A_SAMPLE, HTTP_CODES, HTTP_ROUTES
from tests.gateway.serving import NOW, Connection, Serving, request_bytes, serving, until


@pytest.fixture(scope="module")
def served(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A worker whose ledger and Redis do not answer."""
    with serving(event_file, tmp_path_factory.mktemp("routes")) as worker:
        yield worker


@pytest.fixture
def totals(served: Serving) -> Callable[[], dict[str, int]]:
    """What was measured since the test began, by name of the cell."""

    def now() -> dict[str, int]:
        # In the loop: whatever was answered before is counted by then.
        return served.call(lambda: dict(read_cells(served.worker.folder / MEASURES)))

    before = now()
    return lambda: {name: count - before[name] for name, count in now().items()}


def asked(totals: dict[str, int]) -> dict[tuple[str, str], float]:
    return {pair: count for pair, count in requests(totals, ROUTES).items() if count}


@pytest.mark.parametrize(
    ("method", "path", "pair"),
    [
        ("GET", "/healthz", ("healthz", "200")),
        ("GET", "/v1/openapi.json", ("openapi", "200")),
        ("GET", "/v1/events/expo/live", ("live", "200")),
        ("GET", "/v1/events/fair/live", ("live", "404")),
        ("GET", "/log/checkpoint", ("log", "503")),
        ("GET", "/v1/events/expo/certificates/abc", ("certificates", "503")),
        ("POST", "/v1/events/expo/checkins", ("checkins", "401")),
        ("GET", "/nothing/here", ("other", "404")),
        ("GET", "/v1/beat", ("other", "405")),
        ("OPTIONS", "/v1/events/expo/attendance", ("preflight", "204")),
        ("POST", "/v1/beats", ("beats", "400")),
    ],
)
def test_an_answer_is_counted_once_and_timed_once(
    served: Serving, totals: Callable[[], dict[str, int]], method: str, path: str, pair: tuple[str, str]
) -> None:
    assert str(served.ask(method, path).status) == pair[1]
    assert asked(totals()) == {pair: 1}
    assert {route: sum(took.counts) for route, took in request_durations(totals(), ROUTES).items()} == {pair[0]: 1}


def test_heartbeats_leaves_and_joins_are_not_counted_here_again(
    served: Serving, totals: Callable[[], dict[str, int]], mint: Callable[..., str]
) -> None:
    before = served.ways()[0]
    for query in ("", "?by=aiohttp"):
        for path in ("/v1/beat", "/v1/leave"):
            assert served.ask("POST", path + query, served.token().encode()).status == 204
        assert served.join(mint("attendee-1", now=NOW), query=query).status == 201
    assert served.ways()[0] >= before + 2
    assert asked(totals()) == {}


def test_one_heartbeat_in_so_many_is_timed_however_they_come(
    served: Serving, totals: Callable[[], dict[str, int]]
) -> None:
    served.call(served.worker.answers.another_round)
    beat = request_bytes("POST", "/v1/beat", served.token().encode())
    connection = Connection(served.port)
    for _ in range(HEARTBEATS_A_SAMPLE):
        connection.send(beat)
        connection.read_answers(1)
    connection.send(beat * HEARTBEATS_A_SAMPLE)
    connection.read_answers(HEARTBEATS_A_SAMPLE)
    connection.close()
    until(lambda: sum(heartbeat_durations(totals()).counts) == 2, "two are timed")
    assert 0 < heartbeat_durations(totals()).sum_s < 60


@pytest.mark.parametrize(("query", "handed_over"), [("", 0), ("?outlet=tv&x=1", 3)], ids=["at the door", "on aiohttp"])
def test_a_join_is_timed_whatever_becomes_of_it(
    served: Serving, totals: Callable[[], dict[str, int]], mint: Callable[..., str], query: str, handed_over: int
) -> None:
    before = served.ways()[0]
    statuses = []
    for credential in (mint("attendee-2", now=NOW), "nothing", served.token()):
        connection = Connection(served.port)
        path, headers = f"/v1/events/expo/sessions/opening/join{query}", {"Authorization": f"Bearer {credential}"}
        connection.send(request_bytes("POST", path, headers=headers))
        statuses.append(connection.read_answers(1)[0].status)
        connection.close()
    assert statuses == [201, 401, 201]
    assert served.ways()[0] - before == handed_over
    until(lambda: sum(join_durations(totals()).counts) == 3, "three are timed")
    assert join_durations(totals()).sum_s > 0


def test_a_preflight_at_the_door_is_counted_and_takes_no_time(
    served: Serving, totals: Callable[[], dict[str, int]]
) -> None:
    before, connection = served.ways()[0], Connection(served.port)
    join = "/v1/events/expo/sessions/opening/join"
    connection.send(request_bytes("OPTIONS", join, headers={"Access-Control-Request-Method": "POST"}))
    assert connection.read_answers(1)[0].status == 204
    connection.close()
    assert served.ways()[0] == before
    assert (asked(totals()), request_durations(totals(), ROUTES)) == ({("preflight", "204"): 1}, {})


def test_a_status_or_a_route_that_nobody_foresaw_is_other() -> None:
    cells = PlainCells(request_cells(("log", "other")))
    metrics = RouteMetrics(cells, ("log", "other"))
    metrics.answered("log", 418, 0.1)
    metrics.answered("party", 200, 0.1)
    counted = requests(cells.read(), ("log", "other"))
    assert {pair: count for pair, count in counted.items() if count} == {("log", "other"): 1, ("other", "200"): 1}
    assert set(counted) >= {(route, code) for route in ("log", "other") for code in ALWAYS_THERE}


def test_outcomes_have_the_status_that_was_answered() -> None:
    outcomes = {"playing": 5, "paused": 2, "token_expired": 3, "token_revoked": 1, "disk_full": 0, "ticket_expired": 0}
    assert by_status("beat", outcomes, 204) == {
        ("beat", "204"): 7, ("beat", "410"): 4, ("beat", "500"): 0, ("beat", "503"): 0
    }  # fmt: skip


def test_every_reason_has_a_status_of_the_closed_set() -> None:
    assert {str(reason.status) for reason in Reason} <= set(HTTP_CODES)


def test_every_route_of_the_table_has_a_name_of_the_closed_set(served: Serving) -> None:
    table = served.worker.api.application().router.resources()
    named = {resource.canonical: (resource.name or "").partition(".")[0] for resource in table}
    assert set(named.values()) == {*ROUTES, *BY_OUTCOME} - {"preflight", "other"}


def test_the_closed_set_of_routes_is_what_the_processes_have() -> None:
    assert {*ROUTES, *BY_OUTCOME, *ledger_metrics.ROUTES, *witness_service.ROUTES} == set(HTTP_ROUTES)


def test_the_measures_of_a_worker_fit_into_their_file_with_room_for_more() -> None:
    assert len("\n".join(NAMES)) < 0.8 * 8176
