"""`turnout rotate-key`: another organiser key, scanner key, or key of viewing tokens, while the event runs."""

from pathlib import Path
from typing import Final

import click

from counters.secrets import ORGANISER, ROTATED, SCANNER, VIEWING_TOKEN
from gateway.check_lines import say
from gateway.command_line import DEFAULT_DATA, Failure, explained

NEXT: Final = {
    ORGANISER: "restart the ledger with this file (gateways go on meanwhile); gateways do not look at this key",
    SCANNER: "copy this file to every gateway's host and send each gateway SIGHUP",
    VIEWING_TOKEN: "copy this file to every gateway's host, send each gateway SIGHUP, and restart the ledger",
}
"""Who reads the file, and when."""
WITHDRAWN: Final = {
    ORGANISER: "with the earlier organiser keys nobody opens anything any more",
    SCANNER: "scanners with an earlier key are refused (403 key_wrong), and keep their scans until they get this one",
    VIEWING_TOKEN: "every player whose token has an earlier key joins again with its ticket, all of them at once",
}


@click.command("rotate-key")
@click.argument("key", type=click.Choice(ROTATED))
@click.option("--secrets", "secrets_file", default=DEFAULT_DATA / "secrets.json", show_default=True,
              type=click.Path(dir_okay=False, path_type=Path),
              help="secrets.json of the ledger: the file that is changed.")  # fmt: skip
@click.option("--withdraw", is_flag=True, help="Accept the earlier ones no more; no new one is made.")
@explained
def rotate_key(key: str, secrets_file: Path, *, withdraw: bool) -> None:
    """Make a new organiser key, scanner key, or key of viewing tokens; or withdraw the earlier ones.

    A new key is given out beside the earlier ones, which stay good until they are withdrawn: so nobody is turned away
    while people and hosts change over. Of a key that has leaked, withdraw the earlier ones at once. Processes read the
    file when they start; the command says which have to be told.

    \b
    Examples:
      turnout rotate-key scanner                    the new key; then copy the file, SIGHUP, hand the key out
      turnout rotate-key scanner --withdraw         then, when every scanner has it
    """
    from counters.secrets import rotate

    if not secrets_file.exists():
        raise Failure(f"{secrets_file} is not there: name secrets.json in the ledger's data directory with --secrets")
    secrets = rotate(secrets_file, key, withdraw=withdraw)
    used = secrets.generations_of(key)
    earlier = f" beside {used.newest - used.oldest} earlier" if used.oldest < used.newest else ", and no earlier one"
    say(f"{secrets_file}: generation {used.newest} of the {key} key is good{earlier}")
    if key != VIEWING_TOKEN:
        say(f"the {key} key is {secrets.organiser_key if key == ORGANISER else secrets.scanner_key}")
    say(f"now {NEXT[key]}")
    if withdraw:
        say(f"then {WITHDRAWN[key]}")
