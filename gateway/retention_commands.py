"""`turnout retention`: the attendees' tokens that are kept for the audit of the roll, and their end."""

from pathlib import Path

import click

from counters.event import load_event
from gateway.check_lines import say
from gateway.command_line import DATA_HELP, DEFAULT_DATA, EVENT_FILE, FOLDER, Failure, explained


@click.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@explained
def retention(event_file: Path, data: Path) -> None:
    """Say how many tokens of attendees are kept and until when, and delete them if that time is over.

    A running ledger deletes them by itself when `retain_tokens_until` of the event file is over; this is for a data
    directory whose ledger runs no more. It is harmless beside a running ledger, and when it is broken off. Backups and
    the spools of gateways are places of their own: see docs/backup.md.
    """
    from counters.retained_tokens import FOLDER as TOKENS
    from counters.retained_tokens import RetainedTokens
    from counters.secrets import SECRETS_FILE, load_secrets
    from gateway.ledger_service import open_event_clock
    from gateway.token_keeper import expired

    event = load_event(event_file)
    tokens = RetainedTokens(data / TOKENS, load_secrets(data / SECRETS_FILE).audit_key)
    if tokens.events() - {event.digest}:
        raise Failure(f"{data / TOKENS} holds tokens of another event than {event_file}: name the file that is locked")
    number, size = tokens.size()
    until = "not at all" if event.tokens_until is None else f"until {event.iso(event.tokens_until.timestamp())}"
    say(f"{event.name}: tokens are kept {until}; {data / TOKENS} holds {number} ({size} bytes)")
    if expired(event, open_event_clock(event, data).now()):
        tokens.forget_all()
        say(f"{number} tokens deleted" if number else "nothing to delete")
