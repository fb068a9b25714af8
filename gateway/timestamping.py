"""Having the log timestamped: an outside authority (RFC 3161) is asked for the time of what is published.

Asked for are the checkpoint in each certificate's proof, as soon as it is published, and the newest one every few
minutes while the log grows: so that an outsider can tell that the windows were in the log at about their time, and the
certificate when it says. Nothing waits for it, and nothing stops: an authority that is away, refuses or answers
nonsense is logged, counted and asked again.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from counters.disk import Disk
from counters.durable_file import make_folder, write_durably
from counters.issuing import issued_numbers
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.log import Log
from counters.ledger.merkle import ProofError
from counters.ledger.note import NoteError, parse_note
from counters.ledger.proof import TlogProof
from counters.timestamp_files import TIMESTAMPS, timestamp_path
from gateway.bounded_body import read_at_most
from gateway.ledger_thread import LedgerThread
from gateway.problems import Refused

if TYPE_CHECKING:
    from counters.timestamps import Question

LOOK_EVERY_S: Final = 1.0
STAMP_EVERY_S: Final = 600.0
"""An event's day is 50 to 60 timestamps: no authority minds, and no window waits longer than this."""
FIRST_RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 300.0
TIMEOUT: Final = aiohttp.ClientTimeout(total=20, sock_connect=5)
KEPT, UNREACHABLE, REFUSED, DISK = "kept", "unreachable", "refused", "disk"
"""What came of a question: labels of metrics.catalogue.TIMESTAMP_OUTCOMES."""
MISSING_EXTRA: Final = "timestamps need the extra: pip install 'turnout[timestamps]'"
_log = logging.getLogger("turnout.ledger")


class NotStampedError(Exception):
    """There is no timestamp. `outcome` is a label of metrics.catalogue.TIMESTAMP_OUTCOMES."""

    def __init__(self, outcome: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


def why_not_available() -> str:
    """Return why no timestamps can be asked for on this host, in a sentence; "" if they can."""
    try:
        import counters.timestamps  # noqa: F401, PLC0415 - an extra
    except ImportError:
        return MISSING_EXTRA
    return ""


class Timestamping:
    """Asks one authority. Owned by the ledger's event loop."""

    def __init__(
        self,
        url: str,
        log: Log,
        folders: tuple[Path, Path],
        thread: LedgerThread,
        disk: Disk,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            url: of the authority; "" = nobody is asked.
            log: what is published.
            folders: of the log and of the certificates.
            thread: writes what the authority answers.
            disk: where.
            tick: seconds on a monotonic clock.
        """
        self._url = url
        self.log = log
        """What is published."""
        self._folder, self._certificates = folders[0] / TIMESTAMPS, folders[1]
        self._thread = thread
        self._disk = disk
        self._tick = tick
        self._due = tick()  # when the newest checkpoint is stamped
        self._failures = 0  # one after the other
        self._trouble = ""
        self._done: set[int] = set()  # certificates whose checkpoints are stamped
        self.counts: Counter[str] = Counter()
        """What came of how many questions since this start, by outcome."""

    async def run(self) -> None:
        """Ask for as long as the ledger runs."""
        if not self._url:
            return
        async with aiohttp.ClientSession() as session:
            while True:
                checkpoint = await asyncio.to_thread(self.wanted)
                if checkpoint is None:
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                try:
                    await self._stamp(session, checkpoint)
                except NotStampedError as error:
                    self._note(error)
                    await asyncio.sleep(min(FIRST_RETRY_S * 2 ** (self._failures - 1), LONGEST_RETRY_S))
                    continue
                if self._trouble:
                    _log.info("the timestamp authority answers again")
                self._failures, self._trouble = 0, ""
                self.counts[KEPT] += 1

    def wanted(self) -> Checkpoint | None:
        """Return what is to be stamped now; None if nothing is."""
        for number in set(issued_numbers(self._certificates)) - self._done:
            checkpoint = self._of_certificate(number)
            if checkpoint is not None and not self._is_stamped(checkpoint):
                return checkpoint
            self._done.add(number)
        newest = self.log.published.checkpoint
        if self._tick() < self._due or not newest.size or self._is_stamped(newest):
            return None
        return newest

    def _of_certificate(self, number: int) -> Checkpoint | None:
        """Return the checkpoint in a certificate's proof: what its verifier has at hand, if nothing else."""
        try:
            proof = TlogProof.decode((self._certificates / f"{number}.tlog-proof").read_bytes())
            return Checkpoint.decode(parse_note(proof.checkpoint_note)[0])
        except (OSError, ProofError, NoteError):
            return None  # it is being put right, or was removed: with the next one

    def _is_stamped(self, checkpoint: Checkpoint) -> bool:
        return timestamp_path(self._folder, checkpoint.size).exists()

    async def _stamp(self, session: aiohttp.ClientSession, checkpoint: Checkpoint) -> None:
        from counters.timestamps import Question, TimestampError  # noqa: PLC0415 - an extra

        question = Question.about(checkpoint.encode().encode())
        answer = await self._ask(session, question)
        try:
            question.check(answer)
        except TimestampError as error:
            raise NotStampedError(REFUSED, str(error)) from error

        def keep() -> None:
            make_folder(self._folder, disk=self._disk)
            # A crash here loses an answer: it is asked for again, and its time is a later one.
            write_durably(timestamp_path(self._folder, checkpoint.size), answer, disk=self._disk)

        try:
            await self._thread.keep(keep)
        except Refused as error:
            raise NotStampedError(DISK, str(error)) from error
        self._due = self._tick() + STAMP_EVERY_S

    async def _ask(self, session: aiohttp.ClientSession, question: "Question") -> bytes:
        from counters.timestamps import ANSWER_LIMIT_BYTES, QUERY_TYPE  # noqa: PLC0415 - an extra

        headers = {"Content-Type": QUERY_TYPE}
        try:
            async with session.post(self._url, data=question.query, headers=headers, timeout=TIMEOUT) as response:
                if response.status != 200:
                    raise NotStampedError(UNREACHABLE if response.status >= 500 else REFUSED, f"{response.status}")
                return await read_at_most(response.content, ANSWER_LIMIT_BYTES)  # a longer one is refused
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotStampedError(UNREACHABLE, str(error) or type(error).__name__) from error

    def _note(self, error: NotStampedError) -> None:
        self.counts[error.outcome] += 1
        self._failures += 1
        if self._trouble != error.outcome:
            _log.warning("no timestamp of %s: %s: %s", self._url, error.outcome, error)
        self._trouble = error.outcome
