"""The nearest known word to a mistyped one, for error messages."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return "Did you mean …? " with the nearest known word, or "" if none is near. The trailing space is included."""
    near = difflib.get_close_matches(word, list(known), n=1) if isinstance(word, str) else []
    return f"Did you mean {near[0]}? " if near else ""
