"""`turnout issuer-key`: tell the running ledger that an issuer has a key more, or one less."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from counters.event import Event, load_event
from gateway.check_lines import say
from gateway.command_line import EVENT_FILE, Failure, explained
from gateway.running_ledger_options import organisers_ledger


@click.command("issuer-key")
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--issuer", default="", metavar="ID", help="Whose key. Default: the event's only issuer.")
@click.option("--add", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="The public key as a JWK, or the issuer's JWK set: of that, what is not in force.")  # fmt: skip
@click.option("--retire", metavar="THUMBPRINT", help="The key's RFC 7638 thumbprint; --show lists them.")
@click.option("--reason", default="", help="Why, in a line; everybody can read it in the log.")
@click.option("--show", is_flag=True, help="Only show the keys: those in force, and those that were.")
@organisers_ledger()
@explained
def issuer_key(event_file: Path, data: Path, **asked: Any) -> None:
    """Add a key of an issuer, or retire one, while the event runs.

    Every worker of every gateway follows within two seconds. Tickets that a retired key signed open nothing any more;
    who is inside stays, and what was counted stays counted. A retired key never comes back. The change is an entry of
    the public log, and every certificate from then on names it: an organiser who adds keys can vouch for anybody.

    \b
    Examples:
      turnout issuer-key event.toml --add new.jwk.json --reason "the shop changes its key every week"
      turnout issuer-key event.toml --retire THUMBPRINT --reason "the private key was found on a laptop"
      turnout issuer-key event.toml --show
    """
    for line in _change(load_event(event_file), data, **asked):
        say(line)


def _change(
    event: Event,
    data: Path,
    *,
    issuer: str,
    add: Path | None,
    retire: str | None,
    reason: str,
    show: bool,
    ledger_url: str,
    secrets_file: Path | None,
) -> Iterator[str]:
    """Change what is asked for, and yield lines that say what is in force now.

    Raises:
        Failure: what is asked for makes no sense, or the file holds no key that could be the issuer's.
        RunningLedgerError: the ledger cannot be found or does not answer, or it refuses.
        SecretsError: the organiser key cannot be read.
    """
    from gateway.running_ledger import RunningLedger

    if [add is not None, retire is not None, show].count(True) != 1:
        raise Failure("say one of --add FILE, --retire THUMBPRINT and --show")
    if not show and not reason:
        raise Failure("say why with --reason: everybody can read it in the log")
    changes: list[dict[str, Any]] = []
    if not show:
        chosen = _issuer(event, issuer)
        # Looked at here first: a private key must not leave this machine, not even for a ledger that refuses it.
        keys = [{"add": key} for key in _public_keys(event, chosen, add)] if add else [{"retire": retire}]
        changes = [{"issuer": chosen, "reason": reason, **key} for key in keys]
    ledger = RunningLedger.of(event, data, url=ledger_url, secrets_file=secrets_file)
    for change in changes:
        yield _told(ledger.ask("/issuer-keys", change))
    yield from _listed(ledger.ask("/issuer-keys"), issuer)


def _issuer(event: Event, named: str) -> str:
    there_are = [issuer.id for issuer in event.issuers]
    if named in there_are:
        return named
    if not named and len(there_are) == 1:
        return there_are[0]
    raise Failure(f"say whose key it is with --issuer; the event's issuers are: {', '.join(there_are)}")


def _public_keys(event: Event, issuer: str, file: Path) -> list[dict[str, str]]:
    """Return the public signing keys in a file: one JWK, or a JWK set."""
    from counters.issuer_keys import IssuerKeyError, read_jwks
    from counters.keys_in_force import KeyChangeError, adding

    raw = file.read_bytes()
    try:
        parsed = json.loads(raw)
        keys = [parsed] if isinstance(parsed, dict) and "keys" not in parsed and "kty" in parsed else read_jwks(raw)
        # Identity providers publish encryption keys in the same set; no ticket is signed with them.
        signing = [key for key in keys if not (isinstance(key, dict) and key.get("use") == "enc")]
        changes = [adding(event, issuer, key, "", 0) for key in signing]
    except (ValueError, RecursionError) as error:
        wrong = str(error) if isinstance(error, KeyChangeError) else f"it is no JSON ({error})"
        raise Failure(f"{file}: {wrong}") from None
    except IssuerKeyError as error:
        raise Failure(f"{file}: {error}") from None
    if not changes:
        raise Failure(f"{file}: there is no key for signatures in it")
    return [dict(change.jwk or {}) for change in changes]


def _told(answer: dict[str, Any]) -> str:
    changed = answer["changed"]
    key = f"key {changed['thumbprint']} of {changed['issuer']}"
    if changed["at"] is None:
        return f"nothing to change: {key} is {'in force' if changed['action'] == 'add' else 'retired'} already"
    done = "is in force" if changed["action"] == "add" else "is retired"
    return f"{key} {done} as of {changed['at']}, which is in the log"


def _listed(answer: dict[str, Any], only: str) -> Iterator[str]:
    for issuer in answer["issuers"]:
        if only not in {"", issuer["id"]}:
            continue
        in_force = 0
        for key in issuer["keys"]:
            since = f"added {key['added_at']}" if key["added_at"] else "in entry 0"
            until = f", RETIRED {key['retired_at']}" if key["retired_at"] else ""
            in_force += not key["retired_at"]
            kid = f" kid {key['kid']}" if key["kid"] not in {None, key["thumbprint"]} else ""
            yield f"{issuer['id']}: {key['thumbprint']} {key['algorithm']}{kid}, {since}{until}"
        if not in_force:
            yield f"{issuer['id']}: NO KEY IS IN FORCE: nobody can join with its tickets"
