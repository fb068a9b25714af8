"""`turnout doctor`: whether this machine, Redis and the others are fit, before the doors open."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from gateway.check_lines import FAILS, HOLDS, OPEN, UNUSABLE, say, say_mark
from gateway.command_line import explained
from gateway.config_commands import asked_for

if TYPE_CHECKING:
    from gateway.doctor.finding import Finding

_MARKS: Final = {
    "ok": ("✓", "green"),
    "warn": ("!", "yellow"),
    "fail": ("✗", "red"),
    "could not check": ("–", "yellow"),
}


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--viewers", type=click.IntRange(1), default=10_000, show_default=True,
              help="Viewers at the same time that this host is to serve.")  # fmt: skip
@click.option("--attendees", type=click.IntRange(1), help="Of the whole event, on all hosts. Default: as --viewers.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND] [EVENT.toml] [OPTIONS OF COMMAND]")
@explained
def doctor(viewers: int, attendees: int | None, arguments: tuple[str, ...], as_json: bool) -> None:
    """Look at everything that a command will need, and say what to mend: a line a check.

    COMMAND is up (the default), gateway, ledger or witness; behind it stands what you would start it with, as for
    turnout config check. Run it on the host and as the user that will run the command, before it runs.

    It looks at clock, disks, limits and ports of this host, at Redis' versions and policies, secrets, the log, the
    event file and its issuers' keys, the ledger, and the witnesses. It changes nothing and leaves nothing behind.

    \b
    Exit codes:
      0  nothing has to be mended; there may be warnings
      1  something has to be
      2  the settings cannot be used, and nothing was looked at
      3  nothing failed, but something could not be checked
    \b
    Examples:
      turnout doctor event.toml
      turnout doctor gateway event.toml --config turnout.toml --viewers 50000
      turnout doctor ledger event.toml --redis redis://live.internal --attendees 600000
    """
    from gateway.doctor.examination import Examination, Expected
    from gateway.doctor.finding import warn

    in_force = asked_for(arguments)
    if in_force.settings is None:
        for problem in in_force.problems:
            say(f"problem: {problem}", fg="red", err=True)
        sys.exit(UNUSABLE)
    expected = Expected(viewers, attendees or viewers)
    odd = [
        warn("settings", warning, "See turnout config check, and docs/settings.md.") for warning in in_force.warnings
    ]
    findings = [*odd, *Examination(in_force.settings, in_force.event, expected).findings()]
    code = _code(findings)
    if as_json:
        json.dump(_as_json(findings, code), sys.stdout, indent=1)
        click.echo()
    else:
        _print(findings)
    sys.exit(code)


def _code(findings: Sequence["Finding"]) -> int:
    verdicts = {finding.verdict.value for finding in findings}
    return FAILS if "fail" in verdicts else OPEN if "could not check" in verdicts else HOLDS


def _print(findings: Sequence["Finding"]) -> None:
    for finding in findings:
        mark, colour = _MARKS[finding.verdict.value]
        say_mark(mark, colour, f"{finding.check}: {finding.detail}")
        if finding.fix:
            say(f"    {finding.fix}")
    counts = Counter(finding.verdict.value for finding in findings)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _MARKS if counts[verdict])
    say(said, fg="red" if counts["fail"] else "green", bold=True)


def _as_json(findings: Sequence["Finding"], code: int) -> dict[str, object]:
    return {
        "exit_code": code,
        "findings": [
            {"check": found.check, "verdict": found.verdict.value, "detail": found.detail, "fix": found.fix}
            for found in findings
        ],
    }
