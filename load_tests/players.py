"""Virtual players on the wall clock, and the certificate held against what they know: `python -m load_tests.players`.

A seeded crowd of players joins, beats, pauses, switches sessions, is cut off and comes back, against any gateway or one
that is started here (--local). When all are done and the last minute is over, the certificate is had over HTTP and
verified with the public log, and every number in it is compared with what the players were told. Exit code 0 means that
nothing was answered unexpectedly, nothing was lost, the certificate verifies, and every number is equal to the truth
(or within its bounds, where a heartbeat's minute could not be told from outside).

Kept in the output folder: run.json, certificate.json with its proof, the log, and the latencies as HDR histograms.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import click
import uvloop

from counters.verify import Report, verify
from load_tests import crowd_report
from load_tests.acknowledged import MINUTE_S
from load_tests.acknowledgements import Acknowledgements
from load_tests.comparison import compare
from load_tests.crowd import let_them_in
from load_tests.crowd_scenario import KILL_WORKERS, CrowdScenario, event_file, read_crowd_scenario
from load_tests.http_client import Address, UnexpectedAnswerError, call
from load_tests.itineraries import Schedule, draw
from load_tests.log_download import download_log
from load_tests.player_line import now
from load_tests.public_interface import Ledger
from load_tests.scenario import SCENARIOS, Programme, read_programme
from load_tests.server_process import ServerFailedError, ServerProcess
from load_tests.tickets import Issuer
from load_tests.virtual_player import Run

LOCAL_SLACK_S: Final = 0.05
"""Processes of one host read the same wall clock, each once at its start."""
REMOTE_SLACK_S: Final = 0.5
"""What a host that keeps its clock by NTP is allowed to be off."""
DATE_SLACK_S: Final = 2.0
"""The `Date` of an answer has whole seconds and may be a second old."""
LEAD_S: Final = 5.0
"""A local server starts within this time; the event that is written for it begins afterwards."""
SIGNED_PER_S: Final = 3000
"""Tickets that one core signs a second, cautiously."""
EDGE_S: Final = 2.0
"""The certificate is asked for so long after the last minute with heartbeats is over."""
FAILED, INTERRUPTED = 1, 130


class ClocksDifferError(Exception):
    """The gateway's clock is not ours."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the players play against."""

    gateway: Address
    ledger: Address
    organiser_key: str
    issuer_key: Path
    programme: Programme
    starts_at: float  # unix s: not before
    clock_slack_s: float
    evidence: Path | None  # where the evidence can be read, on this host
    kill_workers: Callable[[], None]


def cannot_kill() -> None:
    """Refuse: a gateway that was not started here is not ours to kill."""
    raise ValueError("this scenario kills workers, which is only possible with --local")


@contextmanager
def local_target(scenario: CrowdScenario, folder: Path) -> Iterator[Target]:
    """Write an event that begins in a few seconds, run `turnout up` for it, stop it at the end.

    Raises ServerFailedError if it does not start, or does not stop in order.
    """
    data = folder / "server"
    data.mkdir(parents=True)
    starts_at = int(time.time() + LEAD_S + scenario.people / SIGNED_PER_S)
    path = data / "event.toml"
    path.write_text(event_file(scenario, starts_at))
    programme = read_programme(path)
    with ServerProcess(path, data, workers=scenario.workers) as server:
        running = server.start()

        def kill_workers() -> None:
            for pid in server.workers():
                os.kill(pid, signal.SIGKILL)

        yield Target(
            gateway=Address.of(running.gateway),
            ledger=Address.of(running.ledger),
            organiser_key=running.organiser_key,
            issuer_key=data / "development-issuer" / f"{programme.issuer_id}.private.jwk.json",
            programme=programme,
            starts_at=starts_at,
            clock_slack_s=LOCAL_SLACK_S,
            evidence=data / "evidence",
            kill_workers=kill_workers,
        )


