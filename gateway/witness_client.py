"""The ledger's way to one witness: a request to cosign, with bounded time and a bounded answer (C2SP tlog-witness)."""

from typing import Final

import aiohttp

from counters.event import WitnessOfEvent
from counters.ledger.checkpoint import DECIMAL
from counters.ledger.cosignature import WitnessKey, cosignatures
from counters.ledger.note import NoteError, Signature
from counters.ledger.witness_protocol import ADD_CHECKPOINT, AddCheckpoint, Verdict
from gateway.bounded_body import read_at_most

TIMEOUT: Final = aiohttp.ClientTimeout(total=10, sock_connect=3)
"""A witness does one check and one sync: one that takes longer is asked again."""
ANSWER_LIMIT_BYTES: Final = 64 * 1024
"""A hundred signature lines are 15 KB."""
DETAIL_LIMIT_CHARS: Final = 200
UNREACHABLE: Final = "unreachable"
NOT_UNDERSTOOD: Final = "not_understood"


class NotCosignedError(Exception):
    """The witness did not cosign. `outcome` is a label of metrics.catalogue.COSIGNING_OUTCOMES."""

    def __init__(self, outcome: str, detail: str) -> None:
        super().__init__(f"{outcome}: {detail}" if detail else outcome)
        self.outcome = outcome
        self.detail = detail


class ConflictError(NotCosignedError):
    """The witness has cosigned up to another size than the request says."""

    def __init__(self, size: int) -> None:
        super().__init__(Verdict.CONFLICT.label, f"it has cosigned {size} entries")
        self.size = size


class WitnessClient:
    """Talks to one witness."""

    def __init__(self, witness: WitnessOfEvent, session: aiohttp.ClientSession) -> None:
        self._url = witness.url + ADD_CHECKPOINT
        self._key = WitnessKey.decode(witness.vkey)
        self._session = session

    async def cosign(self, request: AddCheckpoint) -> Signature:
        """Return the witness's cosignature of the checkpoint in a request; it verifies.

        Raises:
            ConflictError: ask again from that size.
            NotCosignedError: it refused, did not answer, or said something that is no answer.
        """
        try:
            async with self._session.post(
                self._url, data=request.encode(), timeout=TIMEOUT, allow_redirects=False
            ) as answer:
                status, body = answer.status, await read_at_most(answer.content, ANSWER_LIMIT_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotCosignedError(UNREACHABLE, str(error) or type(error).__name__) from None
        text = body.decode(errors="replace").strip()
        if status == Verdict.COSIGNED.value:
            return self._line(request.note, body)
        if status == Verdict.CONFLICT.value and DECIMAL.fullmatch(text):
            raise ConflictError(int(text))
        if status >= 500:  # its disk, or a proxy before it
            raise NotCosignedError(UNREACHABLE, f"it answers {status}")
        known = {verdict.value: verdict.label for verdict in Verdict if verdict is not Verdict.CONFLICT}
        raise NotCosignedError(known.get(status, NOT_UNDERSTOOD), f"{status} {text[:DETAIL_LIMIT_CHARS]}")

    def _line(self, note: bytes, body: bytes) -> Signature:
        """Return the line in an answer that is of this witness."""
        try:
            found = cosignatures(note + body, [self._key])
        except NoteError as error:
            raise NotCosignedError(NOT_UNDERSTOOD, str(error)) from None
        if self._key not in found:
            raise NotCosignedError(NOT_UNDERSTOOD, "it cosigned with another key than the event file says")
        return found[self._key]
