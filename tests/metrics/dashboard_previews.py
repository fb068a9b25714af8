"""Draws docs/dashboards/: `python -m tests.metrics.dashboard_previews docs/dashboards`, some twelve minutes.

A crowd of virtual players on the wall clock, badge scanners and a few strangers use a `turnout up` with a witness that
must cosign; Prometheus scrapes all of it by deploy/prometheus/prometheus.yml, only every two seconds, because eleven
minutes are short; then metrics.preview draws what the dashboards ask for.
"""

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from load_tests.acknowledgements import Acknowledgements
from load_tests.crowd import let_them_in
from load_tests.crowd_scenario import CrowdScenario, event_file, read_crowd_scenario
from load_tests.http_client import Address, UnexpectedAnswerError, call
from load_tests.itineraries import Schedule, draw
from load_tests.player_line import now
from load_tests.public_interface import Gateway
from load_tests.scenario import Programme, read_programme
from load_tests.server_process import Running, ServerProcess
from load_tests.tickets import Issuer
from load_tests.virtual_player import Run
from tests.faults.witness_part import WitnessPart
from tests.metrics.live_convention import log_key_for, targets_of, witnessed
from tests.metrics.prometheus_server import PrometheusServer

SCENARIO = Path(__file__).with_name("preview.crowd.toml")
SCRAPE_S = 2
LEAD_S = 20.0
"""Before the first player comes: tickets are signed, everything starts."""
TAIL_S = 4.0
BEFORE_THE_END_S = 20.0
"""The pictures are of a running event: the last players are still there."""
GATE = "hall-a"
ON_SITE = 260
SLACK_S = 0.05


def main() -> int:
    """Run it all; the exit code is 0 if the pictures are there."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    pictures = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="turnout-previews-") as folder:
        return draw_previews(Path(folder), pictures)


def draw_previews(folder: Path, pictures: Path) -> int:
    scenario = read_crowd_scenario(SCENARIO)
    data = folder / "event"
    data.mkdir()
    begins = int(time.time() + LEAD_S)
    text = event_with_a_gate(scenario, begins)
    path = data / "event.toml"
    path.write_text(text)
    programme = read_programme(path)
    witness = WitnessPart(folder, "newspaper")
    prometheus: PrometheusServer | None = None
    try:
        witness.start()
        witness.watch(log_key_for(data, programme.event))
        path.write_text(witnessed(text, witness))
        with ServerProcess(path, data, workers=scenario.workers) as server:
            running = server.start()
            up = json.loads((data / "up.json").read_text())
            prometheus = PrometheusServer(folder / "prometheus", targets_of(up, witness), SCRAPE_S)
            prometheus.start()
            schedule = draw(scenario, batch="")
            issuer = Issuer(data / "development-issuer" / f"{programme.issuer_id}.private.jwk.json", programme)

            def kill_workers() -> None:
                for pid in server.workers():
                    os.kill(pid, signal.SIGKILL)

            run = run_of(scenario, schedule, programme, issuer, running, begins)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(everybody(schedule, run, scenario, kill_workers, issuer, running))
            print(f"{run.tally.total()} things happened", dict(run.tally))  # noqa: T201 - a command
            return drawn(pictures, prometheus, programme.event, begins - 5, run.ends_at - BEFORE_THE_END_S)
    finally:
        for part in filter(None, (prometheus, witness)):
            part.end()


def event_with_a_gate(scenario: CrowdScenario, begins: int) -> str:
    """The event file of the run; its first session is on site as well."""
    return re.sub(r"(?m)^(ends_at = .*)$", rf'\1\ngates = ["{GATE}"]', event_file(scenario, begins), count=1)


def run_of(
    scenario: CrowdScenario, schedule: Schedule, programme: Programme, issuer: Issuer, running: Running, begins: float
) -> Run:
    started_at = max(begins, now() + 0.5)
    return Run(
        gateway=Address.of(running.gateway),
        event=programme.event,
        sessions=tuple(sorted(programme.sessions, key=lambda each: each.number)),
        tickets=tuple(issuer.ticket(person) for person in schedule.people),
        interval_s=programme.interval_s,
        started_at=started_at,
        ends_at=started_at + scenario.lasts_s,
        clock_slack_s=SLACK_S,
        acknowledged=Acknowledgements(SLACK_S),
        warm_s=scenario.habits.warm_s,
    )


async def everybody(
    schedule: Schedule,
    run: Run,
    scenario: CrowdScenario,
    kill_workers: object,
    issuer: Issuer,
    running: Running,
) -> None:
    beside = [
        asyncio.create_task(scanners(schedule, run, issuer, running)),
        asyncio.create_task(strangers(run)),
    ]
    try:
        await let_them_in(schedule, run, scenario, kill_workers)  # type: ignore[arg-type]
        await asyncio.sleep(TAIL_S)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def scanners(schedule: Schedule, run: Run, issuer: Issuer, running: Running) -> None:
    """Some come in at the gate in the first minutes, and half of them go out by scan."""
    gateway = Gateway(run.gateway, run.event)
    badges = [issuer.ticket(person) for person in schedule.people[:ON_SITE]]
    scans = [("in", badge) for badge in badges] + [("out", badge) for badge in badges[: ON_SITE // 2]]
    pause = 300.0 / len(scans)
    for number, (direction, badge) in enumerate(scans):
        await asyncio.sleep(max(0.0, run.started_at + number * pause - now()))
        at = datetime.fromtimestamp(now(), UTC).isoformat()
        scan = {
            "nonce": f"{number:012x}",
            "badge": badge,
            "gate": GATE,
            "direction": direction,
            "scanned_at": at,
            "force": False,
        }
        try:
            await gateway.check_in([scan], running.scanner_key)
        except (OSError, UnexpectedAnswerError):
            continue


async def strangers(run: Run) -> None:
    """A few who are refused: a ticket that is none, a viewing token that nobody issued."""
    path = f"/v1/events/{run.event}/sessions/{run.sessions[0].id}/join"
    for turn in itertools.count():
        await asyncio.sleep(2)
        try:
            await call(run.gateway, "POST", path, bearer="not.a.ticket" if turn % 3 else "")
            await call(run.gateway, "POST", "/v1/beat", body=b"bm90IGEgdG9rZW4", content_type="text/plain")
            await call(run.gateway, "GET", f"/v1/events/{run.event}/live")
        except (OSError, ValueError, TimeoutError):
            continue


def drawn(pictures: Path, prometheus: PrometheusServer, event: str, begins_s: float, ended_s: float) -> int:
    day = datetime.fromtimestamp(ended_s, UTC).date()
    caption = f"Drawn by Turnout from real data of a load test on {day}; not Grafana's rendering."
    minutes = (ended_s - begins_s) / 60
    command = [
        sys.executable, "-m", "metrics.preview", str(pictures), "--prometheus", prometheus.url, "--event", event,
        "--minutes", f"{minutes:.3f}", "--until", f"{ended_s:.0f}", "--scrape-s", str(SCRAPE_S), "--caption", caption,
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
