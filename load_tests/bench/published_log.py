"""The published log as anybody sees it: which leaves the checkpoint covers."""

import json
from typing import Any, Final

from load_tests.http_client import Address, UnexpectedAnswerError, call

BUNDLE: Final = 256
"""Entries in a full bundle (C2SP tlog-tiles): with one for each minute, four hours."""


async def window_leaf(ledger: Address, window: str) -> dict[str, Any] | None:
    """Return the leaf of a window (its start in ISO 8601) if the published checkpoint covers it.

    Raises UnexpectedAnswerError, or RuntimeError for a log of more than one bundle.
    """
    size = int((await _get(ledger, "/log/checkpoint")).split(b"\n")[1])
    if size >= BUNDLE:
        raise RuntimeError(f"the log has {size} entries: this measurement reads {BUNDLE - 1} at most")
    bundle = await _get(ledger, f"/log/tile/entries/000.p/{size}")
    while bundle:
        length = int.from_bytes(bundle[:2])
        entry: dict[str, Any] = json.loads(bundle[2 : 2 + length])
        if entry["type"] == "window" and entry["window"] == window:
            return entry
        bundle = bundle[2 + length :]
    return None


async def _get(address: Address, path: str) -> bytes:
    answer = await call(address, "GET", path)
    if answer.status != 200:
        raise UnexpectedAnswerError(f"GET {path}".encode(), answer.status, answer.body)
    return answer.body
