"""`turnout steer` and `turnout retire`: what an operator changes while the event runs."""

from pathlib import Path
from typing import Any

import click

from counters.event import load_event
from gateway.check_lines import say
from gateway.command_line import EVENT_FILE, explained
from gateway.running_ledger_options import organisers_ledger


@click.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@organisers_ledger()
@click.option(
    "--interval", "interval_s", type=int, help="Seconds between two heartbeats of a player from now on, 5 to 54."
)
@click.option("--revoke", multiple=True, metavar="WHO",
              help="Turn a viewer away: a viewing token, view:HEX, or seat:N. May be given again.")  # fmt: skip
@click.option("--restore", multiple=True, metavar="WHO", help="Take a revocation back; as --revoke.")
@click.option("--show", is_flag=True, help="Only show what is in force.")
@explained
def steer(event_file: Path, data: Path, **asked: Any) -> None:
    """Change the heartbeat interval, or turn viewers away, while the event runs.

    Every worker of every gateway follows within two seconds, and players with their next heartbeat. A longer interval
    makes less traffic at once: 45 s instead of 30 s a third less. The change is an entry of the public log.

    A revoked viewing token stops working; its owner joins again with the ticket. A revoked seat is an attendee, turned
    away with every ticket and device. What was counted before stays counted. The answer names a token's seat.

    \b
    Examples:
      turnout steer event.toml --interval 45
      turnout steer event.toml --revoke TOKEN --revoke seat:4711
      turnout steer event.toml --restore seat:4711
      turnout steer event.toml --show --ledger http://ledger.internal:8081 --secrets secrets.json
    """
    from gateway.steer import steer_event

    for line in steer_event(load_event(event_file), data, **asked):
        say(line)


@click.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--gateway", required=True, help="Name of the gateway in the evidence: its --name, or its host's name.")
@organisers_ledger("The ledger")
@click.option("--force", is_flag=True, help="Even if the gateway was heard a moment ago.")
@explained
def retire(event_file: Path, data: Path, **asked: Any) -> None:
    """Stop waiting for a gateway whose host is gone for good.

    Every window waits 8 seconds for the workers of a gateway that was lost, and names them as missing. A retired one is
    waited for no more, from the next minute on it is not named either, and the log says so for everybody. Nothing is
    lost by it: what comes back later is late evidence.
    """
    from gateway.retire import retire_gateway

    for line in retire_gateway(load_event(event_file), data, **asked):
        say(line)
