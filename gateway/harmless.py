"""Texts of others on a terminal or in a log: they cannot move, hide or forge lines there.

Certificates, logs, event files and answers come from people who may not mean well.
"""

from typing import Final

_INDENT: Final = "\n    "


def harmless(text: str) -> str:
    """Return a text as one line, in which whatever would not be seen as a character stands escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def harmless_lines(text: str) -> str:
    """Return `harmless` text of several lines, all but the first indented: none can pass for a line of ours."""
    first, *others = text.splitlines() or [""]
    return _INDENT.join((harmless(first.rstrip()), *(harmless(line.strip()) for line in others)))
