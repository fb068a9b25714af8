"""`turnout audit`: the roll is drawn from, opened and checked."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from counters.event import load_event
from counters.secrets import KEY_BYTES
from gateway.check_lines import FAILS, HOLDS, OPEN, say, say_check
from gateway.command_line import DATA_HELP, DEFAULT_DATA, EVENT_FILE, FOLDER, Failure, explained

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """Audit the roll: that its entries are people whom an issuer vouched for.

    The ledger seals the roll into the log when the event is over. A round of a public beacon, named in the event file
    before the doors opened, then decides which entries are opened to an auditor.

    \b
    The organiser:  turnout audit draw      publish which entries the beacon's value opens
                    turnout audit open      write the file for the auditor
                    turnout audit publish   enter the auditor's signed result into the log
    The auditor:    turnout audit check     judge every opened entry; state the bound; sign the result
    Corrections:    turnout audit roll      seal another roll, for a later beacon round

    Step by step: docs/audit.md.
    """


@audit.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("--round", "number", type=click.IntRange(1), required=True, help="The beacon's round; it is to come.")
@click.option("--beacon", default="", help="The beacon's name. Default: the event file's.")
@click.option("--round-at", default="", metavar="TIME",
              help="When that round happens, ISO 8601 with offset; only for beacons other than drand's.")  # fmt: skip
@explained
def roll(event_file: Path, data: Path, number: int, beacon: str, round_at: str) -> None:
    """Seal a corrected roll, made of all evidence that is sealed now.

    It counts from then on and stays beside the one before it, which the log still names. It is audited by a beacon
    round that is still to come: what the old round opened of the old roll proves nothing about the new one.
    """
    from counters.audit_publishing import RoundAsked
    from gateway.audit_log import AuditCommandError, correct_roll

    try:
        at = None if not round_at else int(datetime.fromisoformat(round_at).astimezone().timestamp())
        told = correct_roll(load_event(event_file), data, RoundAsked(number, beacon, at))
    except (AuditCommandError, ValueError) as error:
        raise Failure(str(error)) from None
    say(f"the corrected roll is entry {told['entry']} of the log")
    say(f"its beacon: {told['look_up']}")


@audit.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option(
    "--beacon-value", metavar="VALUE", help="What the beacon's round says: hex, or the JSON that drand answers."
)
@click.option("--beacon-file", type=_FILE, help="A file with that.")
@explained
def draw(event_file: Path, data: Path, beacon_value: str | None, beacon_file: Path | None) -> None:
    """Publish which entries of the roll are opened: an entry of the log, named in every certificate from then on.

    Which they are follows from the roll's root and the beacon's value; nobody chooses. Refused if the roll was not
    sealed, and cosigned by the witnesses that the event demands, before the beacon's round happened.
    """
    from gateway.audit_log import AuditCommandError
    from gateway.audit_log import draw as publish_draw

    given = _given(beacon_value, beacon_file)
    if not given:
        raise Failure("give the beacon's value with --beacon-value or --beacon-file")
    try:
        told = publish_draw(load_event(event_file), data, given)
    except AuditCommandError as error:
        raise Failure(str(error)) from None
    was = "is published" if told["new"] else "was published before"
    say(f"the draw {was}: entry {told['entry']} of the log opens {told['k']} of {told['size']} entries")
    say(f"the beacon's value can be looked up: {told['look_up']}")
    say(f"the roll was {told['order']}" if told["witnessed"] else told["order"],
                fg=None if told["witnessed"] else "yellow", bold=not told["witnessed"])  # fmt: skip


@audit.command("open")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=_NEW_FILE, default=Path("opening.json"), show_default=True,
              help="The file for the auditor; it holds tickets, and nobody else may have it.")  # fmt: skip
@click.option("--draw", "number", type=click.IntRange(0), help="Entry of the draw. Default: the newest.")
@click.option(
    "--pseudonym-key", type=_NEW_FILE, help="Write the pseudonym key as well, for the auditor, in confidence."
)
@explained
def open_(data: Path, output: Path, number: int | None, pseudonym_key: Path | None) -> None:
    """Open a draw to the auditor: the drawn entries, their proofs, and the issuer-signed tickets behind them.

    DATA is the ledger's data directory; the ledger may run. Tickets that were deleted cannot be opened, and count as
    bogus: audit before the retention date.
    """
    from gateway.audit_log import AuditCommandError, open_draw, write_pseudonym_key

    try:
        opened = open_draw(data, number, output)
    except AuditCommandError as error:
        raise Failure(str(error)) from None
    say(f"{output}: draw {opened.draw}, {opened.drawn} entries opened, {opened.bytes} bytes")
    if opened.without_ticket:
        said = f"{opened.without_ticket} of them have no ticket here: the auditor will count them as bogus"
        say(said, fg="yellow", err=True)
    if pseudonym_key:
        write_pseudonym_key(data, pseudonym_key)
        say(f"{pseudonym_key}: the pseudonym key. With it anybody tells who attended: hand it over in confidence")


@audit.command()
@click.argument("opening", metavar="OPENING", type=_FILE)
@click.option("--log", "log_dir", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
              help="The public log, or a copy of it.")  # fmt: skip
@click.option("--pseudonym-key", type=_FILE, required=True, help="The key that the organiser gave in confidence.")
@click.option("--beacon-value", metavar="VALUE", help="What you yourself found the round to say: hex, or drand's JSON.")
@click.option("--beacon-file", type=_FILE, help="A file with that.")
@click.option("--policy", type=_FILE, help="tlog-policy file: which log key and witnesses you trust.")
@click.option(
    "--sign", "key_file", type=_NEW_FILE, help="Sign the result with the key in this file; made if it is new."
)
@click.option("--name", default="", help="Name of that key, a URL without scheme that is yours; when it is made.")
@click.option("-o", "--output", type=_NEW_FILE, default=Path("audit-result.note"), show_default=True,
              help="The signed result, for the organiser to publish.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@explained
def check(opening: Path, log_dir: Path, pseudonym_key: Path, as_json: bool, **options: Any) -> None:
    """Check what an organiser has opened; print each check, and the bound on bogus entries in plain words.

    Each drawn entry is held against its ticket: the issuer's signature, with a key that entry 0 locked; the event; the
    pseudonym, computed again with the confidential key; and its place on the roll, which nobody has twice.

    \b
    Exit codes: 0 everything holds and no entry is bogus, 1 an entry is bogus or a check failed, 2 the files could not
    be used, 3 nothing failed, but something is open (no trust policy, no witness, a beacon value not looked up).
    """
    from counters.audit_report import check_draw
    from counters.trust_policy import TrustPolicy, TrustPolicyError
    from gateway.ticket_audit import identify_for

    key = _pseudonym_key(pseudonym_key)
    try:
        policy = TrustPolicy.decode(options["policy"].read_text()) if options["policy"] else None
    except (UnicodeDecodeError, TrustPolicyError) as error:
        raise Failure(f"{options['policy']} (--policy) is no trust policy (tlog-policy): {error}") from None
    if not (log_dir / "checkpoint").exists():
        raise Failure(f"{log_dir} holds no log (no file `checkpoint`): is that the right folder?")
    found = _given(options["beacon_value"], options["beacon_file"])
    report = check_draw(opening.read_bytes(), log_dir, key, identify_for, policy=policy, beacon_value=found)
    if as_json:
        json.dump(report.as_json(), sys.stdout, indent=1)
        click.echo()
    else:
        _print(report)
    if options["key_file"] and report.may_be_signed:
        _sign(report.result, options["key_file"], options["name"], options["output"])
    sys.exit(FAILS if report.failed else OPEN if report.open else HOLDS)


@audit.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.argument("note", metavar="RESULT", type=_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("--auditor", required=True, metavar="VKEY", help="The auditor's verifier key.")
@explained
def publish(event_file: Path, note: Path, data: Path, auditor: str) -> None:
    """Enter an auditor's signed result into the log; every certificate from then on names it."""
    from gateway.audit_log import AuditCommandError, read_note
    from gateway.audit_log import publish as publish_result

    try:
        number, text = read_note(note)
        told = publish_result(load_event(event_file), data, number, auditor, text)
    except AuditCommandError as error:
        raise Failure(str(error)) from None
    say(f"the result is entry {told['entry']} of the log" + ("" if told["new"] else ", as it was before"))


