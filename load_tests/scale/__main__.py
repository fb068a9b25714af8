"""`python -m load_tests.scale generate | certify | verify | compare | run`."""

import multiprocessing
import sys
from pathlib import Path
from typing import Final

import click

from load_tests.scale import comparing, generating, stages
from load_tests.scale.people import People
from load_tests.scale.programme import Programme
from load_tests.scale.stages import Cost

DEFAULT_DATA: Final = Path("/tmp/turnout-scale")  # noqa: S108 - a folder to be named, and removed by whoever ran it
TURNOUT: Final = (sys.executable, "-m", "gateway.cli")
PROCESSES: Final = 2

_data = click.option("--data", type=click.Path(path_type=Path), default=DEFAULT_DATA, show_default=True)
_attendees = click.option("--attendees", type=click.IntRange(100, 40_000_000), default=40_000, show_default=True)
_gateways = click.option("--gateways", type=click.IntRange(1, 64), default=4, show_default=True)
_minutes = click.option("--minutes", type=click.IntRange(16, 480), default=480, show_default=True,
                        help="Of programme a day: a multiple of 8.")  # fmt: skip
_seed = click.option("--seed", type=click.IntRange(0, 1 << 32), default=2023, show_default=True)


@click.group()
def main() -> None:
    """Evidence of an event at any size, and what certifying and verifying it costs."""


@main.command()
@_data
@_attendees
@_gateways
@_minutes
@_seed
@click.option("--processes", type=click.IntRange(1, 64), default=PROCESSES, show_default=True)
def generate(data: Path, attendees: int, gateways: int, minutes: int, seed: int, processes: int) -> None:
    """Make the evidence. What is in the folder is removed first."""
    people = People.of(attendees, gateways, seed, Programme(minutes // 8 * 8))
    steps = generating.generate(generating.Place(data), people, processes)
    click.echo("; ".join(f"{step} {seconds:.1f} s" for step, seconds in steps.items()), err=True)


@main.command()
@_data
def certify(data: Path) -> None:
    """Certify it: `turnout certify`."""
    _show(_certify(data))


@main.command()
@_data
def verify(data: Path) -> None:
    """Verify the certificate, alone and with all evidence: `turnout verify`."""
    _show(_verify_alone(data))
    _show(_verify(data))


@main.command()
@_data
def compare(data: Path) -> None:
    """Compare the certificate's numbers with the truth."""
    compared = comparing.compare(_certificate(data), data / "truth.json")
    for line in compared.wrong:
        click.echo(line)
    rest = f"{compared.withheld} are withheld, {len(compared.wrong)} differ"
    click.echo(f"{compared.same} numbers are those of the truth, {rest}")
    if compared.wrong or not compared.same:
        raise SystemExit(1)


@main.command()
@_data
@_attendees
@_gateways
@_minutes
@_seed
@click.pass_context
def run(context: click.Context, /, data: Path, **size: int) -> None:
    """All of it, one after the other."""
    arguments = [word for name, value in size.items() for word in (f"--{name}", str(value))]
    made = (sys.executable, "-m", "load_tests.scale", "generate", "--data", str(data), *arguments)
    _show(stages.run("generate", made))
    evidence_bytes = sum(path.stat().st_size for path in (data / "data" / "evidence").iterdir())
    click.echo(f"evidence: {evidence_bytes / 1e9:.2f} GB")
    _show(_certify(data))
    context.invoke(compare, data=data)
    _show(_verify_alone(data))
    _show(_verify(data))


def _certificate(data: Path) -> Path:
    return data / "certificate" / "certificate.json"


def _certify(data: Path) -> Cost:
    ours = ("--data", str(data / "data"), "-o", str(_certificate(data)))
    return stages.run("certify", (*TURNOUT, "certify", str(data / "event.toml"), *ours))


def _verify_alone(data: Path) -> Cost:
    return stages.run("verify, the certificate alone", _verify_command(data))


def _verify(data: Path) -> Cost:
    log, evidence = (str(data / "data" / name) for name in ("log", "evidence"))
    return stages.run("verify, with all evidence", (*_verify_command(data), "--log", log, "--evidence", evidence))


def _verify_command(data: Path) -> tuple[str, ...]:
    return *TURNOUT, "verify", str(_certificate(data)), "--policy", str(data / "trust-policy")


def _show(cost: Cost) -> None:
    click.echo(str(cost))
    if cost.code:
        raise SystemExit(cost.code)


if __name__ == "__main__":
    multiprocessing.freeze_support()
    main()
