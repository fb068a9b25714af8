"""`turnout steer`: tell the running ledger what to change, and the person at the terminal what is in force."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from counters.event import Event
from gateway.command_line import Failure
from gateway.running_ledger import RunningLedger
from gateway.viewing_token import TEXT_BYTES

SHOWN: Final = 20
"""Revoked seats and views listed by name; of more only the number."""


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
        Failure: what is asked for makes no sense.
        RunningLedgerError: the ledger cannot be found or does not answer, or it refuses.
        SecretsError: the organiser key cannot be read.
    """
    change = {"revoke": [_named(who) for who in revoke], "restore": [_named(who) for who in restore]}
    asked: dict[str, Any] = {name: rows for name, rows in change.items() if rows}
    if interval_s is not None:
        asked["interval_s"] = interval_s
    if bool(asked) == show:
        raise Failure("say what to change with --interval, --revoke or --restore; or --show alone")
    ledger = RunningLedger.of(event, data, url=ledger_url, secrets_file=secrets_file)
    return _lines(ledger.ask("/steering", asked or None))


def _named(who: str) -> dict[str, Any]:
    """Return WHO of the command line as the ledger takes it; what it means is for the ledger to check."""
    kind, separator, value = who.partition(":")
    if separator and kind == "seat" and value.isascii() and value.isdigit():
        return {"seat": int(value)}
    if separator and kind == "view":
        return {"view": value.lower()}
    if not separator and len(who) == TEXT_BYTES:
        return {"token": who}
    raise Failure(f"{who!r} is neither a viewing token of {TEXT_BYTES} characters, nor view:HEX, nor seat:N")


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
