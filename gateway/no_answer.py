"""Why somebody did not answer over HTTP, in words for the person at the terminal."""

import socket
import urllib.error
from http.client import HTTPException, IncompleteRead
from typing import Final

_MEANS: Final = (
    (ConnectionRefusedError, "nothing listens there"),
    (socket.gaierror, "no host is known by that name"),
    (TimeoutError, "no answer in time"),
    ((ConnectionError, IncompleteRead), "the connection broke"),
    ((ValueError, HTTPException), "what answers there is no ledger"),
)


def why_no_answer(error: Exception) -> str:
    """Return what an error of urllib or http.client means, as the end of a sentence: "nothing listens there"."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    means = (words for kind, words in _MEANS if isinstance(cause, kind))
    return next(means, getattr(cause, "strerror", None) or str(cause))
