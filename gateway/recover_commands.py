"""`turnout recover`: a Redis that has lost its data, filled from the evidence."""

from pathlib import Path

import click

from counters.event import load_event
from gateway.check_lines import say
from gateway.command_line import (
    DEFAULT_DATA,
    EVENT_FILE,
    FOLDER,
    LOGIN_FILE_HELP,
    REDIS_URL,
    Failure,
    SecretFile,
    explained,
)
from gateway.mendable import SettingsError
from gateway.settings import logged_in


@click.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help="The ledger's data directory.")
@click.option("--redis", "redis_url", type=REDIS_URL, required=True, help="The registry to fill, as gateways name it.")
@click.option("--live-redis", "live_url", type=REDIS_URL, default="",
              help="The Redis with the live sketches, if another. Default: --redis.")  # fmt: skip
@click.option("--redis-password-file", type=SecretFile(), help=LOGIN_FILE_HELP)
@click.option("--live-redis-password-file", type=SecretFile(),
              help="File with the password of --live-redis.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be set. Nothing is written.")
@explained
def recover(
    event_file: Path, data: Path, redis_url: str, live_url: str, redis_password_file: str | None,
    live_redis_password_file: str | None, dry_run: bool,
) -> None:  # fmt: skip
    """Fill a Redis that has lost its data from the evidence: seats, scans, and the day's unique attendees.

    Nothing that is certified was ever in Redis only, so nothing is wrong without this. But somebody who comes back
    would get a second seat (which the evidence joins before any count), a scanner that tries again would be journaled
    twice (and counted once), and the live number of those who joined today would begin anew.

    It may run while the event does, beside ledger and gateways, and more than once: what the registry holds already is
    left as it is, and sketches only rise. Run it once Redis is back, and again a few minutes later: it knows what is
    sealed in the log, and the last minutes are not yet.

    \b
    Examples:
      turnout recover event.toml --redis redis://registry.internal --dry-run
      turnout recover event.toml --redis redis://registry.internal --live-redis redis://live.internal
      turnout recover event.toml --redis redis://registry.internal --redis-password-file redis-password
    """
    from gateway.recover import RecoverError, recover_event

    if live_redis_password_file and not live_url:
        raise SettingsError("--live-redis-password-file is for --live-redis, which is not given")
    registry = logged_in("--redis", redis_url, redis_password_file or "")
    live = logged_in("--live-redis", live_url, live_redis_password_file or "")
    try:
        recover_event(load_event(event_file), data, registry, live or registry, dry_run=dry_run, say=say)
    except RecoverError as error:
        raise Failure(str(error)) from None
