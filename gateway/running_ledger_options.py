"""The options with which a command is told which ledger it asks, and with whose key (gateway.running_ledger)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.command_line import DEFAULT_DATA, FOLDER, HTTP_URL

Command = TypeVar("Command", bound=Callable[..., Any])


def organisers_ledger(whom: str = "The ledger, or a gateway") -> Callable[[Command], Command]:
    """Return a decorator that adds --data, --ledger and --secrets; `whom` says what --ledger may name."""

    def add(command: Command) -> Command:
        options = (
            click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True,
                         help="The ledger's data directory, which says where it is and holds secrets.json."),
            click.option("--ledger", "ledger_url", type=HTTP_URL, default="",
                         help=f"{whom}, http://… Default: what --data says."),
            click.option("--secrets", "secrets_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                         help="secrets.json of the ledger, for the organiser key. Default: the one in --data."),
        )  # fmt: skip
        for option in reversed(options):
            command = option(command)
        return command

    return add
