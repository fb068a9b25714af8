"""The replay against a server that only plays Turnout: what is sent when, and what counts as acknowledged."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from joserfc import jwk

from load_tests import replay as replay_module
from load_tests.audience import Audience, Plan
from load_tests.http_client import Address, UnexpectedAnswerError
from load_tests.public_interface import Gateway, Ledger
from load_tests.replay import Replay
from load_tests.scenario import REHEARSAL, read_scenario
from load_tests.tickets import Issuer

Stub = Callable[[Callable[[bytes], bytes]], AbstractAsyncContextManager[tuple[Address, list[bytes]]]]
Run = Callable[[Callable[[], Awaitable[None]]], None]

SCENARIO = read_scenario(REHEARSAL)
PROBLEM = b'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\n\r\n{"reason":1}'


def http(status: str, document: object) -> bytes:
    body = json.dumps(document).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class PlayedTurnout:
    """Accepts everything, gives each join its own token, and keeps the clock; `outcome` is that of every scan."""

    def __init__(self, outcome: str = "accepted", *, busy: int = 0) -> None:
        self.now = ""
        self.tokens = 0
        self.outcome = outcome
        self.busy = busy  # so many joins are answered 503 first
        self.asked: Counter[str] = Counter()

    def answer(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        if path == "/v1/simulation/clock":
            assert json.loads(body)["now"] >= self.now, "the clock goes forward"
            self.now = json.loads(body)["now"]
            return http("200 OK", {})
        if "/join" in path:
            if self.busy:
                self.busy -= 1
                return PROBLEM
            self.tokens += 1
            return http("201 Created", {"token": f"token{self.tokens}"})
        if path.endswith("/checkins"):
            scans = json.loads(body)["scans"]
            assert all(scan["scanned_at"] <= self.now for scan in scans)
            return http("200 OK", {"outcomes": [{"nonce": scan["nonce"], "outcome": self.outcome} for scan in scans]})
        self.asked[path + body.decode().partition(" ")[2]] += 1
        return b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.fixture
def plan() -> Plan:
    return Audience(SCENARIO).plan()


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    key = tmp_path / "tickets.private.jwk.json"
    key.write_text(json.dumps(jwk.ECKey.generate_key("P-256", {"kid": "k"}).as_dict(private=True)))
    return Issuer(key, SCENARIO.programme)


def replay_at(address: Address, plan: Plan, issuer: Issuer) -> Replay:
    event = SCENARIO.programme.event
    return Replay(
        SCENARIO.programme, plan, Gateway(address, event), Ledger(address, event, "KEY"), issuer, scanner_key="SCAN"
    )


def test_everything_planned_is_sent_once_and_noted_once_it_is_acknowledged(
    run: Run, stub: Stub, plan: Plan, issuer: Issuer
) -> None:
    async def scenario() -> None:
        turnout = PlayedTurnout()
        async with stub(turnout.answer) as (address, _):
            replay = replay_at(address, plan, issuer)
            times = [at async for at in replay.run()]
        assert times == sorted(times)
        assert turnout.now == SCENARIO.programme.iso(times[-1])
        step_s = SCENARIO.programme.interval_s
        states = Counter(view.state(at) for view in plan.views for at in range(view.joins_at, view.leaves_at, step_s))
        assert turnout.tokens == plan.joins() == replay.totals.joins
        assert turnout.asked["/v1/beat"] == states["p"]
        assert turnout.asked["/v1/beata"] == states["a"]
        assert turnout.asked["/v1/beatb"] == states["b"]
        assert turnout.asked["/v1/leave"] + turnout.asked["/v1/beate"] == replay.totals.leaves
        acknowledged = replay.acknowledged
        assert sum(len(persons) for _, persons, _ in acknowledged.beats) == states["p"] + states["b"]
        assert Counter(person for _, person, _ in acknowledged.views) == Counter(view.person for view in plan.views)
        assert len(acknowledged.scans) == len(plan.scans) + sum(scan.again_at > 0 for scan in plan.scans)

    run(scenario)


def test_a_join_that_finds_no_seat_at_first_is_tried_again_and_is_one_view(
    run: Run, stub: Stub, plan: Plan, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "RETRY_S", 0.0)

    async def scenario() -> None:
        async with stub(PlayedTurnout(busy=3).answer) as (address, _):
            replay = replay_at(address, plan, issuer)
            async for _ in replay.run():
                if replay.totals.tried_again == 3:
                    break
            assert len(replay.acknowledged.views) == replay.totals.joins > 0

    run(scenario)


def test_a_server_that_stays_busy_and_a_scan_that_is_refused_stop_the_replay(
    run: Run, stub: Stub, plan: Plan, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "RETRY_S", 0.0)

    async def scenario() -> None:
        async with stub(PlayedTurnout(busy=10**6).answer) as (address, _):
            with pytest.raises(UnexpectedAnswerError, match="503"):
                _ = [at async for at in replay_at(address, plan, issuer).run()]
        async with stub(PlayedTurnout("refused").answer) as (address, _):
            with pytest.raises(ValueError, match="a scan was not accepted"):
                _ = [at async for at in replay_at(address, plan, issuer).run()]

    run(scenario)
