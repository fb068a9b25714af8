"""Canonical JSON (RFC 8785): one value, one spelling, so that its SHA-256 names the value.

Everything that goes into the log, heads a segment or becomes a certificate is written by `encode` and read by
`decode`, which refuses every other spelling of the same value: extra spaces, another order of keys, a key given twice,
`1.0` for `1`, integers beyond 2^53 − 1, numbers that are not numbers.
"""

import json
from typing import Any, Final, NoReturn

import rfc8785

INTEGER_LIMIT: Final = 2**53 - 1
"""RFC 8785 numbers are IEEE doubles: larger integers would change on their way through another JSON reader."""


class CanonicalJsonError(ValueError):
    """The bytes are not canonical JSON, or the value has no canonical JSON."""


class _Float(Exception):  # noqa: N818 - not an error: it hands the text over to the slow path
    """A number with a fraction or exponent was seen."""


def encode(value: Any) -> bytes:
    """Return the canonical JSON of a value made of dict, list, tuple, str, int, float, bool and None.

    Raises:
        CanonicalJsonError: the value has no canonical JSON (NaN, an integer over 2^53 − 1, a lone surrogate).
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise CanonicalJsonError(f"cannot be written as canonical JSON: {error}") from error


def _found_float(_: str) -> NoReturn:
    raise _Float


def _integer(digits: str) -> int:
    number = int(digits)
    if abs(number) > INTEGER_LIMIT:
        raise ValueError(f"the integer {digits} exceeds 2^53 - 1")
    return number


def _spelled_by_the_standard_library(data: bytes) -> Any:
    """Read ASCII JSON without fractions; raise if the standard library would spell it otherwise.

    For that subset sorted keys and no spaces are RFC 8785 exactly, 20 times as fast as the general encoder.
    """
    value = json.loads(data, parse_float=_found_float, parse_constant=_found_float, parse_int=_integer)
    if json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() != data:
        raise ValueError("not the canonical spelling")
    return value


def decode(data: bytes) -> Any:
    """Return the value of canonical JSON.

    Raises:
        CanonicalJsonError: the bytes are not JSON, or not its canonical spelling.
    """
    try:
        if data.isascii():
            try:
                return _spelled_by_the_standard_library(data)
            except _Float:
                pass
        value = json.loads(data)
        canonical = rfc8785.dumps(value)
    except (ValueError, RecursionError) as error:
        raise CanonicalJsonError(f"not canonical JSON: {error}") from error
    if canonical != data:
        raise CanonicalJsonError("not canonical JSON: the same value is spelled differently in RFC 8785")
    return value
