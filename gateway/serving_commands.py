"""`turnout up`, `gateway`, `ledger`, `witness`: the processes that run an event (settings: gateway.settings)."""

import sys
from pathlib import Path

import click

from counters.event import load_event
from gateway.check_lines import say
from gateway.command_line import Failure, explained
from gateway.mendable import CannotServeError
from gateway.setting_sources import with_settings
from gateway.settings import GatewaySettings, LedgerSettings, UpSettings, WitnessSettings


@click.command()
@explained
@with_settings(UpSettings)
def up(settings: UpSettings) -> None:
    """Run everything on this machine: embedded Redis, ledger, gateway. Ctrl-C stops cleanly.

    Creates what is missing: secrets, the log's key, and keys for development issuers. When all of it serves, the
    addresses stand in DATA/up.json and on the terminal.
    """
    from gateway.all_in_one import AllInOne, UpError
    from gateway.traffic import check_traffic

    check_traffic(settings.networks_file, settings.trusted_proxies)
    try:
        sys.exit(AllInOne(settings).run(say))
    except UpError as error:
        raise Failure(str(error)) from None


@click.command()
@explained
@with_settings(GatewaySettings)
def gateway(settings: GatewaySettings) -> None:
    """Run a gateway alone: joins, heartbeats, check-ins.

    SIGTERM drains it: it exits with 0 within 20 seconds. SIGHUP replaces its workers, one after the other, without a
    refused connection. A second one started with --take-over and the same spool gets its port in the same way.
    """
    from gateway.supervisor import run_gateway
    from gateway.take_over import TakeOverError

    _refuse_simulation(settings.event_file)
    try:
        sys.exit(run_gateway(settings))
    except (CannotServeError, TakeOverError) as error:
        raise Failure(str(error)) from None


@click.command()
@explained
@with_settings(LedgerSettings)
def ledger(settings: LedgerSettings) -> None:
    """Run a ledger: grants seats, seals windows, signs, certifies, serves log and organiser."""
    from counters.ledger.log import LogError
    from counters.sealing import OtherEventError
    from gateway.ledger_service import run_ledger
    from gateway.witness_addresses import WitnessesError

    _refuse_simulation(settings.event_file)
    try:
        sys.exit(run_ledger(settings))
    except (OtherEventError, LogError, WitnessesError) as error:
        raise Failure(str(error)) from None


@click.command()
@explained
@with_settings(WitnessSettings)
def witness(settings: WitnessSettings) -> None:
    """Watch logs of others, and cosign what only grows.

    A witness signs a log's checkpoint only if it continues everything that it has signed of that log before. So an
    operator who shows two histories, rewrites one, or goes back to an old backup finds no signature for it; and who
    reads a certificate can demand yours (turnout verify --policy). It sees sizes and digests, nobody's attendance.

    \b
    1. turnout witness --name witness.newspaper.example/1      makes the key; the verifier key is on the terminal
    2. the organiser writes that and your URL into the event file:
         [[witness]]
         name = "newspaper"
         vkey = "witness.newspaper.example/1+…"
         url = "https://witness.newspaper.example"
         operated_by = "The Newspaper"
    3. the organiser's ledger says its own verifier key: turnout witness --log VKEY, or a line `log VKEY` in a file

    Any log and any witness of the C2SP tlog-witness kind work with it. Put a TLS proxy in front of it. If it has two
    signed checkpoints that cannot be of one log, they are kept in DATA/misbehaviour: that is proof, publish it.
    """
    from counters.ledger.witness import WitnessStateError
    from gateway.witness_service import WitnessSetupError, run_witness

    try:
        sys.exit(run_witness(settings))
    except (WitnessSetupError, WitnessStateError) as error:
        raise Failure(str(error)) from None


def _refuse_simulation(event_file: str) -> None:
    if load_event(Path(event_file)).simulated:
        raise Failure("this event has a [simulation] clock: only `turnout up` and `turnout demo` run it")
