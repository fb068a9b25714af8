"""Errors that the person at the terminal can mend: one sentence and exit code 2 instead of a traceback."""

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

EXIT_CODE: Final = 2
_log = logging.getLogger("turnout")


class CannotServeError(Exception):
    """A process cannot serve, and starting it again would change nothing; the sentence says what would."""


class SettingsError(Exception):
    """Settings contradict each other, or a file that they name cannot be used; the sentence shows no secret."""


class RunningLedgerError(Exception):
    """A running ledger did nothing for the command that asked it; the sentence says what would help."""


def explain(error: Exception) -> str:
    """Return what is wrong and what to do about it."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{error.strerror}: another program listens on that port. Stop it, or choose another port."
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"{error}: choose a folder that you may write to, or a port above 1023."
    return str(error)


@contextmanager
def one_sentence(*mendable: type[Exception]) -> Iterator[None]:
    """End the process with one sentence in the log if one of these errors comes up."""
    try:
        yield
    except mendable as error:
        _log.error("%s", explain(error))
        sys.exit(EXIT_CODE)
