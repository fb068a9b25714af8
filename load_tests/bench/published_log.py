"""The published log as anybody sees it: which leaves the checkpoint covers."""

import json
from typing import Any, Final

from load_tests.http_client import Address, UnexpectedAnswerError, call

BUNDLE: Final = 256
"""Entries in a full bundle (C2SP tlog-tiles): with one for each minute, four hours."""


async def leaves_of(ledger: Address, window: str) -> list[dict[str, Any]]:
    """Return the leaves of a window (its start in ISO 8601) that the published checkpoint covers: its own, late ones.

    Raises UnexpectedAnswerError, or RuntimeError for a log of more than one bundle.
    """
    size = int((await _get(ledger, "/log/checkpoint")).split(b"\n")[1])
    if size >= BUNDLE:
        raise RuntimeError(f"the log has {size} entries: this measurement reads {BUNDLE - 1} at most")
    bundle = await _get(ledger, f"/log/tile/entries/000.p/{size}")
    entries = []
    while bundle:
        length = int.from_bytes(bundle[:2])
        entries.append(json.loads(bundle[2 : 2 + length]))
        bundle = bundle[2 + length :]
    return [entry for entry in entries if entry["type"] in ("window", "late") and entry["window"] == window]


async def _get(address: Address, path: str) -> bytes:
    answer = await call(address, "GET", path)
    if answer.status != 200:
        raise UnexpectedAnswerError(f"GET {path}".encode(), answer.status, answer.body)
    return answer.body
