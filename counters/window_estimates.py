"""Estimates window by window: how many elements the sketches of one window hold, all gateways together, by session."""

from collections.abc import Collection, Mapping

import numpy as np

from counters import hyperloglog
from counters.event import Event
from counters.hyperloglog import Registers


class WindowEstimates:
    """Takes in the sketches of one kind as evidence is read. Owned by whoever reads it."""

    def __init__(self, event: Event, held: Collection[int]) -> None:
        """Start empty; `held` are the windows that come in several parts, whose estimates must wait for the last."""
        self._known = {session.number for session in event.sessions}
        self._held: dict[int, dict[int, Registers]] = {window: {} for window in held}
        self._estimates: dict[int, dict[int, int]] = {}

    def add(self, window: int, sketches: Mapping[int, Registers]) -> None:
        """Take in a window's registers by session number; those of sessions that the event does not have are left."""
        for number in sketches.keys() & self._known:
            registers = sketches[number]
            if window in self._held:
                merged = self._held[window].setdefault(number, hyperloglog.empty())
                np.maximum(merged, registers, out=merged)
            elif registers.any():
                self._estimates.setdefault(window, {})[number] = hyperloglog.estimate(registers)

    def estimates(self) -> dict[int, dict[int, int]]:
        """Return window -> session number -> estimate; sketches that hold nothing are left out."""
        held = {
            window: {number: hyperloglog.estimate(registers) for number, registers in sessions.items()
                     if registers.any()}
            for window, sessions in self._held.items()
        }  # fmt: skip
        return self._estimates | {window: sessions for window, sessions in held.items() if sessions}
