"""Evidence that was accepted and is in no leaf yet: for windows to come, or late for one that is sealed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from counters.window_leaf import StoredSegment


@dataclass(frozen=True, slots=True)
class Waiting:
    """One segment that waits."""

    report: int  # the hand-over that brought it: line of reports.jsonl, from 0
    window: int  # unix seconds
    received_at: float  # unix seconds
    file: StoredSegment


class WaitingEvidence:
    """All of it, in the order of arrival. Owned by the sealer."""

    def __init__(self) -> None:
        """Start with none."""
        self._waiting: dict[str, Waiting] = {}

    def __contains__(self, digest: str) -> bool:
        return digest in self._waiting

    def add(self, report: int, window: int, received_at: float, files: Iterable[StoredSegment]) -> None:
        """Let the segments of a hand-over wait."""
        self._waiting.update((file.sha256, Waiting(report, window, received_at, file)) for file in files)

    def find(self, digest: str) -> StoredSegment | None:
        """Return a segment that waits, or None."""
        waiting = self._waiting.get(digest)
        return waiting.file if waiting else None

    @property
    def size_bytes(self) -> int:
        """How much it is."""
        return sum(each.file.bytes for each in self._waiting.values())

    def drop(self, sealed: AbstractSet[str]) -> None:
        """Forget what is in leaves by now."""
        self._waiting = {digest: each for digest, each in self._waiting.items() if digest not in sealed}

    def pending(self, sealed_window: int) -> defaultdict[int, list[StoredSegment]]:
        """Return by window what waits for windows after the last that has a leaf."""
        pending = defaultdict[int, list[StoredSegment]](list)
        for each in self._waiting.values():
            if each.window > sealed_window:
                pending[each.window].append(each.file)
        return pending

    def late(self, sealed_window: int) -> list[Sequence[Waiting]]:
        """Return by hand-over what came for windows up to the last that has a leaf."""
        late = defaultdict[int, list[Waiting]](list)
        for each in self._waiting.values():
            if each.window <= sealed_window:
                late[each.report].append(each)
        return list(late.values())
