"""The demo: three days of a convention in under three minutes, from the first join to a certificate that verifies.

It starts `turnout up` on a simulated clock, replays the scenario through real HTTP with real tickets and real Redis,
has the certificate issued, stops the server, verifies the certificate offline, and compares every number in it with its
own count. Exit code 0 means that all of this held. Everything that it prints and writes is SIMULATED.
"""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import click
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from load_tests import demo_report
from load_tests.audience import Audience, Plan, steps
from load_tests.comparison import compare
from load_tests.ground_truth import Recount
from load_tests.http_client import Address, UnexpectedAnswerError
from load_tests.public_interface import Gateway, Ledger
from load_tests.replay import Replay
from load_tests.scenario import DEMO, REHEARSAL, Scenario, read_scenario
from load_tests.server_process import TURNOUT, Running, ServerFailedError, ServerProcess
from load_tests.tickets import Issuer

MARKER: Final = ".turnout-demo"
"""Names a directory that a demo made and the next one may empty."""
CERTIFY_S: Final = 120.0
REPORT_S: Final = 60.0
VERIFY_S: Final = 120.0
LOOKS: Final = 5
"""How often the replay stands still to compare the live estimate with the truth."""
LIVE_REFRESH_S: Final = 1.2
LIVE_REFRESHES: Final = 6
"""Real time between two looks at the live numbers, which are renewed every second; they have caught up when two looks
in a row agree."""

FAILED, REFUSED, INTERRUPTED = 1, 2, 130


class DirectoryInUseError(Exception):
    """The data directory has something in it that is no demo's."""


def prepare(data: Path, event_file: Path) -> Path:
    """Make an empty directory with a copy of the event file in it; returns the copy.

    Raises DirectoryInUseError rather than removing what no demo has made.
    """
    if data.exists():
        if any(data.iterdir()) and not (data / MARKER).exists():
            raise DirectoryInUseError(f"{data} is not empty, and not a demo's. Name another directory with --data.")
        shutil.rmtree(data)
    data.mkdir(parents=True)
    (data / MARKER).write_text("A Turnout demo wrote this directory; the next one empties it.\n")
    return Path(shutil.copy(event_file, data / "event.toml"))


async def _look(replay: Replay, at: int) -> demo_report.Look | None:
    """Stand still until the live numbers have caught up, and put them beside the truth."""
    look: demo_report.Look | None = None
    for _ in range(LIVE_REFRESHES):
        await asyncio.sleep(LIVE_REFRESH_S)
        live = await replay.gateway.live()
        truth = replay.acknowledged.watching(at - int(live["seen_within_s"]) + 1, at)
        before, look = look, None
        for number in live["numbers"]:
            if (number["rule"], number["scope"]) == ("live-attendees", {"channel": "online"}):
                look = demo_report.Look(at, number["value"], truth, number["standard_error"], stale=live["stale"])
        if look and look == before:
            break
    return look


