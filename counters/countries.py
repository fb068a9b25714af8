"""Countries as ISO 3166-1 alpha-2 names them: the closed set by which attendees of a window are counted.

An issuer may write anything into its claim. What is no assigned code, and what nothing tells, is `OTHER`: so the set
of cells is known before anybody joins. (A certificate prints what the issuer wrote.)
"""

from collections.abc import Mapping
from typing import Final

OTHER: Final = "other"
_SECOND_LETTERS: Final[Mapping[str, str]] = {
    "A": "DEFGILMOQRSTUWXZ", "B": "ABDEFGHIJLMNOQRSTVWYZ", "C": "ACDFGHIKLMNORUVWXYZ", "D": "EJKMOZ", "E": "CEGHRST",
    "F": "IJKMOR", "G": "ABDEFGHILMNPQRSTUWY", "H": "KMNRTU", "I": "DELMNOQRST", "J": "EMOP", "K": "EGHIMNPRWYZ",
    "L": "ABCIKRSTUVY", "M": "ACDEFGHKLMNOPQRSTUVWXYZ", "N": "ACEFGILOPRUZ", "O": "M", "P": "AEFGHKLMNRSTWY",
    "Q": "A", "R": "EOSUW", "S": "ABCDEGHIJKLMNORSTVXYZ", "T": "CDFGHJKLMNORTVWZ", "U": "AGMSYZ", "V": "ACEGINU",
    "W": "FS", "Y": "ET", "Z": "AMW",
}  # fmt: skip
ISO_CODES: Final = tuple(first + second for first, seconds in _SECOND_LETTERS.items() for second in seconds)
"""The officially assigned codes, ascending (https://www.iso.org/obp/ui/#search, 2026)."""
COUNTRIES: Final = (OTHER, *ISO_CODES)
"""All cells; a country's place here is the one byte that is kept of each attendee."""
_PLACES: Final[Mapping[str, int]] = {code: place for place, code in enumerate(COUNTRIES)}


def place_of(claimed: str) -> int:
    """Return the place in COUNTRIES of what an issuer's claim says, in whatever case; 0 for anything else."""
    return _PLACES.get(claimed.strip().upper(), 0)
