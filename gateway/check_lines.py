"""How a command says what it did or found: harmless lines, one a check, and an exit code that scripts may rely on."""

from typing import Final

import click

from gateway.harmless import harmless, harmless_lines

HOLDS, FAILS, UNUSABLE, OPEN = 0, 1, 2, 3
"""Exit codes: everything that was asked for holds; a check failed; the files could not be used; nothing failed, but
something that was asked for is open, above all whose key it is."""
_MARKS: Final = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "yellow")}


def say(text: str, *, fg: str | None = None, bold: bool | None = None, err: bool = False) -> None:
    """Print what may quote files and answers of others; of several lines all but the first are indented."""
    click.secho(harmless_lines(text), fg=fg, bold=bold, err=err)


def say_check(passed: bool | None, name: str, detail: str) -> None:
    """Print the line of a check; None = it could not be made, and the detail says why."""
    mark, colour = _MARKS[passed]
    say_mark(mark, colour, f"{name}: {harmless(detail)}")


def say_mark(mark: str, colour: str, text: str) -> None:
    """Print a line with a coloured mark before it; further lines as `say` does."""
    click.echo(f"{click.style(mark, fg=colour)} {harmless_lines(text)}")
