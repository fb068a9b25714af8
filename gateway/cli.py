"""The `turnout` command."""

import logging
import socket
import sys
from pathlib import Path
from typing import Any

import click

from counters.event import Event, load_event
from counters.software import VERSION
from gateway.attendees_commands import attendees
from gateway.audit_commands import audit
from gateway.backup_commands import backup, restored
from gateway.command_line import (
    DATA_HELP,
    DEFAULT_DATA,
    EVENT_FILE,
    FOLDER,
    HTTP_URL,
    NETWORKS_HELP,
    PORT,
    PROXIES_HELP,
    REDIS_URL,
    Failure,
    explained,
    timestamp_url,
)
from gateway.fetch_commands import fetch
from gateway.forget_commands import forget
from gateway.mendable import CannotServeError
from gateway.receipt_commands import receipt
from gateway.recover_commands import recover
from gateway.report_commands import report
from gateway.retention_commands import retention
from gateway.verifier_commands import verifier


def _log_to_terminal() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


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
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that players reach.")
@click.option("--port", type=PORT, default=8080, show_default=True, help="Port that players reach; 0 = a free one.")
@click.option("--ledger-port", type=PORT, default=8081, show_default=True, help="Port of the ledger; 0 = a free one.")
@click.option(
    "--metrics-port", type=PORT, default=9464, show_default=True, help="Port of the gateway's /metrics; 0 = free."
)
@click.option("--ledger-metrics-port", type=PORT, default=0, show_default=True, help="Port of the ledger's; 0 = free.")
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Worker processes.")
@click.option("--networks", "networks_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help=NETWORKS_HELP)  # fmt: skip
@click.option("--trusted-proxies", default="", metavar="CIDR,…", help=PROXIES_HELP)
@click.option(
    "--public-url", type=HTTP_URL, default="", help="How players reach this host from outside, if not as they asked."
)
@timestamp_url
@explained
def up(event_file: Path, data: Path, **options: Any) -> None:
    """Run everything on this machine: embedded Redis, ledger, gateway. Ctrl-C stops cleanly.

    Creates what is missing: secrets, the log's key, and keys for development issuers. When all of it serves, the
    addresses stand in DATA/up.json and on the terminal.
    """
    from gateway.all_in_one import AllInOne, UpError
    from gateway.traffic import check_traffic

    check_traffic(str(options["networks_file"] or ""), options["trusted_proxies"])
    try:
        sys.exit(AllInOne(event_file, data, **options).run(click.echo))
    except UpError as error:
        raise Failure(str(error)) from None


@main.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--redis", "redis_url", type=REDIS_URL, required=True,
              help="Registry: pseudonym to seat. redis://…, redis+sentinel://…, redis+cluster://…")  # fmt: skip
@click.option("--live-redis", type=REDIS_URL, default="", help="Live sketches, if on another server than --redis.")
@click.option("--ledger", "ledger_url", type=HTTP_URL, required=True, help="The ledger, http://…")
@click.option("--secrets", "secrets_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              default=DEFAULT_DATA / "secrets.json", show_default=True, help="secrets.json of the ledger.")  # fmt: skip
@click.option("--spool", type=FOLDER, default=Path("turnout-spool"), show_default=True,
              help="Folder for what is accepted and not yet handed over. Keep it across restarts.")  # fmt: skip
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104 - a server
@click.option("--port", type=PORT, default=8080, show_default=True, help="Port to listen on.")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="Address of /metrics.")
@click.option("--metrics-port", type=PORT, default=9464, show_default=True, help="Port of /metrics, /healthz, /readyz.")
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Worker processes.")
@click.option("--name", default="", help="Name of this gateway in the evidence. Default: the host's name.")
@click.option("--take-over", is_flag=True, help="Take port and spool over from the gateway that runs with this spool.")
@click.option("--networks", "networks_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help=NETWORKS_HELP)  # fmt: skip
@click.option("--trusted-proxies", default="", metavar="CIDR,…", help=PROXIES_HELP)
@click.option(
    "--public-url", type=HTTP_URL, default="", help="How players reach this host from outside, if not as they asked."
)
@explained
def gateway(event_file: Path, redis_url: str, secrets_file: Path, **options: Any) -> None:
    """Run a gateway alone: joins, heartbeats, check-ins.

    SIGTERM drains it: it exits with 0 within 20 seconds. SIGHUP replaces its workers, one after the other, without a
    refused connection. A second one started with --take-over and the same spool gets its port in the same way.
    """
    from gateway.supervisor import GatewayConfig, run_gateway
    from gateway.take_over import TakeOverError

    event = load_event(event_file)
    if event.simulated:
        raise Failure("this event has a [simulation] clock: only `turnout up` and `turnout demo` run it")
    _log_to_terminal()
    config = GatewayConfig(
        event_file=str(event_file),
        secrets_file=str(secrets_file),
        spool=str(options["spool"]),
        registry_url=redis_url,
        live_url=options["live_redis"] or redis_url,
        ledger_url=options["ledger_url"],
        host=options["host"],
        port=options["port"],
        metrics_host=options["metrics_host"],
        metrics_port=options["metrics_port"],
        workers=options["workers"],
        gateway=options["name"] or socket.gethostname(),
        public_url=options["public_url"],
        networks_file=str(options["networks_file"] or ""),
        trusted_proxies=options["trusted_proxies"],
        take_over=options["take_over"],
    )
    try:
        sys.exit(run_gateway(config))
    except (CannotServeError, TakeOverError) as error:
        raise Failure(str(error)) from None


@main.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("--redis", "redis_url", type=REDIS_URL, required=True,
              help="Redis with the live sketches. redis://…, redis+sentinel://…, redis+cluster://…")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=PORT, default=8081, show_default=True, help="Port to listen on.")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="Address of /metrics.")
