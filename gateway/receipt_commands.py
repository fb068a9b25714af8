"""`turnout receipt`: the organiser gives an attendee the receipt that the ledger would give them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from counters.event import Event, load_event
from gateway.check_lines import say
from gateway.command_line import DATA_HELP, DEFAULT_DATA, EVENT_FILE, FOLDER, Failure, explained

if TYPE_CHECKING:
    from counters.roll_tree import SealedRoll


@click.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("--subject", default="", help="Whose: the subject claim of their tickets.")
@click.option("--issuer", "issuer_id", default="", help="Id of the issuer of the tickets. Default: the event's first.")
@click.option("--seat", type=click.IntRange(1, 2**31 - 1), help="Whose: any of their seats, in place of --subject.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("receipt.txt"),
              show_default=True, help="The file to write.")  # fmt: skip
@explained
def receipt(event_file: Path, data: Path, output: Path, subject: str, issuer_id: str, seat: int | None) -> None:
    """Write an attendee's receipt: proof of being on the roll, once, and the minutes in each session.

    The event must be over and its roll sealed. Attendees get theirs by themselves, with ticket or viewing token, at
    GET /v1/events/EVENT/receipt. Anybody verifies it with `turnout verify receipt.txt --policy FILE`.

    \b
    Example:
      turnout receipt my-event.toml --subject alice -o alice.txt
    """
    from counters.durable_file import write_durably
    from counters.evidence_store import EvidenceError
    from counters.log_key import load_signer
    from counters.secrets import SECRETS_FILE, load_secrets
    from gateway.ledger_service import open_event_clock
    from gateway.problems import Refused
    from gateway.receipts_api import issue_receipt
    from gateway.sealed_log import SealedLogError
    from gateway.subjects import pseudonym_of

    event = load_event(event_file)
    if bool(subject) == (seat is not None):
        raise Failure("say whose receipt: either --subject or --seat")
    try:
        roll = roll_with_minutes(event, data)
        secrets = load_secrets(data / SECRETS_FILE)
        who = seat if seat is not None else pseudonym_of(event, secrets, issuer_id, subject)
        note = issue_receipt(event, load_signer(data), roll, who, open_event_clock(event, data).now())
    except (EvidenceError, SealedLogError, Refused, ValueError) as refused:
        raise Failure(str(refused)) from None
    write_durably(output, note)
    say(str(output))


def roll_with_minutes(event: Event, data: Path) -> "SealedRoll":
    """Return the newest sealed roll of a data directory, with everybody's minutes beside it.

    Raises:
        Failure: no roll is sealed.
        SealedLogError, EvidenceError: the log or the evidence is not sound.
    """
    from counters.evidence_store import EvidenceStore
    from counters.kept_rolls import newest_or_remade, newest_sealed
    from counters.minutes_files import has_minutes, make_minutes
    from counters.roll_sealing import FOLDER as ROLLS
    from gateway.sealed_log import read_sealed_entries

    read = EvidenceStore(data / "evidence").get
    roll = newest_sealed(data / ROLLS) or newest_or_remade(read_sealed_entries(event, data), read, data / ROLLS)
    if roll is None:
        raise Failure(
            f"{data} holds no sealed roll: it is sealed when the event is over (late_until), by the running ledger or "
            "by turnout certify"
        )
    if not has_minutes(roll.folder):
        say("reading the evidence once, for everybody's minutes", err=True)
        make_minutes(read_sealed_entries(event, data), read, roll)
    return roll
