"""What a serving command would have in force, and where each value came from, without starting anything.

Nothing that is wrong ends the reading: every problem is found at once.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from counters.event import Event, EventFileError, MissingDevelopmentKeys, load_event
from counters.secrets import SecretsError, load_secrets
from gateway.mendable import SettingsError
from gateway.networks import NetworksError
from gateway.setting_sources import CONFIG, PROBLEMS, Origin, SettingOption, check_environment, settings_of
from gateway.settings import MASK, OF_COMMANDS, GatewaySettings, Settings, UpSettings, WitnessSettings, masked

READABLE: Final = "other programs of this host can read flags and variables; use a password file, or the settings file"
FLAG: Final = Origin("flag", "")
UNUSABLE: Final = "?"
"""Shown for a value that cannot be used: it may be a secret in the wrong place."""
EVERYWHERE: Final = {"0.0.0.0", "::"}  # noqa: S104 - recognised, not listened on


@dataclass(frozen=True, slots=True)
class Value:
    """One setting in force."""

    flag: str
    value: Any  # masked; "" or () = nothing
    origin: Origin


@dataclass(frozen=True, slots=True)
class InForce:
    """What one command would have in force."""

    command: str
    values: tuple[Value, ...]
    warnings: tuple[str, ...]
    problems: tuple[str, ...]  # the command would not start with these
    settings: Settings | None  # completed; None where problems leave nothing to start with
    event: Event | None  # None: none is named, needed or usable, or `turnout up` has yet to make its keys


def read_in_force(command: click.Command, arguments: Sequence[str]) -> InForce:
    """Read a serving command's settings as it would read them itself.

    Args:
        command: of gateway.serving_commands.
        arguments: what would stand behind it on the command line; the event file may be left out.

    Raises:
        click.UsageError: there are flags among them that the command does not have.
    """
    name = str(command.name)
    found = _Found()
    outer = click.Context(command)
    outer.meta[PROBLEMS] = found.problems
    with outer:
        ctx = command.make_context(name, [*arguments], parent=outer)
    options = [option for option in command.get_params(ctx) if isinstance(option, SettingOption)]
    with found.problem(SettingsError):
        found.warnings += check_environment(os.environ)
    settings = None if found.problems else settings_of(OF_COMMANDS[name], ctx.params)
    event = None
    if settings is None:
        # What files say does not wait until the flags are right.
        if ctx.params.get("event_file"):
            found.event(Path(ctx.params["event_file"]), OF_COMMANDS[name])
        if name == GatewaySettings.command and ctx.params.get("secrets"):
            found.secrets(Path(ctx.params["secrets"]))
    else:
        event = found.event_of(settings)
        found.check(settings)
        with found.problem(SettingsError):
            settings = settings.completed(event) if event else settings
    values = (*_files(ctx), *(_value(option, ctx, settings) for option in options))
    found.warnings += [
        f"{value.flag} has a password: {READABLE}" for value in values
        if value.origin.kind in {"flag", "environment"} and MASK in str(value.value)
    ]  # fmt: skip
    problems = tuple(found.problems)
    return InForce(name, values, tuple(found.warnings), problems, None if problems else settings, event)


def _files(ctx: click.Context) -> Iterator[Value]:
    """Yield the files that settings and event come from."""
    if CONFIG in ctx.meta:
        by_variable = ctx.get_parameter_source("config") is ParameterSource.ENVIRONMENT
        yield Value("--config", ctx.meta[CONFIG], Origin("environment", CONFIG) if by_variable else FLAG)
    if "event_file" in ctx.params:
        yield Value("EVENT.toml", str(ctx.params["event_file"] or ""), FLAG)


def _value(option: SettingOption, ctx: click.Context, completed: Settings | None) -> Value:
    value, origin = ctx.params.get(str(option.name)), option.origin(ctx)
    if value is None and origin.kind != "default":
        value = UNUSABLE
    elif value is None:
        # What follows from another setting, the host or the event, is known once all is read.
        value = getattr(completed, option.declared.field, "") or option.declared.default or ""
    return Value(option.opts[0], masked(value), origin)


class _Found:
    """The problems of one reading, as they are found."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []

    @contextmanager
    def problem(self, *kinds: type[Exception]) -> Iterator[None]:
        """Note an error as a problem."""
        try:
            yield
        except kinds as error:
            self.problems.append(str(error))

    def event_of(self, settings: Settings) -> Event | None:
        """Return the event of the settings' event file, if they name one that can be used."""
        path = getattr(settings, "event_file", None)
        if not path:
            self.warnings += ["no event file was named, and none looked at"] if path == "" else []
            return None
        return self.event(Path(path), type(settings))

    def event(self, path: Path, kind: type[Settings]) -> Event | None:
        """Return the event of a file, if a command with such settings can use it."""
        of_up = issubclass(kind, UpSettings)
        try:
            event = load_event(path)
        except MissingDevelopmentKeys as error:
            if not of_up:
                self.problems.append(str(error))
            return None
        except (EventFileError, OSError) as error:
            self.problems.append(str(error))
            return None
        if event.simulated and not of_up:
            self.problems.append("this event has a [simulation] clock: only `turnout up` and `turnout demo` run it")
        return event

    def check(self, settings: Settings) -> None:
        """Read what the settings name, as the command would."""
        if isinstance(settings, (UpSettings, GatewaySettings)):
            from gateway.traffic import check_traffic  # noqa: PLC0415 - it brings numpy along

            with self.problem(NetworksError, OSError):
                check_traffic(settings.networks_file, settings.trusted_proxies)
        if isinstance(settings, GatewaySettings):
            self.secrets(Path(settings.secrets_file))
        if isinstance(settings, WitnessSettings):
            self._check_witness(settings)
        self._check_ports(settings)

    def secrets(self, path: Path) -> None:
        """Read a secrets file."""
        with self.problem(SecretsError):
            load_secrets(path)

    def _check_witness(self, settings: WitnessSettings) -> None:
        from counters.ledger.note import NoteError  # noqa: PLC0415 - it brings the ledger along
        from counters.trust_policy import TrustPolicyError  # noqa: PLC0415
        from gateway.witness_service import TrustedLogs  # noqa: PLC0415

        with self.problem(NoteError, TrustPolicyError, OSError):
            if not len(TrustedLogs(settings.log_keys, [Path(file) for file in settings.log_files])):
                self.warnings.append("no log is watched: name its verifier key with --log, or a file with --logs")
        if not settings.name and not (Path(settings.data) / "witness.key").exists():
            self.problems.append("this witness has no key yet: name it with --name")

    def _check_ports(self, settings: Settings) -> None:
        taken: dict[tuple[str, int], str] = {}
        host = getattr(settings, "host", "")
        for declared in settings.declared():
            flag, port = declared.setting.flag, getattr(settings, declared.field)
            if not flag.endswith("port") or not port:
                continue
            own = getattr(settings, "metrics_host", host) if flag == "--metrics-port" else host
            place = ("" if {own, host} & EVERYWHERE else own, port)
            if place in taken:
                self.problems.append(f"{taken[place]} and {flag} are both {port}")
            taken[place] = flag
