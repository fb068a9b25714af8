"""Where settings come from: a flag, else the environment, else the settings file, else the default.

click asks the sources in this order; here they are named, read and checked. The settings file is TOML, a table for each
command, and is named by `--config` or TURNOUT_CONFIG:

    [gateway]
    redis = "redis://registry.internal"
    secrets = "secrets.json"        # beside this file
    workers = 4

Paths in it start from its folder. A table or key that means nothing is an error: a slip would otherwise be a default.
An unknown variable TURNOUT_… is only a warning: environments are shared, and Kubernetes writes some of its own.
"""

import difflib
import logging
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from gateway.check_lines import say
from gateway.command_line import EVENT_FILE
from gateway.mendable import SettingsError
from gateway.settings import OF_COMMANDS, DeclaredSetting, Settings

CONFIG: Final = "TURNOUT_CONFIG"
OTHERS: Final = {CONFIG, "TURNOUT_REQUIRE_ALL", "TURNOUT_PICTURES", "TURNOUT_EVENT_FILE", "TURNOUT_ISSUER_KEY"}
"""Variables that are no settings: the file's name, and those of the tests and of load_tests/locustfile.py."""
SERVICE_LINKS: Final = (
    "Kubernetes writes it for a Service of that name: set enableServiceLinks: false in the pod's specification"
)
_SERVICE_LINK: Final = re.compile(r"TURNOUT_.*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_[0-9]+_(TCP|UDP)(_.*)?)")
_ITS_VALUE: Final = ("tcp://", "udp://")
_PRECEDENCE: Final = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
}
PROBLEMS: Final = "turnout problems"
"""In a context's `meta`: a list, if errors are noted in it and the reading goes on (gateway.settings_in_force)."""
S = TypeVar("S", bound=Settings)
_log = logging.getLogger("turnout.settings")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from."""

    kind: str  # flag, environment, file or default
    where: str  # the flag, the variable's name, "FILE: TABLE.KEY", or "" of a default

    def __str__(self) -> str:
        return f"{self.kind} {self.where}".strip()


def variable_of(command: str, key: str) -> str:
    """Return the environment variable of a command's setting."""
    return f"TURNOUT_{command}_{key}".upper()


def _noted(ctx: click.Context, param: click.Parameter, error: click.UsageError) -> tuple[None, list[str]]:
    """Note an error and go on without the value, if that is asked for; else raise it."""
    if PROBLEMS not in ctx.meta:
        raise error
    ctx.meta[PROBLEMS].append(error.format_message())
    ctx.params[str(param.name)] = None
    return None, ctx.args


class EventArgument(click.Argument):
    """The event file that a command is for."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """As click does; who only reads settings may leave it out."""
        try:
            return super().handle_parse_result(ctx, opts, args)
        except click.MissingParameter:
            if PROBLEMS not in ctx.meta:
                raise
            ctx.params[str(self.name)] = None
            return None, args
        except click.BadParameter as error:
            return _noted(ctx, self, error)


class SettingOption(click.Option):
    """The option of one setting; of a bad value it says where that came from."""

    def __init__(self, flags: list[str], declared: DeclaredSetting, command: str, **more: Any) -> None:
        setting = declared.setting
        more |= {"type": setting.kind} if setting.kind else {"is_flag": True}
        # An empty text is what nobody has given, and nothing to be looked at.
        more |= {"default": declared.default} if declared.default not in {None, ""} else {}
        super().__init__(
            flags,
            required=declared.required,
            multiple=declared.several,
            help=setting.help,
            metavar=setting.metavar,
            show_default=True,
            envvar=variable_of(command, setting.key),
            **more,
        )
        self.declared = declared
        self._command = command

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """As click does; an error names the source of the value."""
        try:
            return super().handle_parse_result(ctx, opts, args)
        except click.MissingParameter:
            how = f"Give the flag, or {self.envvar}, or {self.name} in [{self._command}] of the settings file."
            return _noted(ctx, self, click.MissingParameter(how, ctx, self))
        except click.BadParameter as error:
            origin = self.origin(ctx)
            if origin.kind == "flag":
                return _noted(ctx, self, error)
            said = str(origin) if origin.where else f"default: {self.declared.default}"
            if origin.kind == "environment" and os.environ[origin.where].startswith(_ITS_VALUE):
                said += f": {SERVICE_LINKS}"
            return _noted(ctx, self, click.BadParameter(f"{error.message} ({said})", ctx, self))

    def origin(self, ctx: click.Context) -> Origin:
        """Return where the value came from that is being read, or was."""
        kind = _PRECEDENCE.get(ctx.get_parameter_source(str(self.name)) or ParameterSource.DEFAULT, "default")
        where = {
            "flag": self.opts[0],
            "environment": str(self.envvar),
            "file": f"{ctx.meta.get(CONFIG, '')}: {self._command}.{self.name}",
        }
        return Origin(kind, where.get(kind, ""))


def with_settings(kind: type[S]) -> Callable[[Callable[[S], None]], Callable[..., None]]:
    """Give a command the options of its settings; it is called with what is in force, as one value."""

    def decorate(command: Callable[[S], None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            from gateway.log_output import begin_logging, logs_json  # noqa: PLC0415 - brings structlog along

            settings = settings_of(kind, given)
            # From here on what ends the command is a line of its log.
            begin_logging(settings.log_format, settings.log_level, kind.command)
            for warning in check_environment(os.environ):
                if logs_json():
                    _log.warning("%s", warning)
                else:
                    say(f"warning: {warning}", fg="yellow", err=True)
            command(settings)

        made: Callable[..., None] = run
        for declared in reversed([*kind.declared()]):
            option = click.option(declared.setting.flag, cls=SettingOption, declared=declared, command=kind.command)
            made = option(made)
        made = click.option(
            "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar=CONFIG, is_eager=True,
            expose_value=False, callback=_read_config, help="Settings file (docs/settings.md); flags and environment "
            "go before it.",
        )(made)  # fmt: skip
        if "event_file" in {field.name for field in fields(kind)}:
            made = click.argument("event_file", cls=EventArgument, metavar="EVENT.toml", type=EVENT_FILE)(made)
        return made

    return decorate


def settings_of(kind: type[S], given: Mapping[str, Any]) -> S:
    """Return the settings that click has read, by the names of its parameters."""
    values: dict[str, Any] = {
        declared.field: given[declared.setting.key]
        for declared in kind.declared()
        # Not said, and click has no default that means this: the field has one.
        if given[declared.setting.key] is not None
    }
    if "event_file" in given:
        values["event_file"] = str(given["event_file"] or "")
    return kind(**values)


def _read_config(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    try:
        tables = read_settings_file(value)
    except SettingsError as error:
        _noted(ctx, param, click.BadParameter(str(error), ctx, param))
        return
    ctx.meta[CONFIG] = str(value)
    ctx.default_map = tables.get(str(ctx.command.name), {})


# The file.


def read_settings_file(path: Path) -> dict[str, dict[str, Any]]:
    """Return the values in a settings file by command and key, paths from where this process works.

    Raises:
        SettingsError: it is no TOML, or has tables, keys or kinds of values that mean nothing; all of them are named.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}") from None
    if problems := [*_problems(tables)]:
        raise SettingsError(f"{path}: " + "; ".join(problems))
    return {
        command: {key: _from_folder(_known(command)[key], value, path.parent) for key, value in table.items()}
        for command, table in tables.items()
    }


