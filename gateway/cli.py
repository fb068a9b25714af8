"""The `turnout` command: the list of what it can do."""

import sys
from pathlib import Path

import click

from counters.software import VERSION
from gateway.attendees_commands import attendees
from gateway.audit_commands import audit
from gateway.backup_commands import backup, restored
from gateway.certify_commands import certify
from gateway.command_line import FOLDER
from gateway.config_commands import config
from gateway.doctor_commands import doctor
from gateway.fetch_commands import fetch
from gateway.forget_commands import forget
from gateway.issuer_key_commands import issuer_key
from gateway.plan_commands import plan
from gateway.receipt_commands import receipt
from gateway.recover_commands import recover
from gateway.report_commands import report
from gateway.retention_commands import retention
from gateway.rotate_key_commands import rotate_key
from gateway.serving_commands import gateway, ledger, up, witness
from gateway.steer_commands import retire, steer
from gateway.token_commands import token
from gateway.verifier_commands import verifier
from gateway.verify_commands import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="turnout")
def main() -> None:
    """Certified attendance for hybrid events.

    Players send heartbeats, Redis HyperLogLogs show the room filling up live, an exact record is sealed into a public
    log minute by minute, and the certificate carries every number with its definition, its error, and who can check it.

    \b
    Start here:
      turnout demo                  the 2023 convention at 1:1000, from heartbeats to a verified certificate
      turnout up EVENT.toml         everything on this machine, for your own event
      turnout verify FILE           check somebody's certificate
    """


@main.command()
@click.option("--data", type=FOLDER, default=Path("turnout-demo"), show_default=True,
              help="Where everything goes: absent, empty, or an earlier demo's, which is replaced.")  # fmt: skip
@click.option("--small", is_flag=True, help="A few hundred attendees on two days, in seconds.")
def demo(data: Path, small: bool) -> None:
    """Replay the 2023 convention at 1:1000 through real HTTP, certify it, verify it. SIMULATED."""
    from load_tests.demo import run_demo

    sys.exit(run_demo(data, small=small))


for command in (
    up,
    gateway,
    ledger,
    witness,
    config,
    doctor,
    certify,
    verify,
    steer,
    retire,
    token,
    attendees,
    audit,
    backup,
    fetch,
    forget,
    issuer_key,
    plan,
    receipt,
    recover,
    report,
    restored,
    retention,
    rotate_key,
    verifier,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
