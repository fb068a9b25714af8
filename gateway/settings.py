"""Settings: everything that a serving command can be told, each declared once, as a field.

From the declaration come the flag, the environment variable, the key in the settings file, the line of the help and the
row of docs/settings.md (gateway.setting_sources). What a command then has in force is one frozen value; child processes
get it as a line of JSON.

    field               flag           environment variable         key in the file
    registry_url        --redis        TURNOUT_GATEWAY_REDIS        [gateway] redis
    trusted_proxies     --trusted-…    TURNOUT_UP_TRUSTED_PROXIES   [up] trusted_proxies

A field that is not `Annotated` with a `Setting` is no setting: whoever starts the process says it.
"""

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self, get_args, get_type_hints

import click

from counters.event import Event
from gateway.command_line import (
    DATA_HELP,
    HTTP_URL,
    KEY_NAME,
    LOGIN_FILE_HELP,
    NETWORKS_HELP,
    PORT,
    PROXIES_HELP,
    REDIS_URL,
    SecretFile,
    TimestampUrl,
    TracesUrl,
)
from gateway.mendable import SettingsError

LOG_FORMATS: Final = ("console", "json")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_FILE: Final = click.Path(exists=True, dir_okay=False)
_FOLDER: Final = click.Path(file_okay=False)
_LOGIN: Final = re.compile(r"(?<=://)([^:@]*):.*@")
_SECRET_IN_QUERY: Final = re.compile(r"(?i)([?&][^=&]*(?:password|secret|token)[^=&]*)=[^&]*")
MASK: Final = "***"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a person can set: how it is named, what it may be, what it means."""

    flag: str
    kind: "click.ParamType[Any] | None"  # None: a switch
    help: str
    metavar: str | None = None

    @property
    def key(self) -> str:
        """Its name in the settings file, and of click's parameter."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def is_path(self) -> bool:
        """Whether it names a file or a folder: in the settings file, from that file's folder."""
        return isinstance(self.kind, click.Path)


@dataclass(frozen=True, slots=True)
class DeclaredSetting:
    """A setting with the field that holds it."""

    setting: Setting
    field: str
    default: object  # () for one that may be given again and was not; see `required`
    required: bool
    several: bool  # whether it may be given again


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """What every serving command can be told. Its `repr` shows no secret."""

    command: ClassVar[str] = ""

    log_format: Annotated[
        str, Setting("--log-format", click.Choice(LOG_FORMATS), "How log lines are written: for people, or JSON.")
    ] = "console"
    log_level: Annotated[
        str, Setting("--log-level", click.Choice(LOG_LEVELS), "The least that is logged.")
    ] = "info"  # fmt: skip
    traces: Annotated[
        str, Setting("--traces", TracesUrl(), "An OpenTelemetry collector, OTLP over HTTP (docs/logging.md).")
    ] = ""  # fmt: skip
    traces_share: Annotated[
        float, Setting("--traces-share", click.FloatRange(0, 1), "Of the requests and joins, how many are traced.")
    ] = 0.01  # fmt: skip

    def __repr__(self) -> str:
        told = (f"{name}={masked(value)!r}" for name, value in asdict(self).items())
        return f"{type(self).__name__}({', '.join(told)})"

    @classmethod
    def declared(cls) -> Iterator[DeclaredSetting]:
        """Yield the settings, those of every command last."""
        hints = get_type_hints(cls, include_extras=True)
        of_all = {field.name for field in fields(Settings)}
        for field in sorted(fields(cls), key=lambda field: field.name in of_all):
            given = [extra for extra in get_args(hints[field.name])[1:] if isinstance(extra, Setting)]
            if given:
                required = field.default is MISSING
                default = None if required else field.default
                yield DeclaredSetting(given[0], field.name, default, required, isinstance(default, tuple))

    @classmethod
    def sharing(cls, other: "Settings", **own: Any) -> Self:
        """Return settings that take from others what both know by the same name, and the rest as given."""
        both = {field.name for field in fields(cls)} & {field.name for field in fields(other)}
        return cls(**{name: getattr(other, name) for name in both} | own)

    def completed(self, event: Event) -> Self:  # noqa: ARG002 - of some commands it matters
        """Return them with what was left open said: what follows from another setting, the host or the event.

        Raises:
            SettingsError: they contradict each other, or a file that they name cannot be read.
        """
        return self

    def start_line(self) -> bytes:
        """Return the line that a child process reads: it may hold passwords, and goes through a pipe only."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the settings of such a line."""
        told: dict[str, Any] = json.loads(line)
        for name, value in told.items():
            if isinstance(value, list):
                told[name] = tuple(value)
        return cls(**told)


