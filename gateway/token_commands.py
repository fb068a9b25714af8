"""`turnout token`: a ticket of a development issuer."""

from pathlib import Path
from typing import Any

import click

from gateway.check_lines import say
from gateway.command_line import DATA_HELP, DEFAULT_DATA, EVENT_FILE, FOLDER, Failure, explained


@click.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("--issuer", "issuer_id", default="", help="Which development issuer. Default: the first.")
@click.option("--subject", required=True, help="Whom the ticket is for.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="A further claim, e.g. country=FR.")
@click.option("--hours", default=12.0, show_default=True, help="How long the ticket is valid.")
@explained
def token(event_file: Path, data: Path, subject: str, claims: tuple[str, ...], **options: Any) -> None:
    """Mint a development ticket (a JWT) from a development issuer.

    Its keys are those that `turnout up` made; keys that are not there yet are made, for a ledger that has yet to start.
    """
    from gateway.development_issuer import FOLDER as ISSUERS
    from gateway.development_issuer import DevelopmentIssuer, DevelopmentIssuerError, load_event_creating_keys
    from gateway.ledger_service import open_event_clock

    try:
        event = load_event_creating_keys(event_file, data / ISSUERS)
        issuers = [issuer for issuer in event.issuers if issuer.development]
        chosen = [issuer for issuer in issuers if options["issuer_id"] in {"", issuer.id}]
        if not chosen:
            raise Failure(f"no such development issuer; there are: {', '.join(i.id for i in issuers) or 'none'}")
        if any("=" not in claim for claim in claims):
            raise Failure("a claim is NAME=VALUE")
        minter = DevelopmentIssuer.load(data / ISSUERS, chosen[0].id)
    except DevelopmentIssuerError as error:
        raise Failure(str(error)) from None
    more = dict(claim.split("=", 1) for claim in claims)
    data.mkdir(parents=True, exist_ok=True)
    now = open_event_clock(event, data).now()
    say(minter.mint(chosen[0], subject, now=now, lifetime_s=int(options["hours"] * 3600), claims=more))
