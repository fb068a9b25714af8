"""Retiring a gateway whose host is gone for good: its workers are waited for no more, and the log says since when.

The leaf, canonical JSON:

    type, version   "retired", 1
    event_sha256    hex digest of the canonical event file
    gateway         its name in the evidence
    workers         ids of its workers that had not ended, ascending: 16 hex digits each
    at              when, ISO 8601 with the event's offset
    simulated, software

Up to the window of `at` these workers stay missing where they have not reported; later windows neither wait for them
nor name them. What they accepted and hand over after all is late evidence as ever, and one that reports past that
window lives and is expected again. Workers that the gateway starts later are other workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from counters import canonical_json
from counters.event import Event
from counters.segment import WINDOW_S

VERSION: Final = 1
WORKERS_A_LEAF: Final = 2000
"""An entry of the log is at most 65,535 bytes; a worker takes 19."""


@dataclass(frozen=True, slots=True)
class RetiredLeaf:
    """Workers that are waited for no more."""

    index: int  # in the log
    gateway: str
    workers: tuple[str, ...]
    at: int  # unix seconds

    @property
    def window(self) -> int:
        """The last window that they are expected for, unix seconds of its start."""
        return self.at // WINDOW_S * WINDOW_S


def retired_entries(event: Event, gateway: str, workers: Sequence[str], at: float, software: str) -> list[bytes]:
    """Return the entries that retire these workers (ascending) of a gateway at a time (unix seconds)."""
    return [
        canonical_json.encode(
            {
                "type": "retired",
                "version": VERSION,
                "event_sha256": event.digest,
                "gateway": gateway,
                "workers": list(workers[first : first + WORKERS_A_LEAF]),
                "at": event.iso(at),
                "simulated": event.simulated,
                "software": software,
            }
        )
        for first in range(0, len(workers), WORKERS_A_LEAF)
    ]


def read_retired(index: int, entry: dict[str, Any], at: int) -> RetiredLeaf:
    """Return a `retired` entry as a value; `at` is its time, read by whoever knows the event's zone.

    Raises:
        ValueError: it is malformed.
        KeyError: it lacks a member.
    """
    gateway, workers = entry["gateway"], entry["workers"]
    if not isinstance(gateway, str) or not isinstance(workers, list) or not workers:
        raise ValueError("it names no gateway, or no workers")
    if not all(isinstance(worker, str) for worker in workers) or workers != sorted(set(workers)):
        raise ValueError("its workers are not a list of names in ascending order")
    return RetiredLeaf(index, gateway, tuple(workers), at)
