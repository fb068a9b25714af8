"""`turnout certify`: a certificate over what is sealed."""

from pathlib import Path

import click

from counters.event import load_event
from gateway.check_lines import say
from gateway.command_line import DATA_HELP, DEFAULT_DATA, EVENT_FILE, FOLDER, Failure, explained


@click.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("certificate.json"),
              show_default=True, help="The certificate; its .tlog-proof is written beside it.")  # fmt: skip
@click.option("--corrects", type=int, metavar="ID", help="The certificate that this one supersedes. Needs --reason.")
@click.option("--reason", default="", help="Why that one no longer stands; everybody can read it.")
@explained
def certify(event_file: Path, data: Path, output: Path, corrects: int | None, reason: str) -> None:
    """Issue a certificate over what is sealed so far: by the running ledger, or from its data directory.

    While the event goes on the certificate is INTERIM, and says so.

    A certificate is never changed. One that turned out wrong is superseded: both stay in the public log, and whoever
    verifies the old one with the newer log is told.

    \b
    Example:
      turnout certify event.toml --corrects 1451 --reason "the scans of gate B came in after it"
    """
    from gateway.certify import CertifyError, CorrectionAsked, certify_event
    from gateway.progress_line import ProgressLine

    if (corrects is None) != (not reason):
        raise Failure("a correction needs both: --corrects ID and --reason TEXT")
    correction = None if corrects is None else CorrectionAsked(corrects, reason)
    try:
        with ProgressLine("reading sealed windows") as progress:
            issued = certify_event(load_event(event_file), data, output, correction, progress)
    except CertifyError as error:
        raise Failure(str(error)) from None
    say(f"certificate {issued.id}, sha256 {issued.sha256}")
    say(f"  {output}")
    say(f"  {issued.proof_path}")
    if correction:
        say(f"  supersedes certificate {correction.id}: {correction.reason}")
    if issued.notice:
        say(f"  {issued.notice}", fg="yellow")
