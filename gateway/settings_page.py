"""Writes the tables of docs/settings.md from the settings' declarations (`make generate`); a test compares them."""

from pathlib import Path
from typing import Any, Final

import click

from gateway.setting_sources import variable_of
from gateway.settings import OF_COMMANDS, DeclaredSetting

PAGE: Final = Path(__file__).parent.parent / "docs" / "settings.md"
BEGIN: Final = "<!-- Generated from gateway/settings.py by `make generate`; do not edit. -->\n"
END: Final = "<!-- End of what is generated. -->\n"
_HEAD: Final = "| flag | key | variable | value | default | meaning |\n|---|---|---|---|---|---|\n"


def tables() -> str:
    """Return a table for each serving command."""
    return "\n".join(
        f"### turnout {command}\n\nTable `[{command}]` of the settings file.\n\n{_HEAD}"
        + "".join(_row(command, declared) for declared in kind.declared())
        for command, kind in OF_COMMANDS.items()
    )


def with_tables(page: str) -> str:
    """Return the page with the tables in place of those that it has."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


def _row(command: str, declared: DeclaredSetting) -> str:
    setting = declared.setting
    default = "must be given" if declared.required else f"`{declared.default}`" if _said(declared.default) else "–"
    cells = (
        f"`{setting.flag}`",
        f"`{setting.key}`",
        f"`{variable_of(command, setting.key)}`",
        _value(declared),
        default,
        setting.help.replace("|", "\\|"),
    )
    return f"| {' | '.join(cells)} |\n"


def _said(default: object) -> bool:
    return default not in {"", ()} and default is not False


def _value(declared: DeclaredSetting) -> str:
    kind: Any = declared.setting.kind
    text = {None: "true or false"}.get(kind) or (
        ", ".join(kind.choices) if isinstance(kind, click.Choice)
        else f"{kind.min} … {kind.max}" if isinstance(kind, (click.IntRange, click.FloatRange))
        else ("file" if not kind.dir_okay else "path" if kind.file_okay else "folder") if isinstance(kind, click.Path)
        else declared.setting.metavar or kind.name
    )  # fmt: skip
    return f"{text}, several" if declared.several else text


def main() -> None:
    """Write the page."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
