"""The soak: all faults of `tests.faults.mischief` mixed at random under load, and every heartbeat reckoned at the end.

    make soak SOAK='--seed 7 --minutes 60'

Two gateways, a ledger and a Redis run on a simulated clock that is fast, so that a window lasts a few seconds, while
people join, play, change gateways and lose their players. The seed gives the same faults in the same order for the same
minutes; how they meet the processes is not the same twice. What was found is on the last lines; the exit code is 1 if
anything acknowledged is not in the evidence, or anything in the evidence was never attempted.
"""

import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final

import click

from deploy.embedded_redis import EmbeddedRedisError, ServerProgram, find_server
from tests.faults import mischief, reckoning
from tests.faults.player_lines import Lines
from tests.faults.rig import STARTS_AT, Rig
from tests.faults.truth import Truth
from tests.gateway.conftest import EVENT_FILE

GATEWAYS: Final = 2
ARRIVAL_S: Final = 0.4
PLAYERS_LIMIT: Final = 150
"""One process plays them all, some hundred heartbeats a second: each is heard once or twice in a window of 3 s."""
SETTLE_S: Final = 120.0
EXIT_TERMINATED: Final = 143
"""What a shell says of a program that SIGTERM ended."""
REJOIN: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.GONE}
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a soak has shown."""

    rows: tuple[tuple[str, str], ...]
    wrong: tuple[str, ...]  # lost, invented, miscounted; empty = everything holds


def event_file(seconds: float, speed: float) -> str:
    """The event of the tests, both sessions open for three times as long as a soak shall last and two hours more."""
    begins = datetime.fromisoformat(STARTS_AT) + timedelta(minutes=1)
    ends = begins + timedelta(seconds=3 * seconds * speed, hours=2)
    times = {
        "late_until = 2023-11-23T00:00:00+08:00": f"late_until = {_text(ends + timedelta(days=2))}",
        "starts_at = 2023-11-19T09:30:00+08:00": f"starts_at = {_text(begins)}",
        "ends_at = 2023-11-19T10:30:00+08:00": f"ends_at = {_text(ends)}",
        "ends_at = 2023-11-19T11:00:00+08:00": f"ends_at = {_text(ends)}",
    }
    text = EVENT_FILE
    for old, new in times.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def _text(at: datetime) -> str:
    return at.replace(second=0, microsecond=0).isoformat()


def soak(folder: Path, program: ServerProgram, *, seed: int, seconds: float, speed: float, say: Say) -> Outcome:
    """Run one soak.

    Args:
        folder: a folder of its own.
        program: the Redis to use.
        seed: of the faults.
        seconds: real seconds under faults.
        speed: simulated seconds per second.
        say: is told each fault.

    Raises:
        AssertionError: something did not come back, or the certificate is not verified.
    """
    planned = mischief.plan(seed, seconds, GATEWAYS)
    with Rig(folder, program, gateways=GATEWAYS, event=event_file(seconds, speed), speed=speed) as rig:
        for place in range(GATEWAYS):
            rig.crowd.join(30, "opening", place)
            rig.crowd.join(15, "forum", place)
        with rig.crowd.playing(threads=3), _arrivals(rig, random.Random(seed)):
            under_fault, mended_at = _break(rig, planned, say)
            rig.settle(SETTLE_S)
            sealed_after_s = time.monotonic() - mended_at
            rig.crowd.until_heard()
        found = rig.finish()
        reckoned = {
            "lost": reckoning.lost(rig.crowd.truth, found),
            "invented": reckoning.invented(rig.crowd.truth, found),
            "leaves that miscount": rig.miscounted(found),
        }
        wrong = [line for lines in reckoned.values() for line in lines]
        if not wrong:
            rig.certify(found)
    rows = (
        ("seed", str(seed)),
        ("real seconds under faults, speed", f"{seconds:.0f}, {speed:g}"),
        *_faults(planned),
        ("heartbeats acknowledged", f"{rig.crowd.truth.beats:,}"),
        ("  of them while something was broken", f"{under_fault:,}"),
        *_answers(rig.crowd.truth),
        ("windows sealed, late leaves, workers missing", f"{len(found.windows)}, {len(found.late)}, {found.missing}"),
        *((what, str(len(lines))) for what, lines in reckoned.items()),
        ("seconds until all was sealed after the last fault", f"{sealed_after_s:.1f}"),
    )
    return Outcome(rows, tuple(wrong))


def _faults(planned: list[mischief.Planned]) -> list[tuple[str, str]]:
    kinds = Counter(each.name for each in planned)
    return [("faults", str(len(planned))), *((f"  {name}", str(number)) for name, number in sorted(kinds.items()))]


def _answers(truth: Truth) -> list[tuple[str, str]]:
    refused = sum(truth.answers.values()) - truth.beats
    return [
        ("heartbeats refused, broken off, not connected", f"{refused}, {truth.broken}, {truth.refused_connections}"),
        ("joins acknowledged, unanswered", f"{len(truth.joined)}, {truth.unanswered_joins}"),
        ("(session, window, seat) acknowledged", f"{sum(map(len, truth.acknowledged.values())):,}"),
    ]


def _break(rig: Rig, planned: list[mischief.Planned], say: Say) -> tuple[int, float]:
    """Break and mend as planned.

    Returns:
        How many heartbeats were acknowledged while something was broken, and the monotonic time at which the last of it
        began to be mended.
    """
    started = mended_at = time.monotonic()
    mends: dict[mischief.Planned, mischief.Mend] = {}
    under_fault = broken_at = 0
    for at_s, fault, begins in mischief.steps(planned):
        late_s = time.monotonic() - started - at_s
        # What took longer than planned, on a busy machine for example, shortens nothing that comes after it.
        started += max(late_s, 0.0)
        time.sleep(max(-late_s, 0.0))
        if begins:
            say(f"{fault}  (event time {rig.event.iso(rig.clock.now())[11:19]})")
            if not mends:
                broken_at = rig.crowd.truth.beats
            mends[fault] = mischief.FAULTS[fault.name].do(rig, fault.gateway)
        else:
            mended_at = time.monotonic()
            mends.pop(fault)()
            if not mends:
                under_fault += rig.crowd.truth.beats - broken_at
    return under_fault, mended_at


@contextmanager
def _arrivals(rig: Rig, chance: random.Random) -> Iterator[None]:
    """Let people come, come again by another gateway or to another session, and leave, in the background."""
    halt = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with Lines(lambda place: rig.gateways[place].port) as lines:
                for number in range(sys.maxsize):
                    if halt.wait(ARRIVAL_S):
                        return
                    _someone_comes(rig, chance, number, lines)
        except BaseException as error:  # noqa: BLE001 - it is the soak's to raise
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        halt.set()
        thread.join()
    if failed:
        raise failed[0]


def _someone_comes(rig: Rig, chance: random.Random, number: int, lines: Lines) -> None:
    crowd = rig.crowd
    known = chance.random() < 0.4
    for player in [player for player in crowd.players if player.refused in REJOIN]:
        # As a player does: its token is no longer good, so it joins again.
        crowd.players.remove(player)
        crowd.try_join(player.name, player.session, player.gateway, lines)
    while len(crowd.players) > PLAYERS_LIMIT:
        crowd.players.remove(chance.choice(crowd.players))
    name = chance.choice(crowd.players).name if known and crowd.players else f"newcomer {number}"
    crowd.try_join(name, chance.choice(("opening", "forum")), chance.randrange(GATEWAYS), lines)


@click.command()
@click.option("--seed", type=int, default=4, show_default=True, help="Of the faults: the same seed, the same faults.")
@click.option("--minutes", type=click.FloatRange(0.2), default=3.0, show_default=True, help="Real minutes of faults.")
@click.option("--speed", type=click.FloatRange(1, 60), default=20.0, show_default=True,
              help="Simulated seconds per second: at 20 a window lasts 3 s.")  # fmt: skip
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=None,
              help="Keep everything in this new folder; otherwise it goes, unless something is wrong.")  # fmt: skip
def main(seed: int, minutes: float, speed: float, folder: Path | None) -> None:
    """Break everything at random under load; exit 1 if anything acknowledged was lost or anything invented."""
    # Whoever ends it early gets everything that it started ended as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    where = folder or Path(tempfile.mkdtemp(prefix="turnout-soak-"))
    where.mkdir(parents=True, exist_ok=True)
    try:
        program = find_server()
    except EmbeddedRedisError as error:
        raise click.ClickException(str(error)) from None
    try:
        outcome = soak(where, program, seed=seed, seconds=60 * minutes, speed=speed, say=click.echo)
    except AssertionError as error:
        click.echo(f"seed {seed}: it did not hold: {error}\nEverything is kept in {where}", err=True)
        sys.exit(1)
    width = max(len(name) for name, _ in outcome.rows)
    for name, value in outcome.rows:
        click.echo(f"{name:<{width}}  {value}")
    for line in outcome.wrong[:20]:
        click.echo(line, err=True)
    if outcome.wrong:
        click.echo(f"Everything is kept in {where}", err=True)
        sys.exit(1)
    if folder is None:
        _remove(where)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


if __name__ == "__main__":
    main()
