"""`turnout backup` and `turnout restored`: copies of a ledger's data directory, and what an old one leads to."""

import sys
from pathlib import Path

import click

from gateway.check_lines import say
from gateway.command_line import FOLDER, Failure, explained
from gateway.harmless import harmless


@click.command()
@click.argument("data", metavar="DATA", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("dest", metavar="DEST", type=FOLDER)
@click.option("--check", "check_all", is_flag=True,
              help="Read also the evidence that DEST had before, and hold it against its digests.")  # fmt: skip
@click.option("--without-tokens", is_flag=True,
              help="Leave out the tokens of attendees, kept for audits; then DEST has none.")  # fmt: skip
@explained
def backup(data: Path, dest: Path, check_all: bool, without_tokens: bool) -> None:
    """Copy the ledger's data directory DATA to DEST while the ledger runs, or while it rests.

    The copy is one consistent state of the log with all evidence that it names; a ledger started on it goes on from
    there. A second run copies only what is new. What was copied is verified: the log whole against its checkpoint, each
    file of evidence against its digest. A run that breaks off leaves the copy as it was, or newer.

    DEST holds the key that signs the log and the event's secrets, as DATA does: it is made with mode 0700, and belongs
    on another disk, where as few people can read it. Keep the event file beside it. How to restore: docs/backup.md.

    \b
    Example, each minute from cron:
      turnout backup turnout-data /mnt/backup/turnout-data
    \b
    Exit codes: 0 copied and verified, 1 something is damaged (it is named; the rest was copied), 2 nothing was copied.
    """
    from counters.backup import Backup, BackupError

    try:
        with click.progressbar(length=1, label="evidence", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

            def show(number: int, of: int) -> None:
                bar.length = of
                bar.update(number - bar.pos)

            copied = Backup(data, dest, tokens=not without_tokens, progress=show).run(check_all=check_all)
    except BackupError as error:
        raise Failure(str(error)) from None
    say(f"{dest}: log of {copied.size} entries; {copied.files} files copied ({copied.bytes} bytes), "
               f"{copied.there} were there")  # fmt: skip
    held = f"holds {copied.tokens} tokens of attendees" if copied.tokens else "holds no tokens of attendees"
    say(f"{dest}: {held}")
    for sentence in copied.wrong:
        say(f"DAMAGED: {sentence}", err=True)
    sys.exit(1 if copied.wrong else 0)


@click.command()
@click.argument("data", metavar="DATA", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@explained
def restored(data: Path, yes: bool) -> None:
    """Say in the log that the data directory DATA was restored from a backup, and let its ledger go on.

    For a ledger that stands still because gateways have seen more of it than it has, or that you know to be older than
    what the public has seen. If there is a newer copy anywhere, restore that one instead. The ledger must not run.

    The log gets an entry that says how far it had been seen and by whom. From then on every certificate says that
    evidence accepted in between may be lost. Seats that may have been granted in between are passed over. This cannot
    be taken back.
    """
    from gateway.restored import Ledger, RestoredError, described

    try:
        ledger = Ledger.at(data)
        if not yes:
            question = "The public log will say for ever that it was restored. Is there no newer copy?"
            click.confirm(harmless(f"{ledger.event.name}. {question}"), abort=True)
        for line in described(ledger.declare()):
            say(line)
    except RestoredError as error:
        raise Failure(str(error)) from None