async def _check_clock(gateway: Address, slack_s: float) -> None:
    """Raise ClocksDifferError if the gateway's Date is further from ours than it can be."""
    answer = await call(gateway, "GET", "/healthz")
    ahead_s = parsedate_to_datetime(answer.headers["date"]).timestamp() - now()
    if not -DATE_SLACK_S - slack_s <= ahead_s <= slack_s:
        raise ClocksDifferError(
            f"the gateway's clock is {ahead_s:+.1f} s from ours: no minute could be told. Set the clocks, or name the "
            "difference with --clock-slack-s."
        )


async def _play(target: Target, scenario: CrowdScenario, schedule: Schedule, run: Run) -> None:
    await _check_clock(target.gateway, target.clock_slack_s)
    await let_them_in(schedule, run, scenario, target.kill_workers)


async def _certify(target: Target, folder: Path) -> Report:
    """Wait until the last minute is over, get certificate, proof and log over HTTP, and verify them."""
    over_at = (int(now() + target.clock_slack_s) // MINUTE_S + 1) * MINUTE_S
    await asyncio.sleep(over_at + EDGE_S - now())
    ledger = Ledger(target.ledger, target.programme.event, target.organiser_key)
    issued = await ledger.certify()
    certificate = await ledger.certificate(f"{issued['id']}")
    proof = await ledger.certificate(f"{issued['id']}.tlog-proof")
    (folder / "certificate.json").write_bytes(certificate)
    (folder / "certificate.tlog-proof").write_bytes(proof)
    await download_log(target.ledger, folder / "log")
    return verify(certificate, proof, log_dir=folder / "log", evidence_dir=target.evidence)


def carry_out(scenario: CrowdScenario, target: Target, folder: Path, batch: str) -> crowd_report.Outcome:
    """Run a scenario against a target; returns what came of it, and writes it into `folder`.

    Raises OSError, TimeoutError, ValueError, UnexpectedAnswerError or ClocksDifferError if it cannot be carried out.
    """
    programme = target.programme
    schedule = draw(scenario, batch=batch)
    issuer = Issuer(target.issuer_key, programme)
    tickets = tuple(issuer.ticket(person) for person in schedule.people)
    started_at = max(target.starts_at, now() + 0.5)
    run = Run(
        gateway=target.gateway,
        event=programme.event,
        sessions=tuple(sorted(programme.sessions, key=lambda each: each.number)),
        tickets=tickets,
        interval_s=programme.interval_s,
        started_at=started_at,
        ends_at=started_at + scenario.lasts_s,
        clock_slack_s=target.clock_slack_s,
        acknowledged=Acknowledgements(target.clock_slack_s),
        warm_s=scenario.habits.warm_s,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_play(target, scenario, schedule, run))
        verified = runner.run(_certify(target, folder))
    certificate = json.loads((folder / "certificate.json").read_bytes())
    truth = run.acknowledged.truth(schedule, programme)
    outcome = crowd_report.Outcome(scenario, len(schedule.itineraries), run, verified,
                                   tuple(compare(certificate, truth, programme)))  # fmt: skip
    crowd_report.write(outcome, folder)
    return outcome


def run_players(
    scenario: CrowdScenario, folder: Path, target: Target | None = None, *, batch: str = "", say: Callable[[str], None]
) -> int:
    """Run a scenario and print what came of it.

    Args:
        scenario: the crowd.
        folder: for everything that is written; must not exist.
        target: what to play against; None starts a server here.
        batch: goes into the subjects of this run.
        say: prints a line.

    Returns:
        The exit code: 0 if everything held, 1 if not or if it failed, 130 after Ctrl-C.
    """
    say(f"{scenario.name}: {scenario.says}\n{scenario.people:,} people, {scenario.lasts_s} s; output in {folder}")
    try:
        folder.mkdir(parents=True)
        if target is None:
            with local_target(scenario, folder) as local:
                outcome = carry_out(scenario, local, folder, batch)
        else:
            outcome = carry_out(scenario, target, folder, batch)
    except KeyboardInterrupt:
        say("Interrupted. What was started has been stopped.")
        return INTERRUPTED
    except (
        ServerFailedError, UnexpectedAnswerError, ClocksDifferError, OSError, TimeoutError, ValueError
    ) as failure:  # fmt: skip
        say(f"The run failed: {type(failure).__name__}: {failure}")
        return FAILED
    say(crowd_report.text(outcome))
    return 0 if outcome.held else FAILED


def _remote(
    gateway: str, ledger: str, event: Path, issuer_key: Path, organiser_key_file: Path, clock_slack_s: float
) -> Target:
    return Target(
        gateway=Address.of(gateway),
        ledger=Address.of(ledger),
        organiser_key=organiser_key_file.read_text().strip(),
        issuer_key=issuer_key,
        programme=read_programme(event),
        starts_at=0.0,
        clock_slack_s=clock_slack_s,
        evidence=None,
        kill_workers=cannot_kill,
    )


def _scenario_path(name: str) -> Path:
    own = SCENARIOS / f"{name}.toml"
    return own if own.exists() else Path(name)


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("scenario")
@click.option("--local", is_flag=True, help="Start Turnout here, for an event that is written for the next minutes.")
@click.option("--gateway", default="", help="URL of the gateway: http://HOST:PORT.")
@click.option("--ledger", default="", help="URL of the ledger, or of the gateway, which passes on to it.")
@click.option("--event-file", type=_FILE, help="The event file that gateway and ledger run.")
@click.option("--issuer-key", type=_FILE, help="The private JWK of the event's first issuer, to sign tickets with.")
@click.option("--organiser-key-file", type=_FILE, help="A file with the organiser's key in it.")
@click.option("--clock-slack-s", type=click.FloatRange(0, 10), default=REMOTE_SLACK_S, show_default=True,
              help="How far the gateway's clock may be from ours.")  # fmt: skip
@click.option("--scale", type=click.FloatRange(0, 100, min_open=True), default=1.0, show_default=True,
              help="Multiplies the number of people.")  # fmt: skip
@click.option("--batch", default="", help="Goes into the subjects. The players must be alone on the event.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("turnout-players"), show_default=True,
              help="Folder in which each run makes one of its own.")  # fmt: skip
def main(
    scenario: str, *, local: bool, gateway: str, ledger: str, event_file: Path | None, issuer_key: Path | None,
    organiser_key_file: Path | None, clock_slack_s: float, scale: float, batch: str, output: Path,
) -> None:  # fmt: skip
    """Let virtual players loose, and hold the certificate against what they know.

    SCENARIO is steady, keynote_rush, reconnect_storm, restart_herd, or a TOML file like those in load_tests/scenarios.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # stops in order, as Ctrl-C does
    try:
        crowd = read_crowd_scenario(_scenario_path(scenario)).scaled(scale)
        target = None
        if not local:
            needed = (gateway, ledger, event_file, issuer_key, organiser_key_file)
            if not all(needed) or event_file is None or issuer_key is None or organiser_key_file is None:
                raise click.UsageError(
                    "Say --local, or all of --gateway, --ledger, --event-file, --issuer-key and --organiser-key-file."
                )
            target = _remote(gateway, ledger, event_file, issuer_key, organiser_key_file, clock_slack_s)
            _check_fit(crowd, target.programme)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise click.UsageError(f"{scenario}: {problem}") from None
    folder = output / f"{crowd.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    sys.exit(run_players(crowd, folder, target, batch=batch, say=print))


def _check_fit(scenario: CrowdScenario, programme: Programme) -> None:
    """Raise ValueError if a scenario cannot be played at somebody else's event."""
    if any(one.kind == KILL_WORKERS for one in scenario.disturbances):
        cannot_kill()
    if len(scenario.sessions) > len(programme.sessions):
        raise ValueError(f"it needs {len(scenario.sessions)} sessions, and the event has {len(programme.sessions)}")


if __name__ == "__main__":
    main()
