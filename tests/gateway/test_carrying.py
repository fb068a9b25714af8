"""The end of a gateway: it says whether its spool is empty, and if it is not, where what is left lies."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from gateway import carrying
from gateway.carrying import Carrying
from gateway.ledger_client import LedgerClient
from gateway.tracing import OFF
from tests.gateway.serving import NO_LEDGER, NO_REDIS, NOW, PATIENCE_S, RunningLedger, Serving, ledger, serving


@pytest.fixture
def running(simulated_event_file: Path, tmp_path: Path) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path) as service:
        service.jump(NOW)
        yield service


def ends(served: Serving, ledger_url: str, caplog: pytest.LogCaptureFixture) -> tuple[str, str]:
    """End the gateway of a worker that has ended; return what it says last, with its level."""
    spool = Path(served.worker.config.spool)

    async def end() -> None:
        async with LedgerClient(ledger_url, served.secrets) as client:
            gateway = Carrying(served.event, spool, "test", served.clock, NO_REDIS, client, OFF)
            await gateway.farewell()
            await gateway.stop()

    caplog.clear()
    with caplog.at_level(logging.INFO, "turnout.supervisor"):
        uvloop.run(end())
    last = [record for record in caplog.records if record.name == "turnout.supervisor"][-1]
    return last.levelname, last.getMessage()


def test_a_gateway_that_ends_says_what_stays_in_its_spool_and_the_next_that_nothing_does(
    running: RunningLedger, simulated_event_file: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with serving(simulated_event_file, running.data, ledger_url=running.url) as served:
        token = served.token(seat=7).encode()
        assert served.call(lambda: served.worker.heartbeats.beat(token)) is None
    monkeypatch.setattr(carrying, "FAREWELL_S", 0.1)
    level, said = ends(served, NO_LEDGER, caplog)
    left = sum(path.stat().st_size for path in served.worker.folder.glob("w*-*"))
    assert left > 0
    spool = served.worker.config.spool
    assert level == "WARNING"
    assert said == f"windows or tokens stay in the spool {spool}, {left} bytes; the next start hands them over"

    monkeypatch.setattr(carrying, "FAREWELL_S", PATIENCE_S)
    assert ends(served, running.url, caplog) == ("INFO", "all handed over: nothing waits in the spool")
    assert not served.worker.folder.exists()