# What several commands have in common.

_Data = Annotated[str, Setting("--data", _FOLDER, DATA_HELP)]
_Host = Annotated[str, Setting("--host", click.STRING, "Address to listen on.")]
_Port = Annotated[int, Setting("--port", PORT, "Port to listen on; 0 = a free one.")]
_MetricsHost = Annotated[str, Setting("--metrics-host", click.STRING, "Address of /metrics, /healthz, /readyz.")]
_MetricsPort = Annotated[int, Setting("--metrics-port", PORT, "Port of /metrics, /healthz, /readyz; 0 = a free one.")]
_Workers = Annotated[int, Setting("--workers", click.IntRange(1, 256), "Worker processes.")]
_Networks = Annotated[str, Setting("--networks", _FILE, NETWORKS_HELP)]
_Proxies = Annotated[str, Setting("--trusted-proxies", click.STRING, PROXIES_HELP, "CIDR,…")]
_PublicUrl = Annotated[
    str, Setting("--public-url", HTTP_URL, "How players reach this host from outside, if not as they asked.")
]
_LogOrigin = Annotated[
    str,
    Setting("--log-origin", KEY_NAME, "The log's URL without scheme and trailing slash; set before leaf 0. "
            "Default: turnout.invalid/ and the event's id."),
]  # fmt: skip
_Timestamps = Annotated[
    str,
    Setting("--timestamp-url", TimestampUrl(),
            "An RFC 3161 authority that is asked for timestamps of the log (docs/timestamps.md)."),
]  # fmt: skip
_RedisPassword = Annotated[
    str,
    Setting("--redis-password-file", SecretFile(), LOGIN_FILE_HELP),
]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UpSettings(Settings):
    """Of `turnout up`."""

    command: ClassVar[str] = "up"

    event_file: str
    data: _Data = "turnout-data"
    host: Annotated[str, Setting("--host", click.STRING, "Address that players reach.")] = "127.0.0.1"
    port: Annotated[int, Setting("--port", PORT, "Port that players reach; 0 = a free one.")] = 8080
    ledger_port: Annotated[int, Setting("--ledger-port", PORT, "Port of the ledger; 0 = a free one.")] = 8081
    metrics_port: Annotated[
        int, Setting("--metrics-port", PORT, "Port of the gateway's /metrics; 0 = a free one.")
    ] = 9464  # fmt: skip
    ledger_metrics_port: Annotated[
        int, Setting("--ledger-metrics-port", PORT, "Port of the ledger's /metrics; 0 = a free one.")
    ] = 0  # fmt: skip
    workers: _Workers = 2
    networks_file: _Networks = ""
    trusted_proxies: _Proxies = ""
    public_url: _PublicUrl = ""
    log_origin: _LogOrigin = ""
    timestamp_url: _Timestamps = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GatewaySettings(Settings):
    """Of `turnout gateway`."""

    command: ClassVar[str] = "gateway"

    event_file: str
    registry_url: Annotated[
        str,
        Setting("--redis", REDIS_URL,
                "Registry: pseudonym to seat. redis://…, redis+sentinel://…, redis+cluster://…"),
    ]  # fmt: skip
    redis_password_file: _RedisPassword = ""
    live_url: Annotated[
        str, Setting("--live-redis", REDIS_URL, "Live sketches, if on another server than --redis.")
    ] = ""  # fmt: skip
    live_redis_password_file: Annotated[
        str, Setting("--live-redis-password-file", SecretFile(), "File with the password of --live-redis.")
    ] = ""  # fmt: skip
    ledger_url: Annotated[str, Setting("--ledger", HTTP_URL, "The ledger, http://…")]
    secrets_file: Annotated[str, Setting("--secrets", SecretFile(), "secrets.json of the ledger.")] = (
        "turnout-data/secrets.json"
    )
    spool: Annotated[
        str,
        Setting("--spool", _FOLDER, "Folder for what is accepted and not yet handed over. Keep it across restarts."),
    ] = "turnout-spool"  # fmt: skip
    host: _Host = "0.0.0.0"  # noqa: S104 - a server
    port: _Port = 8080
    metrics_host: _MetricsHost = "127.0.0.1"
    metrics_port: _MetricsPort = 9464
    workers: _Workers = 2
    gateway: Annotated[
        str, Setting("--name", click.STRING, "Name of this gateway in the evidence. Default: the host's name.")
    ] = ""  # fmt: skip
    take_over: Annotated[
        bool, Setting("--take-over", None, "Take port and spool over from the gateway that runs with this spool.")
    ] = False  # fmt: skip
    networks_file: _Networks = ""
    trusted_proxies: _Proxies = ""
    public_url: _PublicUrl = ""
    clock_file: str = ""  # the simulated clock; "" = the wall clock
    ready_file: str = ""  # where to write the addresses once workers serve; "" = nowhere

    def completed(self, event: Event) -> Self:
        """Return them with passwords in the URLs, the Redis of the sketches, and the gateway's name."""
        del event
        if self.live_redis_password_file and not self.live_url:
            raise SettingsError("--live-redis-password-file is for --live-redis, which is not given")
        registry = logged_in("--redis", self.registry_url, self.redis_password_file)
        live = logged_in("--live-redis", self.live_url, self.live_redis_password_file)
        return replace(
            self, registry_url=registry, redis_password_file="", live_url=live or registry,
            live_redis_password_file="", gateway=self.gateway or socket.gethostname(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LedgerSettings(Settings):
    """Of `turnout ledger`."""

    command: ClassVar[str] = "ledger"

    event_file: str
    data: _Data = "turnout-data"
    live_url: Annotated[
        str,
        Setting("--redis", REDIS_URL,
                "Redis with the live sketches. redis://…, redis+sentinel://…, redis+cluster://…"),
    ]  # fmt: skip
    redis_password_file: _RedisPassword = ""
    host: _Host = "127.0.0.1"
    port: _Port = 8081
    metrics_host: _MetricsHost = "127.0.0.1"
    metrics_port: _MetricsPort = 9465
    log_origin: _LogOrigin = ""
    timestamp_url: _Timestamps = ""
    ready_file: str = ""  # where to write the addresses once it serves; "" = DATA/ledger.json

    def completed(self, event: Event) -> Self:
        """Return them with the password in the URL, and the log's origin."""
        live = logged_in("--redis", self.live_url, self.redis_password_file)
        return replace(self, live_url=live, redis_password_file="", log_origin=self.log_origin or default_origin(event))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WitnessSettings(Settings):
    """Of `turnout witness`."""

    command: ClassVar[str] = "witness"

    data: Annotated[
        str,
        Setting("--data", _FOLDER,
                "Its key and what it has cosigned. Never lose it, never run two witnesses on one."),
    ] = "turnout-witness"  # fmt: skip
    name: Annotated[
        str, Setting("--name", KEY_NAME, "Name of its key, a URL without scheme that is yours; at the first start.")
    ] = ""  # fmt: skip
    log_keys: Annotated[
        tuple[str, ...],
        Setting("--log", click.STRING, "Verifier key of a log to watch. May be given again.", "VKEY"),
    ] = ()  # fmt: skip
    log_files: Annotated[
        tuple[str, ...],
        Setting("--logs", click.Path(exists=True),
                "File, or folder of files, with lines `log VKEY`; read again when it changes.", "PATH"),
    ] = ()  # fmt: skip
    host: _Host = "127.0.0.1"
    port: _Port = 8082
    metrics_host: _MetricsHost = "127.0.0.1"
    metrics_port: _MetricsPort = 9466


def default_origin(event: Event) -> str:
    """Return the log's origin where nobody has given the URL that it will be published under."""
    return f"turnout.invalid/{event.id}"


def logged_in(flag: str, url: str, password_file: str) -> str:
    """Return a Redis URL with the password in a file; "" = no file: the URL as it is.

    Raises:
        SettingsError: the file cannot be read or is empty, or the URL takes no password from it.
    """
    from counters.redis_address import with_password  # noqa: PLC0415 - it brings the whole client along

    if not password_file:
        return url
    try:
        password = Path(password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{flag}-password-file cannot be read: {error}") from None
    if not password:
        raise SettingsError(f"{flag}-password-file: {password_file} is empty")
    try:
        return with_password(url, password)
    except ValueError as error:
        raise SettingsError(f"{flag}-password-file: {error}") from None


def masked(value: Any) -> Any:
    """Return a setting's value as it may be shown: no password of a URL stands in it."""
    if isinstance(value, (tuple, list)):
        return type(value)(masked(one) for one in value)
    if not isinstance(value, str) or "://" not in value:
        return value
    return _SECRET_IN_QUERY.sub(rf"\1={MASK}", _LOGIN.sub(rf"\1:{MASK}@", value))


OF_COMMANDS: Final[dict[str, type[Settings]]] = {
    kind.command: kind for kind in (UpSettings, GatewaySettings, LedgerSettings, WitnessSettings)
}