def _pseudonym_key(file: Path) -> bytes:
    """Return the key in a file as `turnout audit open --pseudonym-key` writes it."""
    try:
        key = bytes.fromhex(file.read_text().strip())
    except ValueError:  # other letters, or no text at all
        key = b""
    if len(key) != KEY_BYTES:
        expected = f"{2 * KEY_BYTES} hexadecimal digits, as `turnout audit open --pseudonym-key FILE` writes them"
        raise Failure(f"{file} (--pseudonym-key) is no pseudonym key: expected is one line of {expected}")
    return key


def _given(value: str | None, file: Path | None) -> str:
    """Return a beacon's value as it was given; "" if it was not."""
    if value is not None and file is not None:
        raise Failure("give --beacon-value or --beacon-file, not both")
    return (file.read_text() if file else value or "").strip()


def _print(report: Any) -> None:
    from counters.audit_report import LISTED

    for line in report.lines:
        say_check(line.passed, line.name, line.detail)
    if report.judged is None:
        say("NOTHING WAS JUDGED: what was opened is not what the log drew.", fg="red", bold=True)
        return
    for leaf in report.judged.bogus[:LISTED]:
        say(f"  bogus entry {leaf.position}: {leaf.detail}")
    if len(report.judged.bogus) > LISTED:
        say(f"  and {len(report.judged.bogus) - LISTED} more (--json lists all)")
    say(report.judged.in_words(), bold=True)


def _sign(result: Any, key_file: Path, name: str, output: Path) -> None:
    from counters.audit_result import sign_result
    from counters.durable_file import write_durably
    from counters.ledger.note import NoteError
    from counters.log_key import load_or_create_signer

    if not key_file.exists() and not name:
        raise Failure(f"{key_file} is not there yet: give the name of the key to be made with --name")
    try:
        signer = load_or_create_signer(key_file, name)
    except NoteError as error:
        raise Failure(f"{key_file}: {error}") from None
    write_durably(output, sign_result(result, signer))
    say(f"signed: {output}", err=True)
    say(f"verifier key: {signer.verifier.encode()}", err=True)
