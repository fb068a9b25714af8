"""`turnout verifier`: the verifier's page as one file, for people who check a certificate and install nothing."""

from pathlib import Path

import click

from gateway.check_lines import say
from gateway.command_line import explained


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("verify.html"),
              show_default=True, help="Where to write it.")  # fmt: skip
@explained
def verifier(output: Path) -> None:
    """Write the page that checks certificates: one HTML file to hand over with them.

    It opens from disk in any current browser, needs no server and reaches no network. Whoever wants to check a
    certificate drops it there, with its proof and, if at hand, the log, the evidence and a trust policy. A ledger
    serves the same page at /verify. It is a second implementation, independent of `turnout verify`; what it does not
    recompute it says.

    \b
    Example:
      turnout verifier -o verify.html
    """
    from gateway.verifier.served import write_page

    say(f"{output}: {write_page(output):,} bytes")
