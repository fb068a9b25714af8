"""`turnout attendees`: the list of attendees as Parquet, under pseudonyms, or joined with the organiser's own list."""

from pathlib import Path

import click

from counters.event import load_event
from gateway.check_lines import say
from gateway.command_line import DATA_HELP, DEFAULT_DATA, EVENT_FILE, FOLDER, Failure, explained
from gateway.subjects import pseudonym_of


@click.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("attendees.parquet"),
              show_default=True, help="The file to write.")  # fmt: skip
@click.option("--join", "own_list", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CSV with a column `subject`: its other columns are added to whoever has that subject.")  # fmt: skip
@click.option("--issuer", "issuer_id", default="", help="Id of the issuer of these subjects. Default: the first.")
@explained
def attendees(event_file: Path, data: Path, output: Path, own_list: Path | None, issuer_id: str) -> None:
    """Write who attended which session for how long: one row for each attendee, session and channel.

    The event must be over and its roll sealed. Rows are under pseudonyms; names are in them only if you join a list of
    your own. Needs the extra `parquet` (pip install 'turnout[parquet]').

    \b
    Examples:
      turnout attendees my-event.toml -o attendees.parquet
      turnout attendees my-event.toml --join ticket-shop.csv -o with-names.parquet
    """
    from counters.evidence_store import EvidenceError
    from counters.secrets import SECRETS_FILE, load_secrets
    from gateway.receipt_commands import roll_with_minutes
    from gateway.report import ReportError
    from gateway.report.attendees import read_own_list, write_attendees
    from gateway.sealed_log import SealedLogError

    event, secrets = load_event(event_file), load_secrets(data / SECRETS_FILE)
    try:
        roll = roll_with_minutes(event, data)
        own = None
        if own_list is not None:
            own = read_own_list(
                own_list, lambda subject: roll.tree.find(pseudonym_of(event, secrets, issuer_id, subject))
            )
        count = write_attendees(event, roll, output, own)
    except (EvidenceError, SealedLogError, ReportError, ValueError) as error:
        raise Failure(str(error)) from None
    say(f"{output}: {count} rows, of {roll.tree.size} attendees")
    if own is not None:
        say(f"joined with {len(own.rows)} of your list; {own.unknown} of it did not attend")
