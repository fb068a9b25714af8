"""How a command that checks says what it found: a line a check, and an exit code that scripts may rely on."""

from typing import Final

import click

HOLDS, FAILS, UNUSABLE, OPEN = 0, 1, 2, 3
"""Exit codes: everything that was asked for holds; a check failed; the files could not be used; nothing failed, but
something that was asked for is open, above all whose key it is."""
_MARKS: Final = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "yellow")}


def say_check(passed: bool | None, name: str, detail: str) -> None:
    """Print the line of a check; None = it could not be made, and the detail says why."""
    mark, colour = _MARKS[passed]
    click.echo(f"{click.style(mark, fg=colour)} {name}: {harmless(detail)}")


def harmless(text: str) -> str:
    """Return a text that quotes somebody's files so that it cannot move, hide or forge lines on a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def harmless_lines(text: str) -> str:
    """Return `harmless` text of several lines, all but the first indented: none can pass for the line of a check."""
    return "\n    ".join(harmless(line.strip()) for line in text.splitlines())
