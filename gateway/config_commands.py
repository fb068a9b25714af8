"""`turnout config`: what is in force, and where it came from."""

import json
import sys
from collections.abc import Sequence
from typing import Final

import click

from gateway.check_lines import say
from gateway.command_line import explained
from gateway.harmless import harmless
from gateway.mendable import EXIT_CODE
from gateway.settings_in_force import InForce

WIDTH_OF_A_PIPE: Final = 10_000
"""Characters: what reads it finds each setting on one line."""


@click.group()
def config() -> None:
    """See what flags, environment, settings file and defaults come to (docs/settings.md)."""


@config.command(context_settings={"ignore_unknown_options": True})
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND] [EVENT.toml] [OPTIONS OF COMMAND]")
@explained
def check(arguments: tuple[str, ...], as_json: bool) -> None:
    """Show every setting of a command with its value and where that came from, and say what is wrong.

    COMMAND is up (the default), gateway, ledger or witness; behind it stands what you would start it with. Nothing is
    started and nothing is written. Files that settings name are read: the event file, secrets, lists of networks.
    Passwords are masked.

    \b
    Exit codes:
      0  the command would start with this
      2  it would not, and why
    \b
    Examples:
      turnout config check event.toml
      turnout config check gateway event.toml --config turnout.toml
      turnout config check ledger --redis redis://localhost --json
    """
    in_force = asked_for(arguments)
    if as_json:
        json.dump(_as_json(in_force), sys.stdout, indent=1)
        click.echo()
    else:
        _print(in_force)
    sys.exit(EXIT_CODE if in_force.problems else 0)


def asked_for(arguments: Sequence[str]) -> InForce:
    """Return what the command that is named first, or `turnout up`, would have in force with the other arguments."""
    from gateway import serving_commands
    from gateway.settings import OF_COMMANDS
    from gateway.settings_in_force import read_in_force

    name, behind = (arguments[0], arguments[1:]) if arguments and arguments[0] in OF_COMMANDS else ("up", arguments)
    return read_in_force(getattr(serving_commands, name), behind)


def _print(in_force: InForce) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"turnout {in_force.command}", title_justify="left", box=None, pad_edge=False)
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for value in in_force.values:
        style = "dim" if value.origin.kind == "default" else ""
        table.add_row(*(Text(harmless(text), style) for text in (value.flag, _shown(value.value), str(value.origin))))
    Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE).print(table)
    for warning in in_force.warnings:
        say(f"warning: {warning}", fg="yellow")
    for problem in in_force.problems:
        say(f"problem: {problem}", fg="red")
    if not in_force.problems:
        say(f"turnout {in_force.command} would start with this.", fg="green")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "–"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value) or "–"


def _as_json(in_force: InForce) -> dict[str, object]:
    return {
        "command": in_force.command,
        "settings": [
            {"flag": value.flag, "value": value.value, "from": value.origin.kind, "where": value.origin.where}
            for value in in_force.values
        ],
        "warnings": in_force.warnings,
        "problems": in_force.problems,
    }