def _known(command: str) -> dict[str, DeclaredSetting]:
    return {declared.setting.key: declared for declared in OF_COMMANDS[command].declared()}


def _problems(tables: Mapping[str, Any]) -> Iterator[str]:
    for command, table in tables.items():
        if command not in OF_COMMANDS:
            yield f"there is no table [{command}]{did_you_mean(command, OF_COMMANDS)}"
            continue
        if not isinstance(table, dict):
            yield f"{command} is a table: [{command}]"
            continue
        known = _known(command)
        for key, value in table.items():
            if key in known:
                yield from _wrong_kind(known[key], f"{command}.{key}", value)
            elif f"{key}_file" in known:
                yield f"{command}.{key}: a secret does not stand here. Put it into a file, and its name in {key}_file"
            else:
                yield f"{command} has no setting {key!r}{did_you_mean(key, known)}"


def _wrong_kind(declared: DeclaredSetting, name: str, value: object) -> Iterator[str]:
    """Say that a value is of another kind than the setting: click would make something of it all the same."""
    kind = declared.setting.kind
    if declared.several:
        right, wanted = isinstance(value, list) and all(isinstance(one, str) for one in value), "a list of texts"
    elif kind is None:
        right, wanted = isinstance(value, bool), "true or false"
    elif isinstance(kind, click.types.IntParamType):
        right, wanted = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif isinstance(kind, click.types.FloatParamType):
        right, wanted = isinstance(value, (int, float)) and not isinstance(value, bool), "a number"
    else:
        right, wanted = isinstance(value, str), "a text"
    if not right:
        yield f"{name} is {wanted}"


def _from_folder(declared: DeclaredSetting, value: Any, folder: Path) -> Any:
    if not declared.setting.is_path:
        return value
    return [str(folder / one) for one in value] if declared.several else str(folder / value)


# The environment.


def check_environment(environment: Mapping[str, str]) -> list[str]:
    """Return what is odd about variables TURNOUT_….

    Raises:
        SettingsError: one of them holds a secret, which is only taken from a file.
    """
    known = {
        variable_of(command, declared.setting.key) for command, kind in OF_COMMANDS.items()
        for declared in kind.declared()
    }  # fmt: skip
    strange = sorted(name for name in environment if name.startswith("TURNOUT_") and name not in known | OTHERS)
    for name in strange:
        if f"{name}_FILE" in known:
            raise SettingsError(
                f"{name}: a secret does not stand in the environment. Put it into a file, and its name in {name}_FILE"
            )
    links = [name for name in strange if _SERVICE_LINK.fullmatch(name) or environment[name].startswith(_ITS_VALUE)]
    warnings = [f"{name} is no setting{did_you_mean(name, known)}" for name in strange if name not in links]
    return warnings + ([f"{links[0]} and the like are no settings. {SERVICE_LINKS}"] if links else [])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest of what there is; "" if nothing is near."""
    near = difflib.get_close_matches(name, [*known], n=1)
    return f" (did you mean {near[0]}?)" if near else ""
