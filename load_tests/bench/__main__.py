"""Runs an experiment and prints its table: `python -m load_tests.bench --help`. Without a name: `heartbeats`."""

import signal
import sys
from typing import Any, Final

import click
from click.core import ParameterSource

from load_tests.bench import (
    batches,
    connections,
    flush,
    freshness,
    heads,
    heartbeats,
    joins,
    latency,
    mix,
    profile,
    rush,
    scraping,
    sealing,
    tls,
)

EXPERIMENTS: Final = (
    heartbeats,
    heads,
    joins,
    batches,
    latency,
    connections,
    profile,
    rush,
    mix,
    tls,
    flush,
    freshness,
    sealing,
    scraping,
)
"""One module each, in the order of `--help`."""


@click.pass_context
def _heartbeats_unless_another(context: click.Context, /, **options: Any) -> None:
    if context.invoked_subcommand is None:
        context.invoke(heartbeats.command, **options)
        return
    for option in context.command.params:
        if context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{option.opts[0]} stands before {context.invoked_subcommand}; its own options come after it."
            )


main = click.Group(
    "bench",
    invoke_without_command=True,
    params=heartbeats.command.params,
    callback=_heartbeats_unless_another,
    commands=[experiment.command for experiment in EXPERIMENTS],
    help="Measure what Turnout costs. Without a command: heartbeats, with the options below.",
)


if __name__ == "__main__":
    # What was started is stopped by context managers: they have to see the end coming.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()
