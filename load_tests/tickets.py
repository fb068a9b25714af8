"""Tickets: the development issuer's JWTs, one for every attendee, made when the attendee first needs it.

The same ticket is the badge on site. The private key is the one that `turnout up` made for its development issuer.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc import jwk, jwt

from load_tests.audience import Person
from load_tests.scenario import Programme

TICKET_LIFE_S = 10 * 86_400
"""Bought before the event, good until after it."""
SOLD_BEFORE_S = 5 * 86_400

_ALGORITHMS: Mapping[str, str] = {"P-256": "ES256", "Ed25519": "Ed25519"}
"""By the key's curve; an RSA key has none."""


class Issuer:
    """Signs tickets. Owns those already signed."""

    def __init__(self, private_key: Path, programme: Programme) -> None:
        """Read the private JWK. Raises OSError or ValueError."""
        raw: dict[str, Any] = json.loads(private_key.read_text())
        self._key = jwk.import_key(raw)
        algorithm = raw.get("alg") or _ALGORITHMS.get(raw.get("crv", ""), "RS256")
        self._header = {"alg": algorithm, "kid": raw["kid"]} if "kid" in raw else {"alg": algorithm}
        self._algorithms = [algorithm]
        self._programme = programme
        self._tickets: dict[int, str] = {}

    def ticket(self, person: Person) -> str:
        """Return the person's JWT, the same one each time."""
        ticket = self._tickets.get(person.number)
        if ticket is None:
            sold_at = self._programme.starts_at - SOLD_BEFORE_S
            claims: dict[str, Any] = {
                "iss": self._programme.issuer,
                "aud": self._programme.audience,
                "sub": person.subject,
                "iat": sold_at,
                "exp": self._programme.starts_at + TICKET_LIFE_S,
                "category": person.category,
            }
            if person.country:
                claims["country"] = person.country
            ticket = jwt.encode(self._header, claims, self._key, algorithms=self._algorithms)
            self._tickets[person.number] = ticket
        return ticket
