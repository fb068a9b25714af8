"""The event file of the bench: sessions that are on now, in real time, and development issuers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

EVENT_ID: Final = "bench"
ALGORITHMS: Final = ("ES256", "Ed25519", "RS256")
ONE_ISSUER: Final = {"tickets": ALGORITHMS}
_SPAN_H: Final = (-1, 6, 24)
"""Sessions began an hour ago and end in six; late evidence counts for a day."""

_EVENT: Final = """# Written by load_tests.bench: sessions that are on now, in real time.
[event]
id = "{event}"
name = "Bench"
organiser = "Turnout bench"
time_zone = "Etc/UTC"
late_until = {late}

[counting]
rules = ["unique-attendees"]
"""
_SESSION: Final = """
[[session]]
number = {number}
id = "{id}"
title = "Stream {number}"
starts_at = {starts}
ends_at = {ends}
gates = ["door-{number}"]
"""
_ISSUER: Final = """
[[issuer]]
id = "{id}"
issuer = "{url}"
audience = "{event}"
jwks = "{id}.jwks.json"
namespace = "{id}"
subject_claim = "sub"
operated_by = "Turnout bench"
algorithms = {algorithms}
attributes = {{ country = "country", category = "category" }}
development = true
"""


def issuer_url(issuer: str) -> str:
    """Return what an issuer calls itself in its tickets (claim `iss`)."""
    return f"https://{issuer}.bench.example"


def write_event_file(
    scratch: Path, now: datetime, sessions: Sequence[str], issuers: Mapping[str, Sequence[str]] = ONE_ISSUER
) -> Path:
    """Write an event file; returns its path.

    Args:
        scratch: the folder it goes to.
        now: the sessions are on then.
        sessions: their ids, numbered from 1.
        issuers: by id, the algorithms that each may sign with; `turnout up` makes its key, for the first of them.
    """
    starts, ends, late = ((now + timedelta(hours=hours)).replace(microsecond=0).isoformat() for hours in _SPAN_H)
    parts = [_EVENT.format(event=EVENT_ID, late=late)]
    parts += [
        _SESSION.format(number=number, id=session, starts=starts, ends=ends)
        for number, session in enumerate(sessions, start=1)
    ]
    parts += [
        # A list of plain strings is written alike in TOML and in Python, but for the quotes.
        _ISSUER.format(
            event=EVENT_ID, id=issuer, url=issuer_url(issuer), algorithms=str(list(algorithms)).replace("'", '"')
        )
        for issuer, algorithms in issuers.items()
    ]
    path = scratch / "event.toml"
    path.write_text("".join(parts))
    return path
