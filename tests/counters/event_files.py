"""A good event file with its issuers' keys, and what is wrong with one that was changed."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey

from counters.event import EventFileError, load_event

EC = ECKey.generate_key("P-256", parameters={"kid": "ec"})

ED = OKPKey.generate_key("Ed25519", parameters={"kid": "ed"})

GOOD = """
[event]
id = "expo"
name = "Expo"
time_zone = "Europe/Paris"
late_until = 2026-05-04T00:00:00+02:00

[[session]]
number = 1
id = "opening"
title = "Opening"
starts_at = 2026-05-01T09:00:00+02:00
ends_at = 2026-05-01T10:00:00+02:00
gates = ["hall-a"]

[[session]]
number = 2
id = "closing"
title = "Closing"
starts_at = 2026-05-02T17:00:00+02:00
ends_at = 2026-05-02T18:00:00+02:00
gates = ["hall-a", "hall-b"]

[[issuer]]
id = "tickets"
issuer = "https://tickets.example"
audience = "expo"
jwks = "jwks.json"
namespace = "tickets"
operated_by = "Ticket Shop"
algorithms = ["ES256", "EdDSA"]
attributes = { country = "country" }
development = true

[counting]
rules = ["views", "hours-viewed"]
exclude_categories = ["staff"]

[simulation]
starts_at = 2026-05-01T08:00:00+02:00
"""


def write(folder: Path, text: str = GOOD, keys: list[Any] | None = None) -> Path:
    public = [EC.as_dict(private=False), ED.as_dict(private=False)] if keys is None else keys
    (folder / "jwks.json").write_text(json.dumps({"keys": public}))
    path = folder / "expo.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(EventFileError) as found:
        load_event(path)
    lines = [str(problem) for problem in found.value.problems]
    assert str(found.value) == "\n  ".join([str(found.value).splitlines()[0], *lines])
    return lines
