"""Retaining: which joins bring a token along into the journal, sealed for the audit of the roll.

The roll names the token of an attendee's earliest join. So the first token that a worker sees of an attendee is kept,
and what comes later at the same worker is not: whichever worker had the earliest join of all has that one's token. A
worker remembers in two megabytes whom it has kept one of; one that was pushed out is kept again, which costs room and
no more. Registry and seat cannot tell who is new: a seat may be known whose join was never journaled.
"""

from array import array
from typing import Final

from counters.journal import encode_token
from counters.sealed_token import TokenSeal

SLOTS: Final = 1 << 18
"""Seats come in blocks of 65,536 numbers that follow each other, so that four blocks of newcomers push nobody out."""
_TIME_BITS: Final = 33
_TIME: Final = (1 << _TIME_BITS) - 1
"""99 days in milliseconds; 31 bits of a seat are beside it."""


class Retaining:
    """What one worker keeps of tokens. Owned by the worker's event loop."""

    def __init__(self, seal: TokenSeal | None, until_s: float = 0.0) -> None:
        """Keep tokens sealed with `seal` until a time (unix s); None = the event keeps none."""
        self._seal = seal
        self._until_ms = until_s * 1000
        self._kept = array("Q", bytes(8 * SLOTS if seal is not None else 0))

    def record(self, seat: int, at_ms: int, compact_jwt: str, digest: bytes) -> bytes:
        """Return what goes into the journal before a join or badge at `at_ms` (unix ms): the token, or nothing."""
        if self._seal is None or at_ms >= self._until_ms:
            return b""
        slot = self._kept[seat % SLOTS]
        # Of two in one millisecond either may be the one that the roll names.
        if slot >> _TIME_BITS == seat and slot & _TIME != at_ms & _TIME:
            return b""
        return encode_token(digest, self._seal.seal(compact_jwt.encode(), digest))

    def note(self, seat: int, at_ms: int) -> None:
        """Say that the record of a join at `at_ms` is in the journal."""
        if self._seal is not None and self._kept[seat % SLOTS] >> _TIME_BITS != seat:
            self._kept[seat % SLOTS] = seat << _TIME_BITS | at_ms & _TIME
