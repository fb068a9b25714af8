"""Public randomness beacons: when a round happens, and what its value is.

A beacon publishes a value at times known beforehand that nobody can know before. The roll is sealed first; the value of
a round that was named before the event then decides which of its leaves are opened.

    name             value                                                       round r happens at (unix seconds)
    drand-quicknet   randomness of drand's quicknet, chain 52db9ba7…c84e971      1,692,803,367 + 3·(r − 1)
    drand-default    randomness of drand's default chain 8990e7a9…1b2ce          1,595,431,050 + 30·(r − 1)
    any other        16 to 64 bytes that the event file says where to find       as the event file says (`round_at`)

drand's randomness is the SHA-256 of the round's signature: that is checked here wherever the signature is given. The
signature itself, a BLS signature of the League of Entropy's key over the round's number, is not: look the round up at
an address of your own choice, for example

    https://api.drand.sh/52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971/public/ROUND

or verify it with any drand client. Worked example, round 1 of the default chain: the SHA-256 of the signature 8d61d910…
(96 bytes) is 101297f1ca7dc44ef6088d94ad5fb7ba03455dc33d53ddb412bbc4564ed986ec.

Source: docs.drand.love, HTTP API and cryptography.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

VALUE_BYTES: Final = (16, 64)
"""Shortest and longest value of a beacon: 128 bits are as hard to foresee as anything here; NIST's has 64 bytes."""
SIGNATURE_LIMIT_BYTES: Final = 256
"""A BLS12-381 signature has 48 or 96 bytes."""
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+")


class BeaconError(ValueError):
    """This is no value of a beacon's round."""


@dataclass(frozen=True, slots=True)
class Drand:
    """A chain of drand."""

    chain: str  # hash that names it
    genesis: int  # unix seconds: when round 1 happened
    period_s: int

    def at(self, number: int) -> int:
        """Return when a round happens, unix seconds."""
        return self.genesis + (number - 1) * self.period_s


DRAND: Final[Mapping[str, Drand]] = MappingProxyType(
    {
        "drand-quicknet": Drand(
            "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971", 1_692_803_367, 3
        ),
        "drand-default": Drand(
            "8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce", 1_595_431_050, 30
        ),
    }
)  # fmt: skip
"""The beacons whose rounds' times and values are known here, by the name that event files use."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a beacon, named before it happens."""

    beacon: str
    number: int
    at: int  # unix seconds

    def look_up(self) -> str:
        """Return in words where its value is to be found."""
        if drand := DRAND.get(self.beacon):
            return f"https://api.drand.sh/{drand.chain}/public/{self.number}"
        return f"round {self.number} of the beacon {self.beacon}"


@dataclass(frozen=True, slots=True)
class BeaconValue:
    """What a round's value is."""

    value: bytes
    signature: bytes = b""  # of drand; b"" = not given

    def __post_init__(self) -> None:
        if not VALUE_BYTES[0] <= len(self.value) <= VALUE_BYTES[1]:
            raise BeaconError(f"a beacon's value has {VALUE_BYTES[0]} to {VALUE_BYTES[1]} bytes")
        if len(self.signature) > SIGNATURE_LIMIT_BYTES:
            raise BeaconError("its signature is too long")

    def check(self, of: Round) -> None:
        """Check all that can be checked here.

        Raises:
            BeaconError: this is not the value of that round.
        """
        if of.beacon not in DRAND:
            if self.signature:
                raise BeaconError(f"what a signature of the beacon {of.beacon} is worth is not known here")
            return
        if len(self.value) != hashlib.sha256().digest_size:
            raise BeaconError("drand's randomness has 32 bytes")
        if self.signature and hashlib.sha256(self.signature).digest() != self.value:
            raise BeaconError("its randomness is not the SHA-256 of its signature")

    def as_json(self) -> dict[str, str]:
        """Return it as a log entry has it."""
        return {"value": self.value.hex()} | ({"signature": self.signature.hex()} if self.signature else {})

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "BeaconValue":
        """Return the value in a log entry.

        Raises:
            BeaconError: there is none.
        """
        return cls(_bytes(row.get("value")), _bytes(row["signature"]) if "signature" in row else b"")


def read_value(given: str, of: Round) -> BeaconValue:
    """Return the value of a round as somebody gives it: hex, or the JSON that drand answers.

    Raises:
        BeaconError: it is neither, or of another round.
    """
    given = given.strip()
    if not given.startswith("{"):
        value = BeaconValue(_bytes(given.lower()))
    else:
        try:
            answer = json.loads(given)
        except ValueError as error:
            raise BeaconError(f"it is not JSON: {error}") from None
        if answer.get("round") != of.number:
            raise BeaconError(f"it is of round {answer.get('round')}, and round {of.number} was named")
        signature = _bytes(answer["signature"]) if "signature" in answer else b""
        named = answer.get("randomness", hashlib.sha256(signature).hexdigest() if signature else None)
        value = BeaconValue(_bytes(named), signature)
    value.check(of)
    return value


def _bytes(text: object) -> bytes:
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise BeaconError("a beacon's value and signature are hexadecimal digits in lower case")
    return bytes.fromhex(text)