@click.option("--metrics-port", type=PORT, default=9465, show_default=True, help="Port of /metrics, /healthz, /readyz.")
@click.option("--log-origin", default="", help="The log's URL without scheme and trailing slash; set before leaf 0.")
@timestamp_url
@explained
def ledger(event_file: Path, data: Path, redis_url: str, **options: Any) -> None:
    """Run a ledger: grants seats, seals windows, signs, certifies, serves log and organiser."""
    from counters.ledger.log import LogError
    from counters.sealing import OtherEventError
    from gateway.ledger_service import LedgerConfig, run_ledger
    from gateway.witness_quorum import WitnessesError

    event = load_event(event_file)
    if event.simulated:
        raise Failure("this event has a [simulation] clock: only `turnout up` and `turnout demo` run it")
    _log_to_terminal()
    config = LedgerConfig(
        event_file=str(event_file),
        data=str(data),
        live_url=redis_url,
        host=options["host"],
        port=options["port"],
        metrics_host=options["metrics_host"],
        metrics_port=options["metrics_port"],
        log_origin=options["log_origin"] or default_origin(event),
        timestamp_url=options["timestamp_url"],
    )
    try:
        sys.exit(run_ledger(config))
    except (OtherEventError, LogError, WitnessesError) as error:
        raise Failure(str(error)) from None


def default_origin(event: Event) -> str:
    """The log's origin where nobody has given the URL that it will be published under."""
    return f"turnout.invalid/{event.id}"


@main.command()
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
    click.echo(f"certificate {issued.id}, sha256 {issued.sha256}")
    click.echo(f"  {output}\n  {issued.proof_path}")
    if correction:
        click.echo(f"  supersedes certificate {correction.id}: {correction.reason}")
    if issued.notice:
        click.secho(f"  {issued.notice}", fg="yellow")


@main.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True,
              help="The ledger's data directory, which says where it is and holds secrets.json.")  # fmt: skip
@click.option("--ledger", "ledger_url", type=HTTP_URL, default="",
              help="The ledger, or a gateway, http://… Default: what --data says.")  # fmt: skip
@click.option("--secrets", "secrets_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="secrets.json of the ledger, for the organiser key. Default: the one in --data.")  # fmt: skip
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
    from gateway.steer import SteerError, steer_event

    try:
        answer = steer_event(load_event(event_file), data, **asked)
    except SteerError as error:
        raise Failure(str(error)) from None
    for line in answer:
        click.echo(line)


@main.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--gateway", required=True, help="Name of the gateway in the evidence: its --name, or its host's name.")
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True,
              help="The ledger's data directory, which says where it is and holds secrets.json.")  # fmt: skip
@click.option("--ledger", "ledger_url", type=HTTP_URL, default="",
              help="The ledger, http://… Default: what --data says.")  # fmt: skip
