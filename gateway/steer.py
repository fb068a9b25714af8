"""`turnout steer`: tell the running ledger what to change, and the person at the terminal what is in force."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters.event import Event
from counters.secrets import load_secrets
from gateway.no_answer import why_no_answer
from gateway.reasons import Reason
from gateway.viewing_token import TEXT_BYTES

TIMEOUT_S: Final = 30
SHOWN: Final = 20
"""Revoked seats and views listed by name; of more only the number."""


class SteerError(Exception):
    """Nothing was changed, and what to do about it."""


def steer_event(
    event: Event,
    data: Path,
    *,
    ledger_url: str,
    secrets_file: Path | None,
    interval_s: int | None,
    revoke: Iterable[str],
    restore: Iterable[str],
    show: bool,
) -> Iterator[str]:
    """Change what is asked for; return lines that say what is in force now.

    Raises:
        SteerError: the ledger cannot be found or does not answer, or it refuses.
        SecretsError: the organiser key cannot be read.
    """
    change = {"revoke": [_named(who) for who in revoke], "restore": [_named(who) for who in restore]}
    asked: dict[str, Any] = {name: rows for name, rows in change.items() if rows}
    if interval_s is not None:
        asked["interval_s"] = interval_s
    if bool(asked) == show:
        raise SteerError("say what to change with --interval, --revoke or --restore; or --show alone")
    key = organiser_of(data, secrets_file)
    url = f"{(ledger_url or ledger_of(event, data)).rstrip('/')}/v1/events/{event.id}/steering"
    return _lines(ask_ledger(url, key, asked or None))


def _named(who: str) -> dict[str, Any]:
    """Return WHO of the command line as the ledger takes it; what it means is for the ledger to check."""
    kind, separator, value = who.partition(":")
    if separator and kind == "seat" and value.isascii() and value.isdigit():
        return {"seat": int(value)}
    if separator and kind == "view":
        return {"view": value.lower()}
    if not separator and len(who) == TEXT_BYTES:
        return {"token": who}
    raise SteerError(f"{who!r} is neither a viewing token of {TEXT_BYTES} characters, nor view:HEX, nor seat:N")


@dataclass(frozen=True, slots=True)
class OrganiserKey:
    """The organiser's key, and whose file says so."""

    text: str
    file: Path


def organiser_of(data: Path, secrets_file: Path | None = None) -> OrganiserKey:
    """Return the organiser's key of a secrets file, or else of the one in a data directory.

    Raises:
        SteerError: there is no such file.
        SecretsError: it cannot be used.
    """
    file = secrets_file or data / "secrets.json"
    if not file.exists():
        raise SteerError(
            f"{file} is not there: name the ledger's data directory with --data; on another host its secrets.json with "
            "--secrets, and the ledger with --ledger http://…"
        )
    return OrganiserKey(load_secrets(file).organiser_key, file)


def ledger_of(event: Event, data: Path) -> str:
    """Return the address of the ledger that runs on a data directory.

    Raises:
        SteerError: it says none, or has another event.
    """
    try:
        running = json.loads((data / "ledger.json").read_text())
        if running["event_sha256"] != event.digest:
            raise SteerError("the ledger of this data directory has another event file: name that one")
        return str(running["ledger"])
    except (OSError, ValueError, KeyError):
        raise SteerError(
            f"{data} does not say where its ledger is: name the ledger with --ledger http://…, or its data directory "
            "with --data"
        ) from None


def ask_ledger(
    url: str, key: OrganiserKey, asked: dict[str, Any] | None, timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    """Ask the ledger as the organiser: GET if nothing is asked for, else POST.

    Raises:
        SteerError: it refuses, or does not answer.
    """
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked, or the ledger wrote it itself
        url, None if asked is None else json.dumps(asked).encode(), {"Authorization": f"Bearer {key.text}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return dict(json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        raise SteerError(f"the ledger refused: {_detail(error.read(), key.file)}") from None
    except (OSError, ValueError) as error:
        raise SteerError(f"the ledger does not answer at {url}: {why_no_answer(error)}. Is it running?") from None


def _detail(body: bytes, file: Path) -> str:
    try:
        problem = json.loads(body)
        reason, detail = problem.get("reason"), str(problem["detail"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return body.decode(errors="replace")[:500]
    return wrong_key(file) if reason == Reason.KEY_WRONG.label else detail


def wrong_key(file: Path) -> str:
    """Return why a ledger does not take the organiser's key of a file, and what to do."""
    return (
        f"it does not take the organiser key of {file}. That is another event's file, or its key was withdrawn "
        "(turnout rotate-key): take secrets.json from the ledger's data directory. If it is that one, restart the "
        "ledger, which reads it when it starts"
    )


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    if changed := answer.get("changed"):
        something = any((changed["interval_s"], *changed["revoked"].values(), *changed["restored"].values()))
        yield f"change {answer['number']} is in the log" if something else "nothing to change: it was so already"
        for token in answer["tokens"]:
            yield f"the token is of view:{token['view']}, seat:{token['seat']}"
    yield f"interval {answer['interval_s']} s"
    revoked = [f"seat:{seat}" for seat in answer["revoked"]["seats"]]
    revoked += [f"view:{view}" for view in answer["revoked"]["views"]]
    more = f" and {len(revoked) - SHOWN} more" if len(revoked) > SHOWN else ""
    yield f"revoked {' '.join(revoked[:SHOWN]) or 'nobody'}{more}"
