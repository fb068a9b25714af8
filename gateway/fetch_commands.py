"""`turnout fetch`: a copy of the public log, for whoever wants to check a certificate against it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.check_lines import say
from gateway.command_line import FOLDER, HTTP_URL, Failure, explained

if TYPE_CHECKING:
    from counters.ledger.note import Verifier

EXIT_NOT_THE_LOG = 1
"""As of `turnout verify`: a check failed."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("url", type=HTTP_URL)
@click.option("-o", "--output", type=FOLDER, default=Path("log"), show_default=True, help="Folder for the copy.")
@click.option("--policy", type=_FILE, help="tlog-policy file: which log key you trust.")
@click.option("--vkey", metavar="VKEY", help="The log key that you trust, in place of a policy.")
@click.option("--certificate", type=_FILE, help="A certificate: check the log under the key that it names.")
@explained
def fetch(url: str, output: Path, policy: Path | None, vkey: str | None, certificate: Path | None) -> None:
    """Fetch the public log of a server into a folder, and check all of it.

    URL is the log's prefix, or the server's address, which means its /log. `turnout verify --log` takes the copy.
    Fetch again into the same folder for what was added since: what is there stays, and must be the log's beginning.

    Without a key nobody can say whose log it is; then only its hashes are checked, and `turnout verify` checks the key.

    \b
    Example:
      turnout fetch https://attendance.example -o log --policy trust-policy

    \b
    Exit codes:
      0  the folder has the whole log
      1  what the server shows is not the log: wrong key, wrong hashes, set back, or another history
      2  it could not be fetched, or a file could not be used
    """
    from gateway.log_fetch import FetchedLogError, FetchError, LogServer, fetch_log
    from gateway.progress_line import ProgressLine
    from gateway.quantity import quantity

    trusted, whose = _trusted(policy, vkey, certificate)
    try:
        with LogServer(url) as server, ProgressLine("files of the log") as progress:
            done = fetch_log(server, output, trusted, progress)
    except FetchError as error:
        raise Failure(str(error)) from None
    except FetchedLogError as error:
        say(f"Error: {error}", err=True)
        sys.exit(EXIT_NOT_THE_LOG)
    say(
        f"{output}: log {done.checkpoint.origin!r}, {quantity(done.checkpoint.size, 'entry')}; "
        f"{done.fetched:,} files fetched, {done.kept:,} kept. Every hash is right; {whose}."
    )


def _trusted(policy: Path | None, vkey: str | None, certificate: Path | None) -> "tuple[tuple[Verifier, ...], str]":
    """Return the keys that the log may be signed with, and what that says of whose it is."""
    from counters.certificate import CertificateError, read_certificate
    from counters.ledger.note import NoteError, Verifier
    from counters.trust_policy import TrustPolicy, TrustPolicyError

    if sum(each is not None for each in (policy, vkey, certificate)) > 1:
        raise click.UsageError("give one of --policy, --vkey and --certificate")
    try:
        if vkey is not None:
            return (Verifier.decode(vkey),), "signed by that key"
        if certificate is not None:
            named = Verifier.decode(read_certificate(certificate.read_bytes())["log"]["vkey"])
            return (
                named,
            ), "signed by the key that the certificate names; only a policy says whether it is the right one"
        logs = () if policy is None else TrustPolicy.decode(policy.read_text(encoding="utf-8")).logs
    except (TrustPolicyError, NoteError, CertificateError, UnicodeDecodeError) as error:
        raise Failure(str(error)) from None
    if policy is None:
        return (), "whose key signed it was not checked: that takes --policy or --vkey"
    if not logs:
        raise Failure(f"{policy}: this trust policy names no log")
    return logs, "signed by a key of the policy"