@click.option("--secrets", "secrets_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="secrets.json of the ledger, for the organiser key. Default: the one in --data.")  # fmt: skip
@click.option("--force", is_flag=True, help="Even if the gateway was heard a moment ago.")
@explained
def retire(event_file: Path, data: Path, **asked: Any) -> None:
    """Stop waiting for a gateway whose host is gone for good.

    Every window waits 8 seconds for the workers of a gateway that was lost, and names them as missing. A retired one is
    waited for no more, from the next minute on it is not named either, and the log says so for everybody. Nothing is
    lost by it: what comes back later is late evidence.
    """
    from gateway.retire import retire_gateway
    from gateway.steer import SteerError

    try:
        for line in retire_gateway(load_event(event_file), data, **asked):
            click.echo(line)
    except SteerError as error:
        raise Failure(str(error)) from None


@main.command()
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


@main.command()
@click.option("--data", type=FOLDER, default=Path("turnout-witness"), show_default=True,
              help="Its key and what it has cosigned. Never lose it, never run two witnesses on one.")  # fmt: skip
@click.option("--name", default="", help="Name of its key, a URL without scheme that is yours; at the first start.")
@click.option(
    "--log", "log_keys", multiple=True, metavar="VKEY", help="Verifier key of a log to watch. May be given again."
)
@click.option("--logs", "log_files", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="PATH",
              help="File, or folder of files, with lines `log VKEY`; read again when it changes.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=PORT, default=8082, show_default=True, help="Port to listen on; 0 = a free one.")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="Address of /metrics.")
@click.option("--metrics-port", type=PORT, default=9466, show_default=True, help="Port of /metrics and /healthz.")
@explained
def witness(data: Path, **options: Any) -> None:
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
    from gateway.witness_service import WitnessConfig, WitnessSetupError, run_witness

    _log_to_terminal()
    files = tuple(map(str, options.pop("log_files")))
    config = WitnessConfig(data=str(data), log_files=files, **options)
    try:
        sys.exit(run_witness(config))
    except (WitnessSetupError, WitnessStateError) as error:
        raise Failure(str(error)) from None


@main.command()
@click.argument("event_file", metavar="EVENT.toml", type=EVENT_FILE)
@click.option("--data", type=FOLDER, default=DEFAULT_DATA, show_default=True, help=DATA_HELP)
@click.option("--issuer", "issuer_id", default="", help="Which development issuer. Default: the first.")
@click.option("--subject", required=True, help="Whom the ticket is for.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="A further claim, e.g. country=FR.")
@click.option("--hours", default=12.0, show_default=True, help="How long the ticket is valid.")
@explained
def token(event_file: Path, data: Path, subject: str, claims: tuple[str, ...], **options: Any) -> None:
    """Mint a development ticket (a JWT) from a development issuer that `turnout up` created."""
    from gateway.development_issuer import FOLDER as ISSUERS
    from gateway.development_issuer import DevelopmentIssuer, DevelopmentIssuerError, load_event_creating_keys
    from gateway.ledger_service import open_event_clock

    try:
        event = load_event_creating_keys(event_file, data / ISSUERS)
        issuers = [issuer for issuer in event.issuers if issuer.development]
        chosen = [issuer for issuer in issuers if options["issuer_id"] in {"", issuer.id}]
        if not chosen:
            raise Failure(f"no such development issuer; there are: {', '.join(i.id for i in issuers) or 'none'}")
        if any("=" not in claim for claim in claims):
            raise Failure("a claim is NAME=VALUE")
        minter = DevelopmentIssuer.load(data / ISSUERS, chosen[0].id)
    except DevelopmentIssuerError as error:
        raise Failure(str(error)) from None
    more = dict(claim.split("=", 1) for claim in claims)
    data.mkdir(parents=True, exist_ok=True)
    now = open_event_clock(event, data).now()
    click.echo(minter.mint(chosen[0], subject, now=now, lifetime_s=int(options["hours"] * 3600), claims=more))


@main.command()
@click.option("--data", type=FOLDER, default=Path("turnout-demo"), show_default=True,
              help="Where everything goes: absent, empty, or an earlier demo's, which is replaced.")  # fmt: skip
@click.option("--small", is_flag=True, help="A few hundred attendees on two days, in seconds.")
def demo(data: Path, small: bool) -> None:
    """Replay the 2023 convention at 1:1000 through real HTTP, certify it, verify it. SIMULATED."""
    from load_tests.demo import run_demo

    sys.exit(run_demo(data, small=small))


for command in (attendees, audit, backup, fetch, forget, receipt, recover, report, restored, retention, verifier):
    main.add_command(command)

if __name__ == "__main__":
    main()
