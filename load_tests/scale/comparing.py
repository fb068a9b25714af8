"""The certificate beside the truth: every number that the truth knows must be there, and be the same."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

SUPPRESS_BELOW: Final = 10


def differences(certificate: Path, truth: Path) -> tuple[int, list[str]]:
    """Return how many numbers were compared, and in words which differ."""
    document, known = json.loads(certificate.read_bytes()), json.loads(truth.read_bytes())
    printed = {_key(row): row for row in document["numbers"]}
    rules = {row["rule"] for row in document["numbers"]}
    compared, wrong = 0, list[str]()
    for row in known["numbers"]:
        if row["rule"] not in rules:
            continue
        found = printed.get(_key(row))
        if found is None:
            if row["value"]:
                wrong.append(f"{_key(row)}: {row['value']}, but the certificate has no such number")
        elif not _withheld(found, row):
            compared += 1
            if not _same(found["value"], row["value"]) or ("at" in row and _unix_s(found["at"]) != row["at"]):
                wrong.append(f"{_key(row)}: {row['value']}, but the certificate says {found['value']}")
    gross, excluded, guests, views = known["gross"]
    stated = document["exclusions"]
    for name, value in (("gross", gross), ("excluded", excluded), ("guests", guests), ("views_gross", views)):
        compared += 1
        if stated[name] != value:
            wrong.append(f"exclusions, {name}: {value}, but the certificate says {stated[name]}")
    return compared, wrong


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["rule"], json.dumps(row["scope"], sort_keys=True)


def _withheld(found: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    # Of averages and hours it is the people online that are few, whom the truth does not print with them.
    of_time = row["rule"] in ("average-minute-audience", "hours-viewed")
    return bool(found.get("suppressed")) and (row["value"] < SUPPRESS_BELOW or of_time)


def _unix_s(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())


def _same(printed: object, true: float) -> bool:
    if not isinstance(printed, int | float):
        return False
    return math.isclose(printed, true, abs_tol=0.01) if isinstance(true, float) else printed == true
