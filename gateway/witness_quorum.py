"""Having the log cosigned: each witness of the event is asked for each state of the log, and the note is published.

Where the event file requires witnesses, a state is published when so many have cosigned it; until then it waits,
withheld, and is what they are asked for: a state is never skipped for a newer one, so that witnesses which come back at
different times meet on one. Where it requires none, the log publishes by itself and cosignatures are added to the note
that is shown.

At the start, before anything changes the log, required witnesses are asked what they have seen. The first question
shows them what was published last, so nothing is signed that was not before; what is committed is signed once they are
known not to have seen more. Enough have answered when every quorum that ever published something has one of them in
it: n − k + 1 of n, where k are required. A witness that has seen more than there is here, or another history, stops
the ledger for good: its data are older than the log, or forked.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import aiohttp

from counters.event import Event
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.cosignature import WitnessKey, cosignatures, cosigned_at, with_cosignatures
from counters.ledger.log import Log
from counters.ledger.note import Signature, Verifier, open_note
from counters.ledger.witness_protocol import Verdict
from gateway.asked_witness import AskedWitness, InThread, OtherHistoryError
from gateway.problems import Refused
from gateway.quantity import quantity
from gateway.reasons import Reason
from gateway.witness_addresses import WitnessesError
from gateway.witness_client import NotCosignedError, WitnessClient

LOOK_EVERY_S: Final = 0.05
FIRST_RETRY_S: Final = 0.2
LONGEST_RETRY_S: Final = 5.0
"""A witness that was away is asked again this soon: an event's checkpoints are a minute apart."""
FIRST_ANSWER_S: Final = 15.0
"""A log does not begin before the witnesses that it requires have answered; that is waited for so long."""
NO_BY_SETTING: Final = frozenset((Verdict.MALFORMED.label, Verdict.UNTRUSTED.label, Verdict.UNKNOWN_LOG.label))
"""Answers that stay the same until somebody changes the witness's settings, or ours."""
QUORUM_PATIENCE_S: Final = 5.0
"""A log that waits longer than this for its witnesses has lost its quorum."""
_log = logging.getLogger("turnout.ledger")

Publish = Callable[[bytes], Awaitable[object]]


