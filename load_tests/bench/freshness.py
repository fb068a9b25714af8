"""How old what people see is: from a heartbeat's 204 to the live numbers, from a window's end to the published log.

`turnout up` with one worker and an event of 120 sessions. At random moments a viewer who has joined sends the first
heartbeat of a session in which nobody was seen within the last minute; how long after its 204 does
`GET /v1/events/{event}/live` say that the session has an attendee? Beside it, how long after a window's end does the
published checkpoint (`GET /log/checkpoint`) cover that window's leaf, as read from the log's own entries.

Both are asked many times a second, so what is found is up to one asking too long. What it does not say: freshness
under load (load_tests.bench.sealing) and through several hosts, where another host's numbers are asked for up to a
second after this host has sent.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import numpy as np
import uvloop

from load_tests.audience import Person
from load_tests.beat_lines import BeatLines
from load_tests.bench import published_log, report, table
from load_tests.bench.servers import event_file, session_id
from load_tests.http_client import Address
from load_tests.public_interface import Gateway
from load_tests.scenario import Programme, read_programme
from load_tests.server_process import ServerProcess
from load_tests.tickets import Issuer

SESSIONS: Final = 120
PAUSE_S: Final = 0.6
"""Between two first heartbeats, on average; exponentially distributed, so that no rhythm of the server is met."""
ASK_LIVE_S: Final = 0.04
ASK_LOG_S: Final = 0.05
UNSEEN_S: Final = 61.0
"""After this a session is in no live number any more."""
PATIENCE_S: Final = 30.0
WINDOW_S: Final = 60
LIVE_TARGET_S: Final = 2.0
LEAF_TARGET_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """How long something took, in seconds."""

    what: str
    times_s: list[float]
    target_s: float

    def row(self) -> tuple[str, ...]:
        """Return the table's row."""
        p50, p99 = (float(np.percentile(self.times_s, q)) for q in (50, 99))
        within = sum(taken <= self.target_s for taken in self.times_s)
        return (
            self.what, f"{p50:.2f} s", f"{p99:.2f} s", f"{max(self.times_s):.2f} s",
            f"{within} of {len(self.times_s)} within {self.target_s:g} s",
        )  # fmt: skip


class _Room:
    """Sessions, who is to be seen in them, and when they were. Owned by one event loop."""

    def __init__(self, gateway: Gateway, programme: Programme, tokens: Sequence[str]) -> None:
        self._gateway = gateway
        self._programme = programme
        self._tokens = tokens  # one viewer each session
        self._random = random.Random(1)
        self._sent: dict[str, float] = {}  # by session, not seen yet
        self.waits_s: list[float] = []

    async def enter(self, until: float) -> None:
        """Send first heartbeats until then. Raises UnexpectedAnswerError, or RuntimeError if one is never seen."""
        last = [-UNSEEN_S] * SESSIONS
        async with BeatLines(self._gateway.address, 1) as lines:
            place = 0
            while time.monotonic() < until:
                await asyncio.sleep(self._random.expovariate(1 / PAUSE_S))
                await asyncio.sleep(max(last[place] + UNSEEN_S - time.monotonic(), 0))
                await lines.deliver([self._gateway.beat_request(self._tokens[place])])
                last[place] = self._sent[session_id(place + 1)] = time.monotonic()
                place = (place + 1) % SESSIONS
        deadline = time.monotonic() + PATIENCE_S
        while self._sent:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(self._sent)} heartbeats show in no live number after {PATIENCE_S:.0f} s")
            await asyncio.sleep(ASK_LIVE_S)

    async def look(self) -> None:
        """Ask for the live numbers again and again. Raises UnexpectedAnswerError."""
        while True:
            began = time.monotonic()
            numbers = (await self._gateway.live())["numbers"]
            seen_at = time.monotonic()
            for number in numbers:
                # What was sent while the question was under way is met by the next one.
                sent_at = self._sent.get(number["scope"].get("session", ""), began)
                if number["rule"] == "live-attendees" and number["value"] and sent_at < began:
                    self.waits_s.append(seen_at - sent_at)
                    del self._sent[number["scope"]["session"]]
            await asyncio.sleep(max(began + ASK_LIVE_S - time.monotonic(), 0))


async def _leaves(ledger: Address, programme: Programme, windows: int) -> list[float]:
    """Return how long after their end the leaves of the next windows were covered by the published checkpoint."""
    waits_s: list[float] = []
    first = time.time() // WINDOW_S * WINDOW_S
    for window in (int(first) + WINDOW_S * number for number in range(windows)):
        ends = window + WINDOW_S
        await asyncio.sleep(max(ends - time.time(), 0))
        while not await published_log.leaves_of(ledger, programme.iso(window)):
            if time.time() > ends + PATIENCE_S:
                raise RuntimeError(f"the window {programme.iso(window)} has no leaf after {PATIENCE_S:.0f} s")
            await asyncio.sleep(ASK_LOG_S)
        waits_s.append(time.time() - ends)
    return waits_s


async def _measure(
    ledger: Address, gateway: Gateway, programme: Programme, issuer: Issuer, windows: int
) -> list[Distribution]:
    tokens = [
        await gateway.join(session_id(place + 1), issuer.ticket(Person(place, f"fresh-{place}", "", "visitor")))
        for place in range(SESSIONS)
    ]
    room = _Room(gateway, programme, tokens)
    ends = (time.time() // WINDOW_S + windows) * WINDOW_S
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(room.look())
        leaves = tasks.create_task(_leaves(ledger, programme, windows))
        await room.enter(time.monotonic() + ends - time.time())
        looking.cancel()
    return [
        Distribution("a heartbeat's 204 until `GET …/live` shows it", room.waits_s, LIVE_TARGET_S),
        Distribution("a window's end until its leaf is in the published log", leaves.result(), LEAF_TARGET_S),
    ]


def measure(windows: int) -> list[Distribution]:
    """Return both distributions. Raises RuntimeError, ServerFailedError, UnexpectedAnswerError or OSError."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-bench-")))
        event = event_file(scratch, datetime.now(UTC), SESSIONS)
        running = stack.enter_context(ServerProcess(event, scratch, workers=1)).start()
        programme = read_programme(event)
        issuer = Issuer(scratch / "development-issuer" / f"{programme.issuer_id}.private.jwk.json", programme)
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        gateway = Gateway(Address.of(running.gateway), programme.event)
        return runner.run(_measure(Address.of(running.ledger), gateway, programme, issuer, windows))


@click.command(name="freshness")
@click.option(
    "--windows", type=click.IntRange(1, 60), default=2, show_default=True, help="Window ends to wait for: minutes."
)
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/freshness-NAME.json.")
def command(windows: int, save: str | None) -> None:
    """Measure how old live numbers and the published log are."""
    with report.or_nothing():
        found = measure(windows)
    shown = table.markdown(["from … until …", "p50", "p99", "longest", "target"], [one.row() for one in found])
    notes = [f"live asked for every {ASK_LIVE_S * 1000:.0f} ms, the log every {ASK_LOG_S * 1000:.0f} ms"]
    report.show("freshness", shown, {"distributions": [asdict(one) for one in found]}, notes=notes, save=save)


if __name__ == "__main__":
    command()