def _look_times(plan: Plan, interval_s: int, looks: int) -> set[int]:
    """Return the busiest step of each of so many equal parts of the replay."""
    times = list(steps(plan, interval_s))
    busy: dict[int, int] = {}
    for view in plan.views:
        for at in range(view.joins_at, view.leaves_at, interval_s):
            busy[at] = busy.get(at, 0) + 1
    parts = [times[len(times) * part // looks : len(times) * (part + 1) // looks] for part in range(looks)]
    return {max(part, key=lambda at: busy.get(at, 0)) for part in parts if part}


async def _replay(replay: Replay, report: demo_report.Report, looks: set[int]) -> None:
    scenario, planned = report.scenario, replay.plan.heartbeats(report.scenario.programme.interval_s)
    with Progress(
        TextColumn("SIMULATED {task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:>9,.0f} heartbeats"),
        TimeElapsedColumn(),
        console=report.console,
        refresh_per_second=4,
    ) as progress:
        task = progress.add_task("", total=planned)
        async for at in replay.run():
            shown = scenario.programme.iso(at)[:16].replace("T", " ")
            progress.update(task, completed=replay.totals.heartbeats, description=shown)
            if at in looks and (look := await _look(replay, at)):
                report.look(look)


def _turnout(console: Console, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    console.print(f"\n[bold]$ turnout {' '.join(arguments)}[/bold]", highlight=False, soft_wrap=True)
    return subprocess.run([*TURNOUT, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)


def _certify(event_file: Path, data: Path, report: demo_report.Report) -> dict[str, Any]:
    """Have the certificate issued; returns it. Raises ServerFailedError with what `turnout certify` said."""
    path = data / "certificate.json"
    done = _turnout(
        report.console, "certify", str(event_file), "--data", str(data), "-o", str(path), timeout_s=CERTIFY_S
    )
    if done.returncode != 0:
        raise ServerFailedError(f"turnout certify ended with {done.returncode}\n{done.stdout}{done.stderr}")
    report.console.print(done.stdout.strip(), markup=False, highlight=False, soft_wrap=True)
    certificate: dict[str, Any] = json.loads(path.read_text())
    return certificate


def _verify(data: Path, report: demo_report.Report) -> subprocess.CompletedProcess[str]:
    return _turnout(
        report.console, "verify", str(data / "certificate.json"), "--log", str(data / "log"),
        "--evidence", str(data / "evidence"), "--policy", str(data / "trust-policy"), timeout_s=VERIFY_S,
    )  # fmt: skip


def _report_files(data: Path, report: demo_report.Report) -> None:
    """Have the files made that an organiser hands over. Raises ServerFailedError with what `turnout report` said."""
    made = ("-o", str(data / "report.pdf"), "-o", str(data / "report.xlsx"))
    done = _turnout(report.console, "report", str(data / "certificate.json"), *made, timeout_s=REPORT_S)
    if done.returncode != 0:
        raise ServerFailedError(f"turnout report ended with {done.returncode}\n{done.stdout}{done.stderr}")


def _replay_of(scenario: Scenario, plan: Plan, running: Running, data: Path) -> Replay:
    programme = scenario.programme
    return Replay(
        programme=programme,
        plan=plan,
        gateway=Gateway(Address.of(running.gateway), programme.event),
        ledger=Ledger(Address.of(running.ledger), programme.event, running.organiser_key),
        issuer=Issuer(data / "development-issuer" / f"{programme.issuer_id}.private.jwk.json", programme),
        scanner_key=running.scanner_key,
    )


def _carry_out(scenario: Scenario, data: Path, workers: int, report: demo_report.Report) -> bool:
    """Run the demo; returns whether all held."""
    event_file = prepare(data, scenario.event_file)
    plan = Audience(scenario).plan()
    report.introduce(plan)
    looks = _look_times(plan, scenario.programme.interval_s, LOOKS if scenario.path == DEMO else 1)
    with ServerProcess(event_file, data, workers=workers) as server:
        running = server.start()
        report.started(running)
        replay = _replay_of(scenario, plan, running, data)
        started = time.monotonic()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_replay(replay, report, looks))
        report.replayed(replay.totals, time.monotonic() - started)
        certificate = _certify(event_file, data, report)
    _report_files(data, report)
    verified = _verify(data, report)
    compared = compare(certificate, Recount(replay.acknowledged, plan.people, scenario.programme), scenario.programme)
    return report.conclude(certificate, compared, verified, data)


def run_demo(
    data: Path, scale: float = 1.0, *, small: bool = False, workers: int = 2, console: Console | None = None
) -> int:
    """Replay the convention at 1:1000, certify, verify, compare; returns the exit code.

    Args:
        data: the directory for everything that is written; emptied if a demo made it, else it must be empty.
        scale: multiplies the number of people.
        small: the rehearsal instead, a few hundred attendees in two short days.
        workers: gateway worker processes.
        console: where to print; the terminal by default.

    Returns:
        0 if everything held; 1 if anything did not, or failed; 2 if the directory was refused; 130 after Ctrl-C.
    """
    console = console or Console()
    scenario = read_scenario(REHEARSAL if small else DEMO, scale=scale)
    report = demo_report.Report(scenario, console)
    log = data / "up.log"
    try:
        return 0 if _carry_out(scenario, data, workers, report) else FAILED
    except DirectoryInUseError as problem:
        console.print(str(problem), style="red", markup=False)
        return REFUSED
    except KeyboardInterrupt:
        console.print("\nInterrupted. What was started has been stopped.", style="yellow")
        return INTERRUPTED
    except (
        ServerFailedError,
        UnexpectedAnswerError,
        OSError,
        TimeoutError,
        ValueError,
        subprocess.SubprocessError,
    ) as failure:
        report.failed(failure, log)
        return FAILED


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("turnout-demo"), show_default=True,
              help="Directory for everything that is written.")  # fmt: skip
@click.option("--scale", type=click.FloatRange(0, 5, min_open=True), default=1.0, show_default=True,
              help="Multiplies the number of people.")  # fmt: skip
@click.option("--small", is_flag=True, help="The rehearsal: a few hundred attendees, two short days.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Gateway worker processes.")
def main(data: Path, *, scale: float, small: bool, workers: int) -> None:
    """Replay the 2023 convention at 1:1000 through real HTTP into a certificate, and verify it. SIMULATED."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # stops in order, as Ctrl-C does
    sys.exit(run_demo(data, scale, small=small, workers=workers))


if __name__ == "__main__":
    main()
