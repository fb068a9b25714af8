"""Writes YAML that people read: the block style of dicts, lists and scalars, and nothing else.

A value of several lines becomes a literal block, so that an expression stands in a rule file as it is typed into
Prometheus. What YAML could take for something else than a text is quoted; a test reads everything back.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z_][\w./+ -]*[\w./+]|\d+(ms|[smhdwy])")
_NOT_TEXT: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Return a mapping of str, int, bool, mappings and sequences as YAML; keys keep their order.

    Raises:
        TypeError: it holds something else.
    """
    return "".join(f"{line}\n" for line in _mapping(tree))


def _mapping(tree: Mapping[str, Any]) -> Iterator[str]:
    for key, value in tree.items():
        yield from _entry(f"{_scalar(key)}:", value)


def _sequence(items: Sequence[Any]) -> Iterator[str]:
    for item in items:
        if isinstance(item, Mapping) and item:
            first, *rest = _mapping(item)
            yield f"- {first}"
            yield from (f"  {line}" if line else "" for line in rest)
        else:
            yield from _entry("-", item)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple) and value:
        yield head
        nested = _mapping(value) if isinstance(value, Mapping) else _sequence(value)
        yield from (f"  {line}" if line else "" for line in nested)
    elif isinstance(value, str) and "\n" in value:
        yield f"{head} |-"
        yield from (f"  {line}" if line else "" for line in value.split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    if isinstance(value, int):
        return str(value).lower()
    if not isinstance(value, str):
        raise TypeError(f"no YAML for a {type(value).__name__}")
    return _text(value)


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    if '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    # A JSON text is a YAML text.
    return json.dumps(value, ensure_ascii=False)
