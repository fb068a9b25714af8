"""`turnout verify`: certificates and receipts, checked offline."""

import sys
from pathlib import Path
from typing import Any

import click

from gateway.command_line import FOLDER, explained


@click.command()
@click.argument("certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--proof", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Default: the .tlog-proof beside the certificate.")  # fmt: skip
@click.option("--log", "log_dir", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="The public log. Default: log/ beside the certificate or the evidence.")  # fmt: skip
@click.option("--evidence", "evidence_dir", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="The evidence, to recompute every number.")  # fmt: skip
@click.option("--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="tlog-policy file: which log key and witnesses you trust.")  # fmt: skip
@click.option("--against", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Another certificate, .tlog-proof or checkpoint of this log, which must not contradict it. May "
                   "be given again.")  # fmt: skip
@click.option("--keep", type=FOLDER, default=Path("contradiction"), show_default=True,
              help="Where to put the proof, if the log contradicts itself.")  # fmt: skip
@click.option("--authority", metavar="CA.PEM", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Certificates of an RFC 3161 timestamp authority that you trust, for timestamps.")  # fmt: skip
@click.option("--timestamps", "timestamps_dir", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="The timestamps. Default: timestamps/ of the log.")  # fmt: skip
@click.option("--ticket", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Of a receipt: the ticket (JWT) of whoever shows it, to see that it is theirs.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Refuse also what nobody has signed, and what was asked for and is open.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@explained
def verify(**asked: Any) -> None:
    """Check a certificate, or a receipt, offline. Prints every check; exits 0 only if all that was asked for holds.

    Alone, the certificate shows that it is signed into the log. With the log, everything that is `checkable_by` log is
    recomputed from public leaves. With the evidence, every number is. Whose key it is only you can say: with --policy.

    \b
    Exit codes:
      0  everything that was asked for holds, under a key that the policy trusts
      1  a check failed
      2  the files could not be used
      3  nothing failed, but something that was asked for is open: without --policy, whose key it is
    """
    from gateway.verify_report import Asked, verify_files

    sys.exit(verify_files(Asked(**asked)))
