"""`turnout forget`: delete what says who one attendee was. No count and no proof changes by it."""

import asyncio
from pathlib import Path

import click

from counters.event import load_event
from gateway.check_lines import say
from gateway.command_line import (
    DATA_HELP,
    DEFAULT_DATA,
    EVENT_FILE,
    FOLDER,
    LOGIN_FILE_HELP,
    REDIS_URL,
    Failure,
    SecretFile,
    explained,
)
from gateway.harmless import harmless
from gateway.settings import logged_in
from gateway.subjects import pseudonym_of


@click.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("--subject", required=True, help="Who: the subject claim of their tickets.")
@click.option("--issuer", "issuer_id", default="", help="Id of the issuer of the tickets. Default: the event's first.")
@click.option("--redis", "redis_url", type=REDIS_URL, default="", help="The registry, to delete their entry there too.")
@click.option("--redis-password-file", type=SecretFile(), help=LOGIN_FILE_HELP)
@click.option("--yes", is_flag=True, help="Do not ask.")
@explained
def forget(
    event_file: Path, data: Path, subject: str, issuer_id: str, redis_url: str, redis_password_file: str | None,
    yes: bool,
) -> None:  # fmt: skip
    """Delete what says who one attendee was: the retained tickets, and the registry's entry.

    Seats and journal rows under a pseudonym stay: they are sealed, and certified counts stand on them. Without the
    event's pseudonym key nobody can tell whose they are. Somebody whose ticket is gone cannot be opened any more in an
    audit of the roll, and counts as bogus if drawn. Copies in backups are places of their own. See docs/privacy.md.

    \b
    Example:
      turnout forget my-event.toml --subject alice --redis redis://registry.internal
    """
    from counters.evidence_store import EvidenceError, EvidenceStore
    from counters.forgetting import tokens_of
    from counters.recovery import read_journals
    from counters.retained_tokens import FOLDER as TOKENS
    from counters.retained_tokens import RetainedTokens
    from counters.secrets import load_secrets
    from gateway.sealed_log import SealedLogError, read_sealed_log

    if redis_password_file:
        redis_url = logged_in("--redis", redis_url, redis_password_file)
    event = load_event(event_file)
    secrets = load_secrets(data / "secrets.json")
    try:
        name = pseudonym_of(event, secrets, issuer_id, subject)
        log = read_sealed_log(event, data)
        digests = tokens_of(name, read_journals(log, EvidenceStore(data / "evidence").get))
    except (EvidenceError, SealedLogError, ValueError) as error:
        raise Failure(str(error)) from None
    if not digests:
        raise Failure(f"nobody with the subject {subject!r} has joined or been scanned, as far as it is sealed")
    if not yes:
        question = f"{event.name}: delete what says who {subject!r} was? This cannot be taken back."
        click.confirm(harmless(question), abort=True)
    gone = RetainedTokens(data / TOKENS, secrets.audit_key).forget(digests)
    say(f"tickets deleted: {gone}")
    if redis_url:
        say(f"registry entries deleted: {asyncio.run(_forget_seat(event.id, name, redis_url))}")
    say("what is sealed stays, under a pseudonym; backups and spools are places of their own")


async def _forget_seat(event_id: str, name: bytes, redis_url: str) -> int:
    from counters.redis_address import open_link
    from counters.registry import seat_key

    link = open_link(redis_url, 5.0, Failure)
    try:
        (deleted,) = await link.send([("HDEL", seat_key(event_id, name), name)])
        return int(deleted)
    finally:
        await link.close()
