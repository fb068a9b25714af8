"""Certifying by a running ledger: waits until what has ended is sealed and published, and computes beside sealing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from counters import issuing
from counters.corrections import places_taken
from counters.reckoning import Progress
from gateway.ledger_parts import LedgerParts
from gateway.problems import Refused
from gateway.reasons import Reason
from gateway.roll_keeper import RollKeeper
from gateway.tracing import COMPUTE
from gateway.witness_quorum import WitnessQuorum

CERTIFY_PATIENCE_S: Final = 20.0
"""A certificate waits this long for windows that have ended and are not sealed."""
COSIGN_PATIENCE_S: Final = 15.0
"""And this long for witnesses to cosign; for those that are not required, a tenth of it."""


class Certifying:
    """Certificates of one ledger. Owned by the ledger's event loop; the sealer belongs to the ledger thread."""

    def __init__(
        self,
        parts: LedgerParts,
        quorum: WitnessQuorum,
        rolls: RollKeeper,
        until_sealed: Callable[[float, int], Awaitable[None]],
    ) -> None:
        """Prepare.

        Args:
            parts: the ledger's.
            quorum: knows what is published.
            rolls: seals the roll when the event is over.
            until_sealed: waits at most so many seconds until at most so many windows that have ended are unsealed.
        """
        self._sealer = parts.sealer
        self._verifier = parts.verifier
        self._clock = parts.clock
        self._thread = parts.thread
        self._lookout = parts.lookout
        self._tracing = parts.tracing
        self._quorum = quorum
        self._rolls = rolls
        self._until_sealed = until_sealed
        self.directory = parts.certificates
        """Where the certificates lie."""

    async def compute(self, progress: Progress, corrects: int | None = None, reason: str = "") -> bytes:
        """Return a certificate over everything that is sealed.

        Args:
            progress: is told from another thread how many leaves have been read, of how many.
            corrects: id of the certificate that it supersedes; None if it supersedes none.
            reason: why it does.

        Raises:
            CorrectionError: no certificate of that id still stands.
            Refused: the ledger may not go on, or the quorum is lost.
        """
        await self._lookout.before_writing()
        await self._until_sealed(CERTIFY_PATIENCE_S, 0)
        await self._rolls.seal_if_due()
        await self._until_published(self._sealer.log.size)
        now = self._clock.now()
        with self._tracing.work(COMPUTE, leaves=self._sealer.log.size):
            return await asyncio.to_thread(
                issuing.compute, self._sealer, self._verifier, now, progress, corrects=corrects, reason=reason
            )

    async def enter(self, certificate: bytes) -> issuing.Issued:
        """Put a computed certificate into the log.

        Raises:
            CorrectionError: what it corrects does not stand any more.
            Refused: the ledger may not go on, or the quorum is lost.
        """
        await self._lookout.before_writing()
        number = await self._thread.write(lambda: issuing.enter(self._sealer, certificate, self.directory))
        # A crash here, or a quorum that does not come, leaves a certificate without its proof, which is written when
        # its entry is published.
        await self._until_published(number + 1)
        return await self._thread.keep(lambda: issuing.issued(self._sealer, number, self.directory))

    def superseded(self) -> Mapping[int, int]:
        """Return by the id of each superseded certificate the id of the one that took its place."""
        return places_taken(self._sealer.certificates, self._sealer.corrections)

    async def _until_published(self, size: int) -> None:
        if not await self._quorum.until_published(size, COSIGN_PATIENCE_S):
            raise Refused(Reason.QUORUM_LOST)
