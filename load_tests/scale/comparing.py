"""The certificate beside the truth: every number that the truth knows must be there, and be the same."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of it."""

    same: int
    withheld: int  # too small, or next to a number that is
    wrong: tuple[str, ...]  # in words


def compare(certificate: Path, truth: Path) -> Compared:
    """Hold a certificate against the truth."""
    document, known = json.loads(certificate.read_bytes()), json.loads(truth.read_bytes())
    printed = {_key(row): row for row in document["numbers"]}
    rules = {row["rule"] for row in document["numbers"]}
    same, withheld, wrong = 0, 0, list[str]()
    for row in known["numbers"]:
        found = printed.get(_key(row))
        if found is None:
            if row["value"] and row["rule"] in rules:
                wrong.append(f"{_key(row)}: {row['value']}, but the certificate has no such number")
        elif found.get("suppressed"):
            withheld += 1
        elif not _same(found["value"], row["value"]) or ("at" in row and _unix_s(found["at"]) != row["at"]):
            wrong.append(f"{_key(row)}: {row['value']}, but the certificate says {found['value']}")
        else:
            same += 1
    for name, value in zip(("gross", "excluded", "guests", "views_gross"), known["gross"], strict=True):
        if document["exclusions"][name] == value:
            same += 1
        else:
            wrong.append(f"exclusions, {name}: {value}, but the certificate says {document['exclusions'][name]}")
    return Compared(same, withheld, tuple(wrong))


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["rule"], json.dumps(row["scope"], sort_keys=True)


def _unix_s(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())


def _same(printed: object, true: float) -> bool:
    if not isinstance(printed, int | float):
        return False
    return math.isclose(printed, true, abs_tol=0.01) if isinstance(true, float) else printed == true
