"""What the `turnout` commands share: kinds of arguments, and how an error reaches the person at the terminal."""

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import click

from counters.event import EventFileError
from counters.secrets import SecretsError
from gateway.harmless import harmless_lines
from gateway.mendable import EXIT_CODE, RunningLedgerError, SettingsError, explain
from gateway.networks import NetworksError

if TYPE_CHECKING:
    import os

EVENT_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(file_okay=False, path_type=Path)
DATA_HELP: Final = "Data directory: log/, evidence/, certificates/, secrets.json."
DEFAULT_DATA: Final = Path("turnout-data")
P = ParamSpec("P")
R = TypeVar("R")


class Failure(click.ClickException):
    """Something that the person at the terminal can mend."""

    exit_code = EXIT_CODE

    def format_message(self) -> str:
        """Return the message, which may quote files and answers of others."""
        return harmless_lines(self.message)

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it on standard error: for a person, or as a line of the log where a process logs as JSON."""
        from gateway.log_output import logs_json  # only here: it brings structlog along

        if logs_json():
            logging.getLogger("turnout").error("%s", self.message)
        else:
            super().show(file)


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that a person can mend into one message and exit code 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (EventFileError, NetworksError, RunningLedgerError, SecretsError, SettingsError, OSError) as error:
            raise Failure(explain(error)) from None

    return run


class RedisUrl(click.ParamType):  # type: ignore[type-arg] # generic in its stubs, not at run time
    """A URL of one Redis or several (counters.redis_address), taken apart before anything is started."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text if it is such a URL, or empty; otherwise fail with what is wrong with it."""
        from counters.redis_address import RedisAddress  # only here: it brings the whole client along

        try:
            if value:
                RedisAddress.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


class Url(click.ParamType):  # type: ignore[type-arg] # generic in its stubs, not at run time
    """A URL of one of some schemes, seen to before anything is started."""

    name = "url"

    def __init__(self, *schemes: str) -> None:
        self._schemes = schemes

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text if it is such a URL, or empty; otherwise fail with what it should have been."""
        scheme, separator, rest = value.partition("://")
        if value and not (separator and rest and scheme in self._schemes):
            self.fail(f"{value!r} is no URL of the kind {'://… or '.join(self._schemes)}://…", param, ctx)
        return value


class TimestampUrl(Url):
    """The URL of an RFC 3161 authority; refused where what timestamps need is not installed, not at each of them."""

    def __init__(self) -> None:
        super().__init__("http", "https")

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, or fail with what to install."""
        from gateway.timestamping import why_not_available  # only here: it brings the ledger along

        value = super().convert(value, param, ctx)
        if value and (why := why_not_available()):
            self.fail(why, param, ctx)
        return value


class TracesUrl(Url):
    """The URL of an OpenTelemetry collector; refused where what traces need is not installed."""

    def __init__(self) -> None:
        super().__init__("http", "https")

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, or fail with what to install."""
        from gateway.tracing import why_not_available  # only here: it brings OpenTelemetry along

        value = super().convert(value, param, ctx)
        if value and (why := why_not_available()):
            self.fail(why, param, ctx)
        return value


class KeyName(click.ParamType):  # type: ignore[type-arg] # generic in its stubs, not at run time
    """The name of a key that signs notes: a URL without its scheme."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text if a key may have that name, or empty; otherwise fail with what is wrong with it."""
        from counters.ledger.note import NoteError, check_key_name  # only here: it brings cryptography along

        try:
            if value:
                check_key_name(value)
        except NoteError as error:
            self.fail(str(error), param, ctx)
        return value


class SecretFile(click.Path):
    """A file that holds a secret. Somebody who gives the secret itself is told so, and it is not repeated."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    def convert(
        self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None
    ) -> "str | bytes | os.PathLike[str]":
        """Return the path if a file is there; otherwise fail without showing what was given."""
        try:
            return super().convert(value, param, ctx)
        except (click.BadParameter, OSError, ValueError):
            self.fail("there is no such file, or it cannot be read. Name the file that holds the secret, not the "
                      "secret: what was given is not shown here, in case it is one.", param, ctx)  # fmt: skip


REDIS_URL: Final = RedisUrl()
LOGIN_FILE_HELP: Final = "File with the password of --redis, in place of one in its URL."
HTTP_URL: Final = Url("http", "https")
NETWORKS_HELP: Final = "List of networks by class, such as data centres: joins from there are flagged, not refused."
PROXIES_HELP: Final = "Networks of load balancers whose X-Forwarded-For is believed: 10.0.0.0/8,2001:db8::/32."
KEY_NAME: Final = KeyName()
PORT: Final = click.IntRange(0, 65_535)
