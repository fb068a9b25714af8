"""What an experiment found: printed with the facts a reader needs to judge it, saved if wanted."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from load_tests.bench import processes
from load_tests.http_client import UnexpectedAnswerError
from load_tests.server_process import ServerFailedError

RESULTS: Final = Path(__file__).parent / "results"


@contextmanager
def or_nothing() -> Iterator[None]:
    """End the command with exit code 1 and the reason if a measurement fails; half a table would mislead."""
    try:
        yield
    except (RuntimeError, ServerFailedError, UnexpectedAnswerError, OSError, subprocess.SubprocessError) as failure:
        raise click.ClickException(f"Nothing was measured: {failure}") from failure


def show(
    experiment: str,
    table: str,
    measured: Mapping[str, Any],
    *,
    versions: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    save: str | None = None,
) -> None:
    """Print a table with machine, versions and command line; with `save` write results/EXPERIMENT-SAVE.json.

    `measured` is what is written, besides the facts: anything that JSON can hold.
    """
    machine = processes.machine()
    command = shlex.join(["python", "-m", "load_tests.bench", *sys.argv[1:]])
    found = {"python": sys.version.split()[0], **(versions or {})}
    print(table)
    facts = ", ".join([*machine.values(), *(f"{name} {version}" for name, version in found.items())])
    print(f"\n{facts}; {command}")
    for note in notes:
        print(f"Note: {note}.")
    if save is None:
        return
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{experiment}-{save}.json"
    whole = {
        "experiment": experiment,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": machine,
        "versions": found,
        "notes": list(notes),
        **measured,
    }
    path.write_text(json.dumps(whole, indent=1) + "\n")
    print(f"Written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
