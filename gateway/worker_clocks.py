"""By how much the workers' clocks are off the ledger's: into the evidence, the log of the gateway, and its metrics."""

import logging
from typing import Final

from counters.ledger_clock import REPORTED_S, LedgerClockEstimate
from gateway.worker_folders import WorkerFolder, WorkerFolders

SAY_AGAIN_S: Final = 1.0
"""A clock whose offset changed by less is not reported twice."""
_log = logging.getLogger("turnout.clock")


class WorkerClocks:
    """Compares one gateway's workers with the ledger. Owned by the supervisor's event loop; asked from any thread."""

    def __init__(self, folders: WorkerFolders) -> None:
        """Know what was measured since the host was booted."""
        self._folders = folders
        self.ledger = LedgerClockEstimate(folders.spool)
        self._said: dict[float, float] = {}  # by the epoch of a clock, the offset in s that was reported

    def heard(self, sent: float, received: float, now: float) -> None:
        """Take in what time the ledger said (counters.ledger_clock), and report what follows from it."""
        try:
            self.ledger.heard(sent, received, now)
        except OSError as error:
            # Without the file the workers go by what was measured before.
            _log.warning("the ledger's time cannot be written for the workers: %s", error)
        self.report()

    def offset_ms(self, folder: WorkerFolder) -> int | None:
        """Return a worker's clock minus the ledger's; None if it is simulated or nobody could measure it."""
        ledger = self.ledger.best
        return None if folder.epoch is None or ledger is None else round(ledger.offset_s(folder.epoch) * 1000)

    def largest_s(self) -> float | None:
        """Return the offset (s) of the living worker whose clock is off the most; None if none is known."""
        ledger = self.ledger.best
        offsets = [ledger.offset_s(epoch) for epoch in self._living()] if ledger else []
        return max(offsets, key=abs, default=None)

    def report(self) -> None:
        """Say which clocks are off by more than is harmless: each once, and again when its offset changes."""
        ledger = self.ledger.best
        if ledger is None:
            return
        for epoch in self._living():
            offset_s = ledger.offset_s(epoch)
            if ledger.surely_off_s(epoch) > REPORTED_S and abs(offset_s - self._said.get(epoch, 0.0)) > SAY_AGAIN_S:
                self._said[epoch] = offset_s
                _log.error(
                    "THE CLOCK IS %.1f s %s THE LEDGER'S (within %.3f s): evidence may lie in the next window, set the "
                    "host's clock and restart the gateway",
                    abs(offset_s), "AHEAD OF" if offset_s > 0 else "BEHIND", ledger.within_s,
                )  # fmt: skip

    def _living(self) -> set[float]:
        return {folder.epoch for folder in self._folders.recent() if not folder.dead and folder.epoch is not None}
