"""A small convention that goes on while Prometheus looks: `turnout up`, a witness that must cosign, players, scanners.

The audience is the rehearsal's, on a simulated clock that goes one heartbeat interval further with each step; a step
takes a fixed real time, so that rates mean something. When enough has happened the clock stands still and with it every
gauge: the queries of a test are evaluated at that moment, however long the test takes.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from counters.log_key import load_or_create_signer
from load_tests.audience import Audience
from load_tests.http_client import Address
from load_tests.public_interface import Gateway, Ledger
from load_tests.replay import Replay, Totals
from load_tests.scenario import REHEARSAL, read_scenario
from load_tests.server_process import Running, ServerProcess
from load_tests.tickets import Issuer
from metrics.catalogue import Process
from tests.faults.witness_part import WitnessPart
from tests.metrics.prometheus_server import PrometheusServer

INTO_THE_OPENING_S = 8 * 60
"""The clock stops so long after the first session has begun: seven of its minutes are sealed, and it is full."""
STEP_S = 0.1
SETTLES_S = 3.0
"""After the last step: what a second's poller, a seal and a cosignature do once more is seen, too."""


@dataclass(frozen=True, slots=True)
class LiveConvention:
    """What a test may ask, and when it was."""

    prometheus: PrometheusServer
    at_s: float
    event: str
    totals: Totals
    data: Path
    """The data directory of `turnout up`."""

    def instant(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives at the end of the load."""
        return self.prometheus.instant(expression, self.at_s)


@contextmanager
def live_convention(folder: Path) -> Iterator[LiveConvention]:
    """Run it until there is something to see, and keep it running."""
    scenario = read_scenario(REHEARSAL)
    data = folder / "event"
    data.mkdir()
    witness = WitnessPart(folder, "newspaper")
    prometheus: PrometheusServer | None = None
    try:
        witness.start()
        witness.watch(log_key_for(data, scenario.programme.event))
        event_file = data / "event.toml"
        event_file.write_text(witnessed(scenario.event_file.read_text(), witness))
        with ServerProcess(event_file, data, workers=2) as server:
            running = server.start()
            up = json.loads((data / "up.json").read_text())
            prometheus = PrometheusServer(folder / "prometheus", targets_of(up, witness))
            prometheus.start()
            prometheus.until_scraped(0)  # it takes up to five seconds to look at its targets: the load waits for that
            replay = replay_of(running, data)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(play(replay))
            over_s = time.time()
            seen_s = over_s + SETTLES_S
            prometheus.until_scraped(seen_s)
            yield LiveConvention(prometheus, seen_s, replay.programme.event, replay.totals, data)
    finally:
        for part in filter(None, (prometheus, witness)):
            part.end()


def witnessed(event: str, witness: WitnessPart) -> str:
    """The event file with a witness without whom nothing is published."""
    return (
        f'{event}\n[log]\nrequired_witnesses = 1\n\n[[witness]]\nname = "{witness.name}"\nvkey = "{witness.vkey}"\n'
        f'operated_by = "The {witness.name}"\nurl = "{witness.url}"\n'
    )


def log_key_for(data: Path, event: str) -> str:
    """Make the log's key before the ledger does, so that a witness can be told which log to watch."""
    return load_or_create_signer(data / "ledger" / "log.key", f"turnout.invalid/{event}").verifier.encode()


def targets_of(up: Mapping[str, Any], witness: WitnessPart) -> dict[Process, list[str]]:
    """Where to scrape the three processes, host:port, from what `turnout up` says of itself."""
    urls = {
        Process.GATEWAY: up["metrics"],
        Process.LEDGER: up["ledger_metrics"],
        Process.WITNESS: witness.metrics_url,
    }
    return {process: [url.removeprefix("http://").partition("/")[0]] for process, url in urls.items()}


def replay_of(running: Running, data: Path) -> Replay:
    scenario = read_scenario(REHEARSAL)
    programme = scenario.programme
    return Replay(
        programme=programme,
        plan=Audience(scenario).plan(),
        gateway=Gateway(Address.of(running.gateway), programme.event),
        ledger=Ledger(Address.of(running.ledger), programme.event, running.organiser_key),
        issuer=Issuer(data / "development-issuer" / f"{programme.issuer_id}.private.jwk.json", programme),
        scanner_key=running.scanner_key,
    )


async def play(replay: Replay) -> None:
    """Carry out the first steps, each at its time."""
    until_s = replay.programme.sessions[0].starts_at + INTO_THE_OPENING_S
    begun, step = time.monotonic(), 0
    async for at in replay.run():
        if at >= until_s:
            break
        step += 1
        await asyncio.sleep(begun + step * STEP_S - time.monotonic())