class WitnessQuorum:
    """Asks the event's witnesses. Owned by the ledger's event loop."""

    def __init__(self, event: Event, log: Log, verifier: Verifier, publish: Publish, read: InThread) -> None:
        """Prepare.

        Args:
            event: names the witnesses.
            log: to be cosigned.
            verifier: the log's key.
            publish: shows a cosigned note, in the thread that may write the log.
            read: runs something that reads it.
        """
        self._log = log
        self._verifier = verifier
        self._publish = publish
        self._required = event.required_witnesses
        self.counts: Counter[tuple[str, str]] = Counter()
        """How often each witness has said what: (name, outcome) → requests."""
        self._all = [AskedWitness(witness, log, read, self.counts) for witness in event.witnesses]
        self._target: tuple[Checkpoint, bytes] | None = None  # with no signature but the log's
        self._lines: dict[WitnessKey, Signature] = {}  # on the target
        self._collected = asyncio.Event()
        self._withheld_since = 0.0
        self.by_witness_s: dict[str, int] = {}
        """When each witness cosigned last, by name: unix seconds on its clock."""
        self.cosigned_s: int | None = None
        """When the last cosignature was made that the newest checkpoint with a quorum needs; None: there is none."""
        self._refused = ""
        self._said = ""

    @property
    def witnesses(self) -> int:
        """How many the event names."""
        return len(self._all)

    # What the ledger may do.

    def held(self) -> Refused | None:
        """Why nothing may change the ledger now; None if it may."""
        if self._refused:
            return Refused(Reason.LOG_SUPERSEDED, f"{self._refused}.")
        return None if self._is_confirmed() else Refused(Reason.WITNESSES_SILENT)

    def _is_confirmed(self) -> bool:
        """Whether every quorum has a witness in it that has cosigned the log as it is here."""
        if not self._required:
            return True
        # One of n − k + 1 is in every k of n.
        return sum(asked.cosigned is not None for asked in self._all) > len(self._all) - self._required

    def _is_hopeless(self) -> bool:
        """Whether so many witnesses have said no that the others are not enough."""
        willing = sum(asked.trouble.partition(":")[0] not in NO_BY_SETTING for asked in self._all)
        return willing <= len(self._all) - self._required

    def _may_sign(self) -> bool:
        """Whether every quorum has a witness in it that has said what it has seen: no more than there is here."""
        return not self._required or (
            sum(asked.size is not None for asked in self._all) > len(self._all) - self._required
        )

    def why_not_ready(self) -> str:
        """What is wrong, in one line; "" = nothing."""
        if self._refused:
            return self._refused
        if not self._is_confirmed():
            return f"too few witnesses have said what they have seen of this log ({self._troubles()})"
        waiting = self._log.checkpoint.size - self._log.published.size
        if waiting and self._withheld_since and time.monotonic() > self._withheld_since + QUORUM_PATIENCE_S:
            return (
                f"{quantity(waiting, 'entry')} not published: {self._required} of "
                f"{quantity(len(self._all), 'witness')} must cosign ({self._troubles()})"
            )
        return ""

    def _troubles(self) -> str:
        said = [f"{asked.witness.name}: {asked.trouble}" for asked in self._all if asked.trouble]
        return "; ".join(said) or "none has answered yet"

    async def until_published(self, size: int, patience_s: float) -> bool:
        """Wait until so many entries are published; return whether they are.

        Where no witness is required, wait a tenth as long for the cosignatures of those that there are.
        """
        deadline = time.monotonic() + patience_s * (1 if self._required else 0.1)
        while time.monotonic() < deadline:
            complete = self._target is not None and self._target[0].size >= size and len(self._lines) == len(self._all)
            if self._log.published.size >= size and (self._required or complete or not self._all):
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return self._log.published.size >= size

    async def confirm(self, patience_s: float) -> None:
        """Ask until enough witnesses have said that they have seen no more of the log than there is here.

        Raises:
            WitnessesError: they have, or do not answer in time.
        """
        asking = asyncio.create_task(self.run())
        deadline = time.monotonic() + patience_s
        try:
            while time.monotonic() < deadline:
                if self._is_confirmed() or self._refused or self._is_hopeless() or asking.done():
                    break
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        if self.held() is not None:
            raise WitnessesError(
                f"the event requires {quantity(self._required, 'witness')}, and the log neither begins nor goes on "
                f"without: {self._refused or self._troubles()}. This log's verifier key is {self._verifier.encode()}"
            )

    # Asking.

    async def run(self) -> None:
        """Ask all witnesses, for as long as the ledger runs.

        Raises:
            LogError: the log is not what this ledger wrote.
        """
        if not self._all:
            _log.warning(
                "the event file names no witness: a data directory restored from an old backup would not be noticed, "
                "and nobody outside vouches for when the log was written (docs/witnesses.md)"
            )
            return
        _, shown = self._log.published.signed
        self._note_published(cosignatures(shown, [asked.key for asked in self._all]) if shown else {})
        async with aiohttp.ClientSession(auto_decompress=False) as session, asyncio.TaskGroup() as tasks:
            for asked in self._all:
                tasks.create_task(self._follow(asked, WitnessClient(asked.witness, session)))
            tasks.create_task(self._keep_publishing())

    async def _follow(self, asked: AskedWitness, client: WitnessClient) -> None:
        while not self._refused:
            try:
                if asked.size is None:
                    await asked.learn(client)
                if not self._may_sign():
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                checkpoint, note = self._aim()
                if asked.cosigned == checkpoint:
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                line = await asked.cosign(client, checkpoint, note)
            except NotCosignedError as error:
                if isinstance(error, OtherHistoryError):
                    self._stop(error.sentence)
                self._note(asked, error)
                pause_s = min(FIRST_RETRY_S * 2**asked.failures, LONGEST_RETRY_S)
                asked.failures += 1
                await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
                continue
            if asked.trouble:
                _log.info("witness %s cosigns again", asked.witness.name)
            asked.failures, asked.trouble, asked.cosigned = 0, "", checkpoint
            self.by_witness_s[asked.witness.name] = cosigned_at(line.signature)
            if self._target is not None and checkpoint == self._target[0]:
                self._lines[asked.key] = line
                self._collected.set()

    def _aim(self) -> tuple[Checkpoint, bytes]:
        """Return what is to be cosigned now."""
        newest = self._log.checkpoint
        if self._target is None or (
            newest != self._target[0] and (not self._required or self._log.published.size >= self._target[0].size)
        ):
            checkpoint, note = self._log.signed
            opened = open_note(note, [self._verifier])
            self._target = checkpoint, with_cosignatures(opened.text.encode() + b"\n", opened.verified)
            # Whoever cosigned before a restart stays on the note, also if they do not answer now.
            self._lines = dict(cosignatures(note, [asked.key for asked in self._all]))
            self._withheld_since = time.monotonic()
        return self._target

    def _note(self, asked: AskedWitness, error: NotCosignedError) -> None:
        if asked.trouble.partition(":")[0] != error.outcome:
            _log.warning("witness %s does not cosign: %s", asked.witness.name, error)
        asked.trouble = str(error)

    def _stop(self, sentence: str) -> None:
        """Take what a witness has seen for true: go on with nothing if witnesses are required, else say it loudly."""
        if self._required and not self._refused:
            self._refused = sentence
        if sentence != self._said:
            _log.error("%s", sentence)
        self._said = sentence

    async def _keep_publishing(self) -> None:
        while True:
            await self._collected.wait()
            self._collected.clear()
            if self._target is None or len(self._lines) < max(self._required, 1):
                continue
            lines = {asked.key: self._lines[asked.key] for asked in self._all if asked.key in self._lines}
            note = with_cosignatures(self._target[1], lines.values())
            try:
                await self._publish(note)
                self._note_published(lines)
            except Refused:
                # The disk refuses: it was noted, and is tried again.
                await asyncio.sleep(FIRST_RETRY_S)
                self._collected.set()

    def _note_published(self, lines: Mapping[WitnessKey, Signature]) -> None:
        """Note when what is published was cosigned, also before this start."""
        for asked in self._all:
            if asked.key in lines:
                self.by_witness_s.setdefault(asked.witness.name, cosigned_at(lines[asked.key].signature))
        times = sorted(cosigned_at(line.signature) for line in lines.values())
        if len(times) >= max(self._required, 1):
            self.cosigned_s = times[max(self._required, 1) - 1]
