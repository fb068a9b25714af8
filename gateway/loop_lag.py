"""How late the timers of an event loop come: for so long it was busy with something else, or not allowed to run."""

import asyncio
import time


class LoopLag:
    """Watches one loop while it sleeps. Owned by it."""

    def __init__(self) -> None:
        """Nothing was late yet."""
        self._longest_s = 0.0

    async def sleep(self, seconds: float) -> None:
        """Sleep, and note how much longer it took."""
        due = time.monotonic() + seconds
        await asyncio.sleep(seconds)
        self._longest_s = max(self._longest_s, time.monotonic() - due)

    def take(self) -> float:
        """Return the longest lateness (s) since this was asked last."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s
