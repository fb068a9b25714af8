"""A gateway's name: taken before anybody is served, by one spool at a time."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import uvloop

from counters.event import Event
from gateway import gateway_name
from gateway.gateway_name import NAME_TAKEN, claim_name, spool_id
from gateway.ledger_client import (
    GatewayName,
    InForce,
    LedgerClient,
    LedgerRefusedError,
    LedgerUnavailableError,
    WorkerName,
)
from gateway.mendable import CannotServeError
from gateway.settings import GatewaySettings
from gateway.supervisor import Holdings, Supervisor
from gateway.tracing import Tracing
from tests.gateway.serving import NO_REDIS, RunningLedger, ledger

FIRST = "1" * 16
TAKEN = LedgerRefusedError("the name is taken", NAME_TAKEN)


@pytest.fixture
def running(simulated_event_file: Path, tmp_path: Path) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path) as service:
        yield service


class Says:
    """A ledger that says one thing after the other, and the last again and again."""

    def __init__(self, *says: Exception | None) -> None:
        self.says = list(says)
        self.asked = 0

    async def steering(self, _name: GatewayName, _known: int, _known_keys: str) -> InForce:
        self.asked += 1
        if (said := self.says.pop(0) if len(self.says) > 1 else self.says[0]) is not None:
            raise said
        return InForce()


def claim(says: Says) -> None:
    asyncio.run(claim_name(cast("LedgerClient", says), GatewayName("g", FIRST, "00" * 32)))


def test_a_name_that_is_held_is_waited_for_and_one_that_stays_taken_ends_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway_name, "ASK_AGAIN_S", 0.001)
    monkeypatch.setattr(gateway_name, "NAME_PATIENCE_S", 3600.0)
    says = Says(TAKEN, TAKEN, None)
    claim(says)
    assert says.asked == 3
    monkeypatch.setattr(gateway_name, "NAME_PATIENCE_S", 0.01)
    with pytest.raises(CannotServeError, match="the name is taken"):
        claim(stays := Says(TAKEN))
    assert stays.asked > 1, "however long the first answer took"


@pytest.mark.parametrize("says", [LedgerUnavailableError("away"), LedgerRefusedError("no", "other_event")])
def test_nothing_else_that_a_ledger_says_or_does_not_say_keeps_a_gateway_from_starting(says: Exception) -> None:
    claim(asked := Says(says))
    assert asked.asked == 1


def test_a_second_gateway_of_a_name_ends_before_it_has_a_worker(
    running: RunningLedger, simulated: Event, simulated_event_file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(gateway_name, "NAME_PATIENCE_S", 0.0)
    spool = tmp_path / "spool-of-the-second"
    spool.mkdir()
    config = GatewaySettings(
        event_file=str(simulated_event_file), secrets_file="", spool=str(spool), registry_url=NO_REDIS,
        live_url=NO_REDIS, ledger_url=running.url, host="127.0.0.1", port=0, metrics_host="127.0.0.1", metrics_port=0,
        workers=1, gateway="g", clock_file=str(running.data / "clock"), ready_file="",
    )  # fmt: skip
    started: list[bool] = []

    class Watched(Supervisor):
        async def _start_worker(self, seats_first: bool):  # type: ignore[no-untyped-def] # noqa: ANN202
            started.append(seats_first)
            await asyncio.Event().wait()

    async def second() -> int:
        async with LedgerClient(running.url, running.secrets) as first:
            await first.steering(GatewayName("g", FIRST, simulated.digest), 0, "")
        return await Watched(config, simulated, running.secrets, holdings, Tracing()).run(with_parent=False)

    holdings = Holdings.take(config, simulated.digest)
    try:
        with pytest.raises(CannotServeError, match="give this one another --name"):
            uvloop.run(second())
    finally:
        os.close(holdings.owned)
        holdings.players.close()
        holdings.operators.close()
    assert started == []


def test_seats_are_granted_to_the_spool_that_has_the_name(running: RunningLedger, simulated: Event) -> None:
    def worker(number: int, instance: str) -> WorkerName:
        return WorkerName(f"{number:016x}", "g", simulated.digest, instance)

    async def ask() -> None:
        async with LedgerClient(running.url, running.secrets) as client:
            assert await client.grant(worker(1, FIRST), 1, -1)
            with pytest.raises(LedgerRefusedError, match="another --name") as refused:
                await client.grant(worker(2, "2" * 16), 1, -1)
            assert refused.value.reason == NAME_TAKEN
            assert await client.grant(worker(3, FIRST), 1, -1)
            assert await client.grant(worker(4, ""), 1, -1), "a gateway of before it said which spool it has"

    uvloop.run(ask())


def test_a_spool_is_told_from_another_by_its_folder(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert spool_id(one) == spool_id(one) != spool_id(other)
