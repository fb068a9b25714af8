"""One witness as the ledger asks it: what it has seen of the log, and its cosignature on what comes next."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from counters.event import WitnessOfEvent
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.cosignature import WitnessKey
from counters.ledger.log import Log
from counters.ledger.note import Signature
from counters.ledger.witness_protocol import AddCheckpoint, Verdict
from gateway.witness_client import ConflictError, NotCosignedError, WitnessClient

CONFLICTS_LIMIT: Final = 3
"""A witness that says another size each time it is asked is not believed at once again."""

InThread = Callable[[Callable[[], object]], Awaitable[object]]


class OtherHistoryError(NotCosignedError):
    """The witness has cosigned what this log is not; `sentence` says what that means, for the operator."""

    def __init__(self, outcome: str, detail: str, sentence: str) -> None:
        super().__init__(outcome, detail)
        self.sentence = sentence


class AskedWitness:
    """One witness, and what is known of it. Owned by the ledger's event loop."""

    def __init__(self, witness: WitnessOfEvent, log: Log, read: InThread, counts: Counter[tuple[str, str]]) -> None:
        """Prepare.

        Args:
            witness: who it is.
            log: to be cosigned.
            read: runs something that reads the log.
            counts: counts what it says, by (name, outcome).
        """
        self.witness = witness
        self.key = WitnessKey.decode(witness.vkey)
        self.size: int | None = None
        """Up to which it has cosigned; None = it was not asked yet."""
        self.cosigned: Checkpoint | None = None
        """Its newest since this start."""
        self.failures = 0
        """One after the other."""
        self.trouble = ""
        self._log = log
        self._read = read
        self._counts = counts

    async def learn(self, client: WitnessClient) -> None:
        """Find out up to where it has cosigned, with what was signed and shown already.

        Raises:
            NotCosignedError: it does not say.
            OtherHistoryError: it has seen more than there is here.
        """
        checkpoint, note = self._log.published.signed
        try:
            await self._ask(client, AddCheckpoint(0, (), note))
            self.size = checkpoint.size
        except ConflictError as conflict:
            self._believe(conflict.size)

    def _believe(self, size: int) -> None:
        """Take note of what it says that it has cosigned.

        Raises:
            OtherHistoryError: more than there is here.
        """
        here = self._log.checkpoint.size
        if size > here:
            raise OtherHistoryError(
                Verdict.CONFLICT.label,
                f"it has seen {size} entries, more than there are here",
                f"witness {self.witness.name} ({self.witness.operated_by}) has cosigned {size} entries of this log, "
                f"and here it has {here}: this data directory is older than the log, as after restoring an old backup. "
                "Go on with the newest one",
            )
        self.size = size

    async def cosign(self, client: WitnessClient, checkpoint: Checkpoint, note: bytes) -> Signature:
        """Return its cosignature on a checkpoint, whose signed note is given.

        Raises:
            NotCosignedError: it does not answer, or says no.
            OtherHistoryError: it has cosigned what this log is not.
        """
        for _ in range(CONFLICTS_LIMIT):
            old = self.size or 0
            if old > checkpoint.size:
                # Of a later state than the one that the others are still asked for: they will come to it.
                raise NotCosignedError(Verdict.CONFLICT.label, f"it is at {old} entries already")
            proof = await self._proof(old, checkpoint.size)
            try:
                line = await self._ask(client, AddCheckpoint(old, proof, note))
            except ConflictError as conflict:
                self._believe(conflict.size)
                continue
            except NotCosignedError as error:
                if error.outcome == Verdict.INCONSISTENT.label:
                    raise OtherHistoryError(
                        error.outcome,
                        error.detail,
                        f"witness {self.witness.name} ({self.witness.operated_by}) has cosigned another history of "
                        f"this log than the one here: it was forked at or before entry {old}. Find the data directory "
                        "that the witness has seen, and go on with that one",
                    ) from None
                raise
            self.size = checkpoint.size
            return line
        raise NotCosignedError(Verdict.CONFLICT.label, "it says another size each time")

    async def _proof(self, old: int, new: int) -> tuple[bytes, ...]:
        proof: list[tuple[bytes, ...]] = []
        await self._read(lambda: proof.append(self._log.consistency_proof(old, new)))
        return proof[0]

    async def _ask(self, client: WitnessClient, request: AddCheckpoint) -> Signature:
        try:
            line = await client.cosign(request)
        except NotCosignedError as error:
            self._counts[self.witness.name, error.outcome] += 1
            raise
        self._counts[self.witness.name, Verdict.COSIGNED.label] += 1
        return line
