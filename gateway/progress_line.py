"""One line on a terminal that says how far something long is; nothing at all where nobody watches."""

import sys
import time
from typing import Final, Self, TextIO

REDRAW_S: Final = 0.2
"""More often nobody can read it."""
_CLEAR: Final = "\r\x1b[K"


class ProgressLine:
    """Draws `what: 512 of 1,440` over and over on the same line. Owned by its caller, who ends it with `with`."""

    def __init__(self, what: str, terminal: TextIO | None = None) -> None:
        """Count `what`; draw only if `terminal` (standard error) is one."""
        self._what = what
        self._terminal = terminal or sys.stderr
        self._shown = self._terminal.isatty()
        self._drawn_at = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """Say that so many are done, of how many."""
        now = time.monotonic()
        if self._shown and (now - self._drawn_at >= REDRAW_S or done == total):
            self._drawn_at = now
            self._terminal.write(f"{_CLEAR}{self._what}: {done:,} of {total:,}")
            self._terminal.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._terminal.write(_CLEAR)
            self._terminal.flush()
